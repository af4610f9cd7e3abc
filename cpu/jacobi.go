package cpu

import (
	"context"
	"math"
	"slices"
)

// A set of vectors is stored as rows: set[i] is the i-th vector.

// null is the share of the largest norm below which a direction counts as
// rounding noise of k vectors.
func null(k int) float64 { return float64(max(k, 8)) * 0x1p-52 }

// axpy computes y += a·x.
func axpy(y []float64, a float64, x []float64) {
	for i, v := range x {
		y[i] += a * v
	}
}

func scaleVector(v []float64, f float64) {
	for i := range v {
		v[i] *= f
	}
}

// orthonormalize turns set into an orthonormal set that spans the same space and
// more: Gram-Schmidt, each vector twice ("twice is enough", Giraud et al. 2005).
// A vector that depends on the ones before it is replaced by a new direction.
// It returns the context's error if that ends first.
func orthonormalize(ctx context.Context, set [][]float64) error {
	for k := range set {
		if err := ctx.Err(); err != nil {
			return err
		}
		before := math.Sqrt(sumSquares(set[k]))
		if !project(set[:k], set[k], null(len(set))*before) {
			complete(set[:k], set[k])
		}
	}
	return nil
}

// project makes v a unit vector orthogonal to the set; it returns false if what
// is left of v is not longer than floor.
func project(set [][]float64, v []float64, floor float64) bool {
	for pass := range 2 {
		for _, q := range set {
			axpy(v, -inner(q, v), q)
		}
		norm := math.Sqrt(sumSquares(v))
		if norm <= floor || norm == 0 {
			return false
		}
		scaleVector(v, 1/norm)
		if pass == 0 {
			floor = 0.01 // the second pass removes rounding errors only
		}
	}
	return true
}

// complete overwrites v with a unit vector orthogonal to the set, made from the
// first coordinate axis that serves. There is one as long as the set has fewer
// vectors than v has elements.
func complete(set [][]float64, v []float64) {
	for axis := range v {
		share := 1.0 // squared length of the axis outside the set's span
		for _, q := range set {
			share -= q[axis] * q[axis]
		}
		if share*float64(2*len(v)) < 1 {
			continue
		}
		clear(v)
		v[axis] = 1
		if project(set, v, 0) {
			return
		}
	}
}

// jacobi makes the vectors of a orthogonal by plane rotations (one-sided Jacobi,
// Hestenes 1958, de Rijk 1989) and applies the rotations to turned too. It
// returns the context's error if that ends first.
func jacobi(ctx context.Context, a, turned [][]float64) error {
	const tolerance, sweeps = 0x1p-51, 60
	for range sweeps {
		largest := 0.0
		for _, v := range a {
			largest = max(largest, sumSquares(v))
		}
		noise := null(len(a)) * null(len(a)) / 64 * largest
		rotated := false
		for p := range a {
			if err := ctx.Err(); err != nil {
				return err
			}
			for q := p + 1; q < len(a); q++ {
				pp, qq, pq := sumSquares(a[p]), sumSquares(a[q]), inner(a[p], a[q])
				if pp <= noise || qq <= noise || math.Abs(pq) <= tolerance*math.Sqrt(pp*qq) {
					continue
				}
				rotated = true
				zeta := (qq - pp) / (2 * pq)
				t := math.Copysign(1, zeta) / (math.Abs(zeta) + math.Hypot(1, zeta))
				c := 1 / math.Hypot(1, t)
				rotate(a[p], a[q], c, c*t)
				rotate(turned[p], turned[q], c, c*t)
			}
		}
		if !rotated {
			return nil
		}
	}
	return nil
}

// rotate replaces (x, y) by (c·x − s·y, s·x + c·y).
func rotate(x, y []float64, c, s float64) {
	y = y[:len(x)]
	for i, v := range x {
		w := y[i]
		x[i] = c*v - s*w
		y[i] = s*v + c*w
	}
}

// vectors returns k zero vectors of length n, one after the other in memory, so
// that the first one's capacity reaches over all of them.
func vectors(k, n int) [][]float64 {
	flat := make([]float64, k*n)
	out := make([][]float64, k)
	for i := range out {
		out[i] = flat[i*n : (i+1)*n]
	}
	return out
}

// decompose computes the singular value decomposition of the matrix A whose
// columns are the k vectors of set, each at least k long: A = Σ_i s_i·left_i·right_iᵀ,
// s falling, left k vectors like set's, right k vectors of length k. set becomes
// an orthonormal basis of its span.
func decompose(ctx context.Context, set [][]float64) (left [][]float64, s []float64, right [][]float64, err error) {
	k := len(set)
	if k == 0 {
		return nil, nil, nil, nil
	}
	basis := vectors(k, len(set[0]))
	for i, v := range set {
		copy(basis[i], v)
	}
	if err := orthonormalize(ctx, basis); err != nil {
		return nil, nil, nil, err
	}
	core, turned := vectors(k, k), vectors(k, k)
	for i, v := range set { // column i of A is basisᵀ·core[i]
		if err := ctx.Err(); err != nil {
			return nil, nil, nil, err
		}
		for j, q := range basis {
			core[i][j] = inner(q, v)
		}
		turned[i][i] = 1
	}
	if err := jacobi(ctx, core, turned); err != nil {
		return nil, nil, nil, err
	}
	order := make([]int, k)
	values := make([]float64, k)
	for i, v := range core {
		order[i], values[i] = i, math.Sqrt(sumSquares(v))
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case values[i] > values[j]:
			return -1
		case values[i] < values[j]:
			return 1
		}
		return 0
	})
	s, right = make([]float64, k), make([][]float64, k)
	inside := make([][]float64, 0, k) // left vectors in coordinates of the basis
	floor := null(k) * values[order[0]]
	for to, from := range order {
		if err := ctx.Err(); err != nil {
			return nil, nil, nil, err
		}
		s[to], right[to] = values[from], turned[from]
		v := core[from]
		if !project(inside, v, floor) {
			complete(inside, v)
		}
		inside = append(inside, v)
	}
	left = vectors(k, len(set[0]))
	for i, v := range inside {
		if err := ctx.Err(); err != nil {
			return nil, nil, nil, err
		}
		for j, q := range basis {
			axpy(left[i], v[j], q)
		}
	}
	return left, s, right, nil
}
