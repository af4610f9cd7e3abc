// Eight elements at once, of a type known at run time. One body serves every pair of types, and the
// loads of both sides are under way before either is looked at.
#pragma once

#include "numeric.cuh"
#include "ptx_load.cuh"
#include "rows.cuh"

namespace cambium {

// A Vector holds eight float32, float16 or bfloat16; 16-bit types use half of it.
struct Vector {
  uint4 bytes[2];
};

__device__ __forceinline__ long long element_bytes(unsigned type) {
  return type == kFloat64 ? 8 : type == kFloat32 ? 4 : 2;
}

// load_vector reads elements i to i + 7, which start at a multiple of 16 bytes.
__device__ __forceinline__ Vector load_vector(const void* p, unsigned type, long long i) {
  auto* at = reinterpret_cast<const uint4*>(static_cast<const char*>(p) + i * element_bytes(type));
  Vector v;
  v.bytes[0] = load_stream_16(at);
  v.bytes[1] = type == kFloat32 ? load_stream_16(at + 1) : v.bytes[0];
  return v;
}

__device__ __forceinline__ void store_vector(void* p, unsigned type, long long i, const Vector& v) {
  auto* at = reinterpret_cast<uint4*>(static_cast<char*>(p) + i * element_bytes(type));
  store_16(at, v.bytes[0]);
  if (type == kFloat32) store_16(at + 1, v.bytes[1]);
}

__device__ __forceinline__ void unpack(float (&out)[kVector], const Vector& v, unsigned type) {
  const unsigned words[kVector] = {v.bytes[0].x, v.bytes[0].y, v.bytes[0].z, v.bytes[0].w,
                                   v.bytes[1].x, v.bytes[1].y, v.bytes[1].z, v.bytes[1].w};
#pragma unroll
  for (int e = 0; e < kVector; e++) {
    auto half = (unsigned short)(words[e / 2] >> (e % 2 * 16));
    out[e] = type == kFloat32   ? __uint_as_float(words[e])
             : type == kFloat16 ? to_float(Half{half})
                                : to_float(BFloat{half});
  }
}

// pack rounds once.
__device__ __forceinline__ Vector pack(const float (&in)[kVector], unsigned type) {
  unsigned words[kVector];
#pragma unroll
  for (int e = 0; e < kVector; e++) words[e] = __float_as_uint(in[e]);
  if (type != kFloat32) {
#pragma unroll
    for (int e = 0; e < kVector; e += 2) {
      unsigned low =
          type == kFloat16 ? Rounded<Half>::from(in[e]).bits : Rounded<BFloat>::from(in[e]).bits;
      unsigned high = type == kFloat16 ? Rounded<Half>::from(in[e + 1]).bits
                                       : Rounded<BFloat>::from(in[e + 1]).bits;
      words[e / 2] = low | high << 16;
    }
  }
  return {{{words[0], words[1], words[2], words[3]}, {words[4], words[5], words[6], words[7]}}};
}

}  // namespace cambium
