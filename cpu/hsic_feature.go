package cpu

import (
	"context"
	"math"
	"slices"

	"github.com/cambium-kernels/cambium/kernels"
)

// With centred features X, Y the linear kernels satisfy <K, L> = |XᵀY|², a sum
// over p x q instead of n x n entries. The unbiased estimator needs the row norms
// besides: n(n−3)·HSIC_1 = |XᵀY|² − n/(n−2)·Σ s_i t_i + S·T/((n−1)(n−2)).

// featureForm reports whether the group is cheaper in feature space.
func (g *hsicGroup) featureForm() bool {
	layers := slices.Concat(g.x, g.y)
	if len(layers) == 0 || layers[0].kind != kernels.Linear {
		return false
	}
	n := float64(g.rows())
	sample, feature := n*n/2*float64(len(g.x))*float64(len(g.other())), 0.0
	for _, l := range layers {
		d := float64(l.op.m.Cols)
		sample += n * n / 2 * d
		feature += n * d * d / 2
	}
	for i, l := range g.x {
		for j, k := range g.other() {
			if g.y != nil || j < i {
				feature += n * float64(l.op.m.Cols) * float64(k.op.m.Cols)
			}
		}
	}
	return feature < sample
}

// featureTile is one tile of XᵀY of a pair and, beside the diagonal, its mirror
// image: dst receives the sum of their squares.
type featureTile struct {
	x, y   *kernelMatrix
	i0, j0 int // j0 <= i0
	dst    *float64
}

// featureWork lists the tiles of all values of the groups.
func featureWork(groups []*hsicGroup) []featureTile {
	var list []featureTile
	pair := func(x, y *kernelMatrix, dst *float64) {
		p, q := x.op.m.Cols, y.op.m.Cols
		for i := 0; i < max(p, q); i += tileRows {
			for j := 0; j <= i && j < min(p, q); j += tileCols {
				list = append(list, featureTile{x, y, i, j, dst})
			}
		}
	}
	for _, g := range groups {
		m := len(g.other())
		for i, x := range g.x {
			for j, y := range g.other() {
				if g.y != nil || j <= i {
					pair(x, y, &g.xy[i*m+j])
				}
			}
			if g.xx != nil && g.y != nil {
				pair(x, x, &g.xx[i])
			}
		}
		for j := range g.yy {
			pair(g.y[j], g.y[j], &g.yy[j])
		}
	}
	return list
}

// featureSums computes the tiles, adds them in order and finishes the estimator.
// The order and the sum of a tile are the same for XᵀY as for YᵀX, so that it
// does not matter to a bit which layer comes first.
func (b *Backend) featureSums(ctx context.Context, s *scratch, run *phases, groups []*hsicGroup, list []featureTile) error {
	parts, err := s.floats(1, len(list))
	if err != nil {
		return err
	}
	err = b.tiles(ctx, s.op, run.next(len(list)), len(list), func(ws *workspace, i int) {
		t := list[i]
		sum := b.squares(ws, t.x, t.y, t.i0, t.j0)
		switch {
		case t.i0 == t.j0:
		case t.x == t.y:
			sum += sum
		default:
			sum += b.squares(ws, t.x, t.y, t.j0, t.i0)
		}
		parts[i] = sum
	})
	if err != nil {
		return err
	}
	for _, g := range groups {
		g.fill(0)
	}
	for i, t := range list {
		*t.dst += parts[i]
	}
	for _, g := range groups {
		g.finishFeature()
	}
	return nil
}

// squares returns the sum of squares of the tile of XᵀY at (i0, j0), 0 beyond
// its edges.
func (b *Backend) squares(ws *workspace, x, y *kernelMatrix, i0, j0 int) float64 {
	p, q := x.op, y.op
	p.trans, q.trans = true, true
	ni, nj := min(tileRows, p.rows()-i0), min(tileCols, q.rows()-j0)
	if ni <= 0 || nj <= 0 {
		return 0
	}
	return symmetricSquares(b.tier.product(ws, p, q, i0, ni, j0, nj), ni, nj)
}

// symmetricSquares returns the sum of squares of a ni x nj tile, the same bits
// as for its transpose: the elements (r, s) and (s, r) are added to each other
// first. The conversions keep the compiler from fusing one of the two products.
func symmetricSquares(c []float64, ni, nj int) float64 {
	k := min(ni, nj)
	total := 0.0
	for r := range k {
		row := c[r*tileCols : r*tileCols+r+1]
		hook := float64(row[r] * row[r])
		for s, low := range row[:r] {
			high := c[s*tileCols+r]
			hook += float64(low*low) + float64(high*high)
		}
		total += hook
	}
	for r := k; r < ni; r++ { // below the square part
		line := 0.0
		for s := range k {
			v := c[r*tileCols+s]
			line += float64(v * v)
		}
		total += line
	}
	for r := k; r < nj; r++ { // or beside it
		line := 0.0
		for s := range k {
			v := c[s*tileCols+r]
			line += float64(v * v)
		}
		total += line
	}
	return total
}

// finishFeature turns |XᵀY|² into the estimate and completes symmetric values.
func (g *hsicGroup) finishFeature() {
	m := len(g.other())
	for i, x := range g.x {
		for j, y := range g.other() {
			if g.y != nil || j <= i {
				g.xy[i*m+j] = g.estimate(g.xy[i*m+j], x, y)
			}
			if g.y == nil && j < i {
				g.xy[j*m+i] = g.xy[i*m+j]
			}
		}
		if g.xx != nil && g.y == nil {
			g.xx[i] = g.xy[i*m+i]
		} else if g.xx != nil {
			g.xx[i] = g.estimate(g.xx[i], x, x)
		}
	}
	for j := range g.yy {
		g.yy[j] = g.estimate(g.yy[j], g.y[j], g.y[j])
	}
}

// estimate applies the estimator to <K, L> of centred features. The three terms
// of the unbiased one cancel where rows are all equally far apart; what then is
// left is rounding, of either sign, and becomes 0.
func (g *hsicGroup) estimate(z float64, x, y *kernelMatrix) float64 {
	if g.e == kernels.Unbiased {
		const noise = 0x1p-46
		n := float64(g.rows())
		var dot, s, t float64
		for i, v := range x.norms {
			dot += v * y.norms[i]
			s += v
			t += y.norms[i]
		}
		up, down := z+s*t/((n-1)*(n-2)), n/(n-2)*dot
		z = up - down
		if math.Abs(z) <= noise*(up+down) {
			z = 0
		}
	}
	return z / g.factor()
}
