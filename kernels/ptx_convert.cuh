// Conversions between binary16 and binary32: one instruction each on the device.
#pragma once

#include "device.cuh"

namespace cambium {

// half_bits_to_float widens; exact.
__device__ __forceinline__ float half_bits_to_float(unsigned short h) {
#ifdef CUDA_EMU
  unsigned sign = unsigned(h & 0x8000) << 16, exponent = h >> 10 & 0x1f, fraction = h & 0x3ff;
  if (exponent == 0) {
    float magnitude = std::ldexp(float(fraction), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 0x1f) {  // a NaN comes out quiet
    return __uint_as_float(sign | 0x7f800000 | fraction << 13 | (fraction != 0 ? 1u << 22 : 0));
  }
  return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
#else
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
  return f;
#endif
}

// float_to_half_bits rounds to nearest even; overflow gives infinity, a NaN stays one.
__device__ __forceinline__ unsigned short float_to_half_bits(float f) {
#ifdef CUDA_EMU
  unsigned bits = __float_as_uint(f), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7fff;
  if (magnitude >= 0x477ff000) return (unsigned short)(sign | 0x7c00);
  if (magnitude < 0x38800000) {  // below 2^-14 a multiple of 2^-24
    return (unsigned short)(sign |
                            unsigned(std::nearbyint(std::ldexp(__uint_as_float(magnitude), 24))));
  }
  magnitude += 0xfff + (magnitude >> 13 & 1);
  return (unsigned short)(sign | ((magnitude >> 13) - (112 << 10)));
#else
  unsigned short h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
  return h;
#endif
}

}  // namespace cambium
