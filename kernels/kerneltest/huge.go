package kerneltest

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/cambium-kernels/cambium/kernels"
)

// huge is a side that no memory holds: 2^50 where addresses have 64 bits. An
// empty matrix may have it.
const huge = math.MaxInt>>13 + 1

// A call that has nothing to compute hangs if it takes longer or more memory.
const (
	hugeTime   = time.Minute
	hugeMemory = 1 << 30
)

// hugeCase is a call on empty matrices with a huge side. It may need memory per
// row, and report that there is none.
type hugeCase struct {
	name  string
	run   func() error
	also  error       // an answer beside success and ErrMemory
	check func() bool // of the results after success
}

// testHuge runs each operation on empty matrices of huge size: no panic, no
// loop over what is not there.
func testHuge(s *suite, t *testing.T) {
	cases := append(s.hugeProducts(), s.hugeComparisons()...)
	cases = append(append(cases, s.hugeUpdates()...), s.hugeLayers()...)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			switch err := endsSoon(c.run); {
			case errors.Is(err, kernels.ErrMemory), s.unsupported(t, err, kernels.Float32):
			case err != nil && (c.also == nil || !errors.Is(err, c.also)):
				t.Errorf("got %v", err)
			case err == nil && c.also != nil:
				t.Errorf("no error, want %v", c.also)
			case c.check != nil && !c.check():
				t.Error("wrong result")
			}
		})
	}
}

// endsSoon runs a call that has nothing to do. One that hangs cannot be stopped,
// and may take all memory meanwhile: it ends the process.
func endsSoon(run func() error) error {
	done := make(chan error, 1)
	go func() { done <- noPanic(run) }()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, end := m.HeapAlloc, time.After(hugeTime)
	watch := time.NewTicker(20 * time.Millisecond)
	defer watch.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-end:
			panic(fmt.Sprintf("still running after %v, with nothing to compute", hugeTime)) //nolint:forbidigo // nothing else ends it
		case <-watch.C:
			if runtime.ReadMemStats(&m); m.HeapAlloc > before+hugeMemory {
				panic(fmt.Sprintf("took %d MiB, with nothing to compute", (m.HeapAlloc-before)>>20)) //nolint:forbidigo // nothing else ends it
			}
		}
	}
}

// shaped returns an empty matrix without memory.
func shaped(rows, cols int) kernels.Matrix {
	return kernels.Matrix{Rows: rows, Cols: cols, Stride: cols}
}

func zeros(v ...float64) bool { return len(v) > 0 && largest(v) == 0 && !anyNaN(v) }

func anyNaN(v []float64) bool {
	for _, x := range v {
		if math.IsNaN(x) {
			return true
		}
	}
	return false
}

func (s *suite) hugeProducts() []hugeCase {
	b, ctx, none := s.b, background(), kernels.Options{}
	tall, wide, empty := shaped(huge, 0), shaped(0, huge), shaped(0, 0)
	matmul := func(d, x, y kernels.Matrix, form kernels.Form) func() error {
		return func() error { return b.Matmul(ctx, ms(d), ms(x), ms(y), form, 1, 0, none) }
	}
	stats := []kernels.RowStats{{Mean: []float64{}, ColumnSquares: []float64{}}}
	return []hugeCase{
		{name: "Copy tall", run: func() error { return b.Copy(ctx, tall, tall) }},
		{name: "Copy wide", run: func() error { return b.Copy(ctx, wide, wide) }},
		{name: "Convert tall", run: func() error { return b.Convert(ctx, tall, tall) }},
		{name: "Convert wide", run: func() error { return b.Convert(ctx, wide, wide) }},
		{name: "Gram", run: func() error { return b.Gram(ctx, ms(empty), ms(wide), 1, 0, kernels.Full, none) }},
		{name: "Gram packed", run: func() error { return b.Gram(ctx, ms(shaped(1, 0)), ms(wide), 1, 0, kernels.PackedLower, none) }},
		{name: "Gram of more elements than can be counted", also: kernels.ErrShape, run: func() error {
			return b.Gram(ctx, ms(shaped(1, 0)), ms(tall), 1, 0, kernels.PackedLower, none)
		}},
		{name: "Matmul NT tall", run: matmul(tall, tall, empty, kernels.NT)},
		{name: "Matmul NT wide", run: matmul(wide, empty, tall, kernels.NT)},
		{name: "Matmul NT terms", run: matmul(empty, wide, wide, kernels.NT)},
		{name: "Matmul TN tall", run: matmul(tall, wide, empty, kernels.TN)},
		{name: "Matmul TN terms", run: matmul(empty, tall, tall, kernels.TN)},
		{name: "Matmul NN wide", run: matmul(wide, empty, wide, kernels.NN)},
		{name: "Matmul NN terms", run: matmul(empty, wide, tall, kernels.NN)},
		{name: "Center tall", run: func() error { return b.Center(ctx, ms(tall), ms(tall), stats, none) }},
		{name: "Center wide", run: func() error { return b.Center(ctx, ms(wide), ms(wide), nil, none) }},
	}
}

func (s *suite) hugeComparisons() []hugeCase {
	b, ctx, none := s.b, background(), kernels.Options{}
	tall, wide, empty := shaped(huge, 0), shaped(0, huge), shaped(0, 0)
	var list []hugeCase
	for _, e := range estimators {
		name := []string{" biased", " unbiased"}[e]
		v, table, gauss, given := make([]kernels.HSICValue, 1), make([]float64, 4), make([]float64, 1), make([]float64, 1)
		list = append(list,
			hugeCase{
				name: "HSIC tall" + name, run: func() error { return b.HSIC(ctx, v, ms(tall), ms(tall), e, none) },
				check: func() bool { return zeros(v[0].XY, v[0].XX, v[0].YY) },
			},
			hugeCase{name: "HSIC wide" + name, run: func() error { return b.HSIC(ctx, make([]kernels.HSICValue, 1), ms(wide), ms(wide), e, none) }, also: kernels.ErrDegenerate},
			hugeCase{name: "HSICMatrix tall" + name, run: func() error {
				return b.HSICMatrix(ctx, kernels.HSICTable{XY: table}, ms(tall, tall), nil, kernels.Kernel{}, e, none)
			}, check: func() bool { return zeros(table...) }},
			hugeCase{name: "HSICMatrix wide" + name, run: func() error {
				return b.HSICMatrix(ctx, kernels.HSICTable{XY: make([]float64, 4)}, ms(wide, wide), nil, kernels.Kernel{}, e, none)
			}, also: kernels.ErrDegenerate},
			hugeCase{name: "HSICMatrix Gaussian tall" + name, run: func() error {
				return b.HSICMatrix(ctx, kernels.HSICTable{XY: gauss}, ms(tall), nil, kernels.Kernel{Kind: kernels.Gaussian}, e, none)
			}, also: kernels.ErrDegenerate},
			hugeCase{name: "HSICMatrix Gaussian tall, variance given" + name, run: func() error {
				k := kernels.Kernel{Kind: kernels.Gaussian, Bandwidth: kernels.Bandwidth{Variance: []float64{1}}}
				return b.HSICMatrix(ctx, kernels.HSICTable{XY: given}, ms(tall), nil, k, e, none)
			}, check: func() bool { return zeros(given...) }},
		)
	}
	used, v := make([]float64, 1), make([]kernels.RotationValue, 1)
	undefined := func() bool { return math.IsNaN(v[0].Distance) }
	return append(list,
		hugeCase{name: "RBF tall", run: func() error { return b.RBF(ctx, nil, ms(tall), kernels.Bandwidth{}, used, none) }, also: kernels.ErrDegenerate},
		hugeCase{name: "RBF tall, sampled", run: func() error { return b.RBF(ctx, nil, ms(tall), kernels.Bandwidth{Sample: 9}, used, none) }, also: kernels.ErrDegenerate},
		hugeCase{name: "RBF tall, variance given", run: func() error {
			return b.RBF(ctx, nil, ms(tall), kernels.Bandwidth{Variance: []float64{3}}, used, none)
		}, check: func() bool { return used[0] == 3 }},
		hugeCase{name: "RBF wide", run: func() error { return b.RBF(ctx, ms(empty), ms(wide), kernels.Bandwidth{}, used, none) }},
		hugeCase{name: "RBF wide, bandwidth alone", run: func() error { return b.RBF(ctx, nil, ms(wide), kernels.Bandwidth{}, used, none) }},
		hugeCase{name: "Rotation tall", run: func() error { return b.Rotation(ctx, v, ms(tall), ms(tall), none) }, also: kernels.ErrDegenerate, check: undefined},
		hugeCase{name: "Rotation wide", run: func() error { return b.Rotation(ctx, v, ms(wide), ms(wide), none) }, also: kernels.ErrDegenerate, check: undefined},
	)
}

func (s *suite) hugeUpdates() []hugeCase {
	b, ctx, none := s.b, background(), kernels.Options{}
	tall, wide, empty := shaped(huge, 0), shaped(0, huge), shaped(0, 0)
	low := func(w, p, q kernels.Matrix) func() error {
		return func() error { return b.LowRank(ctx, ms(w), ms(p), ms(q), []float32{1}, none) }
	}
	apply := func(y, x, p, q kernels.Matrix) func() error {
		return func() error {
			return b.ApplyAdapters(ctx, y, x, []int32{0, int32(y.Rows)}, []int32{0}, []kernels.Adapter{{A: p, B: q, Scale: 1}}, none)
		}
	}
	svd := func(u, v, w kernels.Matrix) func() error {
		return func() error {
			return b.SVD(ctx, ms(u), ms(shaped(1, 0)), ms(v), ms(w), kernels.SVDParams{Oversample: 10, Iterations: 4}, none)
		}
	}
	const tokens = math.MaxInt32
	return []hugeCase{
		{name: "LowRank tall", run: low(tall, tall, empty)},
		{name: "LowRank wide", run: low(wide, empty, wide)},
		{name: "LowRank rank", run: low(empty, wide, tall)},
		{name: "ApplyAdapters in", run: apply(empty, wide, wide, empty)},
		{name: "ApplyAdapters out", run: apply(wide, empty, empty, tall)},
		{name: "ApplyAdapters rank", run: apply(shaped(4, 0), shaped(4, 0), tall, wide)},
		{name: "ApplyAdapters tokens", run: apply(shaped(tokens, 0), shaped(tokens, 0), shaped(3, 0), shaped(0, 3))},
		{name: "SVD tall", run: svd(tall, empty, tall)},
		{name: "SVD wide", run: svd(empty, tall, wide)},
	}
}

func (s *suite) hugeLayers() []hugeCase {
	b, ctx, none := s.b, background(), kernels.Options{}
	tall, wide := shaped(huge, 0), shaped(0, huge)
	one := func(name string, run func(m kernels.Matrix) error) []hugeCase {
		return []hugeCase{
			{name: name + " tall", run: func() error { return run(tall) }},
			{name: name + " wide", run: func() error { return run(wide) }},
		}
	}
	list := one("Norm", func(m kernels.Matrix) error {
		return b.Norm(ctx, m, m, kernels.NormParams{Kind: kernels.LayerNorm, Epsilon: 1}, 1, 0, none)
	})
	list = append(list, one("Activate", func(m kernels.Matrix) error { return b.Activate(ctx, m, m, kernels.SiLU, none) })...)
	list = append(list, one("Gate", func(m kernels.Matrix) error { return b.Gate(ctx, m, m, m, kernels.SiLU, none) })...)
	list = append(list, one("Add", func(m kernels.Matrix) error { return b.Add(ctx, m, m, 1, none) })...)
	list = append(list, one("Add of a row", func(m kernels.Matrix) error { return b.Add(ctx, m, shaped(min(1, m.Rows), m.Cols), 1, none) })...)
	list = append(list, one("RowNormalize", func(m kernels.Matrix) error { return b.RowNormalize(ctx, m, m, none) })...)
	const width = huge / 32 * 32
	return append(list,
		hugeCase{name: "RoPE", run: func() error {
			return b.RoPE(ctx, wide, wide, []int32{}, kernels.RoPEParams{HeadDim: 2, InvFreq: []float64{1}}, none)
		}},
		hugeCase{name: "Attention keys", run: func() error {
			p := kernels.AttentionParams{Heads: 1 << 16, KVHeads: 1, HeadDim: 1 << 10}
			return b.Attention(ctx, shaped(0, 1<<26), shaped(0, 1<<26), shaped(0, 1<<10), shaped(0, 1<<10), p, none)
		}},
		hugeCase{name: "Gather wide", run: func() error { return b.Gather(ctx, wide, wide, []int32{}, 1, 0, none) }},
		hugeCase{name: "Gather tall", run: func() error { return b.Gather(ctx, shaped(2, 0), tall, []int32{0, 5}, 1, 0, none) }},
		hugeCase{name: "Dequantize wide", run: func() error {
			q, err := kernels.OfQuantized(kernels.Q8_0, nil, 0, width)
			if err != nil {
				return err
			}
			return b.Dequantize(ctx, shaped(0, width), q, nil, none)
		}},
		hugeCase{name: "Dequantize tall", run: func() error {
			q, err := kernels.OfQuantized(kernels.Q8_0, nil, huge, 0)
			if err != nil {
				return err
			}
			return b.Dequantize(ctx, tall, q, nil, none)
		}},
	)
}
