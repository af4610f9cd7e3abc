package kerneltest

import (
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// dot returns Σ a_k·b_k and Σ |a_k||b_k|. Products of float32 and narrower
// values are exact in float64 and their sum is good to 2⁻⁵³ of the gauge, far
// below what is measured; float64 data need the double length.
func dot(compute kernels.DType, a, b []float64) (dd, float64) {
	b = b[:len(a)]
	if compute != kernels.Float64 {
		var s0, s1, g0, g1 float64
		k := 0
		for ; k+1 < len(a); k += 2 {
			p, q := a[k]*b[k], a[k+1]*b[k+1]
			s0 += p
			s1 += q
			g0 += math.Abs(p)
			g1 += math.Abs(q)
		}
		if k < len(a) {
			s0 += a[k] * b[k]
			g0 += math.Abs(a[k] * b[k])
		}
		return exact(s0 + s1), g0 + g1
	}
	var sum dd
	var gauge float64
	for k, v := range a {
		sum = sum.plus(exact(v).times(exact(b[k])))
		gauge += math.Abs(v * b[k])
	}
	return sum, gauge
}

// compensated is a sum that carries its error along (Knuth's two-sum).
type compensated struct{ sum, lost float64 }

func (c *compensated) add(v float64) {
	next := c.sum + v
	part := next - c.sum
	c.lost += (c.sum - (next - part)) + (v - part)
	c.sum = next
}

func (c *compensated) dd() dd { return exact(c.sum).plus(exact(c.lost)) }

// rowsOf returns the rows of a matrix as float64 slices; colsOf its columns.
func rowsOf(g *guarded) [][]float64 {
	all := g.floats()
	out := make([][]float64, g.m.Rows)
	for i := range out {
		out[i] = all[i*g.m.Cols : (i+1)*g.m.Cols]
	}
	return out
}

func colsOf(g *guarded) [][]float64 {
	out := make([][]float64, g.m.Cols)
	for j := range out {
		out[j] = make([]float64, g.m.Rows)
		for i := range out[j] {
			out[j][i] = g.at(i, j)
		}
	}
	return out
}
