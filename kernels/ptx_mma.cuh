// Tensor cores through warps (sm_80): ldmatrix and mma.sync. Fragment layouts are those of the PTX
// ISA, sections "ldmatrix" and "mma.m16n8k16 with floating point type".
#pragma once

#include "numeric.cuh"

namespace cambium {

// load_matrix_x4 loads four 8 x 8 matrices of 16-bit values. Lane l gives the address of row l % 8
// of matrix l / 8; it receives elements (l / 4, l % 4 * 2) and the next of each. With kTranspose
// the matrices are transposed on the way.
template <bool kTranspose>
__device__ __forceinline__ void load_matrix_x4(unsigned (&r)[4], const void* shared_row) {
#ifdef CUDA_EMU
  emu::internal::load_matrix(r, 4, shared_row, kTranspose);
#else
  unsigned row = static_cast<unsigned>(__cvta_generic_to_shared(shared_row));
  if constexpr (kTranspose) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
  }
#endif
}

#ifdef CUDA_EMU
template <class T>
float widened(uint16_t bits) {
  return to_float(T{bits});
}
#endif

// multiply_16x8x16 adds a·b to c: a is 16 x 16 in rows, b 16 x 8 in columns, c 16 x 8 in float32.
// The first parameter gives the element type, BFloat or Half.
__device__ __forceinline__ void multiply_16x8x16(BFloat,
                                                 float (&c)[4],
                                                 const unsigned (&a)[4],
                                                 const unsigned (&b)[2]) {
#ifdef CUDA_EMU
  emu::internal::multiply<widened<BFloat>>(c, a, b);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

__device__ __forceinline__ void multiply_16x8x16(Half,
                                                 float (&c)[4],
                                                 const unsigned (&a)[4],
                                                 const unsigned (&b)[2]) {
#ifdef CUDA_EMU
  emu::internal::multiply<widened<Half>>(c, a, b);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

}  // namespace cambium
