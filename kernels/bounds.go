package kernels

import "math"

// A Tolerance limits the error of one result:
//
//	|got − exact| <= Gauge·G + Value·|exact| + Absolute
//
// where G is the gauge that the operation's definition names, usually the sum
// of the magnitudes of what is added up.
type Tolerance struct{ Gauge, Value, Absolute float64 }

// Limit returns the largest error allowed for an exact value and its gauge.
func (t Tolerance) Limit(exact, gauge float64) float64 {
	return t.Gauge*gauge + t.Value*math.Abs(exact) + t.Absolute
}

// Bounds holds the two figures of an operation. Bound is a theorem: no input
// whatever exceeds it, short of overflow. Typical is the alarm that tests use on
// seeded data: an implementation that exceeds it has lost precision somewhere,
// although the theorem may still hold.
type Bounds struct{ Bound, Typical Tolerance }

// Problem is what the bounds of a result depend on.
type Problem struct {
	Terms   int   // length of the sums: the k of Matmul, the d of Gram and HSIC, the row of Norm
	Rows    int   // n of HSIC, RBF and Center; keys of Attention; rank of ApplyAdapters
	Compute DType // ComputeType of the sources
	Out     DType // type of dst; Float64 where the result is a Go float64
}

// BlockTerms is the longest run of terms that a kernel may sum in one chain
// before it adds the partial sum to the total (kc).
const BlockTerms = 256

// Typical error of a blocked sum in units of roundoff, measured on seeded
// Gaussian, uniform and positive data with k up to 65,536 (1 to 21), with room.
const typicalFactor = 24

// blocked returns the factor of the theorem for a blocked sum of k terms in
// units of roundoff: kc + ⌈k/kc⌉ + 2 (Higham, Accuracy and Stability of
// Numerical Algorithms, 2nd edition, section 4.2, with each product rounded),
// and three more for alpha, beta and the last addition.
func blocked(k int) float64 {
	kc := min(max(k, 1), BlockTerms)
	return float64(kc) + math.Ceil(float64(k)/BlockTerms) + 2 + 3
}

// BoundsOf returns the bounds of an operation on a problem. The gauge of each
// operation is named in its definition; those of the operations below are:
//
//	HSIC, HSICMatrix  with g = Σ_k |x_ik||x_jk| of the centred features for both
//	                  kernels K, L: the estimator's formula with all signs positive
//	                  and g in place of the kernels; for Gaussian kernels g = 1 + D/σ²
//	RBF               K_ij·(1 + (q_i + q_j)/σ² + D_ij/σ²·2·max q/σ²), q_i the squared
//	                  norm of the centred row, D_ij the squared distance
//	Rotation          for Dot, Norm0², NormT²: Σ|w0||wt|, |w0|², |wt|²; for Distance 0
//	SVD               the largest singular value, for entries of u·diag(s)·vᵀ when exact
//	Norm              |alpha|·(|w + offset|·(|x| + mean|x|)/deviation + |b|) + |beta||dst|;
//	                  deviation is the root that x is divided by
//	RoPE              Scale·(|x_p| + |x_q|)
//	Attention         Σ_j p_j|v_j|·(1 + 2·max_j Scale·Σ|q||k|)
//	Activate, Gate    |x|, |gate||up|
//	Add, Gather       |alpha||x| + |beta||dst| (beta = 1 for Add)
//	RowNormalize      0
//	Dequantize        0
func BoundsOf(op Op, p Problem) Bounds {
	u := p.Compute.UnitRoundoff()
	b := Bounds{
		Bound:   Tolerance{Gauge: boundFactor(op, p) * u},
		Typical: Tolerance{Gauge: min(typicalFactor, boundFactor(op, p)) * u},
	}
	b.each(func(t *Tolerance) {
		// Products below the normal range: a path that flushes them loses 2⁻¹²⁶ each.
		t.Absolute = float64(p.Terms+1) * normalMin(p.Compute)
		t.Value = 2 * u
		if p.Out != Float64 && p.Out != Float32 || p.Compute == Float64 { // dst's rounding, also of the errors so far
			out := p.Out.UnitRoundoff()
			t.Gauge *= 1 + out
			t.Value += out * (1 + 2*u)
			t.Absolute = t.Absolute*(1+out) + p.Out.smallest()/2
		}
	})
	switch op {
	case OpAlloc, OpCopy:
		return Bounds{}
	case OpConvert, OpDequantize: // one rounding
		one := Tolerance{Value: p.Out.UnitRoundoff(), Absolute: p.Out.smallest() / 2}
		return Bounds{one, one}
	case OpCenter: // means in float64, then one rounding
		w := Float64.UnitRoundoff()
		one := Tolerance{Gauge: float64(p.Rows+4) * w, Value: p.Out.UnitRoundoff(), Absolute: p.Out.smallest()}
		b = Bounds{one, one}
		b.Typical.Gauge = min(typicalFactor*w, one.Gauge)
		b.each(func(t *Tolerance) { t.Gauge *= 1 + p.Out.UnitRoundoff() })
	case OpRotation:
		b.each(func(t *Tolerance) { *t = Tolerance{Gauge: 4e-10, Value: 4e-10, Absolute: 1e-12} })
	case OpRowNormalize: // a sum of squares has no cancellation; the root halves its error
		b.each(func(t *Tolerance) { t.Value += (t.Gauge/2 + 4*u); t.Gauge = 0 })
	case OpHSIC, OpHSICMatrix: // the float64 sum over n² entries
		n := float64(p.Rows)
		b.Bound.Gauge += n * n * Float64.UnitRoundoff()
		b.Typical.Gauge += min(typicalFactor, n*n) * Float64.UnitRoundoff()
	default:
	}
	return b
}

// boundFactor returns the factor of the theorem in units of roundoff.
func boundFactor(op Op, p Problem) float64 {
	switch op {
	case OpHSIC, OpHSICMatrix: // both kernels, each of twice rounded features
		return 2 * (blocked(p.Terms) + 4)
	case OpRBF: // the product and both norms, the exponential
		return 2*blocked(p.Terms) + 8
	case OpApplyAdapters, OpAttention: // two sums, one after the other
		return blocked(p.Terms) + blocked(p.Rows) + 16
	case OpNorm:
		return blocked(p.Terms) + 12
	case OpSVD:
		return 64 * math.Sqrt(float64(max(p.Terms, 1)))
	case OpRoPE, OpActivate, OpGate, OpAdd, OpGather:
		return 8
	default:
		return blocked(p.Terms)
	}
}

func (b *Bounds) each(f func(*Tolerance)) {
	f(&b.Bound)
	f(&b.Typical)
}

// normalMin returns the smallest normal number of the compute type.
func normalMin(t DType) float64 {
	if t == Float64 {
		return 0x1p-1022
	}
	return 0x1p-126
}
