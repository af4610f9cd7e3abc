package cpu

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/cambium-kernels/cambium/kernels"
)

// hsicGroup is a set of layers with the same rows whose pairs are wanted: within
// x, or between x and y.
type hsicGroup struct {
	x, y   []*kernelMatrix // y nil: within x
	e      kernels.Estimator
	xy     []float64 // len(x) x len(y or x)
	xx, yy []float64 // nil if not wanted
}

func (g *hsicGroup) other() []*kernelMatrix {
	if g.y == nil {
		return g.x
	}
	return g.y
}

func (g *hsicGroup) rows() int {
	if len(g.x) > 0 {
		return g.x[0].n()
	}
	if len(g.y) > 0 {
		return g.y[0].n()
	}
	return 0
}

// factor is what the sum of products of centred entries is divided by.
func (g *hsicGroup) factor() float64 {
	n := float64(g.rows())
	if g.e == kernels.Unbiased {
		return n * (n - 3)
	}
	return (n - 1) * (n - 1)
}

// HSIC implements kernels.Backend.
func (b *Backend) HSIC(ctx context.Context, dst []kernels.HSICValue, x, y []kernels.Matrix, e kernels.Estimator, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpHSIC, kernels.CheckHSIC(kernels.Device{}, dst, x, y, e, o)); err != nil {
		return err
	}
	defer b.end()
	var groups []*hsicGroup
	var index, few []int
	for i := range x {
		if x[i].Rows < e.MinRows() {
			dst[i] = kernels.HSICValue{XY: math.NaN(), XX: math.NaN(), YY: math.NaN()}
			few = append(few, i)
			continue
		}
		groups = append(groups, &hsicGroup{
			x: []*kernelMatrix{{op: operand{m: x[i]}}}, y: []*kernelMatrix{{op: operand{m: y[i]}}}, e: e,
			xy: make([]float64, 1), xx: make([]float64, 1), yy: make([]float64, 1),
		})
		index = append(index, i)
	}
	plan := planHSIC(groups, e)
	s := b.scratch(kernels.OpHSIC)
	defer s.release()
	run := &phases{o: o, total: plan.tiles()}
	if err := b.prepare(ctx, s, run, plan.prep); err != nil {
		return err
	}
	if err := b.hsicSums(ctx, s, run, plan); err != nil {
		return err
	}
	for k, g := range groups {
		dst[index[k]] = kernels.HSICValue{XY: g.xy[0], XX: g.xx[0], YY: g.yy[0]}
	}
	return kernels.Degenerate(kernels.OpHSIC, "too few rows for the estimator", few)
}

// HSICMatrix implements kernels.Backend.
func (b *Backend) HSICMatrix(ctx context.Context, dst kernels.HSICTable, x, y []kernels.Matrix, k kernels.Kernel, e kernels.Estimator, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpHSICMatrix, kernels.CheckHSICMatrix(kernels.Device{}, dst, x, y, k, e, o)); err != nil {
		return err
	}
	defer b.end()
	var layers []*kernelMatrix
	for _, list := range [][]kernels.Matrix{x, y} {
		for _, m := range list {
			layers = append(layers, &kernelMatrix{kind: k.Kind, op: operand{m: m}})
		}
	}
	if len(layers) == 0 {
		return nil
	}
	g := &hsicGroup{x: layers[:len(x)], e: e, xy: dst.XY, xx: dst.XX, yy: dst.YY}
	if y != nil {
		g.y = layers[len(x):]
	}
	var bad []int
	if g.rows() < e.MinRows() {
		for i := range layers {
			bad = append(bad, i)
		}
		g.undefined(func(int) bool { return true })
		fill(dst.Variance, math.NaN())
		return kernels.Degenerate(kernels.OpHSICMatrix, "too few rows for the estimator", bad)
	}
	plan := planHSIC([]*hsicGroup{g}, e)
	s := b.scratch(kernels.OpHSICMatrix)
	defer s.release()
	run := &phases{o: o, total: plan.tiles()}
	if k.Kind == kernels.Gaussian {
		run.total += medianTiles(layers, k.Bandwidth)
	}
	if err := b.prepare(ctx, s, run, plan.prep); err != nil {
		return err
	}
	if k.Kind == kernels.Gaussian {
		if err := b.variances(ctx, kernels.OpHSICMatrix, run, layers, k.Bandwidth); err != nil {
			return err
		}
		for i, l := range layers {
			if dst.Variance != nil {
				dst.Variance[i] = l.variance
			}
			if l.undefined() {
				bad = append(bad, i)
				l.variance = math.NaN()
			}
		}
	}
	if err := b.hsicSums(ctx, s, run, plan); err != nil {
		return err
	}
	if len(bad) > 0 {
		g.undefined(func(i int) bool { return math.IsNaN(layers[i].variance) })
	}
	return kernels.Degenerate(kernels.OpHSICMatrix, noVariance, bad)
}

// undefined writes NaN to every value in which a layer of the set takes part;
// layers of y count after those of x.
func (g *hsicGroup) undefined(in func(layer int) bool) {
	m, first := len(g.other()), len(g.x)
	if g.y == nil {
		first = 0
	}
	for i := range g.x {
		if g.xx != nil && in(i) {
			g.xx[i] = math.NaN()
		}
		for j := range m {
			if in(i) || in(first+j) {
				g.xy[i*m+j] = math.NaN()
			}
		}
	}
	for j := range g.yy {
		if in(first + j) {
			g.yy[j] = math.NaN()
		}
	}
}

func fill(s []float64, v float64) {
	for i := range s {
		s[i] = v
	}
}

// hsicPlan is the work of a call: each group in the cheaper of the two forms.
type hsicPlan struct {
	e               kernels.Estimator
	sample, feature []*hsicGroup
	prep            preparation
	sums            int // tiles of the row sums
	strips          []tileRef
	pairs           []featureTile
}

func planHSIC(groups []*hsicGroup, e kernels.Estimator) hsicPlan {
	p := hsicPlan{e: e}
	var layers []*kernelMatrix
	norms := e == kernels.Unbiased
	for _, g := range groups {
		switch {
		case g.constant():
			g.fill(0)
			continue
		case g.featureForm():
			p.feature = append(p.feature, g)
		default:
			p.sample = append(p.sample, g)
			for _, l := range slices.Concat(g.x, g.y) {
				if l.needsRowSums() {
					p.sums += l.rowSumTiles()
				}
			}
		}
		layers = append(append(layers, g.x...), g.y...)
	}
	p.prep = planPreparation(layers, norms)
	p.strips, p.pairs = sampleWork(p.sample), featureWork(p.feature)
	return p
}

func (p hsicPlan) tiles() int { return p.prep.tiles() + p.sums + len(p.strips) + len(p.pairs) }

// constant reports whether no layer of the group has a feature: rows of nothing
// are all equal, and there may be more of them than memory has bytes.
func (g *hsicGroup) constant() bool {
	for _, l := range slices.Concat(g.x, g.y) {
		if l.op.m.Cols > 0 {
			return false
		}
	}
	return true
}

func (g *hsicGroup) fill(v float64) {
	fill(g.xy, v)
	fill(g.xx, v)
	fill(g.yy, v)
}

// hsicSums fills the groups; their layers are prepared.
func (b *Backend) hsicSums(ctx context.Context, s *scratch, run *phases, p hsicPlan) error {
	for _, g := range p.sample {
		if err := b.center(ctx, s, run, slices.Concat(g.x, g.y), p.e); err != nil {
			return err
		}
	}
	if err := b.sampleForm(ctx, s, run, p.sample, p.strips); err != nil {
		return err
	}
	return b.featureSums(ctx, s, run, p.feature, p.pairs)
}

// sampleWork lists the rows of tiles of each group, the longest first.
func sampleWork(groups []*hsicGroup) []tileRef {
	var list []tileRef
	for item, g := range groups {
		for i := (g.rows() - 1) / tileRows * tileRows; i >= 0; i -= tileRows {
			list = append(list, tileRef{item: item, i0: i})
		}
	}
	return list
}

// sampleForm sums products of n x n kernel entries: a task is a row of tiles;
// their sums are added in order.
func (b *Backend) sampleForm(ctx context.Context, s *scratch, run *phases, groups []*hsicGroup, list []tileRef) error {
	tiles := 0 // float64 in the tiles of all layers of a group
	for _, g := range groups {
		side := min(tileRows, g.rows())
		tiles = max(tiles, (len(g.x)+len(g.y))*side*side)
	}
	if err := s.perWorker(b, tiles); err != nil {
		return err
	}
	parts := make([]*hsicGroup, len(list))
	for i, t := range list {
		g := groups[t.item]
		l := len(g.xy)
		sums, err := s.floats(1, l+len(g.xx)+len(g.yy))
		if err != nil {
			return err
		}
		parts[i] = &hsicGroup{xy: sums[:l], xx: sums[l : l+len(g.xx)], yy: sums[l+len(g.xx):]}
	}
	err := b.tiles(ctx, s.op, run.next(len(list)), len(list), func(ws *workspace, i int) {
		b.sampleStrip(ws, parts[i], groups[list[i].item], list[i].i0)
	})
	if err != nil {
		return err
	}
	for _, g := range groups {
		g.fill(0)
	}
	for i, t := range list {
		g := groups[t.item]
		add(g.xy, parts[i].xy)
		add(g.xx, parts[i].xx)
		add(g.yy, parts[i].yy)
	}
	for _, g := range groups {
		f := g.factor()
		for _, s := range [][]float64{g.xy, g.xx, g.yy} {
			for i := range s {
				s[i] /= f
			}
		}
	}
	return nil
}

func add(dst, src []float64) {
	for i := range dst {
		dst[i] += src[i]
	}
}

// sampleStrip sums one row of tiles of the lower triangle; tiles beside the
// diagonal count twice. It stops early when the context ends.
func (b *Backend) sampleStrip(ws *workspace, part, g *hsicGroup, i0 int) {
	n, l, m := g.rows(), len(g.x), len(g.other())
	ni := min(tileRows, n-i0)
	layers := slices.Concat(g.x, g.y)
	for j0 := 0; j0 <= i0; j0 += tileCols {
		nj := min(tileCols, n-j0)
		weight := 2.0
		if i0 == j0 {
			weight = 1
		}
		size := ni * nj
		buf := grow(&ws.layers, len(layers)*size)
		for k, layer := range layers {
			if ws.stopped() {
				return
			}
			layer.tile(b, ws, buf[k*size:(k+1)*size], i0, ni, j0, nj, g.e == kernels.Unbiased)
		}
		first := l * size
		if g.y == nil {
			first = 0
		}
		b.addProducts(ws, part.xy, buf[:l*size], buf[first:first+m*size], l, m, weight)
		for k := range part.xx {
			t := buf[k*size : (k+1)*size]
			part.xx[k] += weight * inner(t, t)
		}
		for k := range part.yy {
			t := buf[first+k*size : first+(k+1)*size]
			part.yy[k] += weight * inner(t, t)
		}
	}
}

// addProducts adds weight times the inner products of l with m vectors.
func (b *Backend) addProducts(ws *workspace, dst, x, y []float64, l, m int, weight float64) {
	if l == 0 || m == 0 {
		return
	}
	size := len(x) / l
	p, errX := kernels.Of(x, l, size, size)
	q, errY := kernels.Of(y, m, size, size)
	if err := errors.Join(errX, errY); err != nil {
		ws.fail(err)
		return
	}
	for i0 := 0; i0 < l; i0 += tileRows {
		for j0 := 0; j0 < m; j0 += tileCols {
			ni, nj := min(tileRows, l-i0), min(tileCols, m-j0)
			c := b.tier.product(ws, operand{m: p}, operand{m: q}, i0, ni, j0, nj)
			for r := range ni {
				for s := range nj {
					dst[(i0+r)*m+j0+s] += weight * c[r*tileCols+s]
				}
			}
		}
	}
}
