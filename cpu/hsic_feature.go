package cpu

import (
	"context"
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

// featureTile is one tile of XᵀY of a pair: dst receives its squared norm,
// weighted.
type featureTile struct {
	x, y   *kernelMatrix
	i0, j0 int
	weight float64
	dst    *float64
}

// featureWork lists the tiles of all values of the groups. Within one layer the
// product is symmetric, and the lower triangle counts twice.
func featureWork(groups []*hsicGroup) []featureTile {
	var list []featureTile
	pair := func(x, y *kernelMatrix, dst *float64) {
		for i := 0; i < x.op.m.Cols; i += tileRows {
			for j := 0; j < y.op.m.Cols; j += tileCols {
				switch {
				case x != y || i == j:
					list = append(list, featureTile{x, y, i, j, 1, dst})
				case j < i:
					list = append(list, featureTile{x, y, i, j, 2, dst})
				}
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
func (b *Backend) featureSums(ctx context.Context, op kernels.Op, o kernels.Options, groups []*hsicGroup, list []featureTile) error {
	parts := make([]float64, len(list))
	err := b.tiles(ctx, op, o, len(list), func(ws *workspace, i int) {
		t := list[i]
		p, q := t.x.op, t.y.op
		p.trans, q.trans = true, true
		ni, nj := min(tileRows, p.rows()-t.i0), min(tileCols, q.rows()-t.j0)
		c := b.tier.product(ws, p, q, t.i0, ni, t.j0, nj)
		sum := 0.0
		for r := range ni {
			sum += sumSquares(c[r*tileCols : r*tileCols+nj])
		}
		parts[i] = t.weight * sum
	})
	if err != nil {
		return err
	}
	for _, g := range groups {
		fill(g.xy, 0)
		fill(g.xx, 0)
		fill(g.yy, 0)
	}
	for i, t := range list {
		*t.dst += parts[i]
	}
	for _, g := range groups {
		g.finishFeature()
	}
	return nil
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

// estimate applies the estimator to <K, L> of centred features.
func (g *hsicGroup) estimate(z float64, x, y *kernelMatrix) float64 {
	if g.e == kernels.Unbiased {
		n := float64(g.rows())
		var dot, s, t float64
		for i, v := range x.norms {
			dot += v * y.norms[i]
			s += v
			t += y.norms[i]
		}
		z += s*t/((n-1)*(n-2)) - n/(n-2)*dot
	}
	return z / g.factor()
}
