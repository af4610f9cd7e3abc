package kerneltest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// kernelRef is a kernel matrix in twice the precision, with the gauge of every
// entry.
type kernelRef struct {
	k [][]dd
	g [][]float64
}

// centeredRows returns the rows of g less the column means, in twice the
// precision.
func centeredRows(g *guarded) [][]dd {
	cols := colsOf(g)
	out := make([][]dd, g.m.Rows)
	for i := range out {
		out[i] = make([]dd, g.m.Cols)
	}
	for k, col := range cols {
		mean, _ := columnMean(col)
		for i, v := range col {
			out[i][k] = exact(v).minus(mean)
		}
	}
	return out
}

// linearKernel returns K = x·xᵀ of the centred features.
func linearKernel(g *guarded) kernelRef {
	rows := centeredRows(g)
	r := newKernelRef(len(rows))
	high := make([][]float64, len(rows))
	for i, row := range rows {
		high[i] = make([]float64, len(row))
		for k, v := range row {
			high[i][k] = v.hi
		}
	}
	double := g.m.DType == kernels.Float64
	for i := range rows {
		for j := range i + 1 {
			var sum dd
			var gauge float64
			if double {
				for k := range rows[i] {
					p := rows[i][k].times(rows[j][k])
					sum = sum.plus(p)
					gauge += math.Abs(p.hi)
				}
			} else {
				sum, gauge = dot(kernels.Float32, high[i], high[j])
			}
			r.k[i][j], r.k[j][i] = sum, sum
			r.g[i][j], r.g[j][i] = gauge, gauge
		}
	}
	return r
}

func newKernelRef(n int) kernelRef {
	r := kernelRef{k: make([][]dd, n), g: make([][]float64, n)}
	for i := range n {
		r.k[i], r.g[i] = make([]dd, n), make([]float64, n)
	}
	return r
}

// hsicOf evaluates the estimator as it is defined. A biased estimate centres
// both kernels; an unbiased one sets their diagonals to zero.
func hsicOf(e kernels.Estimator, a, b kernelRef) reference {
	n := len(a.k)
	if e == kernels.Biased {
		ha, hb := centeredKernel(a.k), centeredKernel(b.k)
		var sum dd
		gauge := 0.0
		for i := range n {
			for j := range n {
				sum = sum.plus(ha[i][j].times(hb[i][j]))
				gauge += a.g[i][j] * b.g[i][j]
			}
		}
		f := float64(n-1) * float64(n-1)
		return reference{sum.over(exact(f)), gauge / f}
	}
	var trace, cross, totalA, totalB dd
	var gTrace, gCross, gA, gB float64
	for i := range n {
		var rowA, rowB dd
		var gRowA, gRowB float64
		for j := range n {
			if i == j {
				continue
			}
			trace = trace.plus(a.k[i][j].times(b.k[i][j]))
			rowA, rowB = rowA.plus(a.k[i][j]), rowB.plus(b.k[i][j])
			gTrace += a.g[i][j] * b.g[i][j]
			gRowA += a.g[i][j]
			gRowB += b.g[i][j]
		}
		cross = cross.plus(rowA.times(rowB))
		totalA, totalB = totalA.plus(rowA), totalB.plus(rowB)
		gCross += gRowA * gRowB
		gA += gRowA
		gB += gRowB
	}
	m := float64(n)
	value := trace.plus(totalA.times(totalB).over(exact((m - 1) * (m - 2)))).minus(exact(2).times(cross).over(exact(m - 2)))
	gauge := gTrace + gA*gB/((m-1)*(m-2)) + 2/(m-2)*gCross
	return reference{value.over(exact(m * (m - 3))), gauge / (m * (m - 3))}
}

// centeredKernel returns H·K·H.
func centeredKernel(k [][]dd) [][]dd {
	n := exact(float64(len(k)))
	mean := make([]dd, len(k))
	var all dd
	for i, row := range k {
		for _, v := range row {
			mean[i] = mean[i].plus(v)
		}
		all = all.plus(mean[i])
		mean[i] = mean[i].over(n)
	}
	all = all.over(n).over(n)
	out := make([][]dd, len(k))
	for i, row := range k {
		out[i] = make([]dd, len(row))
		for j, v := range row {
			out[i][j] = v.minus(mean[i]).minus(mean[j]).plus(all)
		}
	}
	return out
}

var estimators = []kernels.Estimator{kernels.Biased, kernels.Unbiased}

// hsicShapes are n, p, q: more rows than features and the reverse, and the edges
// of tiles.
func (s *suite) hsicShapes() [][3]int {
	list := [][3]int{{2, 1, 1}, {3, 2, 5}, {4, 3, 1}, {5, 0, 3}, {17, 500, 9}, {65, 33, 31}, {97, 100, 130}, {129, 7, 300}, {200, 3, 2}}
	if !s.short {
		list = append(list, [3]int{beyondTiles, 4, 129}, [3]int{500, 127, 1}, [3]int{192, 521, 8}, [3]int{96, 96, 96})
	}
	return list
}

func testHSIC(s *suite, t *testing.T) {
	for _, e := range estimators {
		t.Run(fmt.Sprintf("estimator %d", e), func(t *testing.T) {
			r := s.rng(t)
			for i, shape := range s.hsicShapes() {
				for _, dt := range dtypes {
					if (dt == kernels.Float16 || dt == kernels.BFloat16 || dt == kernels.Float64 && shape[0] > 130) && i%3 != 0 {
						continue
					}
					l := layouts[i%len(layouts)]
					x := random(t, dt, shape[0], shape[1], l, gaussian(r))
					y := random(t, dt, shape[0], shape[2], l, positive(r))
					s.hsic(t, x, y, e)
				}
			}
		})
	}
	t.Run("few rows", func(t *testing.T) { s.hsicFewRows(t) })
	t.Run("offset", func(t *testing.T) { s.hsicOffset(t) })
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

func (s *suite) hsic(t *testing.T, x, y *guarded, e kernels.Estimator) {
	t.Helper()
	dst := []kernels.HSICValue{{XY: math.NaN(), XX: math.NaN(), YY: math.NaN()}}
	err := s.b.HSIC(background(), dst, []kernels.Matrix{x.m}, []kernels.Matrix{y.m}, e, kernels.Options{})
	if x.m.Rows < e.MinRows() {
		var d *kernels.DegenerateError
		if !errors.As(err, &d) || !slices.Equal(d.Indices, []int{0}) || !math.IsNaN(dst[0].XY+dst[0].XX+dst[0].YY) {
			t.Fatalf("%d rows, estimator %d: %+v, %v", x.m.Rows, e, dst[0], err)
		}
		return
	}
	if !s.do(t, err, compute(x.m.DType)) {
		return
	}
	what := fmt.Sprintf("HSIC %s %dx%d with %d, estimator %d", x.m.DType, x.m.Rows, x.m.Cols, y.m.Cols, e)
	a, b := linearKernel(x), linearKernel(y)
	j := s.judge(t, what, kernels.OpHSIC, kernels.Problem{Terms: max(x.m.Cols, y.m.Cols), Rows: x.m.Rows, Compute: compute(x.m.DType), Out: kernels.Float64})
	j.check(dst[0].XY, hsicOf(e, a, b), 0)
	j.check(dst[0].XX, hsicOf(e, a, a), 1)
	j.check(dst[0].YY, hsicOf(e, b, b), 2)
	if x.m.Cols > 0 {
		j.done()
	}
	x.intact(t, what)
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
		if !s.do(t, s.b.HSIC(background(), dst, []kernels.Matrix{near.m, far.m}, []kernels.Matrix{y.m, y.m}, e, kernels.Options{}), kernels.Float64) {
			return
		}
		scale := math.Sqrt(dst[0].XX * dst[0].YY)
		if d := math.Abs(dst[0].XY-dst[1].XY) / scale; !(d <= 1e-11) {
			t.Errorf("estimator %d: a shift changes CKA by %v", e, d)
		}
	}
}
