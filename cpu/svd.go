package cpu

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/cambium-kernels/cambium/kernels"
)

// svdItem is one matrix of a batch.
type svdItem struct {
	u, s, v, w kernels.Matrix
	basis      int // vectors of the subspace: r + oversample, at most min(m, n)
	// w·2^−exponent is decomposed, where squares of w would leave float64's range.
	exponent int
}

// scaled is w as the decomposition reads it.
func (it svdItem) scaled() operand { return operand{m: it.w, exponent: -it.exponent} }

func (it svdItem) exact() bool { return it.basis == min(it.w.Rows, it.w.Cols) }

// SVD implements kernels.Backend. Everything is float64. Matrices whose basis
// covers the whole space are decomposed as they are, one a tile; the others by
// subspace iteration, whose products with w are tiled.
func (b *Backend) SVD(ctx context.Context, u, s, v, w []kernels.Matrix, p kernels.SVDParams, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpSVD, kernels.CheckSVD(kernels.Device{}, u, s, v, w, p, o)); err != nil {
		return err
	}
	defer b.end()
	var exact, random []svdItem
	run := &phases{o: o}
	for i := range w {
		r, least := u[i].Cols, min(w[i].Rows, w[i].Cols)
		if r == 0 {
			continue
		}
		it := svdItem{u: u[i], s: s[i], v: v[i], w: w[i], basis: least}
		if p.Oversample < least-r {
			it.basis = r + p.Oversample
		}
		var err error
		if it.exponent, err = b.rangeExponent(ctx, w[i]); err != nil {
			return err
		}
		if it.exact() {
			exact = append(exact, it)
			run.total++
		} else {
			random = append(random, it)
			run.total += it.products(p.Iterations)
		}
	}
	err := b.tiles(ctx, kernels.OpSVD, run.next(len(exact)), len(exact), func(ws *workspace, i int) {
		if err := b.exactSVD(ctx, exact[i]); err != nil {
			ws.fail(err)
		}
	})
	for _, it := range random {
		if err != nil {
			return err
		}
		err = b.randomSVD(ctx, it, p, run)
	}
	return err
}

// rangeExponent returns the exponent of w's largest value if its square, or a
// product of two, may leave float64's range; 0 otherwise, and for NaN and Inf. Only
// float64 reaches that far.
func (b *Backend) rangeExponent(ctx context.Context, w kernels.Matrix) (int, error) {
	const most = 200 // Jacobi multiplies two squares
	if w.DType != kernels.Float64 {
		return 0, nil
	}
	largest, err := b.largest(ctx, kernels.OpSVD, w)
	if err != nil || !finite(largest) {
		return 0, err
	}
	if e := exponent(largest); e > most || e < -most {
		return e, nil
	}
	return 0, nil
}

// products counts the tiles of all products of the subspace iteration.
func (it svdItem) products(iterations int) int {
	side := len(allTiles(nil, 0, it.basis, it.w.Rows))
	other := len(allTiles(nil, 0, it.basis, it.w.Cols))
	return (iterations+1)*side + (iterations+1)*other
}

// exactSVD decomposes the whole matrix, on its shorter side.
func (b *Backend) exactSVD(ctx context.Context, it svdItem) error {
	m, n := it.w.Rows, it.w.Cols
	k, long := min(m, n), max(m, n)
	sc := b.scratch(kernels.OpSVD)
	defer sc.release()
	if err := sc.reserve(k, 3*long+2*k); err != nil { // the matrix, its basis, one side of the result; core and the other
		return err
	}
	set := vectors(k, long)
	src := it.scaled()
	if m < n {
		for i := range m {
			src.load(set[i], i, 0)
		}
	} else {
		line := make([]float64, n)
		for i := range m {
			src.load(line, i, 0)
			for j, v := range line {
				set[j][i] = v
			}
		}
	}
	if !allFinite(set) {
		it.undefined()
		return nil
	}
	left, s, right, err := decompose(ctx, set)
	if err != nil {
		return err
	}
	if m < n {
		left, right = right, left
	}
	it.store(left, s, right)
	return nil
}

// randomSVD runs the subspace iteration of Halko, Martinsson & Tropp (2011),
// algorithms 4.4 and 5.1.
func (b *Backend) randomSVD(ctx context.Context, it svdItem, p kernels.SVDParams, run *phases) error {
	m, n, k := it.w.Rows, it.w.Cols, it.basis
	sc := b.scratch(kernels.OpSVD)
	defer sc.release()
	if err := sc.reserve(k, 2*m+3*n+2*k); err != nil { // left, right, u; the basis, core and both sides of B's
		return err
	}
	right, left := vectors(k, n), vectors(k, m)
	const stream = 0x9e3779b97f4a7c15
	rng := rand.New(rand.NewPCG(p.Seed, stream))
	for _, v := range right {
		for j := range v {
			v[j] = rng.NormFloat64()
		}
	}
	w, wt := it.scaled(), it.scaled()
	wt.trans = true
	for range p.Iterations {
		if err := b.project(ctx, run, left, right, w); err != nil {
			return err
		}
		if !allFinite(left) {
			it.undefined()
			return nil
		}
		if err := orthonormalize(ctx, left); err != nil {
			return fmt.Errorf("cpu: SVD: %w", err)
		}
		if err := b.project(ctx, run, right, left, wt); err != nil {
			return err
		}
		if err := orthonormalize(ctx, right); err != nil {
			return fmt.Errorf("cpu: SVD: %w", err)
		}
	}
	if err := b.project(ctx, run, left, right, w); err != nil {
		return err
	}
	if !allFinite(left) {
		it.undefined()
		return nil
	}
	if err := orthonormalize(ctx, left); err != nil {
		return fmt.Errorf("cpu: SVD: %w", err)
	}
	if err := b.project(ctx, run, right, left, wt); err != nil { // B = Qᵀ·W, one row a vector
		return err
	}
	v, s, inner, err := decompose(ctx, right)
	if err != nil {
		return fmt.Errorf("cpu: SVD: %w", err)
	}
	u := vectors(k, m)
	for i, c := range inner {
		for j, q := range left {
			axpy(u[i], c[j], q)
		}
	}
	it.store(u, s, v)
	return nil
}

// project computes dst_i = op(w)·set_i for all vectors.
func (b *Backend) project(ctx context.Context, run *phases, dst, set [][]float64, w operand) error {
	to, err := kernels.Of(flat(dst), len(dst), len(dst[0]), len(dst[0]))
	if err != nil {
		return fmt.Errorf("cpu: SVD: %w", err)
	}
	from, err := kernels.Of(flat(set), len(set), len(set[0]), len(set[0]))
	if err != nil {
		return fmt.Errorf("cpu: SVD: %w", err)
	}
	list := allTiles(nil, 0, to.Rows, to.Cols)
	return b.tiles(ctx, kernels.OpSVD, run.next(len(list)), len(list), func(ws *workspace, i int) {
		t := list[i]
		ni, nj := min(tileRows, to.Rows-t.i0), min(tileCols, to.Cols-t.j0)
		c := b.tier.product(ws, operand{m: from}, w, t.i0, ni, t.j0, nj)
		storeTile(ws, to, c, t, ni, nj, 1, 0)
	})
}

// flat returns the one allocation behind a set made by vectors.
func flat(set [][]float64) []float64 { return set[0][:len(set)*len(set[0])] }

func allFinite(set [][]float64) bool {
	for _, v := range set {
		for _, x := range v {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return false
			}
		}
	}
	return true
}

// undefined fills the outputs with NaN.
func (it svdItem) undefined() {
	for _, m := range []kernels.Matrix{it.u, it.s, it.v} {
		line := make([]float64, m.Cols)
		fill(line, math.NaN())
		for i := range m.Rows {
			storeRow(m, i, 0, line)
		}
	}
}

// store writes the leading triplets with their signs fixed.
func (it svdItem) store(left [][]float64, s []float64, right [][]float64) {
	r := it.u.Cols
	scaleBy(s[:r], it.exponent)
	for i := range r {
		best := 0.0
		for _, v := range left[i] {
			if math.Abs(v) > math.Abs(best) {
				best = v
			}
		}
		if best < 0 {
			scaleVector(left[i], -1)
			scaleVector(right[i], -1)
		}
	}
	storeColumns(it.u, left)
	storeRow(it.s, 0, 0, s[:r])
	storeColumns(it.v, right)
}

// storeColumns writes the first vectors of a set as the columns of m.
func storeColumns(m kernels.Matrix, set [][]float64) {
	line := make([]float64, m.Cols)
	for i := range m.Rows {
		for j := range line {
			line[j] = set[j][i]
		}
		storeRow(m, i, 0, line)
	}
}
