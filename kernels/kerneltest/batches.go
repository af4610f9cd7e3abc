package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// batch is an operation on items of different shapes.
type batch struct {
	name  string
	items int
	// run computes the items in the given order and returns what each one gave,
	// item by item as in order.
	run func(t testing.TB, b kernels.Backend, order []int) ([][]float64, error)
	// joint results depend on which items are computed together, but not on
	// their order.
	joint bool
}

// testBatches compares batches of different shapes with their items one by one,
// and with the same items in other orders.
func testBatches(s *suite, t *testing.T) {
	for _, c := range s.batches(t) {
		t.Run(c.name, func(t *testing.T) {
			r := s.rng(t)
			together, err := c.run(t, s.b, r.Perm(c.items))
			s.must(t, err, kernels.Float32)
			for range 3 {
				s.reordered(t, c, s.b, r.Perm(c.items), together)
			}
			for i := range c.items {
				if c.joint {
					break
				}
				alone, err := c.run(t, s.b, []int{i})
				s.must(t, err, kernels.Float32)
				s.likewise(t, fmt.Sprintf("item %d in a batch", i), together[i], alone[i])
			}
		})
	}
}

// reordered checks that the order of the items does not change a bit.
func (s *suite) reordered(t testing.TB, c batch, b kernels.Backend, order []int, want [][]float64) {
	t.Helper()
	got, err := c.run(t, b, order)
	s.must(t, err, kernels.Float32)
	for i := range want {
		for k, v := range want[i] {
			if floatBits(got[i][k]) != floatBits(v) {
				t.Fatalf("%s: item %d, first bad index %d: %v in the order %v, %v before, %d workers, seed %d",
					c.name, i, k, got[i][k], order, v, b.Info().Workers, s.seed)
			}
		}
	}
}

// likewise compares an item of a batch with the item alone: bit by bit on the
// host; a device may plan by the batch, and need only come close enough to show
// that no items were mixed up.
func (s *suite) likewise(t testing.TB, what string, got, want []float64) {
	t.Helper()
	const near = 1e-3
	most := largest(want)
	for k, v := range want {
		same := floatBits(got[k]) == floatBits(v)
		if s.info.Device.Kind != kernels.Host {
			same = same || math.Abs(got[k]-v) <= near*most
		}
		if !same {
			t.Fatalf("%s, first bad index %d: %v, alone %v, seed %d", what, k, got[k], v, s.seed)
		}
	}
}

// batchTypes cycles the types of the items; a device may refuse float64.
func (s *suite) batchTypes() []kernels.DType {
	if s.info.Device.Kind == kernels.Host {
		return dtypes
	}
	return []kernels.DType{kernels.Float32, kernels.Float16, kernels.BFloat16}
}

// gather picks the items of a list in an order.
func gather[T any](list []T, order []int) []T {
	out := make([]T, len(order))
	for k, i := range order {
		out[k] = list[i]
	}
	return out
}

// results runs an operation on matrices: out makes an item's destination, which
// do fills.
func results(t testing.TB, items int, order []int, out func(i int) *guarded, do func(dst []kernels.Matrix) error) ([][]float64, error) {
	t.Helper()
	var dst []*guarded
	for _, i := range order {
		dst = append(dst, out(i))
	}
	err := do(matrices(dst))
	values := make([][]float64, items)
	for k, i := range order {
		dst[k].intact(t, fmt.Sprintf("item %d", i))
		values[i] = dst[k].floats()
	}
	return values, err
}

func (s *suite) batches(t testing.TB) []batch {
	t.Helper()
	r := rand.New(rand.NewPCG(s.seed, 98))
	list := s.productBatches(t, r)
	list = append(list, s.comparisonBatches(t, r)...)
	return append(list, s.tableBatches(t, r)...)
}

// productBatches has Gram, Matmul, Center, LowRank and SVD.
func (s *suite) productBatches(t testing.TB, r *rand.Rand) []batch {
	t.Helper()
	ctx, none, types := background(), kernels.Options{}, s.batchTypes()
	shapes := [][3]int{{5, 3, 7}, {130, 7, 20}, {97, 200, 33}, {1, 9, 1}, {33, 1, 101}, {64, 64, 64}} // m, k, n
	type item struct {
		x, tall, y, wide, old *guarded // m x k, k x m, n x k, k x n, m x n
		out                   kernels.DType
		rank                  int
	}
	var items []item
	for i, p := range shapes {
		in, l := types[i%len(types)], layouts[i%len(layouts)]
		it := item{rank: min(p[0], p[1], 1+i), out: outputs(compute(in))[i%len(outputs(compute(in)))]}
		it.x, it.tall = random(t, in, p[0], p[1], l, gaussian(r)), random(t, in, p[1], p[0], l, gaussian(r))
		it.y, it.wide = random(t, in, p[2], p[1], l, gaussian(r)), random(t, in, p[1], p[2], l, gaussian(r))
		it.old = random(t, types[(i+1)%len(types)], p[0], p[2], l, gaussian(r))
		items = append(items, it)
	}
	pick := func(order []int, f func(it item) *guarded) []kernels.Matrix {
		var out []kernels.Matrix
		for _, i := range order {
			out = append(out, f(items[i]).m)
		}
		return out
	}
	x := func(it item) *guarded { return it.x }
	fresh := func(dt kernels.DType, rows, cols, i int) *guarded {
		l := layouts[(i+2)%len(layouts)]
		return newGuarded(t, dt, rows, cols, cols+l.pad, l.offset)
	}
	var list []batch
	for _, storage := range []kernels.Storage{kernels.Full, kernels.PackedLower} {
		list = append(list, batch{name: fmt.Sprintf("Gram storage %d", storage), items: len(items), run: func(t testing.TB, b kernels.Backend, order []int) ([][]float64, error) {
			return results(t, len(items), order, func(i int) *guarded {
				return newGramDst(t, items[i].out, shapes[i][0], layouts[(i+2)%len(layouts)], storage, 0, nil)
			}, func(dst []kernels.Matrix) error { return b.Gram(ctx, dst, pick(order, x), 0.5, 0, storage, none) })
		}})
	}
	for _, form := range []kernels.Form{kernels.NT, kernels.TN, kernels.NN} {
		left, right := x, func(it item) *guarded { return it.wide }
		if form == kernels.TN {
			left = func(it item) *guarded { return it.tall }
		}
		if form == kernels.NT {
			right = func(it item) *guarded { return it.y }
		}
		list = append(list, batch{name: "Matmul " + form.String(), items: len(items), run: func(t testing.TB, b kernels.Backend, order []int) ([][]float64, error) {
			return results(t, len(items), order, func(i int) *guarded { return fresh(items[i].out, shapes[i][0], shapes[i][2], i) },
				func(dst []kernels.Matrix) error {
					return b.Matmul(ctx, dst, pick(order, left), pick(order, right), form, 0.5, 0, none)
				})
		}})
	}
	list = append(list, batch{name: "Center", items: len(items), run: func(t testing.TB, b kernels.Backend, order []int) ([][]float64, error) {
		stats := make([]kernels.RowStats, len(order))
		for k, i := range order {
			stats[k].Mean, stats[k].SquaredNorm = make([]float64, shapes[i][1]), make([]float64, shapes[i][0])
			if i%2 == 0 { // not all of them are wanted
				stats[k].ColumnSquares = make([]float64, shapes[i][1])
			}
		}
		values, err := results(t, len(items), order, func(i int) *guarded { return fresh(items[i].out, shapes[i][0], shapes[i][1], i) },
			func(dst []kernels.Matrix) error { return b.Center(ctx, dst, pick(order, x), stats, none) })
		for k, i := range order {
			values[i] = append(append(append(values[i], stats[k].Mean...), stats[k].SquaredNorm...), stats[k].ColumnSquares...)
		}
		return values, err
	}})
	scale := []float32{0.5, -2, 0, 3, 1, 0.25}
	list = append(list, batch{name: "LowRank", items: len(items), run: func(t testing.TB, b kernels.Backend, order []int) ([][]float64, error) {
		return results(t, len(items), order, func(i int) *guarded {
			w := fresh(items[i].old.m.DType, shapes[i][0], shapes[i][2], i)
			w.copyOf(items[i].old)
			return w
		}, func(dst []kernels.Matrix) error {
			return b.LowRank(ctx, dst, pick(order, x), pick(order, func(it item) *guarded { return it.wide }), gather(scale, order), none)
		})
	}})
	for _, p := range []kernels.SVDParams{{Oversample: 2, Iterations: 1, Seed: 3}, {Oversample: 300}} { // some by iteration, all exact
		list = append(list, batch{name: fmt.Sprintf("SVD oversample %d", p.Oversample), items: len(items), run: func(t testing.TB, b kernels.Backend, order []int) ([][]float64, error) {
			var u, sv, v []*guarded
			for _, i := range order {
				u, sv, v = append(u, fresh(kernels.Float32, shapes[i][0], items[i].rank, i)), append(sv, fresh(kernels.Float32, 1, items[i].rank, i)), append(v, fresh(kernels.Float32, shapes[i][1], items[i].rank, i))
			}
			err := b.SVD(ctx, matrices(u), matrices(sv), matrices(v), pick(order, x), p, none)
			values := make([][]float64, len(items))
			for k, i := range order {
				for _, g := range []*guarded{u[k], sv[k], v[k]} {
					g.intact(t, fmt.Sprintf("SVD item %d", i))
					values[i] = append(values[i], g.floats()...)
				}
			}
			return values, err
		}})
	}
	return list
}

// comparisonBatches has HSIC, RBF and Rotation.
func (s *suite) comparisonBatches(t testing.TB, r *rand.Rand) []batch {
	t.Helper()
	ctx, none, types := background(), kernels.Options{}, s.batchTypes()
	var x, y []*guarded
	for i, p := range [][3]int{{40, 3, 5}, {130, 10, 200}, {4, 2, 1}, {17, 30, 2}, {100, 64, 64}, {263, 2, 3}} { // rows, cols of x and of y
		x = append(x, random(t, types[i%len(types)], p[0], p[1], layouts[i%len(layouts)], gaussian(r)))
		y = append(y, random(t, types[i%len(types)], p[0], p[2], layouts[(i+1)%len(layouts)], positive(r)))
	}
	n := len(x)
	var list []batch
	for _, e := range estimators {
		list = append(list, batch{name: fmt.Sprintf("HSIC estimator %d", e), items: n, run: func(_ testing.TB, b kernels.Backend, order []int) ([][]float64, error) {
			dst, values := make([]kernels.HSICValue, len(order)), make([][]float64, n)
			err := b.HSIC(ctx, dst, matrices(gather(x, order)), matrices(gather(y, order)), e, none)
			for k, i := range order {
				values[i] = []float64{dst[k].XY, dst[k].XX, dst[k].YY}
			}
			return values, err
		}})
	}
	variance := []float64{1, 2, 3, 4, 5, 6}
	for _, given := range []bool{false, true} {
		list = append(list, batch{name: fmt.Sprintf("RBF variance given %v", given), items: n, run: func(t testing.TB, b kernels.Backend, order []int) ([][]float64, error) {
			var bw kernels.Bandwidth
			if given {
				bw.Variance = gather(variance, order)
			}
			used := make([]float64, len(order))
			values, err := results(t, n, order, func(i int) *guarded {
				rows := x[i].m.Rows
				return newGuarded(t, compute(x[i].m.DType), rows, rows, rows+layouts[i%len(layouts)].pad, 1)
			}, func(dst []kernels.Matrix) error {
				return b.RBF(ctx, dst, matrices(gather(x, order)), bw, used, none)
			})
			for k, i := range order {
				values[i] = append(values[i], used[k])
			}
			return values, err
		}})
	}
	var w0, wt []*guarded
	for i, p := range [][2]int{{7, 9}, {1, 3000}, {65, 129}, {300, 3}, {1, 1}} {
		w0 = append(w0, random(t, types[i%len(types)], p[0], p[1], layouts[i%len(layouts)], gaussian(r)))
		wt = append(wt, random(t, types[(i+1)%len(types)], p[0], p[1], layouts[(i+2)%len(layouts)], gaussian(r)))
	}
	return append(list, batch{name: "Rotation", items: len(w0), run: func(_ testing.TB, b kernels.Backend, order []int) ([][]float64, error) {
		dst, values := make([]kernels.RotationValue, len(order)), make([][]float64, len(w0))
		err := b.Rotation(ctx, dst, matrices(gather(w0, order)), matrices(gather(wt, order)), none)
		for k, i := range order {
			values[i] = []float64{dst[k].Dot, dst[k].Norm0, dst[k].NormT, dst[k].Distance}
		}
		return values, err
	}})
}

// tableBatches has HSICMatrix in both forms, and ApplyAdapters with its set in
// another order.
func (s *suite) tableBatches(t testing.TB, r *rand.Rand) []batch {
	t.Helper()
	ctx, none := background(), kernels.Options{}
	var list []batch
	for _, c := range []struct {
		n      int
		widths []int
		kernel kernels.KernelKind
	}{{400, []int{64, 100, 5}, kernels.Linear}, {50, []int{300, 200, 7, 64}, kernels.Linear}, {130, []int{9, 200, 30}, kernels.Gaussian}} {
		x := layerSet(t, r, kernels.Float32, c.n, c.widths, c.kernel)
		for _, e := range estimators {
			list = append(list, batch{name: fmt.Sprintf("HSICMatrix %d rows estimator %d", c.n, e), items: len(x), joint: true, run: func(_ testing.TB, b kernels.Backend, order []int) ([][]float64, error) {
				l := len(order)
				table := kernels.HSICTable{XY: make([]float64, l*l), XX: make([]float64, l)}
				err := b.HSICMatrix(ctx, table, matrices(gather(x, order)), nil, kernels.Kernel{Kind: c.kernel}, e, none)
				values := make([][]float64, len(x))
				for k, i := range order {
					values[i] = make([]float64, len(x)+1)
					values[i][len(x)] = table.XX[k]
					for m, j := range order {
						values[i][j] = table.XY[k*l+m]
					}
				}
				return values, err
			}})
		}
	}
	tokens := random(t, kernels.Float32, 70, 40, layouts[1], gaussian(r))
	old := random(t, kernels.Float32, 70, 101, layouts[2], gaussian(r))
	var a, bs []*guarded
	for i, rank := range []int{1, 16, 33} {
		a, bs = append(a, random(t, kernels.Float32, rank, 40, layouts[i], gaussian(r))), append(bs, random(t, kernels.Float32, 101, rank, layouts[i+1], gaussian(r)))
	}
	return append(list, batch{name: "ApplyAdapters", items: len(a), joint: true, run: func(t testing.TB, b kernels.Backend, order []int) ([][]float64, error) {
		set, at := make([]kernels.Adapter, len(order)), make([]int32, len(order))
		for k, i := range order {
			set[k], at[i] = kernels.Adapter{A: a[i].m, B: bs[i].m, Scale: float32(i) - 0.5}, int32(k)
		}
		segments := []int32{0, 1, 20, 37, 70}
		y := random(t, kernels.Float32, 70, 101, layouts[4], func() float64 { return 0 })
		y.copyOf(old)
		err := b.ApplyAdapters(ctx, y.m, tokens.m, segments, []int32{at[2], at[0], at[1], at[2]}, set, none)
		y.intact(t, "ApplyAdapters")
		return [][]float64{y.floats(), nil, nil}, err
	}})
}
