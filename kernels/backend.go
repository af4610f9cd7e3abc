package kernels

import "context"

// Precision chooses between speed and exactness where a backend has a choice.
type Precision uint8

// The precisions. A CPU backend meets FP32's bound in all three.
const (
	FP32   Precision = iota // at least as exact as blocked float32 (the default)
	Fast                    // float32 inputs may be rounded once to 16 bits
	Strict                  // no split of float32 into 16-bit pieces, or one that loses nothing
)

// Options apply to one call. The zero value is the usual choice.
type Options struct {
	Precision Precision
	// Stream 0: the call returns when the result can be read. Any other value is
	// a CUDA stream: the call queues its work there and returns at once, all
	// matrices must be on that device, and an error of the queued work comes with
	// the next call that waits. Calls whose result is a Go slice always wait.
	// The CPU backend refuses a stream with ErrUnsupported.
	Stream uintptr
	// Progress, if set, is called after each tile with the tiles done and their
	// total. Calls are serialised but come from worker goroutines; done only
	// grows. It must be quick and must not call the backend.
	Progress func(done, total int)
}

// Memory describes a backend's memory, in bytes. An unknown figure is 0.
type Memory struct {
	Limit uint64 // what buffers and scratch may take together; the backend's options say what that does not count
	InUse uint64 // held by live buffers and running operations
	Peak  uint64 // the most that was ever in use
}

// Info describes a backend.
type Info struct {
	Name    string // "cpu/generic", "cpu/avx512", "cuda/sm_90"
	Device  Device
	Workers int // goroutines or queues that work on one operation at most
	// Fingerprint changes whenever the bits of a result may change: machine
	// architecture, tier, and version of the arithmetic. Results of equal
	// fingerprints may be compared bit by bit and merged.
	Fingerprint string
	Fallback    error // why this backend serves instead of the preferred one; nil if it is the preferred one
	Memory      Memory
}

// A Buffer owns memory of a backend.
type Buffer interface {
	// Matrix returns the view on the whole buffer.
	Matrix() Matrix
	// Free gives the memory back. Views on it must not be used afterwards. A
	// second Free does nothing.
	Free() error
}

// Backend computes. An implementation is safe for concurrent use.
//
// Each method checks its arguments with the Check function of the same name in
// this package (CheckGram, ...), so that all backends refuse the same things in
// the same words. Bounds are those of [BoundsOf] under the method's [Op].
//
// "Compute type" below is Float64 if a source is Float64, else float32 or
// better. Float64 is mandatory on the CPU for every operation; a CUDA backend
// may answer [ErrUnsupported].
type Backend interface {
	// Info describes the backend as it is now.
	Info() Info

	// Alloc returns a zeroed rows x cols buffer on the backend's device, rows
	// aligned as the backend likes. Errors: ErrShape, ErrUnsupported (type),
	// ErrMemory, ErrClosed.
	Alloc(ctx context.Context, dt DType, rows, cols int) (Buffer, error)

	// Copy copies src to dst: same shape and type, any of the backend's devices,
	// bits unchanged (NaN payloads too). dst must not overlap src.
	Copy(ctx context.Context, dst, src Matrix) error

	// Convert copies src to dst, changing the type: exact when widening, one
	// rounding to nearest even when narrowing, overflow to infinity. dst must
	// not overlap src.
	Convert(ctx context.Context, dst, src Matrix) error

	// Gram computes dst[b] = alpha · x[b]·x[b]ᵀ + beta · dst[b].
	//
	// x[b] is n x d. With out = Full, dst[b] is n x n and exactly symmetric; with
	// PackedLower it is 1 x n(n+1)/2, element (i, j), j <= i, at i(i+1)/2 + j.
	// With beta != 0 only the lower triangle of a Full dst is read. dst is
	// Float64 if and only if x is; a 16-bit dst is one rounding of the sum. dst
	// must not overlap any source. Bound: gauge |alpha|·Σ|x_ik||x_jk| + |beta||dst_ij|.
	Gram(ctx context.Context, dst, x []Matrix, alpha, beta float64, out Storage, o Options) error

	// Matmul computes dst[i] = alpha · op(a[i])·op(b[i]) + beta · dst[i] in one of
	// three forms: NT: a m x k, b n x k, A·Bᵀ; TN: a k x m, b k x n, Aᵀ·B;
	// NN: a m x k, b k x n, A·B. dst is m x n.
	//
	// a and b may differ in type. dst is Float64 if and only if one of them is;
	// a 16-bit dst is one rounding. dst must not overlap any source. Bound:
	// gauge |alpha|·Σ|a||b| + |beta||dst|.
	Matmul(ctx context.Context, dst, a, b []Matrix, form Form, alpha, beta float64, o Options) error

	// Center computes dst[i] = x[i] − 1·mᵀ, where m are the column means.
	//
	// The means are float64, each rounded once from a sum that carries its own
	// rounding errors along: a constant column becomes exactly zero, and no row,
	// however large, costs the others digits. The difference is rounded once, to dst's type,
	// which may be any. dst[i] may be x[i] itself; other overlap is ErrAlias.
	// stats is nil or one entry per matrix. Bound: gauge |x_ij| + mean_j|x|.
	Center(ctx context.Context, dst, x []Matrix, stats []RowStats, o Options) error

	// HSIC computes for each pair x[i] (n x p), y[i] (n x q) the values HSIC(x, y),
	// HSIC(x, x) and HSIC(y, y) of the linear kernels K = x·xᵀ, L = y·yᵀ. The
	// features are centred first. With H = I − 1·1ᵀ/n and a tilde for "diagonal
	// set to zero":
	//
	//	Biased:   tr(K·H·L·H) / (n−1)²      (Gretton et al. 2005, Kornblith et al. 2019)
	//	Unbiased: [tr(K̃·L̃) + 1ᵀK̃1·1ᵀL̃1/((n−1)(n−2)) − 2/(n−2)·1ᵀK̃·L̃1] / (n(n−3))
	//	          (Song et al. 2012, equation 5; Nguyen et al. 2021, equation 3)
	//
	// The n x n matrices are not stored. Sums end in float64, and HSIC(x, y) and
	// HSIC(y, x) are the same bits. Degenerate (NaN,
	// index = pair): n < 2, or n < 4 for Unbiased. Constant features give 0.
	HSIC(ctx context.Context, dst []HSICValue, x, y []Matrix, e Estimator, o Options) error

	// HSICMatrix computes HSIC for all pairs within x (y nil) or between x and y.
	// All matrices have the same number of rows n. It centres itself; kernels
	// are described at [Kernel], estimators at HSIC, the output at [HSICTable].
	// The bits of a pair do not depend on the order of the matrices. Degenerate
	// (NaN, index = matrix, those of y counted after x): too few rows (all of
	// them), or no σ² by the median rule, as in RBF.
	HSICMatrix(ctx context.Context, dst HSICTable, x, y []Matrix, k Kernel, e Estimator, o Options) error

	// RBF computes dst[b]_ij = exp(−|x_i − x_j|² / (2σ²)), n x n, exactly
	// symmetric with a diagonal of exactly 1; b gives σ² or the rule for it.
	//
	// used, if not nil, receives the σ² of each matrix; dst may then be nil, and
	// only the σ² are found. dst is Float64 if and only if x is; a 16-bit dst is
	// one rounding. dst must not overlap any source. If the rule gives a σ² of 0
	// (more than half of all pairs equal) or one beyond float64's range, the
	// matrix is degenerate: dst[b] is NaN, index = matrix. A NaN or Inf anywhere
	// in x[b] makes all of dst[b] NaN, because the rows are centred first, and so
	// σ² where the rule finds it; that is not an error.
	RBF(ctx context.Context, dst, x []Matrix, b Bandwidth, used []float64, o Options) error

	// Rotation compares each w0[i] with wt[i] (same shape; types may differ) as
	// vectors of rows·cols elements: inner product, norms and cosine distance in
	// float64, see [RotationValue]. The distance is free of cancellation: error
	// at most 1e-12 + 4e-10·distance, whatever the ratio of the norms, and also
	// where squares of the elements leave float64's range (Dot may do so and be
	// infinite or 0). It is 0 for equal bits and 2 for wt = −w0. Degenerate (NaN distance, index = tensor): a zero or empty tensor.
	Rotation(ctx context.Context, dst []RotationValue, w0, wt []Matrix, o Options) error

	// LowRank computes w[i] += scale[i] · b[i]·a[i] in place, with w out x in,
	// b out x r, a r x in, of any types: the sum is formed in the compute type
	// and rounded once to w's type. Where the update is exactly zero w keeps its
	// bits; scale 0 does not read b and a. The w[i] must not overlap each other
	// or any b or a. Bound: gauge |w| + |scale|·Σ|b||a|. (Hu et al. 2021)
	LowRank(ctx context.Context, w, b, a []Matrix, scale []float32, o Options) error

	// ApplyAdapters computes, for the rows t of segment s (segments[s] <= t <
	// segments[s+1]) with adapter k = ids[s], y_t += scale_k·(x_t·A_kᵀ)·B_kᵀ.
	// x is tokens x in, y tokens x out. segments starts at 0, does not fall and
	// ends at the number of tokens; id −1 leaves y untouched to the bit. y must
	// not overlap x or an adapter. Bound: gauge |y| + |scale|·Σ_r|B_or|·Σ_k|x_k||A_rk|.
	// (Chen et al. 2024, Punica: SGMV)
	ApplyAdapters(ctx context.Context, y, x Matrix, segments, ids []int32, set []Adapter, o Options) error

	// SVD computes the leading r singular triplets of each w[i] (m x n):
	// w ≈ u·diag(s)·vᵀ with u m x r, s 1 x r, v n x r, r <= min(m, n); columns of u
	// and v are orthonormal, s falls, and the entry of largest magnitude of each
	// column of u is positive (the first of them on a tie). Randomised subspace
	// iteration (Halko, Martinsson & Tropp 2011, algorithms 4.4 and 5.1), seeded;
	// exact when r + Oversample reaches min(m, n). Squares of the elements may leave
	// float64's range. u, s and v are Float64 or
	// Float32, whatever w is; each entry is one rounding. A NaN or Inf in w[i] makes
	// its u, s and v NaN. u, s, v must overlap neither each other nor a source.
	SVD(ctx context.Context, u, s, v, w []Matrix, p SVDParams, o Options) error

	LayerOps

	// Close waits for running operations, ends the workers and frees what the
	// backend holds. Later calls return ErrClosed; a second Close does nothing.
	Close() error
}

// LayerOps is the part of the contract that a transformer's forward pass needs
// besides Matmul. Every backend implements it, so that states stay on the
// device from the embedding to the scores. Rows are tokens. dst may be of any
// type: the result is formed in the compute type and rounded once; an old dst
// that is read counts as a source.
type LayerOps interface {
	// Norm computes dst = alpha · norm(x) + beta · dst, row by row:
	//
	//	RMSNorm:   x / sqrt(mean(x²) + ε) · (w + offset)
	//	LayerNorm: (x − mean(x)) / sqrt(mean((x − mean(x))²) + ε) · (w + offset) + b
	//
	// See [NormParams]. dst may be x itself. (Zhang & Sennrich 2019; Ba et al. 2016)
	Norm(ctx context.Context, dst, x Matrix, p NormParams, alpha, beta float64, o Options) error

	// RoPE rotates each head of each row t of x by the angles
	// positions[t]·InvFreq[i], taken in float64: with (p, q) the i-th pair,
	// dst_p = Scale·(x_p·cos − x_q·sin), dst_q = Scale·(x_q·cos + x_p·sin).
	// Elements of a head beyond 2·len(InvFreq) are copied. dst may be x itself.
	// (Su et al. 2021)
	RoPE(ctx context.Context, dst, x Matrix, positions []int32, p RoPEParams, o Options) error

	// Attention computes softmax(cap(Scale·q·kᵀ) + mask)·v for each head and each
	// sequence; see [AttentionParams]. q is tokens x Heads·HeadDim, k and v are
	// keys x KVHeads·HeadDim, dst is like q. Head h reads key head
	// h·KVHeads/Heads. A query that may see no key at all gives zeros. dst must
	// not overlap a source.
	Attention(ctx context.Context, dst, q, k, v Matrix, p AttentionParams, o Options) error

	// Activate computes dst = f(x) element by element. dst may be x itself.
	Activate(ctx context.Context, dst, x Matrix, f Activation, o Options) error

	// Gate computes dst = f(gate)·up element by element. dst may be gate or up
	// itself.
	Gate(ctx context.Context, dst, gate, up Matrix, f Activation, o Options) error

	// Add computes dst += alpha·x. x has dst's shape, or one row that is added to
	// every row of dst (a bias). dst must not overlap x.
	Add(ctx context.Context, dst, x Matrix, alpha float64, o Options) error

	// Gather computes dst_t = alpha·table_ids[t] + beta·dst_t, one row of table
	// per id. With alpha = 1, beta = 0 and equal types the bits are copied. An id
	// outside the table is ErrShape. dst must not overlap table.
	Gather(ctx context.Context, dst, table Matrix, ids []int32, alpha, beta float64, o Options) error

	// Dequantize expands the rows ids of src (all rows if ids is nil) into dst,
	// one rounding from the exact value to dst's type: a float32 dst is correctly
	// rounded, the same bits on every backend. See [Quantized].
	Dequantize(ctx context.Context, dst Matrix, src Quantized, ids []int32, o Options) error

	// RowNormalize computes dst_t = x_t / sqrt(mean(x_t²)), without an epsilon. A
	// row of zeros is degenerate (NaN, index = row). dst may be x itself.
	RowNormalize(ctx context.Context, dst, x Matrix, o Options) error
}
