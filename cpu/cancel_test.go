package cpu

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// counted makes a backend of one worker count its calls of the micro-kernel and
// report each.
func counted(t *testing.T, at func(calls int)) *Backend {
	t.Helper()
	b := open(t, Options{Workers: 1})
	run, calls := b.tier.kernel.run, 0
	b.tier.kernel.run = func(k int, p, q, c []float64, ldc int) {
		calls++
		at(calls)
		run(k, p, q, c, ldc)
	}
	return b
}

// TestCancelWithinTiles ends the context in the middle of long tiles: what is
// left of one block of terms may be computed, and no more.
func TestCancelWithinTiles(t *testing.T) {
	const perBlock = tileRows / 2 * tileCols / 4
	r := rand.New(rand.NewPCG(1, 2))
	matrix := func(rows, cols int) kernels.Matrix {
		x := make([]float64, rows*cols)
		for i := range x {
			x[i] = r.NormFloat64()
		}
		return dense(t, x, rows, cols)
	}
	layers := []kernels.Matrix{matrix(250, 400), matrix(250, 500), matrix(250, 300)}
	table := kernels.HSICTable{XY: make([]float64, 9)}
	long, dst := matrix(96, 5000), matrix(96, 96)
	for _, c := range []struct {
		name string
		call func(ctx context.Context, b *Backend) error
	}{
		{"HSICMatrix", func(ctx context.Context, b *Backend) error {
			return b.HSICMatrix(ctx, table, layers, nil, kernels.Kernel{}, kernels.Biased, kernels.Options{})
		}},
		{"HSICMatrix Gaussian", func(ctx context.Context, b *Backend) error {
			return b.HSICMatrix(ctx, table, layers, nil, kernels.Kernel{Kind: kernels.Gaussian}, kernels.Biased, kernels.Options{})
		}},
		{"Gram", func(ctx context.Context, b *Backend) error {
			return b.Gram(ctx, []kernels.Matrix{dst}, []kernels.Matrix{long}, 1, 0, kernels.Full, kernels.Options{})
		}},
	} {
		total := 0
		if err := c.call(context.Background(), counted(t, func(calls int) { total = calls })); err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{1, total / 3, total - 2*perBlock} {
			ctx, cancel := context.WithCancel(context.Background())
			last := 0
			err := c.call(ctx, counted(t, func(calls int) {
				if last = calls; calls == at {
					cancel()
				}
			}))
			cancel()
			if !errors.Is(err, context.Canceled) || last > at+perBlock {
				t.Errorf("%s, cancelled at product %d of %d: went on to %d, %v", c.name, at, total, last, err)
			}
		}
	}
}

// looks is a context that ends after so many looks at it.
type looks struct {
	context.Context //nolint:containedctx // a context itself
	left            atomic.Int64
}

func (l *looks) Err() error {
	if l.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestCancelDecomposition ends the context at every look: the decomposition must
// look often, for each vector in each step, and stop each time.
func TestCancelDecomposition(t *testing.T) {
	const k, long = 12, 20
	r := rand.New(rand.NewPCG(1, 2))
	set := vectors(k, long)
	for _, v := range set {
		for i := range v {
			v[i] = r.NormFloat64()
		}
	}
	all := 0
	for n := 0; ; n++ {
		ctx := &looks{Context: context.Background()}
		ctx.left.Store(int64(n))
		_, _, _, err := decompose(ctx, set)
		if err == nil {
			all = n
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if all < 6*k { // five steps, the sweeps being two at least
		t.Errorf("%d looks at the context for %d vectors", all, k)
	}
}

// TestProgressOfAllPhases counts the tiles of means, norms, medians, row sums
// and products, which all are reported.
func TestProgressOfAllPhases(t *testing.T) {
	b := open(t, Options{Workers: 1})
	x := make([]float64, 100*70)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range x {
		x[i] = r.NormFloat64()
	}
	m := []kernels.Matrix{dense(t, x, 100, 70)}
	gauss := kernels.Kernel{Kind: kernels.Gaussian}
	for _, c := range []struct {
		name string
		want int // columns + rows + median + row sums + products
		call func(o kernels.Options) error
	}{
		{"HSICMatrix", 2 + 1 + 3 + 2 + 2, func(o kernels.Options) error {
			return b.HSICMatrix(context.Background(), kernels.HSICTable{XY: make([]float64, 1)}, m, nil, gauss, kernels.Biased, o)
		}},
		{"HSICMatrix sampled", 2 + 1 + 1 + 2 + 2, func(o kernels.Options) error {
			k := gauss
			k.Bandwidth.Sample = 50
			return b.HSICMatrix(context.Background(), kernels.HSICTable{XY: make([]float64, 1)}, m, nil, k, kernels.Biased, o)
		}},
		{"HSIC", 2 + 3*1, func(o kernels.Options) error { // feature form: XY, XX, YY
			y := []kernels.Matrix{dense(t, x, 1000, 3)}
			return b.HSIC(context.Background(), make([]kernels.HSICValue, 1), y, y, kernels.Biased, o)
		}},
		{"RBF", 2 + 1 + 3 + 3, func(o kernels.Options) error {
			return b.RBF(context.Background(), []kernels.Matrix{dense(t, make([]float64, 1e4), 100, 100)}, m, kernels.Bandwidth{}, nil, o)
		}},
		{"Rotation of one long row", 3, func(o kernels.Options) error {
			w := []kernels.Matrix{dense(t, make([]float64, 2*stripElems+1), 1, 2*stripElems+1)}
			if err := b.Rotation(context.Background(), make([]kernels.RotationValue, 1), w, w, o); !errors.Is(err, kernels.ErrDegenerate) {
				return err
			}
			return nil
		}},
	} {
		last, n := 0, 0
		o := kernels.Options{Progress: func(done, total int) {
			if done != last+1 || n != 0 && total != n {
				t.Errorf("%s: %d of %d after %d of %d", c.name, done, total, last, n)
			}
			last, n = done, total
		}}
		if err := c.call(o); err != nil || last != c.want || n != c.want {
			t.Errorf("%s: %d of %d tiles reported, want %d: %v", c.name, last, n, c.want, err)
		}
	}
}

// TestManyHeads has a product of heads that 32 bits cannot hold.
func TestManyHeads(t *testing.T) {
	const heads = 1 << 16
	b := open(t, Options{})
	v := make([]float64, heads)
	for i := range v {
		v[i] = float64(i + 1)
	}
	dst, m := make([]float64, heads), dense(t, v, 1, heads)
	p := kernels.AttentionParams{Heads: heads, KVHeads: heads, HeadDim: 1}
	if err := b.Attention(context.Background(), dense(t, dst, 1, heads), m, m, m, p, kernels.Options{}); err != nil {
		t.Fatal(err)
	}
	for i, got := range dst {
		if got != v[i] {
			t.Fatalf("head %d: %v, want %v", i, got, v[i])
		}
	}
}

// TestTileFailure checks that the error of a tile ends the call.
func TestTileFailure(t *testing.T) {
	b := open(t, Options{Workers: 3})
	want := errors.New("tile 5")
	err := b.tiles(context.Background(), kernels.OpGram, kernels.Options{}, 1000, func(ws *workspace, i int) {
		if i == 5 {
			ws.fail(want)
			ws.fail(errors.New("a second one"))
		}
	})
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}
