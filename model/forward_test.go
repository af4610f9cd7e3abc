package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// run returns the final states of a golden case on one batch.
func (g *golden) run(t *testing.T, b kernels.Backend, batch Batch, o Options) []float32 {
	t.Helper()
	s, err := g.Run(t.Context(), b, []Batch{batch}, o)
	if err != nil {
		t.Fatal(err)
	}
	out := values(t, s.Matrix(0))
	if err := s.Free(); err != nil {
		t.Fatal(err)
	}
	return out
}

// roomy is a backend whose buffers have gaps between their rows, as a device's
// may, and which notices memory that was not taken from it.
type roomy struct {
	kernels.Backend
	seen *int
}

type roomyBuffer struct {
	kernels.Buffer
	cols int
}

func (b roomyBuffer) Matrix() kernels.Matrix {
	m := b.Buffer.Matrix()
	m.Cols = b.cols
	return m
}

func (r roomy) Alloc(ctx context.Context, dt kernels.DType, rows, cols int) (kernels.Buffer, error) {
	buf, err := r.Backend.Alloc(ctx, dt, rows, cols+3)
	return roomyBuffer{buf, cols}, err
}

func (r roomy) Copy(ctx context.Context, dst, src kernels.Matrix) error {
	*r.seen++
	return r.Backend.Copy(ctx, dst, src)
}

// Where rows of a buffer have gaps, weights go there by Copy, and nothing changes.
func TestRoomyBuffers(t *testing.T) {
	b := backend(t)
	for _, name := range []string{"llama_llama3", "phi3", "gpt2", "qwen2", "mistral", "bert", "vit"} {
		g := openGolden(t, name)
		want := g.run(t, b, g.batch, Options{})
		copies := 0
		s, err := g.Run(t.Context(), roomy{b, &copies}, []Batch{g.batch}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := hostMatrix(kernels.Float32, s.Matrix(0).Rows, s.Matrix(0).Cols)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Copy(t.Context(), m, s.Matrix(0)); err != nil {
			t.Fatal(err)
		}
		if got := values(t, m); !slices.Equal(got, want) {
			t.Errorf("%s: other states", name)
		}
		if copies < 20 {
			t.Errorf("%s: %d copies", name, copies)
		}
	}
}

// A block is read into the memory of the one before it: more blocks take no more.
func TestOneBlockInMemory(t *testing.T) {
	b := backend(t)
	g := openGolden(t, "llama")
	peak := func(drop []int) uint64 {
		var most uint64
		o := Options{Drop: Drop{Blocks: drop}, Hook: func(context.Context, At, kernels.Matrix) error {
			most = max(most, b.Info().Memory.InUse)
			return nil
		}}
		g.run(t, b, g.batch, o)
		return most
	}
	if one, all := peak([]int{1, 2}), peak(nil); one != all || one == 0 {
		t.Errorf("one block takes %d bytes, three %d", one, all)
	}
}

// Sequences of a batch do not see each other, and batches are as good as one.
func TestBatches(t *testing.T) {
	b := backend(t)
	for _, name := range []string{"llama", "gemma3", "bert", "gpt2"} {
		g := openGolden(t, name)
		want := g.run(t, b, g.batch, Options{})
		x, y := g.batch.Tokens[0], g.batch.Tokens[1]
		d := g.config.Width
		s, err := g.Run(t.Context(), b, []Batch{{Tokens: [][]int32{y, x}}, {Tokens: [][]int32{x}}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := len(x) * d
		if s.Len() != 2 || !slices.Equal(s.Sequences(0), []int32{0, 12, 24}) {
			t.Errorf("%s: %d batches, sequences %v", name, s.Len(), s.Sequences(0))
		}
		if got := values(t, s.Matrix(0)); !slices.Equal(got[:n], want[n:]) || !slices.Equal(got[n:], want[:n]) {
			t.Errorf("%s: in another order", name)
		}
		if got := values(t, s.Matrix(1)); !slices.Equal(got, want[:n]) {
			t.Errorf("%s: alone", name)
		}
		// The beginning of a text has the states that it has in the whole, if no token looks ahead.
		if g.config.Causal {
			short := g.run(t, b, Batch{Tokens: [][]int32{x[:5], y}}, Options{})
			if !slices.Equal(short[:5*d], want[:5*d]) || !slices.Equal(short[5*d:], want[n:]) {
				t.Errorf("%s: ragged", name)
			}
		}
		if err := s.Free(); err != nil {
			t.Error(err)
		}
	}
}

// The longest sequence of a batch decides about the frequencies of all.
func TestLongSequences(t *testing.T) {
	b := backend(t)
	for _, name := range []string{"llama_dynamic", "phi3_long"} {
		g := openGolden(t, name)
		x := g.batch.Tokens[0]
		whole := g.run(t, b, g.batch, Options{})
		with := g.run(t, b, Batch{Tokens: [][]int32{x[:4], x}}, Options{})
		alone := g.run(t, b, Batch{Tokens: [][]int32{x[:4]}}, Options{})
		n := 4 * g.config.Width
		if !slices.Equal(with[:n], whole[:n]) || slices.Equal(alone, whole[:n]) {
			t.Errorf("%s: the frequencies do not follow the longest sequence", name)
		}
	}
}

// Padding does what the reference's attention_mask does.
func TestMask(t *testing.T) {
	b := backend(t)
	g := openGolden(t, "bert")
	mask := [][]bool{make([]bool, 12), make([]bool, 12)}
	for i := range mask {
		for j := range mask[i] {
			mask[i][j] = i == 1 || j < 9
		}
	}
	batch := Batch{Tokens: g.batch.Tokens, Mask: mask}
	got := g.run(t, b, batch, Options{})
	want := tensor(t, g.ref, "masked")
	for _, rows := range [][2]int{{0, 9}, {12, 24}} {
		lo, hi := rows[0]*16, rows[1]*16
		if e := rowError(got[lo:hi], want[lo:hi], 16); !(e <= tolerance) {
			t.Errorf("rows %v: row-relative error %.2g", rows, e)
		}
	}
}

// The scale of the embedding is a float64: each value is rounded once.
func TestEmbeddingScale(t *testing.T) {
	b := backend(t)
	g := openGolden(t, "granite")
	m, err := New(edit(t, g.source).set(t, map[string]any{"embedding_multiplier": 0.1}))
	if err != nil {
		t.Fatal(err)
	}
	var ids []int32
	for id := range int32(40) {
		ids = append(ids, 39-id, id)
	}
	s, err := m.Run(t.Context(), b, []Batch{{Tokens: [][]int32{ids}}}, Options{Drop: Drop{Blocks: []int{0, 1, 2}}})
	if err != nil {
		t.Fatal(err)
	}
	table, _ := hostMatrix(kernels.Float32, 40, 16)
	if err := g.embedding.weight.Rows(table, 0); err != nil {
		t.Fatal(err)
	}
	data := values(t, table)
	for row, got := range slices.Collect(slices.Chunk(values(t, s.Matrix(0)), 16)) {
		for i, v := range got {
			if want := float32(float64(data[int(ids[row])*16+i]) * 0.1); v != want {
				t.Fatalf("row %d, id %d, feature %d: %v, want %v", row, ids[row], i, v, want)
			}
		}
	}
	s.Free()
}

func TestHooks(t *testing.T) {
	b := backend(t)
	g := openGolden(t, "llama")
	var seen []string
	widths := map[Point]int{BlockInput: 16, AttentionOutput: 24, MLPActivation: 24, BlockOutput: 16}
	o := Options{
		Drop: Drop{Blocks: []int{1}},
		Hook: func(_ context.Context, at At, x kernels.Matrix) error {
			seen = append(seen, fmt.Sprintf("%d.%d %s", at.Block, at.Batch, at.Point))
			if x.Cols != widths[at.Point] || x.Rows != 24 {
				t.Errorf("%v: %d x %d", at, x.Rows, x.Cols)
			}
			return nil
		},
	}
	steps := 0
	o.Progress = func(done, total int) {
		if steps++; done != steps || total != 4 {
			t.Errorf("progress %d of %d, step %d", done, total, steps)
		}
	}
	s, err := g.Run(t.Context(), b, []Batch{g.batch, g.batch}, o)
	if err != nil {
		t.Fatal(err)
	}
	s.Free()
	var want []string
	for _, block := range []int{0, 2} {
		for batch := range 2 {
			for _, p := range []string{"block input", "attention output", "MLP activation", "block output"} {
				want = append(want, fmt.Sprintf("%d.%d %s", block, batch, p))
			}
		}
	}
	if !slices.Equal(seen, want) || steps != 4 {
		t.Errorf("hooks %q", seen)
	}
	if Point(9).String() != "Point(9)" {
		t.Error(Point(9))
	}
	// An error at each point ends the pass with that error, and nothing stays in memory.
	stop := errors.New("enough")
	for p := range BlockOutput + 1 {
		o := Options{Hook: func(_ context.Context, at At, _ kernels.Matrix) error {
			if at.Point == p && at.Block == 1 {
				return stop
			}
			return nil
		}}
		if _, err := g.Run(t.Context(), b, []Batch{g.batch}, o); !errors.Is(err, stop) || !strings.Contains(err.Error(), "block 1, batch 0") {
			t.Errorf("%s: %v", p, err)
		}
	}
	if n := b.Info().Memory.InUse; n != 0 {
		t.Errorf("%d bytes are still in use", n)
	}
}

// What is dropped is zero where the pass looks at it, and nothing else is; by
// hand, with weights of zero, comes the same.
func TestDrop(t *testing.T) {
	b := backend(t)
	for _, name := range []string{"llama", "bert", "gpt2", "gemma2"} {
		g := openGolden(t, name)
		hd := g.config.HeadDim
		drop := Drop{Heads: map[int][]int{1: {3, 0, 3}}, Units: map[int][]int{2: {5, 6, 23}, 0: {0}}}
		looked := 0
		look := func(_ context.Context, at At, x kernels.Matrix) error {
			v := values(t, x)
			for i, val := range v {
				col := i % x.Cols
				zero := false
				switch at.Point {
				case AttentionOutput:
					zero = at.Block == 1 && (col/hd == 0 || col/hd == 3)
				case MLPActivation:
					zero = at.Block == 2 && (col == 5 || col == 6 || col == 23) || at.Block == 0 && col == 0
				default:
					continue
				}
				if looked++; (val == 0) != zero {
					return fmt.Errorf("%s %v: column %d is %v", name, at, col, val)
				}
			}
			return nil
		}
		got := g.run(t, b, g.batch, Options{Drop: drop, Hook: look})
		if looked == 0 {
			t.Error("the hook saw nothing")
		}
		byHand := func(_ context.Context, at At, x kernels.Matrix) error {
			data, err := kernels.Floats[float32](x)
			if err != nil {
				return err
			}
			for i := range data {
				col := i % x.Cols
				head := at.Point == AttentionOutput && at.Block == 1 && (col/hd == 0 || col/hd == 3)
				unit := at.Point == MLPActivation && (at.Block == 2 && (col == 5 || col == 6 || col == 23) || at.Block == 0 && col == 0)
				if head || unit {
					data[i] = 0
				}
			}
			return nil
		}
		if want := g.run(t, b, g.batch, Options{Hook: byHand}); !slices.Equal(got, want) {
			t.Errorf("%s: dropping differs from zeroing", name)
		}
		whole := g.run(t, b, g.batch, Options{})
		if slices.Equal(got, whole) {
			t.Errorf("%s: dropping changed nothing", name)
		}
		// All blocks dropped: the embedding.
		if e := rowError(g.run(t, b, g.batch, Options{Drop: Drop{Blocks: []int{2, 0, 1, 1}}}), tensor(t, g.ref, "hidden_states.0"), 16); !(e < 1e-6) {
			t.Errorf("%s without blocks: %v", name, e)
		}
	}
}

func TestBadInput(t *testing.T) {
	b := backend(t)
	llama, bert, vit := openGolden(t, "llama"), openGolden(t, "bert"), openGolden(t, "vit")
	long := make([]int32, 65)
	for _, c := range []struct {
		g        *golden
		batch    Batch
		drop     Drop
		mentions string
	}{
		{llama, Batch{}, Drop{}, "no sequences"},
		{llama, Batch{Tokens: [][]int32{{1}, {}}}, Drop{}, "sequence 1 has no tokens"},
		{llama, Batch{Tokens: [][]int32{{1, 40}}}, Drop{}, "token 1 has the id 40, the vocabulary 40"},
		{llama, Batch{Tokens: [][]int32{{-1}}}, Drop{}, "id -1"},
		{llama, Batch{Tokens: [][]int32{{1}}, Mask: [][]bool{}}, Drop{}, "0 masks"},
		{llama, Batch{Tokens: [][]int32{{1}}, Mask: [][]bool{{true, true}}}, Drop{}, "mask 0 has 2"},
		{llama, Batch{Images: [][]float32{{1}}}, Drop{}, "images"},
		{bert, Batch{Tokens: [][]int32{long}}, Drop{}, "65 tokens, the model has 64"},
		{vit, Batch{Tokens: [][]int32{{1}}}, Drop{}, "sees images"},
		{vit, Batch{}, Drop{}, "sees images"},
		{vit, Batch{Images: [][]float32{{1}}}, Drop{}, "image 0 has 1"},
		{llama, llama.batch, Drop{Blocks: []int{3}}, "block 3"},
		{llama, llama.batch, Drop{Blocks: []int{-1}}, "block -1"},
		{llama, llama.batch, Drop{Heads: map[int][]int{3: nil}}, "block 3"},
		{llama, llama.batch, Drop{Heads: map[int][]int{0: {4}}}, "head 4"},
		{llama, llama.batch, Drop{Units: map[int][]int{-1: nil}}, "block -1"},
		{llama, llama.batch, Drop{Units: map[int][]int{0: {24}}}, "unit 24"},
	} {
		_, err := c.g.Run(t.Context(), b, []Batch{c.batch}, Options{Drop: c.drop})
		if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), c.mentions) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", c.mentions, err)
		}
	}
	// Rotary positions have no end.
	if _, err := llama.Run(t.Context(), b, []Batch{{Tokens: [][]int32{long}}}, Options{}); err != nil {
		t.Error(err)
	}
	s := &spans{positions: make([]int32, 3)}
	if err := s.add(math.MaxInt32 - 2); !errors.Is(err, ErrInput) {
		t.Errorf("too many rows: %v", err)
	}
}

// A cancelled pass ends with the context's error, whenever that comes.
func TestCancel(t *testing.T) {
	b := backend(t)
	for _, name := range []string{"llama", "bert", "vit"} {
		g := openGolden(t, name)
		for block := -1; block < 3; block++ {
			ctx, cancel := context.WithCancel(t.Context())
			o := Options{Hook: func(_ context.Context, at At, _ kernels.Matrix) error {
				if at.Block == block {
					cancel()
				}
				return nil
			}}
			if block < 0 {
				cancel()
			}
			if _, err := g.Run(ctx, b, []Batch{g.batch}, o); !errors.Is(err, context.Canceled) {
				t.Errorf("%s, cancelled in block %d: %v", name, block, err)
			}
			cancel()
		}
	}
}

// failing is a backend that fails at its n-th operation.
type failing struct {
	kernels.Backend
	left *int
}

var errFails = errors.New("it fails")

func (f failing) next() error {
	if *f.left--; *f.left < 0 {
		return errFails
	}
	return nil
}

func (f failing) Alloc(ctx context.Context, dt kernels.DType, rows, cols int) (kernels.Buffer, error) {
	if err := f.next(); err != nil {
		return nil, err
	}
	return f.Backend.Alloc(ctx, dt, rows, cols)
}

func (f failing) Copy(ctx context.Context, dst, src kernels.Matrix) error {
	return errors.Join(f.next(), f.Backend.Copy(ctx, dst, src))
}

func (f failing) Convert(ctx context.Context, dst, src kernels.Matrix) error {
	return errors.Join(f.next(), f.Backend.Convert(ctx, dst, src))
}

func (f failing) Matmul(ctx context.Context, dst, a, b []kernels.Matrix, form kernels.Form, alpha, beta float64, o kernels.Options) error {
	return errors.Join(f.next(), f.Backend.Matmul(ctx, dst, a, b, form, alpha, beta, o))
}

func (f failing) Norm(ctx context.Context, dst, x kernels.Matrix, p kernels.NormParams, alpha, beta float64, o kernels.Options) error {
	return errors.Join(f.next(), f.Backend.Norm(ctx, dst, x, p, alpha, beta, o))
}

func (f failing) RoPE(ctx context.Context, dst, x kernels.Matrix, positions []int32, p kernels.RoPEParams, o kernels.Options) error {
	return errors.Join(f.next(), f.Backend.RoPE(ctx, dst, x, positions, p, o))
}

func (f failing) Attention(ctx context.Context, dst, q, k, v kernels.Matrix, p kernels.AttentionParams, o kernels.Options) error {
	return errors.Join(f.next(), f.Backend.Attention(ctx, dst, q, k, v, p, o))
}

func (f failing) Activate(ctx context.Context, dst, x kernels.Matrix, fn kernels.Activation, o kernels.Options) error {
	return errors.Join(f.next(), f.Backend.Activate(ctx, dst, x, fn, o))
}

func (f failing) Gate(ctx context.Context, dst, gate, up kernels.Matrix, fn kernels.Activation, o kernels.Options) error {
	return errors.Join(f.next(), f.Backend.Gate(ctx, dst, gate, up, fn, o))
}

func (f failing) Add(ctx context.Context, dst, x kernels.Matrix, alpha float64, o kernels.Options) error {
	return errors.Join(f.next(), f.Backend.Add(ctx, dst, x, alpha, o))
}

func (f failing) Gather(ctx context.Context, dst, table kernels.Matrix, ids []int32, alpha, beta float64, o kernels.Options) error {
	return errors.Join(f.next(), f.Backend.Gather(ctx, dst, table, ids, alpha, beta, o))
}

// every calls try with a backend that fails at its first operation, its second
// and so on, until it succeeds: each failure must come out, and give its memory
// back.
func every(t *testing.T, name string, try func(b kernels.Backend) error) {
	t.Helper()
	b := backend(t)
	for n := 0; ; n++ {
		left := n
		err := try(failing{b, &left})
		if used := b.Info().Memory.InUse; used != 0 {
			t.Fatalf("%s, operation %d fails: %d bytes are still in use", name, n, used)
		}
		if left >= 0 {
			if err != nil || n < 3 {
				t.Errorf("%s: %v after %d operations", name, err, n)
			}
			return
		}
		if !errors.Is(err, errFails) {
			t.Errorf("%s, operation %d fails: %v", name, n, err)
		}
	}
}

func TestEveryFailure(t *testing.T) {
	for _, name := range []string{"llama_llama3", "qwen3", "bert", "gemma2", "phi3", "gpt2", "vit", "olmo2"} {
		g := openGolden(t, name)
		drop := Drop{Heads: map[int][]int{1: {1}}, Units: map[int][]int{2: {2}}}
		every(t, name, func(b kernels.Backend) error {
			s, err := g.Run(t.Context(), b, []Batch{g.batch, g.batch}, Options{Drop: drop})
			if err != nil {
				return err
			}
			return s.Free()
		})
	}
}

// broken is a source whose n-th reading fails.
type broken struct {
	Source
	left *int
}

type brokenTensor struct {
	Tensor
	left *int
}

func (s broken) Tensor(name string) (Tensor, error) {
	t, err := s.Source.Tensor(name)
	return brokenTensor{t, s.left}, err
}

func (t brokenTensor) Rows(dst kernels.Matrix, from int) error {
	if *t.left--; *t.left < 0 {
		return errFails
	}
	return t.Tensor.Rows(dst, from)
}

func TestEveryFailedReading(t *testing.T) {
	b := backend(t)
	for _, name := range []string{"llama_llama3", "bert", "vit", "gpt2"} {
		g := openGolden(t, name)
		for n := 0; ; n++ {
			left := 1 << 30
			m, err := New(broken{g.source, &left})
			if err != nil {
				t.Fatal(err)
			}
			left = n
			s, err := m.Run(t.Context(), b, []Batch{g.batch}, Options{})
			if err == nil {
				if n < 30 || s.Free() != nil {
					t.Errorf("%s: %d readings", name, n)
				}
				break
			}
			if !errors.Is(err, errFails) {
				t.Errorf("%s, reading %d fails: %v", name, n, err)
			}
		}
	}
}

// packed has every matrix of a source in blocks of Q8_0.
type packed struct{ Source }

type packedTensor struct {
	Tensor
	blocks []byte
	cols   int
}

func (s packed) Tensor(name string) (Tensor, error) {
	t, err := s.Source.Tensor(name)
	if err != nil || len(t.Shape()) != 2 {
		return t, err
	}
	rows, cols := rowsOf(t)
	m, err := hostMatrix(t.DType(), rows, cols)
	if err == nil {
		err = t.Rows(m, 0)
	}
	if err != nil {
		return nil, err
	}
	data, err := kernels.Floats[float32](m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for block := range slices.Chunk(data, 32) {
		top := float32(0)
		for _, v := range block {
			top = max(top, float32(math.Abs(float64(v))))
		}
		scale := kernels.Float32ToFloat16(top / 127)
		out.Write([]byte{byte(scale), byte(scale >> 8)})
		for _, v := range block {
			out.WriteByte(byte(int8(math.Round(float64(v / max(kernels.Float16ToFloat32(scale), 1e-10))))))
		}
	}
	return packedTensor{t, out.Bytes(), cols}, nil
}

func (t packedTensor) DType() kernels.DType     { return kernels.Float32 }
func (t packedTensor) Quant() kernels.QuantType { return kernels.Q8_0 }
func (t packedTensor) Blocks(dst []byte, from int) error {
	copy(dst, t.blocks[from*t.cols/32*34:])
	return nil
}
