package cpu

import (
	"context"
	"math"
	"sync"

	"github.com/cambium-kernels/cambium/kernels"
)

// rotationSums are Σw0², Σwt², Σw0·wt, ΣΔ² and ΣΔ(wt + w0) with Δ = wt − w0.
type rotationSums [5]sum

// rotationItem is one pair of tensors. They are compared as p = w0·2^−e0 and
// q = wt·2^−et, which changes neither their angle nor a digit.
type rotationItem struct {
	w0, wt kernels.Matrix
	e0, et int
	sums   rotationSums
}

// Rotation implements kernels.Backend. Pieces of the tensors are summed on
// their own and added in order. Tensors whose norms are far apart, or out of
// float64's range when squared, are summed once more at a common scale.
func (b *Backend) Rotation(ctx context.Context, dst []kernels.RotationValue, w0, wt []kernels.Matrix, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpRotation, kernels.CheckRotation(kernels.Device{}, dst, w0, wt, o)); err != nil {
		return err
	}
	defer b.end()
	all := make([]*rotationItem, len(w0))
	for i := range all {
		all[i] = &rotationItem{w0: w0[i], wt: wt[i]}
	}
	again := all
	for pass := 0; len(again) > 0; pass++ {
		if err := b.rotationSums(ctx, o, again); err != nil {
			return err
		}
		if pass == 2 { // as they are, by their largest values, by their norms
			break
		}
		var err error
		if again, err = b.rescaled(ctx, again); err != nil {
			return err
		}
		o.Progress = nil
	}
	var zero []int
	for i, it := range all {
		dst[i] = it.value()
		if it.sums[0].hi == 0 || it.sums[1].hi == 0 {
			zero = append(zero, i)
		}
	}
	return kernels.Degenerate(kernels.OpRotation, "a tensor is zero or empty", zero)
}

// rescaled sets the scales of the items whose sums do not serve, and returns
// them.
func (b *Backend) rescaled(ctx context.Context, all []*rotationItem) ([]*rotationItem, error) {
	var again []*rotationItem
	for _, it := range all {
		s0, st := it.sums[0].value(), it.sums[1].value()
		const low, high = 0x1p-480, 0x1p480 // s0·st stays in range, and so do the squares that it is made of
		if s0 >= low && s0 <= high && st >= low && st <= high {
			if s0 > 4*st || st > 4*s0 {
				it.e0 += exponent(math.Sqrt(s0))
				it.et += exponent(math.Sqrt(st))
				again = append(again, it)
			}
			continue
		}
		// Zeros, empty tensors and those with NaN or Inf stay as they are.
		if it.w0.DType != kernels.Float64 && it.wt.DType != kernels.Float64 {
			continue // no other type leaves that range
		}
		largest0, err := b.largest(ctx, kernels.OpRotation, it.w0)
		if err != nil {
			return nil, err
		}
		largestT, err := b.largest(ctx, kernels.OpRotation, it.wt)
		if err != nil {
			return nil, err
		}
		if finite(largest0) && finite(largestT) && largest0 > 0 && largestT > 0 {
			it.e0, it.et = exponent(largest0), exponent(largestT)
			again = append(again, it)
		}
	}
	return again, nil
}

// exponent returns e with v·2^−e in [1/2, 1); 0 for 0.
func exponent(v float64) int {
	_, e := math.Frexp(v)
	return e
}

// largest returns the largest magnitude in m, 0 if it is empty; NaN if there is
// one.
func (b *Backend) largest(ctx context.Context, op kernels.Op, m kernels.Matrix) (float64, error) {
	var mu sync.Mutex
	all := 0.0
	err := b.eachPiece(ctx, op, kernels.Options{}, m.Rows, m.Cols, func(ws *workspace, i, j, n int) {
		line := grow(&ws.vector[0], n)
		loadRow(line, m, i, j)
		most := 0.0
		for _, v := range line {
			most = max(most, math.Abs(v))
		}
		mu.Lock()
		all = max(all, most)
		mu.Unlock()
	})
	return all, err
}

// rotationSums fills the sums of the items.
func (b *Backend) rotationSums(ctx context.Context, o kernels.Options, items []*rotationItem) error {
	type part struct {
		it *rotationItem
		at piece
	}
	var list []part
	for _, it := range items {
		ps := piecesOf(it.w0.Rows, it.w0.Cols)
		for s := range ps.count {
			list = append(list, part{it, ps.at(s)})
		}
	}
	s := b.scratch(kernels.OpRotation)
	defer s.release()
	if err := s.reserve(len(list), 2*len(rotationSums{})); err != nil {
		return err
	}
	sums := make([]rotationSums, len(list))
	err := b.tiles(ctx, kernels.OpRotation, o, len(list), func(ws *workspace, i int) {
		sums[i] = list[i].it.sum(ws, list[i].at)
	})
	if err != nil {
		return err
	}
	for _, it := range items {
		it.sums = rotationSums{}
	}
	for i, p := range list {
		for k, v := range sums[i] {
			p.it.sums[k].add(v.hi)
			p.it.sums[k].lo += v.lo
		}
	}
	return nil
}

// sum returns the sums of a piece.
func (it *rotationItem) sum(ws *workspace, at piece) rotationSums {
	var total rotationSums
	p, q := grow(&ws.vector[0], at.n), grow(&ws.vector[1], at.n)
	for i := at.i0; i < at.i1; i++ {
		loadRow(p, it.w0, i, at.j)
		loadRow(q, it.wt, i, at.j)
		scaleBy(p, -it.e0)
		scaleBy(q, -it.et)
		for j := 0; j < len(p); j += blockTerms {
			n := min(blockTerms, len(p)-j)
			var aa, cc, ac, dd, de float64
			y := q[j : j+n]
			for k, a := range p[j : j+n] {
				c := y[k]
				d := c - a
				aa += a * a
				cc += c * c
				ac += a * c
				dd += d * d
				de += d * (c + a)
			}
			total[0].add(aa)
			total[1].add(cc)
			total[2].add(ac)
			total[3].add(dd)
			total[4].add(de)
		}
	}
	return total
}

// scaleBy multiplies v by 2^e.
func scaleBy(v []float64, e int) {
	if e == 0 {
		return
	}
	if f := math.Ldexp(1, e); f >= 0x1p-1022 && finite(f) {
		scaleVector(v, f)
		return
	}
	for i, x := range v {
		v[i] = math.Ldexp(x, e)
	}
}

// value finishes the sums. 1 − cos loses all digits for small rotations; the
// identity (|Δ|² − (|q| − |p|)²) / (2|p||q|) with |q| − |p| = ΣΔ(q + p) /
// (|q| + |p|) loses none as long as the norms are alike: of |Δ|² there then is
// no more than a small multiple of |p||q| to cancel.
func (it *rotationItem) value() kernels.RotationValue {
	s0, st, dot := it.sums[0].value(), it.sums[1].value(), it.sums[2].value()
	np, nq := math.Sqrt(s0), math.Sqrt(st)
	v := kernels.RotationValue{
		Dot:   math.Ldexp(dot, it.e0+it.et),
		Norm0: math.Ldexp(np, it.e0), NormT: math.Ldexp(nq, it.et),
		Distance: math.NaN(),
	}
	if s0 == 0 || st == 0 {
		return v
	}
	gap := it.sums[4].value() / (np + nq)
	d := (it.sums[3].value() - gap*gap) / (2 * math.Sqrt(s0*st)) // the root is exactly |p|² when both norms are equal
	switch {                                                     // rounding may step over the ends; NaN passes
	case d < 0:
		d = 0
	case d > 2:
		d = 2
	}
	v.Distance = d
	return v
}
