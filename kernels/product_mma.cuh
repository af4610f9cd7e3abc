// Tiles of 128 x 128 on the tensor cores of sm_80 and later, for operands of one 16-bit type: a
// pipeline of cp.async, ldmatrix and mma.sync with float32 sums. Eight warps hold 64 x 32 each.
//
// Tensor cores do not round their sums to nearest; every kBlockTerms terms the partial sums are
// added to others in ordinary float32, which keeps the error within the contract's.
#pragma once

#include "product.cuh"
#include "ptx_async.cuh"
#include "ptx_mma.cuh"

namespace cambium {

constexpr int kMmaTile = 128, kMmaDepth = 32, kMmaStages = 4, kMmaThreads = 256;
constexpr int kMmaPanel = kMmaTile * kMmaDepth;  // elements of one operand in one stage
constexpr int kWarpRows = 64, kWarpCols = 32, kRowBlocks = kWarpRows / 16,
              kColBlocks = kWarpCols / 8;
constexpr unsigned kMmaShared = kMmaTile * kMmaTile * sizeof(float);
static_assert(kMmaStages * 2 * kMmaPanel * 2 <= kMmaShared, "the stages and then the result");

// panel_offset returns where element (outer, inner) lies in a panel. Pieces of 16 bytes are
// permuted so that eight of them, as ldmatrix reads, lie in different banks.
template <bool kTransposed>
__device__ __forceinline__ int panel_offset(int outer, int inner) {
  if (kTransposed) return inner * kMmaTile + ((outer / 8) ^ (inner % 8)) * 8 + outer % 8;
  return outer * kMmaDepth + ((inner / 8) ^ (outer / 2 % 4)) * 8 + inner % 8;
}

// A PanelReader copies an operand to shared memory, kMmaDepth terms at a time. Each thread moves
// two pieces of 16 bytes; what does not exist becomes zero.
template <class T, bool kTransposed>
class PanelReader {
 public:
  __device__ __forceinline__ explicit PanelReader(const Operand& o) : aligned_(o.aligned) {
    constexpr int kPieces = (kTransposed ? kMmaTile : kMmaDepth) / kVector;  // in a line of memory
    constexpr int kLines = kMmaThreads / kPieces;  // between the two pieces of a thread
    int line = int(threadIdx.x) / kPieces, along = int(threadIdx.x) % kPieces * kVector;
    int outer = kTransposed ? along : line, inner = kTransposed ? line : along;
    to_ = panel_offset<kTransposed>(outer, inner);
    from_ = static_cast<const T*>(o.first) + line * o.stride + along;
    second_ = kLines * o.stride;
    step_ = kTransposed ? kMmaDepth * o.stride : kMmaDepth;
    left_ = o.terms - inner;
    if (kTransposed) {
      first_limit_ = second_limit_ = min(kVector, o.outer - outer);
    } else {
      first_limit_ = outer < o.outer ? kVector : 0;
      second_limit_ = outer + kLines < o.outer ? kVector : 0;
    }
  }

  // fetch starts the copies of the next kMmaDepth terms.
  __device__ __forceinline__ void fetch(T* panel) {
    constexpr int kLater =
        kTransposed ? kMmaDepth / 2 : 0;  // terms from the first piece to the second
    copy(panel + to_, from_, count(first_limit_, left_));
    copy(panel + to_ + kMmaPanel / 2, from_ + second_, count(second_limit_, left_ - kLater));
    from_ += step_;
    left_ -= kMmaDepth;
  }

 private:
  // A piece of a transposed operand is one term of several rows or columns of dst, else several
  // terms of one of them.
  __device__ __forceinline__ int count(int limit, int left) const {
    if (kTransposed) return left > 0 ? max(limit, 0) : 0;
    return max(0, min(limit, left));
  }
  __device__ __forceinline__ void copy(T* to, const T* from, int count) const {
    if (aligned_) {
      copy_async_16(to, from, unsigned(count) * unsigned(sizeof(T)));
      return;
    }
#pragma unroll
    for (int e = 0; e < kVector; e++) to[e] = e < count ? from[e] : T{0};
  }

  const T* from_;
  long long second_, step_;
  int to_, left_, first_limit_, second_limit_;
  bool aligned_;
};

// load_fragment reads the 16 x 16 block at (outer, inner) of a panel for mma.sync. kSecondIsInner
// tells which way the second of the four 8 x 8 matrices lies: a's fragments go down first, b's
// along.
template <class T, bool kTransposed, bool kSecondIsInner>
__device__ __forceinline__ void load_fragment(unsigned (&r)[4],
                                              const T* panel,
                                              int outer,
                                              int inner) {
  int lane = int(threadIdx.x) % kWarpSize, matrix = lane / 8;
  int down = kSecondIsInner ? matrix / 2 : matrix % 2,
      along = kSecondIsInner ? matrix % 2 : matrix / 2;
  outer += down * 8 + (kTransposed ? 0 : lane % 8);
  inner += along * 8 + (kTransposed ? lane % 8 : 0);
  load_matrix_x4<kTransposed>(r, panel + panel_offset<kTransposed>(outer, inner));
}

struct Accumulators {
  float v[kRowBlocks][kColBlocks][4];
};

template <class T, bool kTransposedA, bool kTransposedB>
__device__ __forceinline__ void multiply_stage(
    Accumulators& part, const T* a, const T* b, int row, int col) {
#pragma unroll
  for (int inner = 0; inner < kMmaDepth; inner += 16) {
    unsigned x[kRowBlocks][4], y[kColBlocks / 2][4];
#pragma unroll
    for (int i = 0; i < kRowBlocks; i++)
      load_fragment<T, kTransposedA, false>(x[i], a, row + i * 16, inner);
#pragma unroll
    for (int j = 0; j < kColBlocks / 2; j++)
      load_fragment<T, kTransposedB, true>(y[j], b, col + j * 16, inner);
#pragma unroll
    for (int i = 0; i < kRowBlocks; i++) {
#pragma unroll
      for (int j = 0; j < kColBlocks; j++) {
        const unsigned half[2] = {y[j / 2][j % 2 * 2], y[j / 2][j % 2 * 2 + 1]};
        multiply_16x8x16(T{}, part.v[i][j], x[i], half);
      }
    }
  }
}

__device__ __forceinline__ void promote(Accumulators& sum, Accumulators& part) {
#pragma unroll
  for (int i = 0; i < kRowBlocks; i++) {
#pragma unroll
    for (int j = 0; j < kColBlocks; j++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        sum.v[i][j][e] += part.v[i][j][e];
        part.v[i][j][e] = 0;
      }
    }
  }
}

template <class T, bool kTransposedA, bool kTransposedB>
__device__ __forceinline__ void multiply_mma(const ProductItem* items,
                                             long long count,
                                             double alpha,
                                             double beta) {
  DYNAMIC_SHARED(T, stages);
  const ProductItem& item = find_item(items, count, blockIdx.x);
  TileIndex tile = tile_of<kMmaTile>(item);
  Operand left = operand_a<kMmaTile>(item, tile, alpha),
          right = operand_b<kMmaTile>(item, tile, alpha);
  bool same = item.storage != kGeneral && tile.row == tile.col;  // both operands of a diagonal tile
  PanelReader<T, kTransposedA> reader_a(left);
  PanelReader<T, kTransposedB> reader_b(right);
  auto fetch_stage = [&](int step) {
    if (step * kMmaDepth < left.terms) {
      T* stage = stages + step % kMmaStages * 2 * kMmaPanel;
      reader_a.fetch(stage);
      if (!same) reader_b.fetch(stage + kMmaPanel);
    }
    copy_async_commit();  // a group for each step, empty behind the end
  };

  int warp = int(threadIdx.x) / kWarpSize;
  int row = warp / (kMmaTile / kWarpCols) * kWarpRows,
      col = warp % (kMmaTile / kWarpCols) * kWarpCols;
  Accumulators sum = {}, part = {};
#pragma unroll 1
  for (int step = 0; step < kMmaStages - 1; step++) fetch_stage(step);
  for (int step = 0; step * kMmaDepth < left.terms; step++) {
    copy_async_wait<kMmaStages - 2>();
    __syncthreads();  // the step's data are there, and nobody reads the stage filled next
    fetch_stage(step + kMmaStages - 1);
    const T* stage = stages + step % kMmaStages * 2 * kMmaPanel;
    multiply_stage<T, kTransposedA, kTransposedB>(part, stage, same ? stage : stage + kMmaPanel,
                                                  row, col);
    if ((step + 1) % (kBlockTerms / kMmaDepth) == 0) promote(sum, part);
  }
  promote(sum, part);

  __syncthreads();
  ResultTile<kMmaTile> result{reinterpret_cast<float*>(stages)};
  int lane = int(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int i = 0; i < kRowBlocks; i++) {
#pragma unroll
    for (int j = 0; j < kColBlocks; j++) {
#pragma unroll
      for (int e = 0; e < 4; e++)
        result.at(row + i * 16 + e / 2 * 8 + lane / 4, col + j * 8 + lane % 4 * 2 + e % 2) =
            sum.v[i][j][e];
    }
  }
  store_tile<kMmaTile, kMmaThreads>(result, item, tile, alpha, beta);
}

}  // namespace cambium
