package kerneltest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

var estimators = []kernels.Estimator{kernels.Biased, kernels.Unbiased}

// hsicShapes are n, p, q: more rows than features and the reverse.
var hsicShapes = [][3]int{{2, 1, 1}, {3, 2, 5}, {4, 3, 1}, {5, 0, 3}, {17, 200, 9}, {65, 33, 31}, {97, 100, 130}, {129, 7, 300}, {200, 3, 2}}

func testHSIC(s *suite, t *testing.T) {
	for _, e := range estimators {
		t.Run(fmt.Sprintf("shapes estimator %d", e), func(t *testing.T) {
			for i, n := range s.costly() {
				s.hsicWidths(t, n, i, e)
			}
		})
		t.Run(fmt.Sprintf("types estimator %d", e), func(t *testing.T) {
			r := s.rng(t)
			for i, shape := range hsicShapes {
				for _, dt := range dtypes {
					if (dt == kernels.Float16 || dt == kernels.BFloat16 || dt == kernels.Float64 && shape[0] > 130) && i%3 != 0 {
						continue
					}
					l := layouts[i%len(layouts)]
					x := random(t, dt, shape[0], shape[1], l, gaussian(r))
					y := random(t, dt, shape[0], shape[2], l, positive(r))
					refs := make(map[*guarded]estimated)
					if shape[0] >= e.MinRows() {
						refs[x], refs[y] = estimate(e, linearKernel(x)), estimate(e, linearKernel(y))
					}
					s.hsic(t, []*guarded{x}, []*guarded{y}, e, refs)
				}
			}
		})
	}
	t.Run("swapped", func(t *testing.T) { s.hsicSwapped(t) })
	t.Run("few rows", func(t *testing.T) { s.hsicFewRows(t) })
	t.Run("offset", func(t *testing.T) { s.hsicOffset(t) })
	t.Run("CKA", func(t *testing.T) { s.cka(t) })
	t.Run("constant", func(t *testing.T) {
		x := newGuarded(t, kernels.Float32, 50, 3, 3, 0).fill(func() float64 { return 0.1 })
		y := random(t, kernels.Float32, 50, 4, layouts[0], gaussian(s.rng(t)))
		for _, e := range estimators {
			dst := make([]kernels.HSICValue, 1)
			s.must(t, s.b.HSIC(background(), dst, []kernels.Matrix{x.m}, []kernels.Matrix{y.m}, e, kernels.Options{}), kernels.Float32)
			if dst[0].XY != 0 || dst[0].XX != 0 || dst[0].YY == 0 {
				t.Errorf("constant features: %+v", dst[0])
			}
		}
	})
}

// hsicWidths computes, in one batch, pairs of layers with n rows: every two of
// the sizes as widths, or every width once on each side.
func (s *suite) hsicWidths(t *testing.T, n, shift int, e kernels.Estimator) {
	t.Helper()
	r, list := s.rng(t), s.costly()
	layers := make([]*guarded, len(list))
	refs := make(map[*guarded]estimated)
	for i, d := range list {
		next := gaussian(r)
		if i%2 == 1 {
			next = positive(r)
		}
		layers[i] = random(t, kernels.Float32, n, d, layouts[i%len(layouts)], next)
		if n >= e.MinRows() {
			refs[layers[i]] = estimate(e, linearKernel(layers[i]))
		}
	}
	var x, y []*guarded
	for i, p := range layers {
		if s.short {
			x, y = append(x, p), append(y, layers[(i+shift)%len(layers)])
			continue
		}
		for k, q := range layers[:i+1] {
			if k%2 == 0 {
				p, q = q, p
			}
			x, y = append(x, p), append(y, q)
		}
	}
	s.hsic(t, x, y, e, refs)
}

// hsic computes pairs that have the same number of rows.
func (s *suite) hsic(t *testing.T, x, y []*guarded, e kernels.Estimator, refs map[*guarded]estimated) {
	t.Helper()
	dst := make([]kernels.HSICValue, len(x))
	for i := range dst {
		dst[i] = kernels.HSICValue{XY: math.NaN(), XX: math.NaN(), YY: math.NaN()}
	}
	n := x[0].m.Rows
	err := s.b.HSIC(background(), dst, matrices(x), matrices(y), e, kernels.Options{})
	if n < e.MinRows() {
		var d *kernels.DegenerateError
		if !errors.As(err, &d) || len(d.Indices) != len(x) {
			t.Fatalf("HSIC of %d rows, estimator %d: %v, want all %d pairs undefined, seed %d", n, e, err, len(x), s.seed)
		}
		for i, v := range dst {
			if d.Indices[i] != i || !math.IsNaN(v.XY) || !math.IsNaN(v.XX) || !math.IsNaN(v.YY) {
				t.Fatalf("HSIC of %d rows, estimator %d, pair %d: %+v, index %d, seed %d", n, e, i, v, d.Indices[i], s.seed)
			}
		}
		return
	}
	if !s.do(t, err, computes(append(slices.Clone(x), y...)...)) {
		return
	}
	for i := range x {
		p, q := x[i], y[i]
		what := fmt.Sprintf("HSIC %s %dx%d with %d, estimator %d, pair %d", p.m.DType, n, p.m.Cols, q.m.Cols, e, i)
		j := s.judge(t, what, kernels.OpHSIC, kernels.Problem{Terms: max(p.m.Cols, q.m.Cols), Rows: n, Compute: computes(p, q), Out: kernels.Float64})
		a, b := refs[p], refs[q]
		j.check(dst[i].XY, a.with(b), 0)
		j.check(dst[i].XX, a.with(a), 1)
		j.check(dst[i].YY, b.with(b), 2)
		if p.m.Cols > 0 && q.m.Cols > 0 {
			j.done()
		}
		p.intact(t, what)
	}
}

// hsicSwapped checks that a pair gives the same bits either way round, in both
// forms: in sample and in feature space.
func (s *suite) hsicSwapped(t *testing.T) {
	r := s.rng(t)
	for _, shape := range [][3]int{{300, 5, 7}, {400, 64, 100}, {50, 300, 200}, {263, 3, 130}} {
		for _, dt := range []kernels.DType{kernels.Float32, kernels.Float64} {
			x, y := random(t, dt, shape[0], shape[1], layouts[1], gaussian(r)), random(t, dt, shape[0], shape[2], layouts[2], gaussian(r))
			for _, e := range estimators {
				dst := make([]kernels.HSICValue, 2)
				if !s.do(t, s.b.HSIC(background(), dst, ms(x.m, y.m), ms(y.m, x.m), e, kernels.Options{}), dt) {
					continue
				}
				if a, b := dst[0], dst[1]; a.XY != b.XY || a.XX != b.YY || a.YY != b.XX {
					t.Fatalf("%s %v estimator %d: %+v, swapped %+v, seed %d", dt, shape, e, a, b, s.seed)
				}
				there, back := kernels.HSICTable{XY: make([]float64, 1)}, kernels.HSICTable{XY: make([]float64, 1)}
				s.must(t, s.b.HSICMatrix(background(), there, ms(x.m), ms(y.m), kernels.Kernel{}, e, kernels.Options{}), dt)
				s.must(t, s.b.HSICMatrix(background(), back, ms(y.m), ms(x.m), kernels.Kernel{}, e, kernels.Options{}), dt)
				if there.XY[0] != back.XY[0] {
					t.Fatalf("HSICMatrix %s %v estimator %d: %v, swapped %v, seed %d", dt, shape, e, there.XY[0], back.XY[0], s.seed)
				}
			}
		}
	}
}

// hsicFewRows checks that an undefined pair does not disturb its neighbours.
func (s *suite) hsicFewRows(t *testing.T) {
	r := s.rng(t)
	var xs, ys []kernels.Matrix
	for _, n := range []int{3, 10, 0, 1, 4} {
		xs = append(xs, random(t, kernels.Float32, n, 3, layouts[1], gaussian(r)).m)
		ys = append(ys, random(t, kernels.Float32, n, 2, layouts[2], gaussian(r)).m)
	}
	dst := make([]kernels.HSICValue, len(xs))
	err := s.b.HSIC(background(), dst, xs, ys, kernels.Unbiased, kernels.Options{})
	var d *kernels.DegenerateError
	if !errors.As(err, &d) || !slices.Equal(d.Indices, []int{0, 2, 3}) || d.Op != kernels.OpHSIC {
		t.Fatalf("got %v, want undefined pairs 0, 2, 3", err)
	}
	for i, v := range dst {
		if undefined := slices.Contains(d.Indices, i); math.IsNaN(v.XY) != undefined || math.IsNaN(v.XX) != undefined || math.IsNaN(v.YY) != undefined {
			t.Errorf("pair %d: %+v", i, v)
		}
	}
}

// hsicOffset checks that a shift of a thousand standard deviations changes
// nothing beyond what it costs the input's digits.
func (s *suite) hsicOffset(t *testing.T) {
	r := s.rng(t)
	const n, p, q = 120, 9, 200
	near := random(t, kernels.Float64, n, p, layouts[1], func() float64 { return math.Round(1024*r.NormFloat64()) / 1024 })
	far := newGuarded(t, kernels.Float64, n, p, p, 0)
	for i := range n {
		for k := range p {
			far.set(i, k, near.at(i, k)+1024)
		}
	}
	y := random(t, kernels.Float64, n, q, layouts[0], gaussian(r))
	for _, e := range estimators {
		dst := make([]kernels.HSICValue, 2)
		if !s.do(t, s.b.HSIC(background(), dst, ms(near.m, far.m), ms(y.m, y.m), e, kernels.Options{}), kernels.Float64) {
			return
		}
		scale := math.Sqrt(dst[0].XX * dst[0].YY)
		if d := math.Abs(dst[0].XY-dst[1].XY) / scale; !(d <= 1e-11) {
			t.Errorf("estimator %d: a shift changes CKA by %v, seed %d", e, d, s.seed)
		}
	}
}

// The errors of CKA that an estimator may have (DESIGN, numbers): for float32
// input from 16 rows on, for fewer, at an offset of 1000 standard deviations,
// and for float64 input.
const (
	ckaError    = 1e-7
	ckaFew      = 1e-6
	ckaOffset   = 1e-5
	ckaFloat64  = 1e-12
	ckaFarError = 1000 * ckaFloat64
)

// cka checks XY/√(XX·YY) of related layers, in both forms of HSIC and as a
// table, near the origin and far from it.
func (s *suite) cka(t *testing.T) {
	r := s.rng(t)
	for _, shape := range [][3]int{{8, 3, 5}, {16, 4, 40}, {120, 9, 20}, {100, 300, 130}} {
		for _, offset := range []float64{0, 1000} {
			for _, dt := range []kernels.DType{kernels.Float32, kernels.Float64} {
				limit := ckaError
				switch {
				case dt == kernels.Float64 && offset > 0:
					limit = ckaFarError
				case dt == kernels.Float64:
					limit = ckaFloat64
				case offset > 0:
					limit = ckaOffset
				case shape[0] < 16:
					limit = ckaFew
				}
				x := random(t, dt, shape[0], shape[1], layouts[1], func() float64 { return offset + r.NormFloat64() })
				y := newGuarded(t, dt, shape[0], shape[2], shape[2]+1, 1)
				for i := range shape[0] { // half of y is x
					for k := range shape[2] {
						y.set(i, k, x.at(i, k%shape[1])+r.NormFloat64())
					}
				}
				s.ckaOf(t, x, y, limit)
			}
		}
	}
}

func (s *suite) ckaOf(t *testing.T, x, y *guarded, limit float64) {
	t.Helper()
	for _, e := range estimators {
		a, b := estimate(e, linearKernel(x)), estimate(e, linearKernel(y))
		xx, yy := a.with(a).want, b.with(b).want
		want := a.with(b).want.over(xx.times(yy).sqrt())
		dst := make([]kernels.HSICValue, 1)
		if !s.do(t, s.b.HSIC(background(), dst, ms(x.m), ms(y.m), e, kernels.Options{}), x.m.DType) {
			return
		}
		table := kernels.HSICTable{XY: make([]float64, 1), XX: make([]float64, 1), YY: make([]float64, 1)}
		if !s.do(t, s.b.HSICMatrix(background(), table, ms(x.m), ms(y.m), kernels.Kernel{}, e, kernels.Options{}), x.m.DType) {
			return
		}
		for name, v := range map[string]kernels.HSICValue{"HSIC": dst[0], "HSICMatrix": {XY: table.XY[0], XX: table.XX[0], YY: table.YY[0]}} {
			got := v.XY / math.Sqrt(v.XX*v.YY)
			if err := math.Abs(got - want.hi); !(err <= limit) {
				t.Fatalf("%s %s %dx%d with %d, estimator %d: CKA %.17g, want %.17g, error %.3g is %.3g times the limit, seed %d",
					name, x.m.DType, x.m.Rows, x.m.Cols, y.m.Cols, e, got, want.hi, err, err/limit, s.seed)
			}
		}
	}
}
