// What all products share: the table of a batch, the list of tiles, and the store of a finished
// tile.
//
// A product is dst = alpha·op(a)·op(b)ᵀ + beta·dst in tiles, one block each. An operand has an
// outer index, which is a row or column of dst, and an inner one, over which the sums run.
#pragma once

#include "numeric.cuh"
#include "vector.cuh"

namespace cambium {

// The values of kernels.Form.
enum Form : unsigned char { kNT = 0, kTN = 1, kNN = 2 };

// What dst is, and which tiles of it there are.
enum Storage : unsigned char {
  kGeneral = 0,      // any product: all tiles
  kSymmetric = 1,    // a Gram matrix: tiles of the lower triangle, mirrored
  kPackedLower = 2,  // a Gram matrix: element (i, j), j <= i, at i(i+1)/2 + j
};

// A ProductItem is one product of a batch. For a Gram matrix b is a and the form NT.
struct ProductItem {
  const void *a, *b;
  void* dst;
  long long stride_a, stride_b, stride_dst;  // elements
  int rows, cols, terms;                     // of dst; of the sums
  unsigned first_tile;                       // tiles of the items before
  unsigned char type_a, type_b, type_dst;    // DType, without float64
  unsigned char form, storage;
  unsigned char unused[3];
};
static_assert(sizeof(ProductItem) == 72, "the host writes this layout");

// A sum of more terms is a sum of partial sums of so many: kernels.BlockTerms.
constexpr int kBlockTerms = 256;

// find_item returns the item that a tile belongs to. An item may have no tiles.
__device__ __forceinline__ const ProductItem& find_item(const ProductItem* items,
                                                        long long count,
                                                        unsigned tile) {
  long long low = 0, high = count;
  while (high - low > 1) {
    long long middle = (low + high) / 2;
    if (items[middle].first_tile <= tile) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return items[low];
}

struct TileIndex {
  int row, col;
};

// Tiles are visited in bands of so many rows, column by column: the blocks that run at the same
// time share operands in the L2 cache.
constexpr int kBand = 8;

__device__ __forceinline__ TileIndex general_tile(int tile, int tile_rows, int tile_cols) {
  int band = tile / (kBand * tile_cols), rest = tile % (kBand * tile_cols);
  int height = min(kBand, tile_rows - band * kBand);
  return {band * kBand + rest % height, rest / height};
}

// triangle_tile lists the tiles on and below the diagonal of tile_rows x tile_rows.
__device__ __forceinline__ TileIndex triangle_tile(int tile, int tile_rows) {
  // Before band s lie 4s(8s + 1) tiles; the root is right but for rounding.
  static_assert(kBand == 8, "the formula");
  int band = int((sqrtf(8 * float(tile) + 1) - 1) / 16);
  while (4 * band * (8 * band + 1) > tile) band--;
  while (4 * (band + 1) * (8 * band + 9) <= tile) band++;
  int rest = tile - 4 * band * (8 * band + 1), first = band * kBand;
  int height = min(kBand, tile_rows - first);
  if (rest < first * height) return {first + rest % height, rest / height};
  rest -= first * height;
  int col = 0;
  while (rest >= height - col) {
    rest -= height - col;
    col++;
  }
  return {first + col + rest, first + col};
}

// tile_of returns the tile of dst that this block computes.
template <int kTile>
__device__ __forceinline__ TileIndex tile_of(const ProductItem& item) {
  int tile = int(blockIdx.x - item.first_tile), rows = (item.rows + kTile - 1) / kTile;
  if (item.storage != kGeneral) return triangle_tile(tile, rows);
  return general_tile(tile, rows, (item.cols + kTile - 1) / kTile);
}

// An Operand is the part of a or b that a tile needs: `outer` rows or columns of dst from the first
// element on. Element (o, k) lies at o·stride + k, or at k·stride + o if transposed.
struct Operand {
  const void* first;
  long long stride;
  int outer, terms;
  unsigned type;
  bool transposed, aligned;
};

__device__ __forceinline__ Operand make_operand(const void* p,
                                                unsigned type,
                                                long long stride,
                                                bool transposed,
                                                int begin,
                                                int outer,
                                                int terms) {
  long long offset = (transposed ? begin : begin * stride) * element_bytes(type);
  Operand o{
      static_cast<const char*>(p) + offset, stride, outer - begin, terms, type, transposed, false};
  o.aligned = is_aligned(o.first, stride * element_bytes(type));
  return o;
}

template <int kTile>
__device__ __forceinline__ Operand operand_a(const ProductItem& item,
                                             TileIndex tile,
                                             double alpha) {
  return make_operand(item.a, item.type_a, item.stride_a, item.form == kTN, tile.row * kTile,
                      item.rows, alpha == 0 ? 0 : item.terms);
}

template <int kTile>
__device__ __forceinline__ Operand operand_b(const ProductItem& item,
                                             TileIndex tile,
                                             double alpha) {
  return make_operand(item.b, item.type_b, item.stride_b, item.form != kNT, tile.col * kTile,
                      item.cols, alpha == 0 ? 0 : item.terms);
}

// available returns how many of eight elements exist, of which the first is (outer, inner) and the
// others follow in memory.
__device__ __forceinline__ int available(const Operand& o, int outer, int inner) {
  if (outer >= o.outer || inner >= o.terms) return 0;
  return min(kVector, o.transposed ? o.outer - outer : o.terms - inner);
}

// A ResultTile lies in shared memory; neither its rows nor its columns meet in one bank.
template <int kTile>
struct ResultTile {
  float* values;
  __device__ __forceinline__ float& at(int row, int col) {
    return values[row * kTile + (col ^ (row % kWarpSize))];
  }
};

__device__ __forceinline__ void store_float(void* p, unsigned type, long long i, float v) {
  if (type == kFloat32) {
    static_cast<float*>(p)[i] = v;
  } else if (type == kFloat16) {
    static_cast<Half*>(p)[i] = Rounded<Half>::from(v);
  } else {
    static_cast<BFloat*>(p)[i] = Rounded<BFloat>::from(v);
  }
}

// round_as returns v rounded once to a type, as a float32, which holds it exactly.
__device__ __forceinline__ float round_as(unsigned type, double v) {
  if (type == kFloat32) return float(v);
  return type == kFloat16 ? to_float(Rounded<Half>::from(v)) : to_float(Rounded<BFloat>::from(v));
}

// store_tile writes the part of a tile that lies in dst, and in symmetric storage its mirror image.
// The diagonal tile is written once, from its lower triangle. All threads call it.
template <int kTile, int kThreads>
__device__ __forceinline__ void store_tile(
    ResultTile<kTile> result, const ProductItem& item, TileIndex tile, double alpha, double beta) {
  int row = tile.row * kTile, col = tile.col * kTile;
  bool triangle = item.storage != kGeneral, plain = alpha == 1 && beta == 0;
  __syncthreads();
  for (int e = int(threadIdx.x); e < kTile * kTile; e += kThreads) {
    int r = e / kTile, c = e % kTile, i = row + r, j = col + c;
    if (i >= item.rows || j >= item.cols || (triangle && j > i)) continue;
    long long at =
        item.storage == kPackedLower ? (long long)(i) * (i + 1) / 2 + j : i * item.stride_dst + j;
    float v = result.at(r, c);
    if (!plain) {
      double sum = alpha * double(v);
      if (beta != 0) sum += beta * double(load_float(item.dst, item.type_dst, at));
      v = round_as(item.type_dst, sum);
      result.at(r, c) = v;
    }
    store_float(item.dst, item.type_dst, at, v);
  }
  if (item.storage != kSymmetric) return;
  __syncthreads();
  for (int e = int(threadIdx.x); e < kTile * kTile; e += kThreads) {
    int r = e % kTile, c = e / kTile, i = row + r, j = col + c;
    if (i >= item.rows || j >= i) continue;
    store_float(item.dst, item.type_dst, j * item.stride_dst + i, result.at(r, c));
  }
}

}  // namespace cambium
