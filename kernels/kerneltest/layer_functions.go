package kerneltest

import "math"

// The functions of the layer operations in twice float64's precision, from
// their series: no table and no routine is shared with the code under test.

// functionTerms is enough for a Taylor series on |x| <= 0.8 to end below 2⁻¹¹⁰.
const functionTerms = 28

// scaled returns a·2^k.
func (a dd) scaled(k int) dd {
	hi := math.Ldexp(a.hi, k)
	if hi == 0 || math.IsInf(hi, 0) {
		return dd{hi, 0}
	}
	return dd{hi, math.Ldexp(a.lo, k)}
}

// exp returns e^a.
func (a dd) exp() dd {
	switch {
	case math.IsNaN(a.hi), a.hi > 710:
		return dd{a.hi * math.Inf(1), 0}
	case a.hi < -746:
		return dd{}
	}
	ln2 := dd{0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56}
	k := math.RoundToEven(a.hi / ln2.hi)
	const halvings = 6 // the series runs on r/2⁶, |r| <= 0.35; each squaring doubles its error
	r := a.minus(ln2.times(exact(k))).scaled(-halvings)
	sum := exact(1)
	for n := 12; n > 0; n-- {
		sum = exact(1).plus(r.times(sum).over(exact(float64(n))))
	}
	for range halvings {
		sum = sum.times(sum)
	}
	return sum.scaled(int(k))
}

// tanh returns the hyperbolic tangent; its error is small against 1.
func (a dd) tanh() dd {
	if a.hi < 0 {
		p := dd{-a.hi, -a.lo}.tanh()
		return dd{-p.hi, -p.lo}
	}
	e := a.times(exact(-2)).exp()
	return exact(1).minus(e).over(exact(1).plus(e))
}

// erf returns the error function; its error is small against 1. All terms of
// the series 2/√π·exp(−a²)·Σ 2ⁿa²ⁿ⁺¹/(2n+1)!! have the same sign.
func (a dd) erf() dd {
	if math.IsNaN(a.hi) || math.Abs(a.hi) > 9 {
		return exact(math.Max(-1, math.Min(1, a.hi)))
	}
	square := a.times(a)
	term, sum := a, a
	for n := 1; math.Abs(term.hi) > 0x1p-112*math.Abs(sum.hi); n++ {
		term = term.times(square).times(exact(2)).over(exact(float64(2*n + 1)))
		sum = sum.plus(term)
	}
	twoOverRootPi := dd{0x1.20dd750429b6dp+0, 0x1.1ae3a914fed80p-56}
	return twoOverRootPi.times(dd{-square.hi, -square.lo}.exp()).times(sum)
}

// sincos returns the sine and cosine of a float64 angle of magnitude up to 2⁴⁰.
func sincos(angle float64) (sin, cos dd) {
	halfPi := [3]float64{0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110}
	k := math.RoundToEven(angle / halfPi[0])
	r := exact(angle)
	for _, part := range halfPi {
		r = r.minus(exact(k).times(exact(part)))
	}
	square := r.times(r)
	sin, cos = exact(1), exact(1)
	for n := functionTerms; n > 0; n -= 2 {
		m := float64(n)
		cos = exact(1).minus(square.times(cos).over(exact(m * (m - 1))))
		sin = exact(1).minus(square.times(sin).over(exact(m * (m + 1))))
	}
	sin = sin.times(r)
	switch int64(k) & 3 {
	case 1:
		sin, cos = cos, dd{-sin.hi, -sin.lo}
	case 2:
		sin, cos = dd{-sin.hi, -sin.lo}, dd{-cos.hi, -cos.lo}
	case 3:
		sin, cos = dd{-cos.hi, -cos.lo}, sin
	}
	return sin, cos
}
