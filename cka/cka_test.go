package cka_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/cka"
	"github.com/cambium-kernels/cambium/cpu"
	"github.com/cambium-kernels/cambium/kernels"
)

// The fixtures of six rows, and their exact values in rationals.
var (
	sixX    = [][]float64{{1, 0}, {0, 1}, {1, 1}, {2, 1}, {0, 2}, {3, 1}}
	sixY    = [][]float64{{1, 2, 0}, {0, 1, 1}, {1, 0, 1}, {2, 2, 1}, {1, 1, 3}, {3, 0, 2}}
	secondX = [][]float64{{3, 2}, {0, 4}, {2, 2}, {1, 2}, {0, 2}, {1, 0}}
	secondY = [][]float64{{3, 1, 2}, {1, 2, 3}, {2, 3, 1}, {1, 1, 1}, {0, 2, 1}, {1, 3, 0}}
)

func backend(t testing.TB) kernels.Backend {
	t.Helper()
	b, err := cpu.New(cpu.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// matrix makes a float64 matrix of rows.
func matrix(t testing.TB, rows [][]float64) kernels.Matrix {
	t.Helper()
	return flat(t, slices.Concat(rows...), len(rows))
}

func flat(t testing.TB, data []float64, rows int) kernels.Matrix {
	t.Helper()
	cols := 0
	if rows > 0 {
		cols = len(data) / rows
	}
	m, err := kernels.Of(data, rows, cols, cols)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// single rounds a float64 matrix to float32.
func single(t testing.TB, m kernels.Matrix) kernels.Matrix {
	t.Helper()
	wide, err := kernels.Floats[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]float32, len(wide))
	for i, v := range wide {
		data[i] = float32(v)
	}
	out, err := kernels.Of(data, m.Rows, m.Cols, m.Stride)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// padded returns the same matrix with rows further apart, and NaN between them.
func padded(t testing.TB, m kernels.Matrix) kernels.Matrix {
	t.Helper()
	tight, err := kernels.Floats[float64](m)
	if err != nil {
		t.Fatal(err)
	}
	stride := m.Cols + 3
	data := make([]float64, m.Rows*stride)
	for i := range data {
		data[i] = math.NaN()
	}
	for i := range m.Rows {
		copy(data[i*stride:], tight[i*m.Stride:i*m.Stride+m.Cols])
	}
	out, err := kernels.Of(data, m.Rows, m.Cols, stride)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func normal(seed uint64, rows, cols int) []float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]float64, rows*cols)
	for i := range out {
		out[i] = r.NormFloat64()
	}
	return out
}

func list(m ...kernels.Matrix) []kernels.Matrix { return m }

func compare(t *testing.T, b kernels.Backend, x, y []kernels.Matrix, o cka.Options) *cka.Result {
	t.Helper()
	r, err := cka.Compare(context.Background(), b, x, y, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.16g, want %.16g within %.1g (off by %.2g)", what, got, want, tolerance, got-want)
	}
}

var (
	biased   = cka.Options{}
	debiased = cka.Options{Estimator: kernels.Unbiased}
)

func gaussian(fraction float64) cka.Options {
	return cka.Options{Kernel: kernels.Gaussian, Bandwidth: kernels.Bandwidth{Fraction: fraction}}
}

func withEstimator(o cka.Options, e kernels.Estimator) cka.Options {
	o.Estimator = e
	return o
}

func TestGoldenSix(t *testing.T) {
	b := backend(t)
	wideX, wideY := matrix(t, sixX), matrix(t, sixY)
	for _, kind := range []struct {
		name      string
		x, y      kernels.Matrix
		tolerance float64
	}{
		{"float64", wideX, wideY, 1e-12},
		{"float32", single(t, wideX), single(t, wideY), 1e-6},
	} {
		t.Run(kind.name, func(t *testing.T) {
			for _, c := range []struct {
				name       string
				o          cka.Options
				xy, xx, yy float64 // NaN: not checked
				cka        float64
			}{
				{"biased", biased, 389. / 225, 1897. / 900, 778. / 225, 0.6404070924572771},
				{"debiased", debiased, 41. / 90, 131. / 90, 19. / 10, 0.2739366583709245},
				{"rbf 1", gaussian(1), math.NaN(), math.NaN(), math.NaN(), 0.7647433659550549},
				{"rbf 0.5", gaussian(0.5), math.NaN(), math.NaN(), math.NaN(), 0.905214734530509},
			} {
				r := compare(t, b, list(kind.x), list(kind.y), c.o)
				near(t, c.name+" CKA", r.At(0, 0), c.cka, kind.tolerance)
				if !math.IsNaN(c.xy) {
					near(t, c.name+" XY", r.XY[0], c.xy, kind.tolerance)
					near(t, c.name+" XX", r.XX[0], c.xx, kind.tolerance)
					near(t, c.name+" YY", r.YY[0], c.yy, kind.tolerance)
				}
				if len(r.Undefined) > 0 || r.Rows != 6 || r.L != 1 || r.M != 1 {
					t.Errorf("%s: %+v", c.name, r)
				}
			}
		})
	}
	if r := compare(t, b, list(wideX), list(wideY), gaussian(1)); r.Variance[0] != 2 {
		t.Errorf("σ² of X is %v, want 2", r.Variance[0])
	}
	if r := compare(t, b, list(wideX), list(wideY), biased); r.Variance != nil {
		t.Errorf("a linear comparison has σ² %v", r.Variance)
	}
}

// notebook returns the inputs of the reference notebook; see testdata/notebook.py.
func notebook(t *testing.T) (x, y kernels.Matrix) {
	t.Helper()
	raw, err := os.ReadFile("testdata/notebook.f64")
	if err != nil {
		t.Fatal(err)
	}
	data := make([]float64, len(raw)/8)
	for i := range data {
		data[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return flat(t, data[:1000], 100), flat(t, data[1000:], 100)
}

func TestGoldenNotebook(t *testing.T) {
	b := backend(t)
	x, y := notebook(t)
	for _, c := range []struct {
		name string
		o    cka.Options
		want float64
	}{
		{"linear", biased, 0.5576132566117588},
		{"rbf", gaussian(0.5), 0.6548311822614983},
		{"debiased", debiased, 0.513456489505526},
	} {
		near(t, c.name, compare(t, b, list(x), list(y), c.o).At(0, 0), c.want, 1e-12)
		near(t, c.name+" float32", compare(t, b, list(single(t, x)), list(single(t, y)), c.o).At(0, 0), c.want, 1e-7)
	}
}

// A large common offset must not cost digits: uncentred Gram matrices would.
func TestOffset(t *testing.T) {
	b := backend(t)
	x, y := normal(1, 256, 64), normal(2, 256, 64)
	for i := range y {
		y[i] += x[i]
	}
	base := map[kernels.Estimator]float64{}
	for _, e := range []kernels.Estimator{kernels.Biased, kernels.Unbiased} {
		base[e] = compare(t, b, list(flat(t, x, 256)), list(flat(t, y, 256)), cka.Options{Estimator: e}).At(0, 0)
	}
	for _, offset := range []float64{10, 100, 1000} {
		shifted := slices.Clone(x)
		for i := range shifted {
			shifted[i] += offset
		}
		for e, want := range base {
			o := cka.Options{Estimator: e}
			got := compare(t, b, list(flat(t, shifted, 256)), list(flat(t, y, 256)), o).At(0, 0)
			near(t, fmt.Sprintf("offset %v, estimator %d, float64", offset, e), got, want, 1e-12)
			got = compare(t, b, list(single(t, flat(t, shifted, 256))), list(single(t, flat(t, y, 256))), o).At(0, 0)
			near(t, fmt.Sprintf("offset %v, estimator %d, float32", offset, e), got, want, 1e-5)
		}
	}
}

func TestProperties(t *testing.T) {
	b := backend(t)
	const n, p, q = 40, 7, 60 // one narrower, one wider than n: feature and sample form
	x, y := flat(t, normal(3, n, p), n), flat(t, normal(4, n, q), n)
	turned := rotate(t, x, 0.7, 3, 5)
	for _, o := range []cka.Options{biased, debiased, gaussian(1)} {
		within := compare(t, b, list(x, y, turned), nil, o)
		two := compare(t, b, list(x, y, turned), list(y, x), o)
		for i := range 3 {
			if within.At(i, i) != 1 {
				t.Errorf("CKA of layer %d with itself is %v", i, within.At(i, i))
			}
			for j := range 3 {
				if within.At(i, j) != within.At(j, i) {
					t.Errorf("not symmetric: %v, %v", within.At(i, j), within.At(j, i))
				}
			}
			near(t, "within and between", two.At(i, 0), within.At(i, 1), 1e-13)
			near(t, "within and between", two.At(i, 1), within.At(i, 0), 1e-13)
		}
		near(t, "orthogonal transform, scale and shift", within.At(0, 2), 1, 1e-12)
		near(t, "the same against another layer", within.At(1, 2), within.At(0, 1), 1e-12)
	}
	// A general linear map, and a permutation of one side's rows, change it.
	data := normal(3, n, p)
	for i := range n {
		data[i*p] *= 10
	}
	if got := compare(t, b, list(flat(t, data, n)), list(x), biased).At(0, 0); got > 0.9 {
		t.Errorf("stretching one feature leaves CKA at %v", got)
	}
	data = normal(3, n, p)
	slices.Reverse(data)
	if got := compare(t, b, list(flat(t, data, n)), list(x), biased).At(0, 0); got > 0.9 {
		t.Errorf("reversing the rows leaves CKA at %v", got)
	}
}

// rotate returns scale·x·Q + shift, Q a rotation in the first two features.
func rotate(t *testing.T, x kernels.Matrix, angle, scale, shift float64) kernels.Matrix {
	t.Helper()
	data, err := kernels.Floats[float64](x)
	if err != nil {
		t.Fatal(err)
	}
	data = slices.Clone(data)
	for i := range x.Rows {
		r := data[i*x.Cols:]
		r[0], r[1] = r[0]*math.Cos(angle)-r[1]*math.Sin(angle), r[0]*math.Sin(angle)+r[1]*math.Cos(angle)
	}
	for i := range data {
		data[i] = scale*data[i] + shift
	}
	return flat(t, data, x.Rows)
}

// What CKA of unrelated noise looks like: the README and the package comment
// quote these.
func TestNoise(t *testing.T) {
	b := backend(t)
	x, y := single(t, flat(t, normal(5, 128, 4096), 128)), single(t, flat(t, normal(6, 128, 4096), 128))
	near(t, "biased CKA of noise, 128 x 4096", compare(t, b, list(x), list(y), biased).At(0, 0), 0.970, 0.002)
	near(t, "debiased CKA of noise, 128 x 4096", compare(t, b, list(x), list(y), debiased).At(0, 0), 0, 0.02)
}

func TestUndefined(t *testing.T) {
	b := backend(t)
	good := normal(7, 8, 3)
	constant := make([]float64, 8*3)
	for i := range constant {
		constant[i] = 0.1
	}
	planted := func(v float64) kernels.Matrix {
		data := slices.Clone(good)
		data[2*3+1] = v
		return flat(t, data, 8)
	}
	last := slices.Clone(good)
	last[len(last)-1] = math.NaN()
	repeated := make([]float64, 8*3)
	copy(repeated, good[:6])
	half, err := kernels.OfBits(kernels.Float16, []uint16{0x3c00, 0x7c00, 0x4000, 0x4200, 0, 0x3800, 0x4400, 0x4500}, 8, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	narrow, err := kernels.OfBits(kernels.BFloat16, []uint16{0x3f80, 0x4000, 0x7fc0, 0x4040, 0, 0x3f00, 0x4080, 0x40a0}, 8, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	x := flat(t, good, 8)
	for _, c := range []struct {
		name   string
		x      kernels.Matrix
		o      cka.Options
		reason string
	}{
		{"constant", flat(t, constant, 8), biased, "constant features"},
		{"constant debiased", flat(t, constant, 8), debiased, "constant features"},
		{"constant rbf", flat(t, constant, 8), gaussian(1), "median squared distance is 0"},
		{"mostly equal rows rbf", flat(t, repeated, 8), gaussian(1), "more than half of the rows"},
		{"NaN", planted(math.NaN()), biased, "NaN at row 2, column 1"},
		{"NaN rbf", planted(math.NaN()), gaussian(1), "NaN at row 2, column 1"},
		{"Inf", planted(math.Inf(1)), debiased, "+Inf at row 2, column 1"},
		{"NaN float32", single(t, planted(math.NaN())), biased, "NaN at row 2, column 1"},
		{"Inf float16", half, biased, "+Inf at row 1, column 0"},
		{"NaN bfloat16", narrow, biased, "NaN at row 2, column 0"},
		{"NaN at the end", flat(t, last, 8), biased, "NaN at row 7, column 2"},
		{"NaN in a padded matrix", padded(t, planted(math.NaN())), biased, "NaN at row 2, column 1"},
		{"overflow", planted(1e300), biased, "overflow"},
		{"three rows debiased", flat(t, good[:9], 3), debiased, "3 rows: the debiased estimator needs 4"},
		{"one row", flat(t, good[:3], 1), biased, "1 rows: the biased estimator needs 2"},
		{"one-hot debiased", oneHot(t, 50), debiased, "debiased HSIC with itself is "},
		{"one-hot debiased float32", single(t, oneHot(t, 7)), debiased, "equally far apart"},
		{"one-hot debiased rbf", oneHot(t, 50), withEstimator(gaussian(1), kernels.Unbiased), "equally far apart"},
	} {
		t.Run(c.name, func(t *testing.T) {
			other := flat(t, normal(9, c.x.Rows, 3), c.x.Rows)
			r := compare(t, b, list(c.x), list(other), c.o)
			if !math.IsNaN(r.At(0, 0)) || len(r.Undefined) == 0 || r.Undefined[0].Y || r.Undefined[0].Layer != 0 || !strings.Contains(r.Undefined[0].Reason, c.reason) {
				t.Errorf("as x: %v, %+v, want a reason with %q", r.At(0, 0), r.Undefined, c.reason)
			}
			r = compare(t, b, list(other), list(c.x), c.o)
			last := len(r.Undefined) - 1 // as y comes after x
			if !math.IsNaN(r.At(0, 0)) || last < 0 || !r.Undefined[last].Y || !strings.Contains(r.Undefined[last].Reason, c.reason) {
				t.Errorf("as y: %v, %+v, want a reason with %q", r.At(0, 0), r.Undefined, c.reason)
			}
			r = compare(t, b, list(other, c.x), nil, c.o)
			last = len(r.Undefined) - 1
			if !math.IsNaN(r.At(1, 1)) || !math.IsNaN(r.At(0, 1)) || last < 0 || r.Undefined[last].Layer != 1 || r.Undefined[last].Y {
				t.Errorf("within: %v, %+v", r.CKA, r.Undefined)
			}
			if c.x.Rows >= 4 && r.At(0, 0) != 1 {
				t.Errorf("the sound layer: %v", r.At(0, 0))
			}
		})
	}
	if r := compare(t, b, list(x), nil, biased); len(r.Undefined) != 0 {
		t.Errorf("a sound layer is undefined: %+v", r.Undefined)
	}
}

// oneHot is n rows, each with a single one of its own: all equally far apart.
func oneHot(t *testing.T, n int) kernels.Matrix {
	t.Helper()
	data := make([]float64, n*n)
	for i := range n {
		data[i*n+i] = 3
	}
	return flat(t, data, n)
}

// A narrow Gaussian kernel is nearly the identity, and defined all the same: in
// float32 as in float64.
func TestNarrowGaussian(t *testing.T) {
	b := backend(t)
	x, y := flat(t, normal(1, 128, 8), 128), flat(t, normal(2, 128, 8), 128)
	o := withEstimator(gaussian(0.05), kernels.Unbiased)
	wide := compare(t, b, list(x), list(y), o)
	narrow := compare(t, b, list(single(t, x)), list(single(t, y)), o)
	if len(wide.Undefined) != 0 || len(narrow.Undefined) != 0 {
		t.Errorf("undefined: %+v, %+v", wide.Undefined, narrow.Undefined)
	}
}

// Rows nearly equally far apart: little structure, and still no rounding.
func TestNearlyEquallyFar(t *testing.T) {
	b := backend(t)
	const n = 100
	data, noise := make([]float64, n*n), normal(1, n, n)
	for i := range data {
		data[i] = 3e-5 * noise[i]
	}
	for i := range n {
		data[i*n+i]++
	}
	x, y := flat(t, data, n), flat(t, normal(2, n, 5), n)
	want := compare(t, b, list(x), list(y), debiased).At(0, 0)
	near(t, "float32", compare(t, b, list(single(t, x)), list(y), debiased).At(0, 0), want, 0.01)
}

// Features whose squares leave the range are scaled by the caller, or undefined;
// never a wrong number.
func TestTinyFeatures(t *testing.T) {
	b := backend(t)
	want := compare(t, b, list(flat(t, normal(1, 20, 3), 20)), list(flat(t, normal(2, 20, 3), 20)), biased).At(0, 0)
	for e := -60; e >= -110; e-- {
		x := normal(1, 20, 3)
		for i := range x {
			x[i] *= math.Pow(10, float64(e))
		}
		r := compare(t, b, list(flat(t, x, 20)), list(flat(t, normal(2, 20, 3), 20)), biased)
		if got := r.At(0, 0); math.IsNaN(got) {
			if len(r.Undefined) != 1 || !strings.Contains(r.Undefined[0].Reason, "scale them") {
				t.Errorf("1e%d: %+v", e, r.Undefined)
			}
		} else {
			near(t, fmt.Sprintf("scaled by 1e%d", e), got, want, 1e-11)
		}
	}
}

func TestCompareErrors(t *testing.T) {
	b := backend(t)
	x := matrix(t, sixX)
	if _, err := cka.Compare(context.Background(), b, list(x), list(flat(t, normal(1, 5, 2), 5)), biased); !errors.Is(err, kernels.ErrShape) {
		t.Errorf("unequal rows: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := cka.Compare(ctx, b, list(x), nil, biased); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if r := compare(t, b, nil, nil, biased); len(r.CKA) != 0 || r.L != 0 {
		t.Errorf("no layers: %+v", r)
	}
	if r := compare(t, b, list(x), []kernels.Matrix{}, biased); len(r.CKA) != 0 || r.L != 1 || r.M != 0 {
		t.Errorf("no y: %+v", r)
	}
}

func TestLargestShares(t *testing.T) {
	b := backend(t)
	const n, d = 20, 10
	even := normal(1, n, d)
	row, column := slices.Clone(even), slices.Clone(even)
	for j := range d {
		row[3*d+j] += 1000
	}
	for i := range n {
		column[i*d+7] *= 1000
	}
	constant := make([]float64, n*d)
	shares, err := cka.LargestShares(context.Background(), b,
		list(flat(t, even, n), single(t, flat(t, row, n)), flat(t, column, n), flat(t, constant, n)), kernels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := shares[0]; !(s.Row > 1./n && s.Row < 0.2 && s.Column > 1./d && s.Column < 0.3) {
		t.Errorf("even data: %+v", s)
	}
	// A row far from all others moves the mean by 1/n of its distance.
	if s := shares[1]; s.RowIndex != 3 || math.Abs(s.Row-float64(n-1)/n) > 1e-3 || s.Column > 0.15 {
		t.Errorf("one large row: %+v", s)
	}
	if s := shares[2]; s.ColumnIndex != 7 || s.Column < 0.999 || s.Row > 0.5 {
		t.Errorf("one large column: %+v", s)
	}
	if s := shares[3]; !math.IsNaN(s.Row) || s.RowIndex != -1 || !math.IsNaN(s.Column) || s.ColumnIndex != -1 {
		t.Errorf("constant features: %+v", s)
	}
	// Exactly: rows (0), (0), (0), (4) about their mean 1 give 1, 1, 1, 9.
	if shares, err = cka.LargestShares(context.Background(), b, list(flat(t, []float64{0, 0, 0, 4}, 4)), kernels.Options{}); err != nil || shares[0] != (cka.Shares{Row: 0.75, Column: 1, RowIndex: 3}) {
		t.Errorf("exact shares: %+v, %v", shares, err)
	}
	// A view of padded rows gives the same; of equal rows and columns the first counts.
	wide, err := cka.LargestShares(context.Background(), b, list(padded(t, flat(t, even, n))), kernels.Options{})
	if err != nil || wide[0] != mustShares(t, b, flat(t, even, n)) {
		t.Errorf("padded: %+v, %v", wide, err)
	}
	if s := mustShares(t, b, flat(t, []float64{1, 1, -1, -1, -1, -1, 1, 1}, 4)); s.RowIndex != 0 || s.ColumnIndex != 0 || s.Row != 0.25 || s.Column != 0.5 {
		t.Errorf("all alike: %+v", s)
	}
	exactly(t, mustShares(t, b, flat(t, even, n)), even, n)
	large := slices.Clone(even)
	for i := range large {
		large[i] *= 1e30
	}
	exactly(t, mustShares(t, b, flat(t, large, n)), large, n)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := cka.LargestShares(ctx, b, list(flat(t, even, n)), kernels.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func mustShares(t *testing.T, b kernels.Backend, m kernels.Matrix) cka.Shares {
	t.Helper()
	s, err := cka.LargestShares(context.Background(), b, list(m), kernels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s[0]
}

// exactly compares shares with the definition.
func exactly(t *testing.T, got cka.Shares, data []float64, n int) {
	t.Helper()
	d := len(data) / n
	rows, columns, total := make([]float64, n), make([]float64, d), 0.0
	for j := range d {
		mean := 0.0
		for i := range n {
			mean += data[i*d+j] / float64(n)
		}
		for i := range n {
			v := (data[i*d+j] - mean) * (data[i*d+j] - mean)
			rows[i] += v
			columns[j] += v
			total += v
		}
	}
	near(t, "row share", got.Row, slices.Max(rows)/total, 1e-14)
	near(t, "column share", got.Column, slices.Max(columns)/total, 1e-14)
}
