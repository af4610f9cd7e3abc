package kerneltest

import (
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// dd is a number of twice float64's precision: hi + lo, |lo| <= ulp(hi)/2.
type dd struct{ hi, lo float64 }

func exact(v float64) dd { return dd{v, 0} }

// plus returns a + b (Dekker 1971, Knuth's two-sum).
func (a dd) plus(b dd) dd {
	s := a.hi + b.hi
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return dd{s, 0}
	}
	v := s - a.hi
	e := (a.hi - (s - v)) + (b.hi - v) + a.lo + b.lo
	hi := s + e
	return dd{hi, e - (hi - s)}
}

// times returns a·b. The conversion keeps the compiler from fusing the product
// into a later sum (arm64 does), which would part it from its error.
func (a dd) times(b dd) dd {
	p := float64(a.hi * b.hi)
	if math.IsNaN(p) || math.IsInf(p, 0) {
		return dd{p, 0}
	}
	e := math.FMA(a.hi, b.hi, -p) + (a.hi*b.lo + a.lo*b.hi)
	hi := p + e
	return dd{hi, e - (hi - p)}
}

func (a dd) minus(b dd) dd { return a.plus(dd{-b.hi, -b.lo}) }

// over returns a/b.
func (a dd) over(b dd) dd {
	q := a.hi / b.hi
	if math.IsNaN(q) || math.IsInf(q, 0) || math.IsInf(b.hi, 0) {
		return dd{q, 0}
	}
	r := a.minus(b.times(exact(q)))
	return exact(q).plus(exact(r.hi / b.hi))
}

// sqrt returns the square root of a >= 0.
func (a dd) sqrt() dd {
	q := math.Sqrt(a.hi)
	if q == 0 || math.IsNaN(q) || math.IsInf(q, 0) {
		return dd{q, 0}
	}
	r := a.minus(exact(q).times(exact(q)))
	return exact(q).plus(exact(r.hi / (2 * q)))
}

// reference is what one element should be, with its gauge.
type reference struct {
	want  dd
	gauge float64
}

// judge collects the comparison of one result with its reference.
type judge struct {
	t       testing.TB
	s       *suite
	what    string
	bounds  kernels.Bounds
	worst   float64
	count   int
	nonzero bool
}

// judge starts a comparison. With OneRounding the alarm is the rounding of the
// result plus float64 noise.
func (s *suite) judge(t testing.TB, what string, op kernels.Op, p kernels.Problem) *judge {
	b := kernels.BoundsOf(op, p)
	if s.OneRounding && p.Compute == kernels.Float32 {
		tight := p
		tight.Compute = kernels.Float64
		b.Typical = kernels.BoundsOf(op, tight).Typical
	}
	return &judge{t: t, s: s, what: what, bounds: b}
}

// subnormalStep is half the distance between subnormal numbers of the type.
func subnormalStep(dt kernels.DType) float64 {
	switch dt {
	case kernels.Float64:
		return 0
	case kernels.Float16:
		return 0x1p-25
	case kernels.BFloat16:
		return 0x1p-134
	default:
		return 0x1p-150
	}
}

// check compares one value; index is printed as given.
func (j *judge) check(got float64, r reference, index ...int) {
	j.count++
	if r.want.hi != 0 {
		j.nonzero = true
	}
	if math.IsNaN(r.want.hi) && math.IsNaN(got) || math.IsInf(r.want.hi, 0) && got == r.want.hi {
		return
	}
	err := math.Abs((got - r.want.hi) - r.want.lo)
	typical := j.bounds.Typical.Limit(r.want.hi, r.gauge)
	bound := j.bounds.Bound.Limit(r.want.hi, r.gauge)
	ratio := err / typical
	if err == 0 {
		ratio = 0
	}
	if !(ratio <= 1) {
		j.t.Helper() // here, not above: it costs more than all the rest
		j.t.Fatalf("%s: first bad index %v: got %.17g, want %.17g, error %.3g is %.3g times the alarm (%.3g times the theorem), gauge %.3g, seed %d",
			j.what, index, got, r.want.hi, err, ratio, err/bound, r.gauge, j.s.seed)
	}
	j.worst = max(j.worst, ratio)
}

// matrix compares every element of a result.
func (j *judge) matrix(got *guarded, ref func(i, k int) reference) {
	j.t.Helper()
	got.intact(j.t, j.what)
	for i := range got.m.Rows {
		for k := range got.m.Cols {
			j.check(got.at(i, k), ref(i, k), i, k)
		}
	}
}

// done refuses a comparison that proved nothing: no value, or all of them zero.
func (j *judge) done() {
	j.t.Helper()
	if j.count > 0 && !j.nonzero {
		j.t.Fatalf("%s: every expected value is zero: the data prove nothing, seed %d", j.what, j.s.seed)
	}
}
