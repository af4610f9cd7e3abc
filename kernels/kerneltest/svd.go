package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// svdResult holds the outputs of one SVD.
type svdResult struct{ u, s, v *guarded }

func (s *suite) svd(t *testing.T, w *guarded, rank int, out kernels.DType, p kernels.SVDParams) (svdResult, bool) {
	t.Helper()
	l := layouts[rank%len(layouts)]
	res := svdResult{
		newGuarded(t, out, w.m.Rows, rank, rank+l.pad, l.offset), newGuarded(t, out, 1, rank, rank, 1),
		newGuarded(t, out, w.m.Cols, rank, rank+l.pad, 0),
	}
	err := s.b.SVD(background(), []kernels.Matrix{res.u.m}, []kernels.Matrix{res.s.m}, []kernels.Matrix{res.v.m}, []kernels.Matrix{w.m}, p, kernels.Options{})
	ok := s.do(t, err, computes(w, res.u))
	for _, g := range []*guarded{res.u, res.s, res.v, w} {
		g.intact(t, "SVD")
	}
	return res, ok
}

// spectrum returns an m x n matrix of known singular values: random reflections
// (Householder) on both sides of a diagonal.
func spectrum(t testing.TB, r *rand.Rand, dt kernels.DType, m, n int, sigma func(i int) float64) (*guarded, []float64) {
	k := min(m, n)
	a := make([][]float64, m)
	values := make([]float64, k)
	for i := range a {
		a[i] = make([]float64, n)
		if i < k {
			values[i] = sigma(i)
			a[i][i] = values[i]
		}
	}
	reflect := func(size int, at func(i int) *float64, v []float64) {
		sum := 0.0
		for i := range size {
			sum += v[i] * *at(i)
		}
		for i := range size {
			*at(i) -= 2 * sum * v[i]
		}
	}
	for range 3 {
		left, right := unit(r, m), unit(r, n)
		for j := range n {
			reflect(m, func(i int) *float64 { return &a[i][j] }, left)
		}
		for i := range m {
			reflect(n, func(j int) *float64 { return &a[i][j] }, right)
		}
	}
	i := 0
	w := random(t, dt, m, n, layouts[1], func() float64 { i++; return a[(i-1)/n][(i-1)%n] })
	return w, values
}

// unit returns a random unit vector.
func unit(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	norm := 0.0
	for i := range v {
		v[i] = r.NormFloat64()
		norm += v[i] * v[i]
	}
	for i := range v {
		v[i] /= math.Sqrt(norm)
	}
	return v
}

func testSVD(s *suite, t *testing.T) {
	t.Run("exact", func(t *testing.T) {
		r := s.rng(t)
		for i, p := range [][2]int{{1, 1}, {1, 7}, {9, 1}, {8, 8}, {33, 17}, {16, 65}, {129, 40}} {
			for k, dt := range dtypes {
				w, sigma := spectrum(t, r, dt, p[0], p[1], func(i int) float64 { return math.Pow(0.8, float64(i)) })
				s.svdExact(t, w, sigma, min(p[0], p[1]), []kernels.DType{kernels.Float32, kernels.Float64}[(i+k)%2])
				s.svdExact(t, w, sigma, (min(p[0], p[1])+1)/2, kernels.Float64)
			}
		}
	})
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for i, p := range pairs(sizes) {
			rank := min(3, p[0], p[1])
			if i%5 == 4 {
				rank = 0
			}
			params := []kernels.SVDParams{{Oversample: 2, Iterations: 1, Seed: 11}, {Oversample: 9}, {}}[i%3]
			s.svdLowRank(t, r, kernels.Float32, p[0], p[1], rank, params, 0)
		}
	})
	t.Run("range", func(t *testing.T) { // entries whose squares leave the range
		r := s.rng(t)
		for dt, list := range map[kernels.DType][]int{kernels.Float64: {-960, -560, 530, 1000}, kernels.Float32: {-100, 100}} {
			for _, k := range list {
				for _, p := range [][2]int{{2, 2}, {9, 5}, {40, 30}, {30, 130}} {
					s.svdLowRank(t, r, dt, p[0], p[1], 2, kernels.SVDParams{Oversample: 2, Iterations: 2, Seed: 5}, k)
				}
			}
		}
	})
	t.Run("deficient", func(t *testing.T) {
		r := s.rng(t)
		for _, rank := range []int{0, 1, 5} {
			w, sigma := spectrum(t, r, kernels.Float64, 40, 25, func(i int) float64 {
				if i >= rank {
					return 0
				}
				return float64(rank - i)
			})
			s.svdExact(t, w, sigma, 25, kernels.Float64)
			res, ok := s.svd(t, w, 8, kernels.Float64, kernels.SVDParams{Oversample: 4, Iterations: 2, Seed: 3})
			if ok {
				s.orthonormal(t, "deficient, randomised", res.u, 1e-13)
				s.orthonormal(t, "deficient, randomised", res.v, 1e-13)
			}
		}
	})
	t.Run("randomised", func(t *testing.T) { s.svdRandomised(t) })
	t.Run("seed", func(t *testing.T) { s.svdSeed(t) })
	t.Run("not finite", func(t *testing.T) {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, p := range []kernels.SVDParams{{}, {Oversample: 100}} {
				w := random(t, kernels.Float32, 30, 20, layouts[0], gaussian(s.rng(t)))
				w.set(17, 11, bad)
				res, ok := s.svd(t, w, 3, kernels.Float32, p)
				for _, g := range []*guarded{res.u, res.s, res.v} {
					for i, v := range g.floats() {
						if ok && !math.IsNaN(v) {
							t.Fatalf("%+v: %v gave %v at %d", p, bad, v, i)
						}
					}
				}
			}
		}
	})
}

// svdLowRank decomposes a matrix of the given rank times 2^scale, and multiplies
// the factors again: the subspace iteration finds such a matrix whole.
func (s *suite) svdLowRank(t *testing.T, r *rand.Rand, dt kernels.DType, m, n, rank int, p kernels.SVDParams, scale int) {
	t.Helper()
	left, right := make([][]float64, rank), make([][]float64, rank)
	for l := range rank {
		left[l], right[l] = unit(r, m), unit(r, n)
	}
	w := newGuarded(t, dt, m, n, n+layouts[m%len(layouts)].pad, 1)
	norm := 0.0
	for i := range m {
		for k := range n {
			sum := 0.0
			for l := range rank {
				sum += float64(rank-l) * left[l][i] * right[l][k]
			}
			w.set(i, k, math.Ldexp(sum, scale))
			norm += sum * sum
		}
	}
	norm = math.Sqrt(norm)
	res, ok := s.svd(t, w, rank, dt, p)
	if !ok {
		return
	}
	what := fmt.Sprintf("SVD %s %dx%d rank %d, %+v, scaled by 2^%d", dt, m, n, rank, p, scale)
	j := s.judge(t, what, kernels.OpSVD, kernels.Problem{Terms: max(m, n, 1), Compute: dt, Out: kernels.Float64})
	limit := j.bounds.Bound.Limit(0, norm) + 64*dt.UnitRoundoff()*norm
	u, v := rowsOf(res.u), rowsOf(res.v)
	for i := range m {
		for k := range n {
			sum := 0.0
			for l := range rank {
				sum += u[i][l] * math.Ldexp(res.s.at(0, l), -scale) * v[k][l]
			}
			if want := math.Ldexp(w.at(i, k), -scale); !(math.Abs(sum-want) <= limit) {
				t.Fatalf("%s: first bad index (%d, %d): rebuilt as %v, want %v, %.3g times the limit, seed %d", what, i, k, sum, want, math.Abs(sum-want)/limit, s.seed)
			}
		}
	}
	s.orthonormal(t, what, res.u, 16*dt.UnitRoundoff()+1e-14)
	s.orthonormal(t, what, res.v, 16*dt.UnitRoundoff()+1e-14)
	s.signs(t, what, res.u)
}

// svdExact checks a decomposition whose basis covers the space. An entry of
// w is off by one rounding of its type, which moves a singular value by no more
// than the Frobenius norm of that (Weyl).
func (s *suite) svdExact(t *testing.T, w *guarded, sigma []float64, rank int, out kernels.DType) {
	t.Helper()
	m, n := w.m.Rows, w.m.Cols
	res, ok := s.svd(t, w, rank, out, kernels.SVDParams{Oversample: max(m, n)})
	if !ok {
		return
	}
	what := fmt.Sprintf("SVD %s->%s %dx%d rank %d", w.m.DType, out, m, n, rank)
	norm := 0.0
	for _, v := range sigma {
		norm += v * v
	}
	const made = 0x1p-46 // six reflections in float64 made w
	rounding := (w.m.DType.UnitRoundoff() + made + out.UnitRoundoff()) * math.Sqrt(norm)
	if w.m.DType == kernels.Float16 {
		rounding += 0x1p-25 * math.Sqrt(float64(m*n)) // subnormal numbers
	}
	for i := range rank {
		if !(math.Abs(res.s.at(0, i)-sigma[i]) <= rounding+1e-15) {
			t.Fatalf("%s: singular value %d is %v, want %v, seed %d", what, i, res.s.at(0, i), sigma[i], s.seed)
		}
		if i > 0 && !(res.s.at(0, i) <= res.s.at(0, i-1)) {
			t.Fatalf("%s: singular values do not fall at %d", what, i)
		}
	}
	tolerance := 1e-13 + 4*out.UnitRoundoff()
	s.orthonormal(t, what, res.u, tolerance)
	s.orthonormal(t, what, res.v, tolerance)
	s.signs(t, what, res.u)
	if rank < len(sigma) {
		return
	}
	j := s.judge(t, what, kernels.OpSVD, kernels.Problem{Terms: max(m, n), Compute: compute(out), Out: kernels.Float64})
	u, v := rowsOf(res.u), rowsOf(res.v)
	for i := range m {
		for k := range n {
			sum := 0.0
			for l := range rank {
				sum += u[i][l] * res.s.at(0, l) * v[k][l]
			}
			limit := j.bounds.Bound.Limit(0, max(sigma[0], 1e-300)) + 1e-14*sigma[0]
			if err := math.Abs(sum - w.at(i, k)); !(err <= limit) {
				t.Fatalf("%s: (%d, %d) is rebuilt as %v, want %v, %.3g times the limit, seed %d", what, i, k, sum, w.at(i, k), err/limit, s.seed)
			}
		}
	}
}

// orthonormal checks the columns of g.
func (s *suite) orthonormal(t *testing.T, what string, g *guarded, tolerance float64) {
	t.Helper()
	cols := colsOf(g)
	for i := range cols {
		for k := range i + 1 {
			got, _ := dot(kernels.Float32, cols[i], cols[k])
			want := 0.0
			if i == k {
				want = 1
			}
			if !(math.Abs(got.hi-want) <= tolerance) {
				t.Fatalf("%s: columns %d and %d have the inner product %v, seed %d", what, i, k, got.hi, s.seed)
			}
		}
	}
}

// signs checks that the first entry of largest magnitude of each column is positive.
func (s *suite) signs(t *testing.T, what string, g *guarded) {
	t.Helper()
	for k, col := range colsOf(g) {
		best := 0.0
		for _, v := range col {
			if math.Abs(v) > math.Abs(best)*(1+1e-6) { // ties of the wide result may not be ties as stored
				best = v
			}
		}
		if best < 0 {
			t.Fatalf("%s: the largest entry of column %d is %v", what, k, best)
		}
	}
}

// svdRandomised checks the captured energy against the optimum: with four
// iterations and an oversampling of ten the theory of Halko et al. (2011,
// theorem 10.6) leaves well under a thousandth for this decay.
func (s *suite) svdRandomised(t *testing.T) {
	r := s.rng(t)
	for _, p := range [][2]int{{200, 150}, {90, 260}} {
		for _, dt := range []kernels.DType{kernels.Float32, kernels.Float64, kernels.BFloat16} {
			w, sigma := spectrum(t, r, dt, p[0], p[1], func(i int) float64 { return 1 / math.Sqrt(float64(i+1)) })
			const rank = 16
			res, ok := s.svd(t, w, rank, kernels.Float32, kernels.SVDParams{Oversample: 10, Iterations: 4, Seed: 7})
			if !ok {
				continue
			}
			got, best := 0.0, 0.0
			for i := range rank {
				got += res.s.at(0, i) * res.s.at(0, i)
				best += sigma[i] * sigma[i]
			}
			slack := 1e-3 + 2*dt.UnitRoundoff()*math.Sqrt(float64(p[0]+p[1]))
			if got < best*(1-slack) || got > best*(1+slack) {
				t.Errorf("%s %v: energy %v of %v", dt, p, got, best)
			}
			s.orthonormal(t, "randomised", res.u, 1e-6)
			s.orthonormal(t, "randomised", res.v, 1e-6)
			s.signs(t, "randomised", res.u)
			// u and v belong together: uᵀ·w·v is diagonal.
			u, v := colsOf(res.u), colsOf(res.v)
			for i := range rank {
				wv := make([]float64, p[0])
				for a, row := range rowsOf(w) {
					d, _ := dot(kernels.Float32, row, v[i])
					wv[a] = d.hi
				}
				for k := range rank {
					d, _ := dot(kernels.Float32, u[k], wv)
					want := 0.0
					if i == k {
						want = res.s.at(0, i)
					}
					if !(math.Abs(d.hi-want) <= 1e-5) {
						t.Fatalf("%s %v: uᵀwv (%d, %d) is %v, want %v", dt, p, k, i, d.hi, want)
					}
				}
			}
		}
	}
}

// svdSeed checks that the seed decides, and that it decides everything.
func (s *suite) svdSeed(t *testing.T) {
	w := random(t, kernels.Float32, 120, 110, layouts[2], gaussian(s.rng(t)))
	var runs []svdResult
	for _, seed := range []uint64{1, 1, 2} {
		res, ok := s.svd(t, w, 5, kernels.Float32, kernels.SVDParams{Oversample: 3, Iterations: 1, Seed: seed})
		if !ok {
			return
		}
		runs = append(runs, res)
	}
	runs[1].u.unchanged(t, "u of the same seed", runs[0].u.snapshot())
	runs[1].v.unchanged(t, "v of the same seed", runs[0].v.snapshot())
	same := true
	for i, v := range runs[2].u.floats() {
		same = same && v == runs[0].u.floats()[i]
	}
	if same {
		t.Error("another seed gives the same vectors")
	}
}
