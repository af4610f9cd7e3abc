// Row-major views: element (i, j) lies i·stride + j elements after the first.
#pragma once

#include "device.cuh"

namespace cambium {

// Elements that a thread moves at once where alignment allows: 16 bytes of a 16-bit type.
constexpr int kVector = 8;

struct Place {
  long long row, col;
};

// place finds element i, counted along the rows. 64-bit division is a subroutine of a hundred
// instructions and rarely needed.
__device__ __forceinline__ Place place(long long i, long long cols) {
  long long row = ((i | cols) >> 32) == 0 ? (long long)(unsigned(i) / unsigned(cols)) : i / cols;
  return {row, i - row * cols};
}

// is_aligned reports whether rows of a matrix can be read in pieces of 16 bytes.
__device__ __forceinline__ bool is_aligned(const void* p, long long stride_bytes) {
  return ((reinterpret_cast<unsigned long long>(p) | (unsigned long long)(stride_bytes)) & 15) == 0;
}

}  // namespace cambium
