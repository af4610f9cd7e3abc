package kerneltest

import (
	"fmt"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// The sizes of the sources: m x k, with n other rows.
const (
	plantedRows  = 37
	plantedCols  = 70
	plantedOther = 45
)

func sameRow(p plant, row, _ int) bool       { return row == p.i }
func sameColumn(p plant, _, col int) bool    { return col == p.j }
func sameElement(p plant, row, col int) bool { return row == p.i && col == p.j }
func everything(plant, int, int) bool        { return true }

// put writes Go values into a result.
func put(dst *guarded, row int, values ...float64) {
	for k, v := range values {
		dst.set(row, k, v)
	}
}

// productPropagation has Gram, the three forms of Matmul, and Center.
func (s *suite) productPropagation(t *testing.T) []propagation {
	t.Helper()
	const m, n, k = plantedRows, plantedOther, plantedCols
	r, b, ctx, f32 := s.rng(t), s.b, background(), kernels.Float32
	other := random(t, f32, n, k, layouts[1], positive(r))
	wide := random(t, f32, k, n, layouts[2], positive(r))
	matmul := func(y *guarded, form kernels.Form) func(d, x *guarded) error {
		return func(d, x *guarded) error {
			return b.Matmul(ctx, ms(d.m), ms(x.m), ms(y.m), form, 1, 0, kernels.Options{})
		}
	}
	return []propagation{
		{"Gram", m, k, f32, m, m, func(d, x *guarded) error {
			return b.Gram(ctx, ms(d.m), ms(x.m), 1, 0, kernels.Full, kernels.Options{})
		}, where(func(p plant, row, col int) bool { return row == p.i || col == p.i })},
		{"Matmul NT", m, k, f32, m, n, matmul(other, kernels.NT), where(sameRow)},
		{"Matmul TN", k, m, f32, m, n, matmul(wide, kernels.TN), where(func(p plant, row, _ int) bool { return row == p.j })},
		{"Matmul NN", m, k, f32, m, n, matmul(wide, kernels.NN), where(sameRow)},
		{"Center", m, k, f32, m, k, func(d, x *guarded) error {
			return b.Center(ctx, ms(d.m), ms(x.m), nil, kernels.Options{})
		}, where(sameColumn)},
		// Row 0: means, then the sums of squares of the columns; row 1: those of the rows.
		{"Center stats", m, k, kernels.Float64, 2, 2 * k, func(d, x *guarded) error {
			st := kernels.RowStats{Mean: make([]float64, k), ColumnSquares: make([]float64, k), SquaredNorm: make([]float64, m)}
			out := newGuarded(t, f32, m, k, k, 0)
			err := b.Center(ctx, ms(out.m), ms(x.m), []kernels.RowStats{st}, kernels.Options{})
			d.fill(func() float64 { return 0 })
			put(d, 0, append(st.Mean, st.ColumnSquares...)...)
			put(d, 1, st.SquaredNorm...)
			return err
		}, func(p plant, row, col int) effect {
			switch {
			case row == 0 && col%k == p.j, row == 1 && col < m: // a column without a mean poisons all rows
				return reached
			default:
				return kept
			}
		}},
	}
}

// comparisonPropagation has the operations whose results are Go values or
// kernels: HSIC in both its forms, HSICMatrix with each kernel, RBF, Rotation.
func (s *suite) comparisonPropagation(t *testing.T) []propagation {
	t.Helper()
	const m, k = plantedRows, plantedCols
	r, b, ctx, f32, f64 := s.rng(t), s.b, background(), kernels.Float32, kernels.Float64
	var list []propagation
	for _, shape := range [][2]int{{m, k}, {120, 5}} { // few rows and many features, and the reverse
		y := random(t, f32, shape[0], 9, layouts[2], gaussian(r))
		for _, e := range estimators {
			list = append(list, propagation{
				fmt.Sprintf("HSIC %d x %d estimator %d", shape[0], shape[1], e), shape[0], shape[1], f64, 2, 3,
				func(d, x *guarded) error {
					v := make([]kernels.HSICValue, 2) // the second pair knows nothing of x
					err := b.HSIC(ctx, v, ms(x.m, y.m), ms(y.m, y.m), e, kernels.Options{})
					put(d, 0, v[0].XY, v[0].XX, v[0].YY)
					put(d, 1, v[1].XY, v[1].XX, v[1].YY)
					return err
				}, where(func(_ plant, row, col int) bool { return row == 0 && col < 2 }),
			})
		}
	}
	y, z := random(t, f32, m, 9, layouts[2], gaussian(r)), random(t, f32, m, 30, layouts[4], gaussian(r))
	for _, kind := range []kernels.KernelKind{kernels.Linear, kernels.Gaussian, kernels.Precomputed} {
		list = append(list, s.tablePropagation(t, kind, y, z))
	}
	list = append(list, propagation{"RBF", m, k, f32, m + 1, m, func(d, x *guarded) error {
		used := make([]float64, 1)
		err := b.RBF(ctx, ms(sub(t, d.m, 0, 0, m, m)), ms(x.m), kernels.Bandwidth{}, used, kernels.Options{})
		for i := range m {
			d.set(m, i, used[0])
		}
		return err
	}, where(everything)}, propagation{"RBF with a given bandwidth", m, k, f32, m, m, func(d, x *guarded) error {
		return b.RBF(ctx, ms(d.m), ms(x.m), kernels.Bandwidth{Variance: []float64{k}}, nil, kernels.Options{})
	}, func(p plant, row, col int) effect {
		if (row == p.i) != (col == p.i) && math.IsNaN(p.value) {
			return reached
		}
		return open // distances to infinity, and rows that only share a column's mean with it
	}})
	w := random(t, f32, m, k, layouts[1], positive(r))
	for side := range 2 {
		list = append(list, propagation{"Rotation " + []string{"w0", "wt"}[side], m, k, f64, 3, 4, func(d, x *guarded) error {
			sides := [2][]kernels.Matrix{ms(w.m, w.m, z.m), ms(w.m, w.m, z.m)}
			sides[side][1] = x.m
			v := make([]kernels.RotationValue, 3)
			err := b.Rotation(ctx, v, sides[0], sides[1], kernels.Options{})
			for i := range v {
				put(d, i, v[i].Dot, v[i].Norm0, v[i].NormT, v[i].Distance)
			}
			return err
		}, where(func(_ plant, row, col int) bool { return row == 1 && col != 2-side })})
	}
	return list
}

// tablePropagation plants into the second of three layers.
func (s *suite) tablePropagation(t *testing.T, kind kernels.KernelKind, y, z *guarded) propagation {
	t.Helper()
	const m = plantedRows
	cols := plantedCols
	if kind == kernels.Precomputed {
		cols = m
		y, z = random(t, kernels.Float32, m, m, layouts[1], gaussian(s.rng(t))), random(t, kernels.Float32, m, m, layouts[2], positive(s.rng(t)))
	}
	return propagation{fmt.Sprintf("HSICMatrix kernel %d", kind), m, cols, kernels.Float64, 4, 3, func(d, x *guarded) error {
		table := kernels.HSICTable{XY: make([]float64, 9), XX: make([]float64, 3)}
		if kind == kernels.Gaussian {
			table.Variance = make([]float64, 3)
		}
		err := s.b.HSICMatrix(background(), table, ms(y.m, x.m, z.m), nil, kernels.Kernel{Kind: kind}, kernels.Unbiased, kernels.Options{})
		for i := range 3 {
			put(d, i, table.XY[3*i:3*i+3]...)
		}
		put(d, 3, table.XX...)
		return err
	}, func(p plant, row, col int) effect {
		switch {
		case kind == kernels.Precomputed && p.j >= p.i: // only the lower triangle is read; Unbiased leaves out the diagonal
			if p.j == p.i {
				return open
			}
			return kept
		case row == 1 || col == 1:
			return reached
		default:
			return kept
		}
	}}
}

// updatePropagation has the operations that add to what is there.
func (s *suite) updatePropagation(t *testing.T) []propagation {
	t.Helper()
	const m, n, k = plantedRows, plantedOther, plantedCols
	r, b, ctx, f32 := s.rng(t), s.b, background(), kernels.Float32
	old := positive(r)
	low := random(t, f32, n, 9, layouts[1], positive(r))  // n x 9
	wide := random(t, f32, 9, k, layouts[2], positive(r)) // 9 x k
	tall := random(t, f32, m, k, layouts[1], positive(r)) // m x k
	out := random(t, f32, n, m, layouts[4], positive(r))  // n x m
	thin := random(t, f32, m, n, layouts[4], positive(r)) // m x n
	third := random(t, f32, m, 120, layouts[2], positive(r))
	state := random(t, f32, m, k, layouts[2], old) // what each destination holds before
	start := func(d *guarded) {
		for i := range d.m.Rows {
			for j := range d.m.Cols {
				d.set(i, j, state.at(i%m, j%k))
			}
		}
	}
	lowRank := func(d *guarded, p, q kernels.Matrix) error {
		start(d)
		return b.LowRank(ctx, ms(d.m), ms(p), ms(q), []float32{0.5}, kernels.Options{})
	}
	segments, ids := []int32{0, 10, 20, m}, []int32{0, -1, 1}
	apply := func(d *guarded, x, p, q kernels.Matrix) error {
		start(d)
		set := []kernels.Adapter{{A: p, B: q, Scale: 0.5}, {A: wide.m, B: low.m, Scale: 2}}
		return b.ApplyAdapters(ctx, d.m, x, segments, ids, set, kernels.Options{})
	}
	first := func(row int) bool { return row < 10 }
	return []propagation{
		{"LowRank b", n, m, f32, n, 120, func(d, x *guarded) error { return lowRank(d, x.m, third.m) }, where(sameRow)},
		{"LowRank a", m, k, f32, n, k, func(d, x *guarded) error { return lowRank(d, out.m, x.m) }, where(sameColumn)},
		{"LowRank w", n, k, f32, n, k, func(d, x *guarded) error {
			d.copyOf(x)
			return b.LowRank(ctx, ms(d.m), ms(low.m), ms(wide.m), []float32{0.5}, kernels.Options{})
		}, where(sameElement)},
		{
			"ApplyAdapters x", m, k, f32, m, n, func(d, x *guarded) error { return apply(d, x.m, wide.m, low.m) },
			where(func(p plant, row, _ int) bool { return row == p.i && (p.i < 10 || p.i >= 20) }),
		},
		{
			"ApplyAdapters A", 9, k, f32, m, n, func(d, x *guarded) error { return apply(d, tall.m, x.m, low.m) },
			where(func(_ plant, row, _ int) bool { return first(row) }),
		},
		{
			"ApplyAdapters B", n, 9, f32, m, n, func(d, x *guarded) error { return apply(d, tall.m, wide.m, x.m) },
			where(func(p plant, row, col int) bool { return first(row) && col == p.i }),
		},
		{"ApplyAdapters y", m, n, f32, m, n, func(d, x *guarded) error {
			d.copyOf(x)
			return b.ApplyAdapters(ctx, d.m, tall.m, segments, ids, []kernels.Adapter{{A: wide.m, B: low.m, Scale: 1}, {A: wide.m, B: low.m, Scale: 1}}, kernels.Options{})
		}, where(sameElement)},
		{"Add", m, k, f32, m, k, func(d, x *guarded) error { start(d); return b.Add(ctx, d.m, x.m, 0.5, kernels.Options{}) }, where(sameElement)},
		{"Add of a row", 1, k, f32, m, k, func(d, x *guarded) error { start(d); return b.Add(ctx, d.m, x.m, 0.5, kernels.Options{}) }, where(sameColumn)},
		{"Add to it", m, n, f32, m, n, func(d, x *guarded) error { d.copyOf(x); return b.Add(ctx, d.m, thin.m, 0.5, kernels.Options{}) }, where(sameElement)},
	}
}

// layerPropagation has the rest of LayerOps. An infinity makes finite what it
// divides: those elements are open.
func (s *suite) layerPropagation(t *testing.T) []propagation {
	t.Helper()
	const m, k = plantedRows, plantedCols
	r, b, ctx, f32, none := s.rng(t), s.b, background(), kernels.Float32, kernels.Options{}
	other := random(t, f32, m, k, layouts[1], positive(r))
	positions, ids := make([]int32, m), make([]int32, m)
	for i := range positions {
		positions[i], ids[i] = int32(i)+1, int32(i*5%m)
	}
	norm := func(kind kernels.NormKind) func(d, x *guarded) error {
		return func(d, x *guarded) error {
			return b.Norm(ctx, d.m, x.m, kernels.NormParams{Kind: kind, Epsilon: 1e-5}, 1, 0, none)
		}
	}
	divided := func(p plant, row, col int) effect {
		switch {
		case row != p.i:
			return kept
		case col != p.j && !math.IsNaN(p.value):
			return open
		default:
			return reached
		}
	}
	attention := kernels.AttentionParams{Heads: 7, KVHeads: 7, HeadDim: k / 7}
	return []propagation{
		{"Norm", m, k, f32, m, k, norm(kernels.LayerNorm), where(sameRow)},
		{"RMSNorm", m, k, f32, m, k, norm(kernels.RMSNorm), divided},
		{"Norm weight", 1, k, f32, m, k, func(d, x *guarded) error {
			return b.Norm(ctx, d.m, other.m, kernels.NormParams{Weight: x.m, Epsilon: 1e-5}, 1, 0, none)
		}, where(sameColumn)},
		{"Norm bias", 1, k, f32, m, k, func(d, x *guarded) error {
			return b.Norm(ctx, d.m, other.m, kernels.NormParams{Kind: kernels.LayerNorm, Bias: x.m, Epsilon: 1e-5}, 1, 0, none)
		}, where(sameColumn)},
		{"RowNormalize", m, k, f32, m, k, func(d, x *guarded) error { return b.RowNormalize(ctx, d.m, x.m, none) }, divided},
		{"Attention q", m, k, f32, m, k, func(d, x *guarded) error {
			return b.Attention(ctx, d.m, x.m, other.m, other.m, attention, none)
		}, where(func(p plant, row, col int) bool { return row == p.i && col/(k/7) == p.j/(k/7) })},
		{"Activate", m, k, f32, m, k, func(d, x *guarded) error { return b.Activate(ctx, d.m, x.m, kernels.Identity, none) }, where(sameElement)},
		{"Gate", m, k, f32, m, k, func(d, x *guarded) error { return b.Gate(ctx, d.m, x.m, other.m, kernels.Identity, none) }, where(sameElement)},
		{"Gate up", m, k, f32, m, k, func(d, x *guarded) error { return b.Gate(ctx, d.m, other.m, x.m, kernels.SiLU, none) }, where(sameElement)},
		{
			"Gather", m, k, f32, m, k, func(d, x *guarded) error { return b.Gather(ctx, d.m, x.m, ids, 0.5, 0, none) },
			where(func(p plant, row, col int) bool { return int(ids[row]) == p.i && col == p.j }),
		},
		{"RoPE", m, k, f32, m, k, func(d, x *guarded) error {
			return b.RoPE(ctx, d.m, x.m, positions, kernels.RoPEParams{HeadDim: k, InvFreq: []float64{1, 0.5}}, none)
		}, where(func(p plant, row, col int) bool {
			return row == p.i && (col == p.j || p.j < 4 && col < 4 && p.j%2 == col%2)
		})},
	}
}
