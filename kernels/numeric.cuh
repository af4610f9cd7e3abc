// Element types and their conversions. Narrowing rounds once, to nearest even, straight from the
// wide type; overflow gives infinity and a NaN stays a NaN.
#pragma once

#include "device.cuh"
#include "ptx_convert.cuh"

namespace cambium {

// The values of kernels.DType.
enum DType : unsigned { kFloat32 = 0, kFloat64 = 1, kFloat16 = 2, kBFloat16 = 3 };

struct Half {
  unsigned short bits;
};
struct BFloat {
  unsigned short bits;
};

__device__ __forceinline__ float to_float(float v) { return v; }
__device__ __forceinline__ float to_float(Half v) { return half_bits_to_float(v.bits); }
__device__ __forceinline__ float to_float(BFloat v) {
  return __uint_as_float(unsigned(v.bits) << 16);
}

template <class T>
__device__ __forceinline__ double to_double(T v) {
  return double(to_float(v));
}
__device__ __forceinline__ double to_double(double v) { return v; }

__device__ __forceinline__ BFloat to_bfloat(float f) {
  unsigned u = __float_as_uint(f);
  if ((u & 0x7fffffff) > 0x7f800000) return {(unsigned short)(u >> 16 | 0x40)};
  return {(unsigned short)((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}

// round_to_odd leaves a last bit that tells a later, coarser rounding on which side of a tie the
// value was, so that both together round once (Boldo and Melquiond 2008).
__device__ __forceinline__ float round_to_odd(double d) {
  float f = __double2float_rz(d);
  return f == d || d != d ? f : __uint_as_float(__float_as_uint(f) | 1);
}

// rounded<T>(v) is v in type T.
template <class T>
struct Rounded;
template <>
struct Rounded<double> {
  static __device__ __forceinline__ double from(double v) { return v; }
};
template <>
struct Rounded<float> {
  static __device__ __forceinline__ float from(float v) { return v; }
  static __device__ __forceinline__ float from(double v) { return float(v); }
};
template <>
struct Rounded<Half> {
  static __device__ __forceinline__ Half from(float v) { return {float_to_half_bits(v)}; }
  static __device__ __forceinline__ Half from(double v) { return from(round_to_odd(v)); }
};
template <>
struct Rounded<BFloat> {
  static __device__ __forceinline__ BFloat from(float v) { return to_bfloat(v); }
  static __device__ __forceinline__ BFloat from(double v) { return from(round_to_odd(v)); }
};

// load_double reads element i of an array whose type is known at run time.
__device__ __forceinline__ double load_double(const void* p, unsigned type, long long i) {
  switch (type) {
    case kFloat32:
      return double(static_cast<const float*>(p)[i]);
    case kFloat64:
      return static_cast<const double*>(p)[i];
    case kFloat16:
      return to_double(static_cast<const Half*>(p)[i]);
    default:
      return to_double(static_cast<const BFloat*>(p)[i]);
  }
}

// load_float is load_double without float64.
__device__ __forceinline__ float load_float(const void* p, unsigned type, long long i) {
  switch (type) {
    case kFloat32:
      return static_cast<const float*>(p)[i];
    case kFloat16:
      return to_float(static_cast<const Half*>(p)[i]);
    default:
      return to_float(static_cast<const BFloat*>(p)[i]);
  }
}

template <class T>
__device__ __forceinline__ double store_as(void* p, long long i, double v) {
  T r = Rounded<T>::from(v);
  static_cast<T*>(p)[i] = r;
  return to_double(r);
}

// store_double writes v, rounded once, and returns the value as stored.
__device__ __forceinline__ double store_double(void* p, unsigned type, long long i, double v) {
  switch (type) {
    case kFloat32:
      return store_as<float>(p, i, v);
    case kFloat64:
      return store_as<double>(p, i, v);
    case kFloat16:
      return store_as<Half>(p, i, v);
    default:
      return store_as<BFloat>(p, i, v);
  }
}

}  // namespace cambium
