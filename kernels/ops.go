package kernels

import "strconv"

// Op names an operation of the contract, in errors and for its bounds.
type Op uint8

// The operations.
const (
	OpAlloc Op = iota
	OpCopy
	OpConvert
	OpGram
	OpMatmul
	OpCenter
	OpHSIC
	OpHSICMatrix
	OpRBF
	OpRotation
	OpLowRank
	OpApplyAdapters
	OpSVD
	OpNorm
	OpRoPE
	OpAttention
	OpActivate
	OpGate
	OpAdd
	OpGather
	OpDequantize
	OpRowNormalize
	opCount
)

var opNames = [...]string{
	OpAlloc: "Alloc", OpCopy: "Copy", OpConvert: "Convert", OpGram: "Gram", OpMatmul: "Matmul", OpCenter: "Center",
	OpHSIC: "HSIC", OpHSICMatrix: "HSICMatrix", OpRBF: "RBF", OpRotation: "Rotation", OpLowRank: "LowRank",
	OpApplyAdapters: "ApplyAdapters", OpSVD: "SVD", OpNorm: "Norm", OpRoPE: "RoPE", OpAttention: "Attention",
	OpActivate: "Activate", OpGate: "Gate", OpAdd: "Add", OpGather: "Gather", OpDequantize: "Dequantize",
	OpRowNormalize: "RowNormalize",
}

// String returns the name of the method.
func (op Op) String() string {
	if op < opCount {
		return opNames[op]
	}
	return "Op(" + strconv.Itoa(int(op)) + ")"
}

// Ops returns all operations, in the order of the contract.
func Ops() []Op {
	all := make([]Op, opCount)
	for i := range all {
		all[i] = Op(i)
	}
	return all
}

// Storage says how a symmetric result is laid out.
type Storage uint8

// The storages.
const (
	Full        Storage = iota // n x n, both triangles
	PackedLower                // 1 x n(n+1)/2, rows of the lower triangle one after the other
)

// Form says which operand of a product is transposed.
type Form uint8

// The forms.
const (
	NT Form = iota // A·Bᵀ: rows with rows, as in a linear layer or a Gram matrix
	TN             // Aᵀ·B: columns with columns
	NN             // A·B
)

var formNames = [...]string{NT: "NT", TN: "TN", NN: "NN"}

// String returns "NT", "TN" or "NN".
func (f Form) String() string {
	if int(f) < len(formNames) {
		return formNames[f]
	}
	return "Form(" + strconv.Itoa(int(f)) + ")"
}

// RowStats receives what Center learns about one matrix (rows x cols). A nil
// slice is not filled; the others must have the stated length. Norms and
// squares are of the values as stored in dst.
type RowStats struct {
	Mean          []float64 // cols: the column means that were subtracted
	SquaredNorm   []float64 // rows: sum of squares along the row
	ColumnSquares []float64 // cols: sum of squares down the column
}

// Estimator chooses an estimator of HSIC.
type Estimator uint8

// The estimators, defined at [Backend.HSIC].
const (
	Biased   Estimator = iota // HSIC_0
	Unbiased                  // HSIC_1
)

// MinRows returns the fewest rows for which the estimator is defined.
func (e Estimator) MinRows() int {
	if e == Unbiased {
		return 4
	}
	return 2
}

// HSICValue holds the three values of a pair.
type HSICValue struct{ XY, XX, YY float64 }

// HSICTable receives the result of HSICMatrix for l matrices x and m matrices
// y (m = l if y is nil).
type HSICTable struct {
	XY []float64 // l x m, row-major: HSIC(x[i], y[j]); exactly symmetric if y is nil
	XX []float64 // nil, or l: HSIC(x[i], x[i])
	YY []float64 // nil, or m: HSIC(y[j], y[j]); must be nil if y is nil
	// Variance is nil, or l (+ m) long: the σ² used for each matrix, those of y
	// after those of x. Only for the RBF kernel.
	Variance []float64
}

// KernelKind names a kernel function.
type KernelKind uint8

// The kernels.
const (
	Linear      KernelKind = iota // K = x·xᵀ; features are centred first
	Gaussian                      // K as computed by RBF
	Precomputed                   // x is the symmetric n x n matrix K itself; the lower triangle is read
)

// Kernel describes the kernel of HSICMatrix. Bandwidth counts for Gaussian
// alone; its Variance, if given, has one entry per matrix, y's after x's.
type Kernel struct {
	Kind      KernelKind
	Bandwidth Bandwidth
}

// Bandwidth gives the σ² of the RBF kernel, or the rule that finds it: σ² =
// Fraction²·m, where m is the median of all n² squared distances |x_i − x_j|²
// including the n zeros of the diagonal, the mean of the two middle values if
// n² is even (Kornblith et al. 2019, reference notebook).
type Bandwidth struct {
	// Variance, if not nil, holds σ² > 0 for each matrix, and the rule is not used.
	Variance []float64
	// Fraction is t in the rule; 0 means 1.
	Fraction float64
	// Sample limits the rule to that many rows, evenly spaced from the first:
	// row floor(i·n/Sample). 0: all rows.
	Sample int
}

// RotationValue compares a tensor with what training made of it.
type RotationValue struct {
	Dot      float64 // <w0, wt>
	Norm0    float64 // |w0|
	NormT    float64 // |wt|
	Distance float64 // 1 − cos, in [0, 2]; NaN if a norm is 0
}

// Adapter is one low-rank adapter: A is r x in, B is out x r.
type Adapter struct {
	A, B  Matrix
	Scale float32
}

// SVDParams control the randomised SVD.
type SVDParams struct {
	Oversample int    // further basis vectors beyond r; 0 or more, 10 is usual
	Iterations int    // subspace iterations; 0 or more, 4 is usual
	Seed       uint64 // of the random test matrix; equal seeds give equal bits
}

// NormKind chooses a normalisation.
type NormKind uint8

// The normalisations, defined at [LayerOps.Norm].
const (
	RMSNorm NormKind = iota
	LayerNorm
)

// NormParams control Norm. Weight and Bias are 1 x w matrices or empty (all
// ones, all zeros); w = cols/Groups.
type NormParams struct {
	Kind    NormKind
	Weight  Matrix
	Bias    Matrix  // LayerNorm only
	Offset  float64 // added to the weight: 1 for Gemma
	Epsilon float64
	Groups  int // equal parts of a row normalised on their own (heads); 0 means 1
}

// RoPEParams control RoPE.
type RoPEParams struct {
	HeadDim     int       // cols is a multiple of it
	InvFreq     []float64 // one per pair, at most HeadDim/2; pairs beyond are copied
	Scale       float64   // on cos and sin (YaRN, LongRoPE); 0 means 1
	Interleaved bool      // pairs are (2i, 2i+1); else (i, i + len(InvFreq))
}

// AttentionParams control Attention. Sequences are consecutive rows.
type AttentionParams struct {
	Heads, KVHeads, HeadDim int
	// Queries holds the row at which each sequence starts and, last, the number
	// of rows: 0, 128, 200 are sequences of 128 and 72 queries. nil: one sequence.
	Queries []int32
	// Keys is the same for k and v; nil means Queries. In a sequence of nq queries
	// and nk keys, query i stands at key position i + nk − nq; if Causal, nk >= nq.
	Keys    []int32
	Scale   float64 // on q·k; 0 means HeadDim^(−1/2)
	SoftCap float64 // c > 0: scores become c·tanh(score/c)
	Causal  bool    // a query sees keys up to its own position
	Window  int     // w > 0: only keys with position > query − w; and < query + w if not Causal
	// KeyMask is nil, or one entry per row of k: false hides that key from all queries.
	KeyMask []bool
}

// Activation names an element-wise function.
type Activation uint8

// The activations. At −Inf all but Identity give their limit, 0, or NaN.
const (
	Identity Activation = iota // x
	ReLU                       // max(x, 0); NaN stays NaN
	SiLU                       // x / (1 + exp(−x))
	GELU                       // x/2·(1 + erf(x/√2))
	GELUTanh                   // x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
	activationCount
)

var activationNames = [...]string{Identity: "identity", ReLU: "relu", SiLU: "silu", GELU: "gelu", GELUTanh: "gelu_tanh"}

// String returns the name in lower case: silu, gelu_tanh and so on.
func (f Activation) String() string {
	if f < activationCount {
		return activationNames[f]
	}
	return "Activation(" + strconv.Itoa(int(f)) + ")"
}
