// Copies of a matrix into one of any element type: bits between equal types, one rounding to
// nearest even where the type gets narrower.
#include "numeric.cuh"
#include "ptx_load.cuh"
#include "rows.cuh"

namespace cambium {

constexpr int kConvertThreads = 256;

struct ConvertProblem {
  void* dst;
  const void* src;
  long long rows, cols, dst_stride, src_stride;
};

// converted<D>(v) has the bits of v if D is its type.
template <class D, class S>
struct Converted {
  static __device__ __forceinline__ D from(S v) { return Rounded<D>::from(to_float(v)); }
};
template <class D>
struct Converted<D, double> {
  static __device__ __forceinline__ D from(double v) { return Rounded<D>::from(v); }
};
template <class S>
struct Converted<double, S> {
  static __device__ __forceinline__ double from(S v) { return to_double(v); }
};
template <>
struct Converted<double, double> {
  static __device__ __forceinline__ double from(double v) { return v; }
};
template <class T>
struct Converted<T, T> {
  static __device__ __forceinline__ T from(T v) { return v; }
};

template <class T>
struct ConvertVector {
  static constexpr int kPieces = kVector * sizeof(T) / 16;
  union {
    uint4 bytes[kPieces];
    T value[kVector];
  };
};

template <class D, class S>
__device__ __forceinline__ void convert_vector(D* dst, const S* src) {
  ConvertVector<S> from;
#pragma unroll
  for (int i = 0; i < from.kPieces; i++)
    from.bytes[i] = load_stream_16(reinterpret_cast<const uint4*>(src) + i);
  ConvertVector<D> to;
#pragma unroll
  for (int e = 0; e < kVector; e++) to.value[e] = Converted<D, S>::from(from.value[e]);
#pragma unroll
  for (int i = 0; i < to.kPieces; i++) store_16(reinterpret_cast<uint4*>(dst) + i, to.bytes[i]);
}

template <class D, class S>
__device__ __forceinline__ void convert_matrix(const ConvertProblem& p) {
  auto* dst = static_cast<D*>(p.dst);
  auto* src = static_cast<const S*>(p.src);
  bool contiguous = p.rows <= 1 || (p.dst_stride == p.cols && p.src_stride == p.cols);
  long long total = p.rows * p.cols, done = 0;
  long long first = (long long)(blockIdx.x) * kConvertThreads + threadIdx.x;
  long long threads = (long long)(gridDim.x) * kConvertThreads;
  if ((contiguous || p.cols % kVector == 0) &&
      is_aligned(dst, contiguous ? 0 : p.dst_stride * (long long)(sizeof(D))) &&
      is_aligned(src, contiguous ? 0 : p.src_stride * (long long)(sizeof(S)))) {
    done = total / kVector * kVector;
    for (long long v = first; v < done / kVector; v += threads) {
      Place at = contiguous ? Place{0, v * kVector} : place(v * kVector, p.cols);
      convert_vector(dst + at.row * p.dst_stride + at.col, src + at.row * p.src_stride + at.col);
    }
  }
  for (long long i = done + first; i < total; i += threads) {
    Place at = contiguous ? Place{0, i} : place(i, p.cols);
    dst[at.row * p.dst_stride + at.col] =
        Converted<D, S>::from(src[at.row * p.src_stride + at.col]);
  }
}

template <class D>
__device__ __forceinline__ void convert_from(const ConvertProblem& p, unsigned src_type) {
  switch (src_type) {
    case kFloat32:
      return convert_matrix<D, float>(p);
    case kFloat64:
      return convert_matrix<D, double>(p);
    case kFloat16:
      return convert_matrix<D, Half>(p);
    default:
      return convert_matrix<D, BFloat>(p);
  }
}

}  // namespace cambium

// convert copies src to dst, both rows x cols with strides in elements; types are dst's DType and,
// times 256, src's. Any number of blocks of 256 threads. dst must not overlap src.
extern "C" __global__ void __launch_bounds__(256) convert(void* dst,
                                                          const void* src,
                                                          long long rows,
                                                          long long cols,
                                                          long long dst_stride,
                                                          long long src_stride,
                                                          long long types) {
  using namespace cambium;
  ConvertProblem p{dst, src, rows, cols, dst_stride, src_stride};
  unsigned from = unsigned(types >> 8);
  switch (unsigned(types & 0xff)) {
    case kFloat32:
      return convert_from<float>(p, from);
    case kFloat64:
      return convert_from<double>(p, from);
    case kFloat16:
      return convert_from<Half>(p, from);
    default:
      return convert_from<BFloat>(p, from);
  }
}
