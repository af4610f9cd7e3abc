// Matrices in emulated device memory, and what the tests compare them with.
#pragma once

#include <functional>
#include <memory>

#include "../../numeric.cuh"
#include "test.h"

namespace test {

using cambium::DType;
using cambium::kBFloat16;
using cambium::kFloat16;
using cambium::kFloat32;
using cambium::kFloat64;

inline const char* name(DType t) {
  const char* names[] = {"f32", "f64", "f16", "bf16"};
  return names[t];
}
inline size_t size_of(DType t) { return t == kFloat64 ? 8 : t == kFloat32 ? 4 : 2; }
inline double unit_roundoff(DType t) {
  const double u[] = {0x1p-24, 0x1p-53, 0x1p-11, 0x1p-8};
  return u[t];
}

// Where a matrix lies: elements between rows, and from a 256-byte boundary to the first element.
struct Layout {
  int pad, offset;
};
inline const std::vector<Layout>& layouts() {
  static const std::vector<Layout> list{{0, 0}, {1, 0}, {8, 8}, {3, 1}, {16, 0}, {0, 3}};
  return list;
}

// A Matrix is poisoned everywhere until it is set, and has guard zones around and between its rows.
class Matrix {
 public:
  Matrix(DType type, int rows, int cols, Layout l = {0, 0})
      : type(type),
        rows(rows),
        cols(cols),
        stride(cols + l.pad),
        bytes_((rows == 0 || cols == 0 ? 0 : (size_t(rows) - 1) * size_t(stride) + size_t(cols)) *
                   size_of(type),
               size_t(l.offset) * size_of(type)) {}

  void* data() { return bytes_.data(); }
  long long at(int i, int j) const { return (long long)(i)*stride + j; }
  double get(int i, int j) { return cambium::load_double(data(), type, at(i, j)); }
  void set(int i, int j, double v) { cambium::store_double(data(), type, at(i, j), v); }
  template <class F>
  Matrix& fill(F value) {
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < cols; j++) set(i, j, value());
    return *this;
  }
  // bits of an element, for comparisons that NaN passes too.
  uint64_t bits(int i, int j) {
    uint64_t b = 0;
    memcpy(&b, static_cast<char*>(data()) + size_t(at(i, j)) * size_of(type), size_of(type));
    return b;
  }
  // intact fails if anything outside of the elements was written.
  void intact(const char* what) {
    bytes_.check(what);
    for (int i = 0; cols > 0 && i + 1 < rows; i++)
      for (size_t b = size_t(at(i, cols)) * size_of(type); b < size_t(at(i + 1, 0)) * size_of(type);
           b++)
        CHECK(bytes_[b] == emu::kPoison, "%s: padding behind row %d was written", what, i);
  }
  std::vector<unsigned char> snapshot() { return {bytes_.data(), bytes_.data() + bytes_.size()}; }

  const DType type;
  const int rows, cols, stride;

 private:
  Buffer<unsigned char> bytes_;
};

inline const std::vector<DType>& types() {
  static const std::vector<DType> list{kFloat32, kFloat16, kBFloat16, kFloat64};
  return list;
}

// Sizes around the multiples that code treats in one piece.
inline const std::vector<int>& sizes() {
  static const std::vector<int> list{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129};
  return list;
}

// Wide has enough digits for a reference to float64 results.
#if defined(__SIZEOF_FLOAT128__)
using Wide = __float128;
#else
using Wide = long double;
#endif
inline Wide root(Wide v) {
  if (v == 0) return 0;
  Wide r = Wide(std::sqrt((long double)(v)));
  return (r + v / r) / 2;
}

}  // namespace test
