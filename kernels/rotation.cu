// Rotation of many tensors in one launch: inner product, norms and cosine distance.
//
// Every element is read once. Sums are float64: at 3 TB/s the five of them take a third of what an
// H100 can add, and on any device a distance keeps the digits that the contract promises.
#include "numeric.cuh"
#include "ptx_ticket.cuh"
#include "reduce.cuh"
#include "vector.cuh"

namespace cambium {

// A RotationItem is one pair of tensors.
struct RotationItem {
  const void *w0, *wt;
  long long rows, cols;
  long long stride0, stride_t;  // elements
  unsigned type0, type_t;       // DType
  unsigned first_chunk;         // chunks of the items before
  unsigned chunks;              // ceil(rows·cols / kRotationChunk), and 1 for an empty tensor
};
static_assert(sizeof(RotationItem) == 64, "the host writes this layout");

constexpr int kRotationThreads = 256;
constexpr int kRotationChunk = 32768;  // elements; a multiple of kVector
constexpr int kRotationSums = 5;       // Σw0², Σwt², Σw0·wt, ΣΔ², ΣΔ(wt + w0) with Δ = wt − w0

struct RotationSums {
  double sum[kRotationSums];

  // add leaves nothing to the compiler's choice: equal tensors give equal sums, bit by bit.
  __device__ __forceinline__ void add(double a, double b) {
    double delta = b - a;
    sum[0] = fma(a, a, sum[0]);
    sum[1] = fma(b, b, sum[1]);
    sum[2] = fma(a, b, sum[2]);
    sum[3] = fma(delta, delta, sum[3]);
    sum[4] = fma(delta, b + a, sum[4]);
  }
};

// add_vectors adds elements [begin, begin + count), count a multiple of kVector, of an item whose
// rows allow whole vectors.
__device__ __forceinline__ void add_vectors(
    RotationSums& sums, const RotationItem& item, bool contiguous, long long begin, int count) {
  constexpr int kInFlight = 2;
  int vectors = count / kVector;
  for (int v = int(threadIdx.x); v < vectors; v += kInFlight * kRotationThreads) {
    Vector a[kInFlight] = {}, b[kInFlight] = {};  // zeros add nothing
#pragma unroll
    for (int u = 0; u < kInFlight; u++) {
      int at = v + u * kRotationThreads;
      if (at >= vectors) break;
      long long i = begin + (long long)(at)*kVector;
      Place p = contiguous ? Place{0, i} : place(i, item.cols);
      a[u] = load_vector(item.w0, item.type0, p.row * item.stride0 + p.col);
      b[u] = load_vector(item.wt, item.type_t, p.row * item.stride_t + p.col);
    }
#pragma unroll
    for (int u = 0; u < kInFlight; u++) {
      float p[kVector], q[kVector];
      unpack(p, a[u], item.type0);
      unpack(q, b[u], item.type_t);
#pragma unroll
      for (int e = 0; e < kVector; e++) sums.add(double(p[e]), double(q[e]));
    }
  }
}

// add_elements adds elements [begin, begin + count) of any item.
__device__ __forceinline__ void add_elements(RotationSums& sums,
                                             const RotationItem& item,
                                             long long begin,
                                             int count) {
  for (int i = int(threadIdx.x); i < count; i += kRotationThreads) {
    Place p = place(begin + i, item.cols);
    sums.add(load_double(item.w0, item.type0, p.row * item.stride0 + p.col),
             load_double(item.wt, item.type_t, p.row * item.stride_t + p.col));
  }
}

__device__ __forceinline__ void add_chunk(RotationSums& sums,
                                          const RotationItem& item,
                                          unsigned chunk) {
  long long total = item.rows * item.cols, begin = (long long)(chunk)*kRotationChunk;
  int count = int(min(total - begin, (long long)(kRotationChunk)));
  bool contiguous = item.rows <= 1 || (item.stride0 == item.cols && item.stride_t == item.cols);
  bool whole = contiguous || item.cols % kVector == 0;
  long long pitch0 = contiguous ? 0 : item.stride0 * element_bytes(item.type0);
  long long pitch_t = contiguous ? 0 : item.stride_t * element_bytes(item.type_t);
  if (!whole || item.type0 == kFloat64 || item.type_t == kFloat64 || !is_aligned(item.w0, pitch0) ||
      !is_aligned(item.wt, pitch_t)) {
    add_elements(sums, item, begin, count);
    return;
  }
  int rest = count % kVector;
  add_vectors(sums, item, contiguous, begin, count - rest);
  add_elements(sums, item, begin + count - rest, rest);
}

// finish_rotation turns the sums into {dot, |w0|, |wt|, distance}. 1 − cos loses all digits for
// small rotations; (|Δ|² − (|wt| − |w0|)²) / (2|w0||wt|) with |wt| − |w0| = ΣΔ(wt + w0) / (|wt| +
// |w0|) loses none.
__device__ __forceinline__ void finish_rotation(double* out, const double (&s)[kRotationSums]) {
  double n0 = sqrt(s[0]), nt = sqrt(s[1]);
  double product = sqrt(s[0] * s[1]);  // exactly |w|² when both norms are equal
  if (product == 0 || product > 1e300) product = n0 * nt;
  double gap = s[4] / (n0 + nt);
  double d = (s[3] - gap * gap) / (2 * product);
  if (d < 0) d = 0;  // rounding may step over the ends; NaN passes
  if (d > 2) d = 2;
  if (s[0] == 0 || s[1] == 0) d = __longlong_as_double(0x7ff8000000000000LL);
  out[0] = s[2];
  out[1] = n0;
  out[2] = nt;
  out[3] = d;
}

// find_item returns the item that a chunk belongs to.
__device__ __forceinline__ long long find_item(const RotationItem* items,
                                               long long count,
                                               unsigned chunk) {
  long long low = 0, high = count;
  while (high - low > 1) {
    long long middle = (low + high) / 2;
    if (items[middle].first_chunk <= chunk) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace cambium

// rotation writes {dot, |w0|, |wt|, distance} of each item to results. Any number of blocks of 256
// threads. slots holds 5 values for each chunk; tickets, one for each item, are zero before and
// after. A chunk's sums go to its slot, and the block that finishes the last chunk of an item adds
// up the item's slots in order: the bits do not depend on the grid.
extern "C" __global__ void __launch_bounds__(256) rotation(const cambium::RotationItem* items,
                                                           long long count,
                                                           double* slots,
                                                           unsigned* tickets,
                                                           double* results) {
  using namespace cambium;
  using Parts = double[kRotationSums][kRotationThreads / kWarpSize];
  SHARED(Parts, parts);
  SHARED(double[kRotationSums], totals);
  SHARED(bool, last);
  int thread = int(threadIdx.x);
  unsigned chunks = items[count - 1].first_chunk + items[count - 1].chunks;
  for (unsigned chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    long long index = find_item(items, count, chunk);
    const RotationItem& item = items[index];
    RotationSums sums = {};
    add_chunk(sums, item, chunk - item.first_chunk);
    double total = sum_block<kRotationThreads>(sums.sum, parts);
    if (thread < kRotationSums) slots[(long long)(chunk)*kRotationSums + thread] = total;
    __syncthreads();
    if (thread == 0) last = take_ticket(&tickets[index]) == item.chunks - 1;
    __syncthreads();
    if (!last) continue;

    sums = {};
    for (unsigned c = unsigned(thread); c < item.chunks; c += kRotationThreads) {
      const double* slot = slots + (long long)(item.first_chunk + c) * kRotationSums;
      for (int k = 0; k < kRotationSums; k++) sums.sum[k] += slot[k];
    }
    total = sum_block<kRotationThreads>(sums.sum, parts);
    if (thread < kRotationSums) totals[thread] = total;
    __syncthreads();
    if (thread == 0) {
      finish_rotation(results + index * 4, totals);
      tickets[index] = 0;
    }
  }
}
