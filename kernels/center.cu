// Centring of the columns of a batch, in two launches: center_mean finds the column means,
// center_apply subtracts them and measures what it stores.
//
// A block takes a tile of 256 rows by 64 columns. Sums over rows leave one partial sum a strip of
// rows, and the block that finishes the last strip of its columns adds them up in order, so that
// the bits do not depend on the order of the blocks. Everything is float64 until the one rounding
// of the result.
#include "numeric.cuh"
#include "ptx_ticket.cuh"

namespace cambium {

constexpr int kCenterRows = 256, kCenterCols = 64, kCenterThreads = 256;
constexpr int kCenterWarps = kCenterThreads / kWarpSize;
constexpr int kLaneCols = kCenterCols / kWarpSize;  // columns of a lane, kWarpSize apart

// A CenterItem is one matrix of a batch, with S = ceil(rows/256) strips and B = ceil(cols/64)
// column blocks, either at least 1.
struct CenterItem {
  void* dst;  // may be x itself
  const void* x;
  double* mean;              // cols: written by center_mean, read by center_apply
  double* squared_norm;      // rows, or null
  double* column_squares;    // cols, or null
  double* column_parts;      // S x cols, scratch
  double* row_parts;         // B x rows, scratch; unused without squared_norm
  unsigned* column_tickets;  // B: zero before and after
  unsigned* row_tickets;     // S: zero before and after; unused without squared_norm
  long long rows, cols;
  long long stride_dst, stride_x;  // elements
  unsigned type_dst, type_x;       // DType
  unsigned first_tile;             // tiles of the items before: S·B each
  unsigned unused;
};
static_assert(sizeof(CenterItem) == 120, "the host writes this layout");

struct CenterTile {
  const CenterItem* item;
  int strips, blocks, strip, block;
  long long row0, row_end, col0;
};

__device__ __forceinline__ CenterTile find_center_tile(const CenterItem* items, long long count) {
  long long low = 0, high = count;
  while (high - low > 1) {
    long long middle = (low + high) / 2;
    if (items[middle].first_tile <= blockIdx.x) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const CenterItem& item = items[low];
  CenterTile t;
  t.item = &item;
  t.strips = int(max(1LL, (item.rows + kCenterRows - 1) / kCenterRows));
  t.blocks = int(max(1LL, (item.cols + kCenterCols - 1) / kCenterCols));
  unsigned tile = blockIdx.x - item.first_tile;
  t.strip = int(tile) / t.blocks;
  t.block = int(tile) % t.blocks;
  t.row0 = (long long)(t.strip) * kCenterRows;
  t.row_end = min(item.rows, t.row0 + kCenterRows);
  t.col0 = (long long)(t.block) * kCenterCols;
  return t;
}

using ColumnSums = double[kCenterWarps][kCenterCols];

// write_column_parts adds up the sums that the warps of a block hold and writes the strip's part.
__device__ __forceinline__ void write_column_parts(const CenterTile& t,
                                                   const double (&sum)[kLaneCols],
                                                   ColumnSums& shared) {
  int lane = int(threadIdx.x) % kWarpSize, warp = int(threadIdx.x) / kWarpSize;
#pragma unroll
  for (int c = 0; c < kLaneCols; c++) shared[warp][lane + c * kWarpSize] = sum[c];
  __syncthreads();
  int col = int(threadIdx.x);
  if (col < kCenterCols && t.col0 + col < t.item->cols) {
    double total = 0;
    for (int w = 0; w < kCenterWarps; w++) total += shared[w][col];
    t.item->column_parts[t.strip * t.item->cols + t.col0 + col] = total;
  }
}

// is_last tells all threads whether their block takes the last of `parts` tickets, and makes the
// ticket zero again. What the others wrote before they took theirs can be read.
__device__ __forceinline__ bool is_last(unsigned* ticket, int parts, bool& shared) {
  __syncthreads();
  if (threadIdx.x == 0) {
    shared = take_ticket(ticket) == unsigned(parts - 1);
    if (shared) *ticket = 0;
  }
  __syncthreads();
  return shared;
}

// add_column_parts returns the sum over the strips of column col0 + threadIdx.x % kCenterCols.
__device__ __forceinline__ double add_column_parts(const CenterTile& t, ColumnSums& shared) {
  constexpr int kShare = kCenterThreads / kCenterCols;
  int col = int(threadIdx.x) % kCenterCols, share = int(threadIdx.x) / kCenterCols;
  double sum = 0;
  if (t.col0 + col < t.item->cols) {
    for (int s = share; s < t.strips; s += kShare)
      sum += t.item->column_parts[s * t.item->cols + t.col0 + col];
  }
  shared[share][col] = sum;
  __syncthreads();
  double total = 0;
  for (int w = 0; w < kShare; w++) total += shared[w][col];
  return total;
}

// add_row_parts writes the squared norms of the strip's rows.
__device__ __forceinline__ void add_row_parts(const CenterTile& t) {
  long long row = t.row0 + threadIdx.x;
  if (row >= t.row_end) return;
  double total = 0;
  for (int b = 0; b < t.blocks; b++) total += t.item->row_parts[b * t.item->rows + row];
  t.item->squared_norm[row] = total;
}

}  // namespace cambium

// center_mean writes the mean of each column: that of the differences to the first row, added to
// the first row, so that a constant column has its constant. One block of 256 threads for each
// tile.
extern "C" __global__ void __launch_bounds__(256) center_mean(const cambium::CenterItem* items,
                                                              long long count) {
  using namespace cambium;
  SHARED(ColumnSums, sums);
  SHARED(bool, last);
  CenterTile t = find_center_tile(items, count);
  const CenterItem& item = *t.item;
  int lane = int(threadIdx.x) % kWarpSize, warp = int(threadIdx.x) / kWarpSize;
  double sum[kLaneCols] = {};
#pragma unroll
  for (int c = 0; c < kLaneCols; c++) {
    long long col = t.col0 + lane + c * kWarpSize;
    if (col >= item.cols || t.row0 >= t.row_end) continue;
    double first = load_double(item.x, item.type_x, col);
#pragma unroll 4
    for (long long row = t.row0 + warp; row < t.row_end; row += kCenterWarps) {
      sum[c] += load_double(item.x, item.type_x, row * item.stride_x + col) - first;
    }
  }
  write_column_parts(t, sum, sums);
  if (!is_last(&item.column_tickets[t.block], t.strips, last)) return;
  double total = add_column_parts(t, sums);
  long long col = t.col0 + threadIdx.x;
  if (threadIdx.x < kCenterCols && col < item.cols) {
    item.mean[col] =
        item.rows > 0 ? load_double(item.x, item.type_x, col) + total / double(item.rows) : 0;
  }
}

// center_apply writes dst = x − mean, rounded once, and the sums of squares of what it wrote. One
// block of 256 threads for each tile; it follows center_mean on the stream.
extern "C" __global__ void __launch_bounds__(256) center_apply(const cambium::CenterItem* items,
                                                               long long count) {
  using namespace cambium;
  SHARED(ColumnSums, sums);
  SHARED(bool, last);
  CenterTile t = find_center_tile(items, count);
  const CenterItem& item = *t.item;
  int lane = int(threadIdx.x) % kWarpSize, warp = int(threadIdx.x) / kWarpSize;
  double mean[kLaneCols] = {}, squares[kLaneCols] = {};
#pragma unroll
  for (int c = 0; c < kLaneCols; c++) {
    long long col = t.col0 + lane + c * kWarpSize;
    if (col < item.cols) mean[c] = item.mean[col];
  }
  for (long long row = t.row0 + warp; row < t.row_end; row += kCenterWarps) {
    double along = 0;
#pragma unroll
    for (int c = 0; c < kLaneCols; c++) {
      long long col = t.col0 + lane + c * kWarpSize;
      if (col >= item.cols) continue;
      double v = load_double(item.x, item.type_x, row * item.stride_x + col) - mean[c];
      double stored = store_double(item.dst, item.type_dst, row * item.stride_dst + col, v);
      squares[c] = fma(stored, stored, squares[c]);
      along = fma(stored, stored, along);
    }
    if (item.squared_norm == nullptr) continue;
    for (int o = kWarpSize / 2; o > 0; o /= 2) along += __shfl_xor_sync(kAllLanes, along, o);
    if (lane == 0) item.row_parts[t.block * item.rows + row] = along;
  }
  if (item.squared_norm != nullptr && is_last(&item.row_tickets[t.strip], t.blocks, last))
    add_row_parts(t);
  if (item.column_squares == nullptr) return;
  write_column_parts(t, squares, sums);
  if (!is_last(&item.column_tickets[t.block], t.strips, last)) return;
  double total = add_column_parts(t, sums);
  long long col = t.col0 + threadIdx.x;
  if (threadIdx.x < kCenterCols && col < item.cols) item.column_squares[col] = total;
}
