package kerneltest

import (
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

func (k *bench) kernelCases() []illegal {
	b, ctx := k.b, background()
	hsic := func(x, y []kernels.Matrix, e kernels.Estimator, n int, o kernels.Options) error {
		return b.HSIC(ctx, k.values(n), x, y, e, o)
	}
	table := func(d kernels.HSICTable, x, y []kernels.Matrix, kn kernels.Kernel, e kernels.Estimator, o kernels.Options) error {
		return b.HSICMatrix(ctx, d, x, y, kn, e, o)
	}
	rbf := func(d, x []kernels.Matrix, bw kernels.Bandwidth, used []float64, o kernels.Options) error {
		return b.RBF(ctx, d, x, bw, used, o)
	}
	rot := func(n int, p, q []kernels.Matrix, o kernels.Options) error {
		return b.Rotation(ctx, k.rotations(n), p, q, o)
	}
	cases := k.operandCases("HSIC: x", func(m kernels.Matrix) error { return hsic(ms(m), ms(k.y), kernels.Biased, 1, k.none) })
	cases = append(cases, k.operandCases("HSIC: y", func(m kernels.Matrix) error { return hsic(ms(k.x), ms(m), kernels.Biased, 1, k.none) })...)
	cases = append(cases, k.operandCases("HSICMatrix: y", func(m kernels.Matrix) error {
		d := k.xy(2)
		d.XX, d.YY, d.Variance = k.floats(1), k.floats(2), k.floats(3)
		return table(d, ms(k.x), ms(k.y, m), kernels.Kernel{Kind: kernels.Gaussian}, kernels.Biased, k.none)
	})...)
	cases = append(cases, k.operandCases("HSICMatrix: x", func(m kernels.Matrix) error {
		return table(k.xy(4), ms(k.x, m), nil, kernels.Kernel{}, kernels.Biased, k.none)
	})...)
	cases = append(cases, k.operandCases("RBF: x", func(m kernels.Matrix) error { return rbf(ms(k.sq), ms(m), kernels.Bandwidth{}, k.floats(1), k.none) })...)
	cases = append(cases, k.operand("RBF: dst", k.sq, func(m kernels.Matrix) error { return rbf(ms(m), ms(k.x), kernels.Bandwidth{}, k.floats(1), k.none) })...)
	cases = append(cases, k.operandCases("Rotation: w0", func(m kernels.Matrix) error { return rot(1, ms(m), ms(k.x), k.none) })...)
	cases = append(cases, k.operandCases("Rotation: wt", func(m kernels.Matrix) error { return rot(1, ms(k.x), ms(m), k.none) })...)
	cases = append(cases, k.optionCases(kernels.OpHSIC, func(o kernels.Options) error { return hsic(ms(k.x), ms(k.y), 0, 1, o) })...)
	cases = append(cases, k.optionCases(kernels.OpHSICMatrix, func(o kernels.Options) error { return table(k.xy(1), ms(k.x), nil, kernels.Kernel{}, 0, o) })...)
	cases = append(cases, k.optionCases(kernels.OpRBF, func(o kernels.Options) error { return rbf(ms(k.sq), ms(k.x), kernels.Bandwidth{}, nil, o) })...)
	cases = append(cases, k.optionCases(kernels.OpRotation, func(o kernels.Options) error { return rot(1, ms(k.x), ms(k.same), o) })...)
	gauss := func(bw kernels.Bandwidth) error {
		return table(k.xy(1), ms(k.x), nil, kernels.Kernel{Kind: kernels.Gaussian, Bandwidth: bw}, 0, k.none)
	}
	bandwidth := func(bw kernels.Bandwidth) error { return rbf(ms(k.sq), ms(k.x), bw, k.floats(1), k.none) }
	extra := func(change func(d *kernels.HSICTable)) error {
		d := k.xy(1)
		change(&d)
		return table(d, ms(k.x), nil, kernels.Kernel{}, 0, k.none)
	}
	return append(cases,
		illegal{"HSIC: lengths", kernels.ErrShape, func() error { return hsic(ms(k.x), nil, 0, 1, k.none) }},
		illegal{"HSIC: dst length", kernels.ErrShape, func() error { return hsic(ms(k.x), ms(k.y), 0, 2, k.none) }},
		illegal{"HSIC: unknown estimator", kernels.ErrUnsupported, func() error { return hsic(ms(k.x), ms(k.y), 2, 1, k.none) }},
		illegal{"HSICMatrix: XY length", kernels.ErrShape, func() error { return table(k.xy(3), ms(k.x, k.y), nil, kernels.Kernel{}, 0, k.none) }},
		illegal{"HSICMatrix: XX length", kernels.ErrShape, func() error { return extra(func(d *kernels.HSICTable) { d.XX = k.floats(2) }) }},
		illegal{"HSICMatrix: YY without y", kernels.ErrShape, func() error { return extra(func(d *kernels.HSICTable) { d.YY = k.floats(1) }) }},
		illegal{"HSICMatrix: variance of a linear kernel", kernels.ErrShape, func() error { return extra(func(d *kernels.HSICTable) { d.Variance = k.floats(1) }) }},
		illegal{"HSICMatrix: unknown kernel", kernels.ErrUnsupported, func() error { return table(k.xy(1), ms(k.x), nil, kernels.Kernel{Kind: 3}, 0, k.none) }},
		illegal{"HSICMatrix: unknown estimator", kernels.ErrUnsupported, func() error { return table(k.xy(1), ms(k.x), nil, kernels.Kernel{}, 9, k.none) }},
		illegal{"HSICMatrix: rows of y", kernels.ErrShape, func() error { return table(k.xy(1), ms(k.x), ms(k.out), kernels.Kernel{}, 0, k.none) }},
		illegal{"HSICMatrix: kernel not square", kernels.ErrShape, func() error {
			return table(k.xy(1), ms(k.x), nil, kernels.Kernel{Kind: kernels.Precomputed}, 0, k.none)
		}},
		illegal{"HSICMatrix: negative variance", kernels.ErrShape, func() error { return gauss(kernels.Bandwidth{Variance: []float64{-1}}) }},
		illegal{"HSICMatrix: variance NaN", kernels.ErrShape, func() error { return gauss(kernels.Bandwidth{Variance: []float64{math.NaN()}}) }},
		illegal{"HSICMatrix: variance count", kernels.ErrShape, func() error { return gauss(kernels.Bandwidth{Variance: []float64{1, 1}}) }},
		illegal{"HSICMatrix: fraction", kernels.ErrShape, func() error { return gauss(kernels.Bandwidth{Fraction: -1}) }},
		illegal{"HSICMatrix: sample", kernels.ErrShape, func() error { return gauss(kernels.Bandwidth{Sample: -1}) }},
		illegal{"RBF: dst shape", kernels.ErrShape, func() error { return rbf(ms(k.same), ms(k.x), kernels.Bandwidth{}, nil, k.none) }},
		illegal{"RBF: dst type", kernels.ErrUnsupported, func() error { return rbf(ms(k.sq), ms(k.wide), kernels.Bandwidth{}, nil, k.none) }},
		illegal{"RBF: neither dst nor used", kernels.ErrShape, func() error { return rbf(nil, ms(k.x), kernels.Bandwidth{}, nil, k.none) }},
		illegal{"RBF: used length", kernels.ErrShape, func() error { return rbf(nil, ms(k.x), kernels.Bandwidth{}, k.floats(2), k.none) }},
		illegal{"RBF: infinite variance", kernels.ErrShape, func() error { return bandwidth(kernels.Bandwidth{Variance: []float64{math.Inf(1)}}) }},
		illegal{"RBF: variance of zero", kernels.ErrShape, func() error { return bandwidth(kernels.Bandwidth{Variance: []float64{0}}) }},
		illegal{"RBF: variance count", kernels.ErrShape, func() error { return bandwidth(kernels.Bandwidth{Variance: []float64{1, 1}}) }},
		illegal{"RBF: fraction NaN", kernels.ErrShape, func() error { return bandwidth(kernels.Bandwidth{Fraction: math.NaN()}) }},
		illegal{"RBF: negative sample", kernels.ErrShape, func() error { return bandwidth(kernels.Bandwidth{Sample: -1}) }},
		illegal{"RBF: two into one", kernels.ErrAlias, func() error { return rbf(ms(k.sq, k.sq), ms(k.x, k.x), kernels.Bandwidth{}, k.floats(2), k.none) }},
		illegal{"RBF: dst is x", kernels.ErrAlias, func() error { return rbf(ms(k.sq), ms(k.sq), kernels.Bandwidth{}, nil, k.none) }},
		illegal{"Rotation: dst length", kernels.ErrShape, func() error { return rot(0, ms(k.x), ms(k.same), k.none) }},
		illegal{"Rotation: lengths", kernels.ErrShape, func() error { return rot(1, ms(k.x), nil, k.none) }},
	)
}
