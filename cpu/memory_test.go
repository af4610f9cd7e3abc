package cpu

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// TestMemoryIsCounted compares what operations allocate with the peak that the
// backend reports: what is not counted is a workspace per worker and lists.
func TestMemoryIsCounted(t *testing.T) {
	const long = 1 << 21
	x32, err := kernels.Of(make([]float32, long), 1, long, long)
	if err != nil {
		t.Fatal(err)
	}
	ones := make([]float64, long)
	fill(ones, 1)
	x, y := dense(t, ones, 1, long), dense(t, make([]float64, long), 1, long)
	tall := dense(t, ones, 4096, 128)
	var layers []kernels.Matrix
	for i := range 60 {
		layers = append(layers, dense(t, ones[i:], 300, 2))
	}
	pairs := kernels.HSICTable{XY: make([]float64, len(layers)*len(layers))}
	variance := make([]float64, len(layers))
	fill(variance, 1)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would drop the workspaces
	ctx, o := context.Background(), kernels.Options{}
	list := func(m kernels.Matrix) []kernels.Matrix { return []kernels.Matrix{m} }
	rank := 4096
	for _, c := range []struct {
		name string
		call func(b *Backend) error
	}{
		{"Rotation", func(b *Backend) error { return b.Rotation(ctx, make([]kernels.RotationValue, 1), list(x), list(x), o) }},
		{"Convert", func(b *Backend) error { return b.Convert(ctx, x32, x) }},
		{"Activate", func(b *Backend) error { return b.Activate(ctx, y, x, kernels.SiLU, o) }},
		{"Gate", func(b *Backend) error { return b.Gate(ctx, y, x, x, kernels.SiLU, o) }},
		{"Add", func(b *Backend) error { return b.Add(ctx, y, x, 2, o) }},
		{"Gather", func(b *Backend) error { return b.Gather(ctx, y, x, []int32{0}, 2, 0, o) }},
		{"Norm", func(b *Backend) error { return b.Norm(ctx, y, x, kernels.NormParams{Epsilon: 1}, 1, 0, o) }},
		{"RowNormalize", func(b *Backend) error { return b.RowNormalize(ctx, y, x, o) }},
		{"RoPE", func(b *Backend) error {
			return b.RoPE(ctx, y, x, []int32{1}, kernels.RoPEParams{HeadDim: long, InvFreq: ones[:1000]}, o)
		}},
		{"Center", func(b *Backend) error {
			return b.Center(ctx, list(y), list(x), []kernels.RowStats{{SquaredNorm: make([]float64, 1)}}, o)
		}},
		{"HSIC", func(b *Backend) error {
			return b.HSIC(ctx, make([]kernels.HSICValue, 1), list(tall), list(tall), kernels.Unbiased, o)
		}},
		{"HSICMatrix linear", func(b *Backend) error {
			return b.HSICMatrix(ctx, pairs, layers, nil, kernels.Kernel{}, kernels.Unbiased, o)
		}},
		{"HSICMatrix Gaussian", func(b *Backend) error {
			return b.HSICMatrix(ctx, pairs, layers, nil, kernels.Kernel{Kind: kernels.Gaussian, Bandwidth: kernels.Bandwidth{Variance: variance}}, kernels.Unbiased, o)
		}},
		{"RBF sampled", func(b *Backend) error {
			if err := b.RBF(ctx, nil, list(tall), kernels.Bandwidth{Sample: 2000}, make([]float64, 1), o); !errors.Is(err, kernels.ErrDegenerate) {
				return err
			}
			return nil
		}},
		{"SVD", func(b *Backend) error {
			w := dense(t, ones, 300, 400)
			return b.SVD(ctx, list(dense(t, make([]float64, 300), 300, 1)), list(dense(t, make([]float64, 1), 1, 1)), list(dense(t, make([]float64, 400), 400, 1)), list(w),
				kernels.SVDParams{Oversample: 99}, o)
		}},
		{"SVD exact", func(b *Backend) error {
			w := dense(t, ones, 300, 100)
			return b.SVD(ctx, list(dense(t, make([]float64, 300), 300, 1)), list(dense(t, make([]float64, 1), 1, 1)), list(dense(t, make([]float64, 100), 100, 1)), list(w),
				kernels.SVDParams{Oversample: 99}, o)
		}},
		{"ApplyAdapters", func(b *Backend) error {
			set := []kernels.Adapter{{A: dense(t, ones, rank, 2), B: dense(t, ones, 2, rank), Scale: 1}}
			return b.ApplyAdapters(ctx, dense(t, make([]float64, 200), 100, 2), dense(t, ones, 100, 2), []int32{0, 100}, []int32{0}, set, o)
		}},
		{"Attention", func(b *Backend) error {
			q := dense(t, ones, 4, 4096)
			return b.Attention(ctx, dense(t, make([]float64, 4*4096), 4, 4096), q, q, q, kernels.AttentionParams{Heads: 1, KVHeads: 1, HeadDim: 4096}, o)
		}},
	} {
		b := open(t, Options{Workers: 1})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := c.call(b); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		runtime.ReadMemStats(&after)
		const workspace, lists = 2 << 20, 1 << 20
		allocated, peak := after.TotalAlloc-before.TotalAlloc, b.Info().Memory.Peak
		if allocated > peak+workspace+lists && !raceDetector { // which makes the workspaces anew
			t.Errorf("%s allocated %d bytes and reported a peak of %d", c.name, allocated, peak)
		}
		if got := b.Info().Memory.InUse; got != 0 {
			t.Errorf("%s: %d bytes in use afterwards", c.name, got)
		}
		if peak == 0 {
			continue
		}
		small := open(t, Options{Workers: 1, MemoryLimit: peak - 1})
		if err := c.call(small); !errors.Is(err, kernels.ErrMemory) {
			t.Errorf("%s with a byte less than its peak of %d: %v", c.name, peak, err)
		}
		if got := small.Info().Memory.InUse; got != 0 {
			t.Errorf("%s: %d bytes in use after it was refused", c.name, got)
		}
	}
}

// TestFreeGivesMemoryBack keeps buffers after Free: their memory must not stay.
func TestFreeGivesMemoryBack(t *testing.T) {
	const size = 32 << 20
	b := open(t, Options{MemoryLimit: size + size/4})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var kept []kernels.Buffer
	for range 6 {
		buf, err := b.Alloc(context.Background(), kernels.Float64, 1<<10, size>>13)
		if err != nil {
			t.Fatal(err)
		}
		if err := buf.Free(); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, buf)
	}
	if after := heap(); after > before+size {
		t.Errorf("%d bytes of heap before, %d after six buffers of %d were freed", before, after, size)
	}
	for _, buf := range kept {
		m := buf.Matrix()
		if m.Rows != 1<<10 || m.Validate() == nil {
			t.Fatalf("the view of a freed buffer is %+v, valid: %v", m, m.Validate())
		}
	}
}

// TestLimitBeyondMemory asks for more than any machine has, under a limit that
// would allow it.
func TestLimitBeyondMemory(t *testing.T) {
	const most = 1<<63 - 1
	b := open(t, Options{MemoryLimit: most})
	if _, err := b.Alloc(context.Background(), kernels.Float64, huge, 2); !errors.Is(err, kernels.ErrMemory) {
		t.Errorf("Alloc: %v", err)
	}
}
