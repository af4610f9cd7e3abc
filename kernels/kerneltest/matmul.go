package kerneltest

import (
	"fmt"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// product describes one Matmul.
type product struct {
	a, b, out   kernels.DType
	form        kernels.Form
	m, n, k     int
	layout      layout
	alpha, beta float64
}

func (p product) compute() kernels.DType {
	if p.a == kernels.Float64 || p.b == kernels.Float64 {
		return kernels.Float64
	}
	return kernels.Float32
}

// operands returns random sources of the form's shapes.
func (p product) operands(t testing.TB, next func() float64) (a, b *guarded) {
	ar, ac, br, bc := p.m, p.k, p.n, p.k
	switch p.form {
	case kernels.TN:
		ar, ac, br, bc = p.k, p.m, p.k, p.n
	case kernels.NN:
		br, bc = p.k, p.n
	default:
	}
	return random(t, p.a, ar, ac, p.layout, next), random(t, p.b, br, bc, p.layout, next)
}

// sides returns the vectors whose inner products the result holds.
func (p product) sides(a, b *guarded) (left, right [][]float64) {
	left, right = rowsOf(a), rowsOf(b)
	if p.form == kernels.TN {
		left = colsOf(a)
	}
	if p.form != kernels.NT {
		right = colsOf(b)
	}
	return left, right
}

func testMatmul(s *suite, t *testing.T) {
	f32 := product{a: kernels.Float32, b: kernels.Float32, out: kernels.Float32, alpha: 1}
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for i, c := range s.triples(sizes) {
			p := f32
			p.m, p.n, p.k, p.layout = c[0], c[1], c[2], layouts[i%len(layouts)]
			s.matmulForms(t, p, gaussian(r))
		}
	})
	t.Run("types", func(t *testing.T) {
		r := s.rng(t)
		i := 0
		for _, a := range dtypes {
			for _, b := range dtypes {
				p := product{a: a, b: b, alpha: 0.7, beta: 1.3}
				for _, out := range outputs(p.compute()) {
					for _, c := range [][3]int{{3, 5, 1}, {17, 33, 300}, {130, 100, 65}} {
						i++
						p.out, p.m, p.n, p.k = out, c[0], c[1], c[2]
						p.form, p.layout = kernels.Form(i%3), layouts[i%len(layouts)]
						s.matmul(t, p, gaussian(r))
					}
				}
			}
		}
	})
	t.Run("scaling", func(t *testing.T) {
		r := s.rng(t)
		for i, ab := range scalings {
			p := f32
			p.form, p.m, p.n, p.k, p.layout, p.alpha, p.beta = kernels.Form(i%3), 37, 121, 50, layouts[1], ab[0], ab[1]
			s.matmul(t, p, positive(r))
		}
	})
	t.Run("integers", func(t *testing.T) { s.matmulIntegers(t) })
	t.Run("views", func(t *testing.T) { s.matmulViews(t) })
}

func (s *suite) matmul(t *testing.T, p product, next func() float64) {
	t.Helper()
	a, b := p.operands(t, next)
	if p.alpha == 0 {
		a.fill(math.NaN)
		b.fill(math.NaN)
	}
	dst := newGuarded(t, p.out, p.m, p.n, p.n+p.layout.pad, p.layout.offset)
	if p.beta != 0 {
		dst.fill(next)
	}
	old := dst.floats()
	err := s.b.Matmul(background(), []kernels.Matrix{dst.m}, []kernels.Matrix{a.m}, []kernels.Matrix{b.m}, p.form, p.alpha, p.beta, kernels.Options{})
	if !s.do(t, err, p.compute()) {
		return
	}
	what := fmt.Sprintf("Matmul %+v", p)
	j := s.judge(t, what, kernels.OpMatmul, kernels.Problem{Terms: p.k, Compute: p.compute(), Out: p.out})
	left, right := p.sides(a, b)
	j.matrix(dst, func(i, k int) reference {
		sum, gauge := dot(p.compute(), left[i], right[k])
		return combine(p.alpha, p.beta, sum, gauge, old[i*p.n+k])
	})
	if p.k > 0 && (p.alpha != 0 || p.beta != 0) {
		j.done()
	}
}

// matmulForms computes one product in each form, from the same sides.
func (s *suite) matmulForms(t *testing.T, p product, next func() float64) {
	t.Helper()
	a, b := p.operands(t, next)
	left, right := p.sides(a, b)
	wants := make([]reference, p.m*p.n)
	for i := range left {
		for k := range right {
			sum, gauge := dot(p.compute(), left[i], right[k])
			wants[i*p.n+k] = reference{sum, gauge}
		}
	}
	for _, form := range []kernels.Form{kernels.NT, kernels.TN, kernels.NN} {
		p.form = form
		x, y := a, b
		if form == kernels.TN {
			x = transposed(t, a, p.layout)
		}
		if form != kernels.NT {
			y = transposed(t, b, p.layout)
		}
		dst := newGuarded(t, p.out, p.m, p.n, p.n+p.layout.pad, p.layout.offset)
		if !s.do(t, s.b.Matmul(background(), ms(dst.m), ms(x.m), ms(y.m), form, 1, 0, kernels.Options{}), p.compute()) {
			return
		}
		j := s.judge(t, fmt.Sprintf("Matmul %+v", p), kernels.OpMatmul, kernels.Problem{Terms: p.k, Compute: p.compute(), Out: p.out})
		j.matrix(dst, func(i, k int) reference { return wants[i*p.n+k] })
		if p.k > 0 {
			j.done()
		}
	}
}

// transposed returns a copy of g with rows and columns exchanged.
func transposed(t testing.TB, g *guarded, l layout) *guarded {
	t.Helper()
	out := newGuarded(t, g.m.DType, g.m.Cols, g.m.Rows, g.m.Rows+l.pad, l.offset)
	for i := range g.m.Rows {
		for j := range g.m.Cols {
			out.set(j, i, g.at(i, j))
		}
	}
	return out
}

// matmulIntegers checks that sums of integers below 2^24 are exact, in every
// precision: 16 bits hold the factors too.
func (s *suite) matmulIntegers(t *testing.T) {
	r := s.rng(t)
	for i, dt := range dtypes {
		for form := range kernels.Form(3) {
			for precision := range kernels.Strict + 1 {
				p := product{a: dt, b: dtypes[(i+int(form)+int(precision))%len(dtypes)], form: form, m: 99, n: 131, k: 255, layout: layouts[3], alpha: 1, beta: -1}
				s.matmulExact(t, p, precision, integers(r, 256))
				p.k, p.alpha = 700, 2
				s.matmulExact(t, p, precision, integers(r, 8))
			}
		}
	}
}

func (s *suite) matmulExact(t *testing.T, p product, precision kernels.Precision, next func() float64) {
	t.Helper()
	a, b := p.operands(t, next)
	dst := random(t, outputs(p.compute())[0], p.m, p.n, p.layout, next)
	old := dst.floats()
	o := kernels.Options{Precision: precision}
	if !s.do(t, s.b.Matmul(background(), ms(dst.m), ms(a.m), ms(b.m), p.form, p.alpha, p.beta, o), p.compute()) {
		return
	}
	left, right := p.sides(a, b)
	for i := range left {
		for k := range right {
			sum, _ := dot(kernels.Float32, left[i], right[k])
			if want := p.alpha*sum.hi + p.beta*old[i*p.n+k]; dst.at(i, k) != want {
				t.Fatalf("%+v precision %d, first bad index (%d, %d): %v, want exactly %v, seed %d", p, precision, i, k, dst.at(i, k), want, s.seed)
			}
		}
	}
}

// matmulViews multiplies column blocks of one matrix into column blocks of
// another, a batch at once, with one source serving as both sides.
func (s *suite) matmulViews(t *testing.T) {
	r := s.rng(t)
	const heads, rows, width = 3, 40, 12
	x := random(t, kernels.Float32, rows, heads*width, layouts[2], gaussian(r))
	dst := newGuarded(t, kernels.Float32, rows, heads*rows, heads*rows+5, 1)
	var ds, xs []kernels.Matrix
	for h := range heads {
		ds = append(ds, sub(t, dst.m, 0, h*rows, rows, rows))
		xs = append(xs, sub(t, x.m, 0, h*width, rows, width))
	}
	s.must(t, s.b.Matmul(background(), ds, xs, xs, kernels.NT, 1, 0, kernels.Options{}), kernels.Float32)
	j := s.judge(t, "Matmul of column blocks", kernels.OpMatmul, kernels.Problem{Terms: width})
	all := rowsOf(x)
	j.matrix(dst, func(i, k int) reference {
		h := k / rows
		sum, gauge := dot(kernels.Float32, all[i][h*width:(h+1)*width], all[k%rows][h*width:(h+1)*width])
		return reference{sum, gauge}
	})
	j.done()
}

func sub(t testing.TB, m kernels.Matrix, row, col, rows, cols int) kernels.Matrix {
	t.Helper()
	v, err := m.View(row, col, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
