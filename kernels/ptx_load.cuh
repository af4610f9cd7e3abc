// Loads and stores of 16 bytes. Both addresses are multiples of 16.
#pragma once

#include "device.cuh"

namespace cambium {

// load_stream_16 reads memory that nobody writes during the kernel and that is not read again: it
// leaves the L1 cache alone.
__device__ __forceinline__ uint4 load_stream_16(const void* p) {
#ifdef CUDA_EMU
  if (reinterpret_cast<uintptr_t>(p) % 16 != 0)
    emu::internal::fail("ld.v4: address is not aligned");
  return *static_cast<const uint4*>(p);
#else
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
#endif
}

__device__ __forceinline__ uint4 load_16(const void* p) {
#ifdef CUDA_EMU
  if (reinterpret_cast<uintptr_t>(p) % 16 != 0)
    emu::internal::fail("ld.v4: address is not aligned");
#endif
  return *static_cast<const uint4*>(p);
}

__device__ __forceinline__ void store_16(void* p, uint4 v) {
#ifdef CUDA_EMU
  if (reinterpret_cast<uintptr_t>(p) % 16 != 0)
    emu::internal::fail("st.v4: address is not aligned");
#endif
  *static_cast<uint4*>(p) = v;
}

}  // namespace cambium
