// Tiles of 128 x 128 on the float32 units: 8 x 8 sums a thread, operands of any type and alignment.
// The path of float32 inputs, which tensor cores would round, and of mixed types.
#pragma once

#include "product.cuh"

namespace cambium {

constexpr int kSimtTile = 128, kSimtDepth = 16, kSimtThreads = 256;
constexpr int kSimtPitch = kSimtTile + 4;  // a multiple of 4 for 16-byte reads
constexpr int kSimtPanel = kSimtDepth * kSimtPitch;
constexpr unsigned kSimtShared = kSimtTile * kSimtTile * sizeof(float);
static_assert(4 * kSimtPanel * sizeof(float) <= kSimtShared, "two panels of either operand");

// A SimtPiece is the eight elements of a panel that a thread fetches.
struct SimtPiece {
  float v[kVector];
};

// Neighbouring threads take neighbouring rows of an operand whose rows run along the sums, so that
// their stores to shared memory meet no bank twice.
__device__ __forceinline__ int simt_outer(const Operand& o) {
  int thread = int(threadIdx.x);
  return o.transposed ? thread % (kSimtTile / kVector) * kVector : thread % kSimtTile;
}
__device__ __forceinline__ int simt_inner(const Operand& o) {
  int thread = int(threadIdx.x);
  return o.transposed ? thread / (kSimtTile / kVector) : thread / kSimtTile * kVector;
}

__device__ __forceinline__ SimtPiece fetch(const Operand& o, int inner0) {
  int outer = simt_outer(o), inner = inner0 + simt_inner(o), count = available(o, outer, inner);
  long long at = o.transposed ? inner * o.stride + outer : outer * o.stride + inner;
  SimtPiece piece;
  if (o.aligned && count == kVector) {
    unpack(piece.v, load_vector(o.first, o.type, at), o.type);
  } else {
#pragma unroll
    for (int e = 0; e < kVector; e++)
      piece.v[e] = e < count ? load_float(o.first, o.type, at + e) : 0.0f;
  }
  return piece;
}

// deposit stores a piece in a panel [inner][outer].
__device__ __forceinline__ void deposit(float* panel, const Operand& o, const SimtPiece& piece) {
  float* at = panel + simt_inner(o) * kSimtPitch + simt_outer(o);
  int step = o.transposed ? 1 : kSimtPitch;
#pragma unroll
  for (int e = 0; e < kVector; e++) at[e * step] = piece.v[e];
}

// read_eight reads elements first to first + 3 and first + 64 to first + 67 of a row of a panel.
__device__ __forceinline__ void read_eight(float (&v)[8], const float* row, int first) {
  float4 low = *reinterpret_cast<const float4*>(row + first);
  float4 high = *reinterpret_cast<const float4*>(row + first + kSimtTile / 2);
  v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
  v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}

__device__ __forceinline__ void multiply_panels(
    float (&part)[8][8], const float* a, const float* b, int row, int col) {
#pragma unroll
  for (int k = 0; k < kSimtDepth; k++) {
    float x[8], y[8];
    read_eight(x, a + k * kSimtPitch, row);
    read_eight(y, b + k * kSimtPitch, col);
#pragma unroll
    for (int i = 0; i < 8; i++) {
#pragma unroll
      for (int j = 0; j < 8; j++) part[i][j] = fmaf(x[i], y[j], part[i][j]);
    }
  }
}

__device__ __forceinline__ void promote(float (&sum)[8][8], float (&part)[8][8]) {
#pragma unroll
  for (int i = 0; i < 8; i++) {
#pragma unroll
    for (int j = 0; j < 8; j++) {
      sum[i][j] += part[i][j];
      part[i][j] = 0;
    }
  }
}

__device__ __forceinline__ void multiply_simt(const ProductItem* items,
                                              long long count,
                                              double alpha,
                                              double beta) {
  DYNAMIC_SHARED(float, memory);
  const ProductItem& item = find_item(items, count, blockIdx.x);
  TileIndex tile = tile_of<kSimtTile>(item);
  Operand left = operand_a<kSimtTile>(item, tile, alpha),
          right = operand_b<kSimtTile>(item, tile, alpha);
  int thread = int(threadIdx.x), row = thread / 16 * 4, col = thread % 16 * 4;
  float sum[8][8] = {}, part[8][8] = {};
  SimtPiece a = fetch(left, 0), b = fetch(right, 0);
  int buffer = 0;
  for (int inner = 0; inner < left.terms; inner += kSimtDepth) {
    // Two buffers: what the slowest thread still reads is the other one.
    float *panel_a = memory + buffer * 2 * kSimtPanel, *panel_b = panel_a + kSimtPanel;
    deposit(panel_a, left, a);
    deposit(panel_b, right, b);
    __syncthreads();
    a = fetch(left, inner + kSimtDepth);  // under way during the products
    b = fetch(right, inner + kSimtDepth);
    multiply_panels(part, panel_a, panel_b, row, col);
    if ((inner + kSimtDepth) % kBlockTerms == 0) promote(sum, part);
    buffer ^= 1;
  }
  promote(sum, part);
  __syncthreads();
  ResultTile<kSimtTile> result{memory};
#pragma unroll
  for (int i = 0; i < 8; i++) {
#pragma unroll
    for (int j = 0; j < 8; j++)
      result.at(row + i % 4 + i / 4 * 64, col + j % 4 + j / 4 * 64) = sum[i][j];
  }
  store_tile<kSimtTile, kSimtThreads>(result, item, tile, alpha, beta);
}

}  // namespace cambium
