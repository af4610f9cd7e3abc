// The CUDA C++ that the kernels use, for g++ with -DCUDA_EMU: qualifiers, built-in variables and
// functions. Device code includes it through device.cuh.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "emu.h"
#include "ptx_emu.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__    __restrict
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

// SHARED(T, name) is a shared variable, DYNAMIC_SHARED(T, name) a pointer to the dynamic part.
#define SHARED(T, name)                                                                     \
  static const size_t name##_id = emu::internal::next_shared_id++;                          \
  auto& name =                                                                              \
      *static_cast<emu::internal::Same<T>::type*>(emu::internal::self->block->shared.place( \
          name##_id, sizeof(emu::internal::Same<T>::type), 128))
#define DYNAMIC_SHARED(T, name) \
  T* name = static_cast<T*>(emu::internal::self->block->shared.place(0, 0, 1024))

namespace emu::internal {
template <class T>
struct Same {
  using type = T;
};
inline size_t next_shared_id = 1;
}  // namespace emu::internal

#define threadIdx       (emu::internal::self->index)
#define blockIdx        (emu::internal::self->block->index)
#define blockDim        (emu::internal::current_launch.dim)
#define gridDim         (emu::internal::current_launch.grid)
#define __syncthreads() emu::internal::barrier(0, 0, true, __FILE__, __LINE__)
// Barriers 1 to 15, for a number of threads that are whole warps.
#define EMU_BARRIER_SYNC(id, count)   emu::internal::barrier(id, count, true, __FILE__, __LINE__)
#define EMU_BARRIER_ARRIVE(id, count) emu::internal::barrier(id, count, false, __FILE__, __LINE__)

inline void __syncwarp(uint32_t mask = ~0u) {
  emu::internal::collective("__syncwarp", mask, &mask, [](emu::internal::Lanes&) {});
}

namespace emu::internal {

template <class T>
struct Shuffle {
  T value, result;
  unsigned source;
};

template <class T>
T shuffle(const char* name, uint32_t mask, T value, unsigned source) {
  Shuffle<T> s{value, value, source};
  collective(name, mask, &s, [](Lanes& lanes) {
    for (unsigned l = 0; l < kWarp; l++) {
      if (lanes.arg[l] == nullptr) continue;
      auto& self = lane_arg<Shuffle<T>>(lanes, l);
      if (lanes.arg[self.source] == nullptr)
        fail("shuffle: lane %u reads lane %u, which takes no part", l, self.source);
      self.result = lane_arg<Shuffle<T>>(lanes, self.source).value;
    }
  });
  return s.result;
}

struct Vote {
  bool value;
  uint32_t result;
};

inline uint32_t ballot(const char* name, uint32_t mask, bool value) {
  Vote v{value, 0};
  collective(name, mask, &v, [](Lanes& lanes) {
    uint32_t votes = 0;
    for (unsigned l = 0; l < kWarp; l++)
      if (lanes.arg[l] != nullptr && lane_arg<Vote>(lanes, l).value) votes |= uint32_t{1} << l;
    for (void* arg : lanes.arg)
      if (arg != nullptr) static_cast<Vote*>(arg)->result = votes;
  });
  return v.result;
}

inline unsigned lane() { return self->lane; }

}  // namespace emu::internal

template <class T>
T __shfl_sync(uint32_t mask, T value, int source) {
  return emu::internal::shuffle("__shfl_sync", mask, value, unsigned(source) % emu::kWarp);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int bits) {
  return emu::internal::shuffle("__shfl_xor_sync", mask, value,
                                (emu::internal::lane() ^ unsigned(bits)) % emu::kWarp);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta) {
  unsigned lane = emu::internal::lane();
  return emu::internal::shuffle("__shfl_down_sync", mask, value,
                                lane + delta < emu::kWarp ? lane + delta : lane);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta) {
  unsigned lane = emu::internal::lane();
  return emu::internal::shuffle("__shfl_up_sync", mask, value, lane >= delta ? lane - delta : lane);
}
inline uint32_t __ballot_sync(uint32_t mask, int value) {
  return emu::internal::ballot("__ballot_sync", mask, value != 0);
}
inline int __any_sync(uint32_t mask, int value) {
  return emu::internal::ballot("__any_sync", mask, value != 0) != 0;
}
inline int __all_sync(uint32_t mask, int value) {
  return emu::internal::ballot("__all_sync", mask, value == 0) == 0;
}

// Atomics on integers alone: sums of floating-point numbers in the order of arrival would differ
// from run to run.
#define EMU_ATOMIC(name, expression)                                                       \
  template <class T>                                                                       \
  T name(T* p, T v) {                                                                      \
    static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "integer"); \
    T old = *p;                                                                            \
    *p = expression;                                                                       \
    return old;                                                                            \
  }
EMU_ATOMIC(atomicAdd, T(old + v))
EMU_ATOMIC(atomicMax, old > v ? old : v)
EMU_ATOMIC(atomicMin, old < v ? old : v)
EMU_ATOMIC(atomicOr, T(old | v))
EMU_ATOMIC(atomicExch, v)
#undef EMU_ATOMIC
template <class T>
T atomicCAS(T* p, T expected, T v) {
  static_assert(std::is_integral_v<T>, "integer");
  T old = *p;
  if (old == expected) *p = v;
  return old;
}

inline float __uint_as_float(unsigned u) {
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}
inline unsigned __float_as_uint(float f) {
  unsigned u;
  memcpy(&u, &f, sizeof u);
  return u;
}
inline double __longlong_as_double(long long v) {
  double d;
  memcpy(&d, &v, sizeof d);
  return d;
}
// Rounds toward zero.
inline float __double2float_rz(double d) {
  float f = static_cast<float>(d);
  return std::fabs(double(f)) > std::fabs(d) ? std::nextafter(f, 0.0f) : f;
}
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
