// Tiles of 32 x 32 for results too small to fill a larger one: any types, forms and alignment, one
// element of an operand at a time.
#pragma once

#include "product.cuh"

namespace cambium {

constexpr int kSmallTile = 32, kSmallThreads = 256;

using SmallPanel = float[kSmallTile][kSmallTile + 1];  // [outer][inner]

__device__ __forceinline__ void load_small(SmallPanel& panel, const Operand& o, int inner0) {
  for (int e = int(threadIdx.x); e < kSmallTile * kSmallTile; e += kSmallThreads) {
    // Neighbouring threads read neighbours in memory.
    int outer = o.transposed ? e % kSmallTile : e / kSmallTile;
    int k = o.transposed ? e / kSmallTile : e % kSmallTile;
    int inner = inner0 + k;
    long long at = o.transposed ? inner * o.stride + outer : outer * o.stride + inner;
    panel[outer][k] = outer < o.outer && inner < o.terms ? load_float(o.first, o.type, at) : 0.0f;
  }
}

__device__ __forceinline__ void multiply_small(const ProductItem* items,
                                               long long count,
                                               double alpha,
                                               double beta) {
  constexpr int kPerThread = kSmallTile * kSmallTile / kSmallThreads;
  SHARED(SmallPanel, a);
  SHARED(SmallPanel, b);
  SHARED(float[kSmallTile * kSmallTile], values);
  const ProductItem& item = find_item(items, count, blockIdx.x);
  TileIndex tile = tile_of<kSmallTile>(item);
  Operand left = operand_a<kSmallTile>(item, tile, alpha),
          right = operand_b<kSmallTile>(item, tile, alpha);
  int col = int(threadIdx.x) % kSmallTile, row = int(threadIdx.x) / kSmallTile;
  float sum[kPerThread] = {}, part[kPerThread] = {};
  for (int inner = 0; inner < left.terms; inner += kSmallTile) {
    load_small(a, left, inner);
    load_small(b, right, inner);
    __syncthreads();
    for (int k = 0; k < kSmallTile; k++) {
#pragma unroll
      for (int i = 0; i < kPerThread; i++)
        part[i] = fmaf(a[row + i * (kSmallTile / kPerThread)][k], b[col][k], part[i]);
    }
    if ((inner + kSmallTile) % kBlockTerms == 0) {
#pragma unroll
      for (int i = 0; i < kPerThread; i++) {
        sum[i] += part[i];
        part[i] = 0;
      }
    }
    __syncthreads();
  }
  ResultTile<kSmallTile> result{values};
#pragma unroll
  for (int i = 0; i < kPerThread; i++)
    result.at(row + i * (kSmallTile / kPerThread), col) = sum[i] + part[i];
  store_tile<kSmallTile, kSmallThreads>(result, item, tile, alpha, beta);
}

}  // namespace cambium
