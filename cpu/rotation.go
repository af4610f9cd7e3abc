package cpu

import (
	"context"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// rotationSums are Σw0², Σwt², Σw0·wt, ΣΔ² and ΣΔ(wt + w0) with Δ = wt − w0.
type rotationSums [5]float64

// Rotation implements kernels.Backend. Strips of rows are summed on their own
// and added in order.
func (b *Backend) Rotation(ctx context.Context, dst []kernels.RotationValue, w0, wt []kernels.Matrix, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpRotation, kernels.CheckRotation(kernels.Device{}, dst, w0, wt, o)); err != nil {
		return err
	}
	defer b.end()
	var list []tileRef
	for item, m := range w0 {
		per, n := strips(m.Rows, m.Cols)
		for s := range n {
			list = append(list, tileRef{item, s * per, min((s+1)*per, m.Rows)})
		}
	}
	parts := make([]rotationSums, len(list))
	err := b.tiles(ctx, kernels.OpRotation, o, len(list), func(ws *workspace, i int) {
		t := list[i]
		parts[i] = rotationStrip(ws, w0[t.item], wt[t.item], t.i0, t.j0)
	})
	if err != nil {
		return err
	}
	sums := make([]rotationSums, len(w0))
	for i, t := range list {
		for k, v := range parts[i] {
			sums[t.item][k] += v
		}
	}
	var zero []int
	for i, s := range sums {
		dst[i] = s.value()
		if s[0] == 0 || s[1] == 0 {
			zero = append(zero, i)
		}
	}
	return kernels.Degenerate(kernels.OpRotation, "a tensor is zero or empty", zero)
}

// rotationStrip sums rows [from, to).
func rotationStrip(ws *workspace, w0, wt kernels.Matrix, from, to int) rotationSums {
	var total rotationSums
	p, q := grow(&ws.vector[0], w0.Cols), grow(&ws.vector[1], w0.Cols)
	for i := from; i < to; i++ {
		loadRow(p, w0, i, 0)
		loadRow(q, wt, i, 0)
		for j := 0; j < len(p); j += blockTerms {
			n := min(blockTerms, len(p)-j)
			var s rotationSums
			y := q[j : j+n]
			for k, a := range p[j : j+n] {
				c := y[k]
				d := c - a
				s[0] += a * a
				s[1] += c * c
				s[2] += a * c
				s[3] += d * d
				s[4] += d * (c + a)
			}
			for k, v := range s {
				total[k] += v
			}
		}
	}
	return total
}

// value finishes the sums. 1 − cos loses all digits for small rotations; the
// identity (|Δ|² − (|wt| − |w0|)²) / (2|w0||wt|) with |wt| − |w0| = ΣΔ(wt + w0) /
// (|wt| + |w0|) loses none.
func (s rotationSums) value() kernels.RotationValue {
	n0, nt := math.Sqrt(s[0]), math.Sqrt(s[1])
	v := kernels.RotationValue{Dot: s[2], Norm0: n0, NormT: nt, Distance: math.NaN()}
	product := math.Sqrt(s[0] * s[1]) // exactly |w|² when both norms are equal
	if product == 0 || math.IsInf(product, 1) {
		product = n0 * nt
	}
	if s[0] == 0 || s[1] == 0 {
		return v
	}
	gap := s[4] / (n0 + nt)
	d := (s[3] - gap*gap) / (2 * product)
	switch { // rounding may step over the ends; NaN passes
	case d < 0:
		d = 0
	case d > 2:
		d = 2
	}
	v.Distance = d
	return v
}
