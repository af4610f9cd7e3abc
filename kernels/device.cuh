// What every kernel includes. The sources compile with NVRTC, which has no host headers, and with
// g++ and -DCUDA_EMU on the emulation in emu/.
#pragma once

#ifdef CUDA_EMU
#include "emu/cuda_emu.h"
#else
#define SHARED(T, name) __shared__ typename cambium::Same<T>::type name
#define DYNAMIC_SHARED(T, name)                                     \
  extern __shared__ __align__(1024) unsigned char dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(dynamic_shared)
#endif

// DYNAMIC_SHARED_BYTES tells the host how much dynamic shared memory a kernel is launched with: the
// table of kernels takes it from the PTX, the tests and the fake driver from the C++.
#ifdef CUDA_EMU
#define DYNAMIC_SHARED_BYTES(kernel, bytes) constexpr unsigned kernel##_dynamic_shared = bytes
#else
#define DYNAMIC_SHARED_BYTES(kernel, bytes) \
  extern "C" __device__ const unsigned kernel##_dynamic_shared = bytes
#endif

namespace cambium {

template <class T>
struct Same {
  using type = T;
};

constexpr unsigned kAllLanes = 0xffffffff;
constexpr int kWarpSize = 32;

}  // namespace cambium
