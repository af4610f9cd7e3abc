package cpu

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// huge is a side that no memory could hold anything of.
const huge = math.MaxInt / 16

// TestHugeEmpty checks matrices without elements and without memory, one side of
// which is longer than any loop or allocation.
func TestHugeEmpty(t *testing.T) {
	b := open(t, Options{})
	ctx, o := context.Background(), kernels.Options{}
	tall, wide := kernels.Matrix{Rows: huge}, kernels.Matrix{Cols: huge, Stride: huge}
	talls, wides, none := []kernels.Matrix{tall}, []kernels.Matrix{wide}, []kernels.Matrix{{}}
	value, used := make([]kernels.HSICValue, 1), make([]float64, 1)
	one := kernels.Bandwidth{Variance: []float64{1}}
	hsic := func(x, y []kernels.Matrix, k kernels.Kernel, e kernels.Estimator) error {
		dst := kernels.HSICTable{XY: make([]float64, len(x)*max(len(x), len(y))), XX: make([]float64, len(x))}
		if y != nil {
			dst.XY, dst.YY = dst.XY[:len(x)*len(y)], []float64{math.NaN()}
		}
		err := b.HSICMatrix(ctx, dst, x, y, k, e, o)
		for _, s := range [][]float64{dst.XY, dst.XX, dst.YY} {
			for _, v := range s {
				if want := err == nil; want != (v == 0) {
					t.Errorf("HSICMatrix of nothing: %v, with %v", v, err)
				}
			}
		}
		return err
	}
	for _, c := range []struct {
		name string
		call func() error
		want error
	}{
		{"Copy", func() error { return b.Copy(ctx, tall, tall) }, nil},
		{"Convert", func() error { return b.Convert(ctx, wide, wide) }, nil},
		{"Matmul tall", func() error { return b.Matmul(ctx, talls, talls, none, kernels.NT, 1, 0, o) }, nil},
		{"Matmul wide", func() error { return b.Matmul(ctx, wides, none, wides, kernels.NN, 1, 0, o) }, nil},
		{"Center tall", func() error { return b.Center(ctx, talls, talls, nil, o) }, nil},
		{"Center wide", func() error { return b.Center(ctx, wides, wides, make([]kernels.RowStats, 1), o) }, nil},
		{"HSIC biased", func() error { return b.HSIC(ctx, value, talls, talls, kernels.Biased, o) }, nil},
		{"HSIC unbiased", func() error { return b.HSIC(ctx, value, talls, talls, kernels.Unbiased, o) }, nil},
		{"HSIC wide", func() error { return b.HSIC(ctx, value, wides, wides, kernels.Biased, o) }, kernels.ErrDegenerate},
		{"HSICMatrix", func() error { return hsic(talls, nil, kernels.Kernel{}, kernels.Unbiased) }, nil},
		{"HSICMatrix of y alone", func() error { return hsic(nil, talls, kernels.Kernel{}, kernels.Biased) }, nil},
		{"HSICMatrix given", func() error {
			return hsic(talls, nil, kernels.Kernel{Kind: kernels.Gaussian, Bandwidth: one}, kernels.Biased)
		}, nil},
		{"HSICMatrix median", func() error { return hsic(talls, nil, kernels.Kernel{Kind: kernels.Gaussian}, kernels.Biased) }, kernels.ErrDegenerate},
		{"RBF used tall", func() error { return b.RBF(ctx, nil, talls, kernels.Bandwidth{}, used, o) }, kernels.ErrDegenerate},
		{"RBF used given", func() error { return b.RBF(ctx, nil, talls, one, used, o) }, nil},
		{"RBF used wide", func() error { return b.RBF(ctx, nil, wides, kernels.Bandwidth{}, used, o) }, nil},
		{"RBF wide", func() error { return b.RBF(ctx, none, wides, kernels.Bandwidth{}, used, o) }, nil},
		{"Rotation", func() error { return b.Rotation(ctx, make([]kernels.RotationValue, 1), talls, talls, o) }, kernels.ErrDegenerate},
		{"LowRank", func() error { return b.LowRank(ctx, talls, talls, none, []float32{1}, o) }, nil},
		{"ApplyAdapters", func() error {
			set := []kernels.Adapter{{A: wide, B: kernels.Matrix{}, Scale: 1}}
			return b.ApplyAdapters(ctx, kernels.Matrix{}, wide, []int32{0, 0}, []int32{0}, set, o)
		}, nil},
		{"SVD", func() error {
			return b.SVD(ctx, talls, []kernels.Matrix{{Rows: 1}}, none, talls, kernels.SVDParams{}, o)
		}, nil},
		{"Norm", func() error { return b.Norm(ctx, wide, wide, kernels.NormParams{}, 1, 0, o) }, nil},
		{"RoPE", func() error { return b.RoPE(ctx, wide, wide, nil, kernels.RoPEParams{HeadDim: 1}, o) }, nil},
		{"Activate", func() error { return b.Activate(ctx, tall, tall, kernels.SiLU, o) }, nil},
		{"Gate", func() error { return b.Gate(ctx, wide, wide, wide, kernels.SiLU, o) }, nil},
		{"Add", func() error { return b.Add(ctx, tall, tall, 1, o) }, nil},
		{"Gather", func() error { return b.Gather(ctx, wide, wide, nil, 2, 1, o) }, nil},
		{"Dequantize", func() error {
			return b.Dequantize(ctx, tall, kernels.Quantized{Rows: huge}, nil, o)
		}, nil},
		{"RowNormalize tall", func() error { return b.RowNormalize(ctx, tall, tall, o) }, nil},
		{"RowNormalize wide", func() error { return b.RowNormalize(ctx, wide, wide, o) }, nil},
	} {
		value[0], used[0] = kernels.HSICValue{XY: 5, XX: 5, YY: 5}, 5
		if err := c.call(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		switch zero := (kernels.HSICValue{}); c.name {
		case "HSIC biased", "HSIC unbiased":
			if value[0] != zero {
				t.Errorf("%s of constant features: %+v", c.name, value[0])
			}
		case "RBF used tall":
			if used[0] != 0 {
				t.Errorf("σ² of equal rows: %v", used[0])
			}
		case "RBF used wide", "RBF wide":
			if !math.IsNaN(used[0]) {
				t.Errorf("σ² of no rows: %v", used[0])
			}
		}
	}
}

// TestCenterOfNothing checks the statistics where there is nothing to sum.
func TestCenterOfNothing(t *testing.T) {
	b := open(t, Options{})
	for _, p := range [][2]int{{0, 3}, {3, 0}} {
		m := dense(t, nil, p[0], p[1])
		st := kernels.RowStats{Mean: make([]float64, p[1]), SquaredNorm: make([]float64, p[0]), ColumnSquares: make([]float64, p[1])}
		for _, s := range [][]float64{st.Mean, st.SquaredNorm, st.ColumnSquares} {
			fill(s, 7)
		}
		if err := b.Center(context.Background(), []kernels.Matrix{m}, []kernels.Matrix{m}, []kernels.RowStats{st}, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		for _, s := range [][]float64{st.Mean, st.SquaredNorm, st.ColumnSquares} {
			for i, v := range s {
				if v != 0 {
					t.Errorf("%v: statistic %d is %v", p, i, v)
				}
			}
		}
	}
}

// TestNilContext checks that no operation panics without a context.
func TestNilContext(t *testing.T) {
	b := open(t, Options{})
	var none context.Context
	m, o := dense(t, make([]float64, 4), 2, 2), kernels.Options{}
	for name, err := range map[string]error{
		"Copy":   b.Copy(none, m, dense(t, make([]float64, 4), 2, 2)),
		"Gram":   b.Gram(none, nil, nil, 1, 0, kernels.Full, o),
		"HSIC":   b.HSIC(none, nil, nil, nil, kernels.Biased, o),
		"SVD":    b.SVD(none, nil, nil, nil, nil, kernels.SVDParams{}, o),
		"Add":    b.Add(none, m, dense(t, make([]float64, 4), 2, 2), 1, o),
		"Gather": b.Gather(none, kernels.Matrix{}, kernels.Matrix{}, nil, 1, 0, o),
	} {
		if !errors.Is(err, kernels.ErrShape) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Alloc(none, kernels.Float32, 1, 1); !errors.Is(err, kernels.ErrShape) {
		t.Errorf("Alloc: %v", err)
	}
}
