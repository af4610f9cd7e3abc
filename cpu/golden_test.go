package cpu

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// The fixture T6 and its values: rational arithmetic, and numpy in float64.
var (
	t6x = []float64{1, 0, 0, 1, 1, 1, 2, 1, 0, 2, 3, 1}
	t6y = []float64{1, 2, 0, 0, 1, 1, 1, 0, 1, 2, 2, 1, 1, 1, 3, 3, 0, 2}
)

func open(t testing.TB, o Options) *Backend {
	t.Helper()
	b, err := New(o)
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

func dense(t testing.TB, data []float64, rows, cols int) kernels.Matrix {
	t.Helper()
	m, err := kernels.Of(data, rows, cols, cols)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Max(1, math.Abs(want))) {
		t.Errorf("%s = %.17g, want %.17g", what, got, want)
	}
}

func TestGoldenHSIC(t *testing.T) {
	b := open(t, Options{})
	x, y := dense(t, t6x, 6, 2), dense(t, t6y, 6, 3)
	for _, c := range []struct {
		name       string
		e          kernels.Estimator
		xy, xx, yy float64
	}{
		{"biased", kernels.Biased, 389. / 225, 1897. / 900, 778. / 225},
		{"unbiased", kernels.Unbiased, 41. / 90, 131. / 90, 19. / 10},
	} {
		dst := make([]kernels.HSICValue, 1)
		if err := b.HSIC(context.Background(), dst, []kernels.Matrix{x}, []kernels.Matrix{y}, c.e, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		near(t, c.name+" xy", dst[0].XY, c.xy, 1e-14)
		near(t, c.name+" xx", dst[0].XX, c.xx, 1e-14)
		near(t, c.name+" yy", dst[0].YY, c.yy, 1e-14)
		table := kernels.HSICTable{XY: make([]float64, 1), XX: make([]float64, 1), YY: make([]float64, 1)}
		if err := b.HSICMatrix(context.Background(), table, []kernels.Matrix{x}, []kernels.Matrix{y}, kernels.Kernel{}, c.e, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		near(t, c.name+" table", table.XY[0], c.xy, 1e-14)
	}
	for _, c := range []struct{ fraction, cka float64 }{{0, 0.7647433659550549}, {0.5, 0.905214734530509}} {
		k := kernels.Kernel{Kind: kernels.Gaussian, Bandwidth: kernels.Bandwidth{Fraction: c.fraction}}
		table := kernels.HSICTable{XY: make([]float64, 1), XX: make([]float64, 1), YY: make([]float64, 1), Variance: make([]float64, 2)}
		if err := b.HSICMatrix(context.Background(), table, []kernels.Matrix{x}, []kernels.Matrix{y}, k, kernels.Biased, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		near(t, "RBF CKA", table.XY[0]/math.Sqrt(table.XX[0]*table.YY[0]), c.cka, 1e-14)
		if c.fraction == 0 {
			near(t, "median", table.Variance[0], 2, 0)
		}
	}
}

// Both forms of HSIC, and both ways of giving the kernel, are one number.
func TestHSICForms(t *testing.T) {
	b := open(t, Options{Workers: 3})
	r := rand.New(rand.NewPCG(1, 2))
	for _, shape := range [][3]int{{300, 5, 7}, {40, 300, 210}, {131, 97, 100}} {
		n, p, q := shape[0], shape[1], shape[2]
		x, y := make([]float64, n*p), make([]float64, n*q)
		for i := range x {
			x[i] = r.NormFloat64() + 3
		}
		for i := range y {
			y[i] = r.NormFloat64() + x[i%len(x)]
		}
		mx, my := dense(t, x, n, p), dense(t, y, n, q)
		kx, ky := dense(t, make([]float64, n*n), n, n), dense(t, make([]float64, n*n), n, n)
		if err := b.Gram(context.Background(), []kernels.Matrix{kx, ky}, []kernels.Matrix{mx, my}, 1, 0, kernels.Full, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		for _, e := range []kernels.Estimator{kernels.Biased, kernels.Unbiased} {
			linear := make([]kernels.HSICValue, 1)
			if err := b.HSIC(context.Background(), linear, []kernels.Matrix{mx}, []kernels.Matrix{my}, e, kernels.Options{}); err != nil {
				t.Fatal(err)
			}
			given := kernels.HSICTable{XY: make([]float64, 4), XX: make([]float64, 2)}
			if err := b.HSICMatrix(context.Background(), given, []kernels.Matrix{kx, ky}, nil, kernels.Kernel{Kind: kernels.Precomputed}, e, kernels.Options{}); err != nil {
				t.Fatal(err)
			}
			scale := math.Sqrt(linear[0].XX * linear[0].YY)
			near(t, "xy", given.XY[1]/scale, linear[0].XY/scale, 1e-12)
			near(t, "xx", given.XX[0]/scale, linear[0].XX/scale, 1e-12)
			if given.XY[1] != given.XY[2] {
				t.Errorf("table is not symmetric: %v, %v", given.XY[1], given.XY[2])
			}
		}
	}
}

func TestSVDReconstructs(t *testing.T) {
	b := open(t, Options{})
	r := rand.New(rand.NewPCG(3, 4))
	for _, shape := range [][2]int{{20, 20}, {150, 40}, {33, 120}, {1, 5}, {7, 1}} {
		m, n := shape[0], shape[1]
		k := min(m, n)
		data := make([]float64, m*n)
		for i := range data {
			data[i] = r.NormFloat64()
		}
		u, s, v := make([]float64, m*k), make([]float64, k), make([]float64, n*k)
		if err := b.SVD(context.Background(), []kernels.Matrix{dense(t, u, m, k)}, []kernels.Matrix{dense(t, s, 1, k)},
			[]kernels.Matrix{dense(t, v, n, k)}, []kernels.Matrix{dense(t, data, m, n)}, kernels.SVDParams{}, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		for i := range m {
			for j := range n {
				sum := 0.0
				for l := range k {
					sum += u[i*k+l] * s[l] * v[j*k+l]
				}
				near(t, "u·s·v", sum, data[i*n+j], 1e-13)
			}
		}
		for a := range k {
			for c := range k {
				dot := 0.0
				for i := range m {
					dot += u[i*k+a] * u[i*k+c]
				}
				want := 0.0
				if a == c {
					want = 1
				}
				near(t, "uᵀu", dot, want, 1e-14)
			}
		}
	}
}

func TestClosedAndMemory(t *testing.T) {
	b, err := New(Options{Workers: 2, MemoryLimit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Alloc(context.Background(), kernels.Float64, 1<<10, 1<<10); !errors.Is(err, kernels.ErrMemory) {
		t.Errorf("8 MiB under a limit of 1 MiB: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Alloc(context.Background(), kernels.Float32, 1, 1); !errors.Is(err, kernels.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
