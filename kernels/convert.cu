// Copies of a matrix into one of any element type: bits between equal types, one rounding to
// nearest even where the type gets narrower.
#include "vector.cuh"

namespace cambium {

constexpr int kConvertThreads = 256;

struct ConvertProblem {
  void* dst;
  const void* src;
  long long rows, cols, dst_stride, src_stride;
  unsigned dst_type, src_type;
};

template <class T>
__device__ __forceinline__ void copy_bits(const ConvertProblem& p, long long to, long long from) {
  static_cast<T*>(p.dst)[to] = static_cast<const T*>(p.src)[from];
}

// convert_element keeps the bits of equal types, a signalling NaN among them.
__device__ __forceinline__ void convert_element(const ConvertProblem& p,
                                                long long to,
                                                long long from) {
  if (p.dst_type != p.src_type) {
    store_double(p.dst, p.dst_type, to, load_double(p.src, p.src_type, from));
  } else if (p.dst_type == kFloat64) {
    copy_bits<unsigned long long>(p, to, from);
  } else if (p.dst_type == kFloat32) {
    copy_bits<unsigned>(p, to, from);
  } else {
    copy_bits<unsigned short>(p, to, from);
  }
}

__device__ __forceinline__ void convert_vector(const ConvertProblem& p,
                                               long long to,
                                               long long from) {
  Vector v = load_vector(p.src, p.src_type, from);
  if (p.dst_type != p.src_type) {
    float values[kVector];
    unpack(values, v, p.src_type);
    v = pack(values, p.dst_type);
  }
  store_vector(p.dst, p.dst_type, to, v);
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
  ConvertProblem p{
      dst, src, rows, cols, dst_stride, src_stride, unsigned(types & 0xff), unsigned(types >> 8)};
  bool contiguous = rows <= 1 || (dst_stride == cols && src_stride == cols);
  long long total = rows * cols, vectors = 0;
  long long first = (long long)(blockIdx.x) * kConvertThreads + threadIdx.x;
  long long threads = (long long)(gridDim.x) * kConvertThreads;
  if (p.dst_type != kFloat64 && p.src_type != kFloat64 && (contiguous || cols % kVector == 0) &&
      is_aligned(dst, contiguous ? 0 : dst_stride * element_bytes(p.dst_type)) &&
      is_aligned(src, contiguous ? 0 : src_stride * element_bytes(p.src_type))) {
    vectors = total / kVector;
  }
  for (long long v = first; v < vectors; v += threads) {
    Place at = contiguous ? Place{0, v * kVector} : place(v * kVector, cols);
    convert_vector(p, at.row * dst_stride + at.col, at.row * src_stride + at.col);
  }
  for (long long i = vectors * kVector + first; i < total; i += threads) {
    Place at = contiguous ? Place{0, i} : place(i, cols);
    convert_element(p, at.row * dst_stride + at.col, at.row * src_stride + at.col);
  }
}
