package kernels

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
)

// fallbackCalls are the valid calls of all operations, those that update their
// destination by beta or in place as variants of their own.
func fallbackCalls() []fallbackCall {
	var all []fallbackCall
	for _, c := range slices.Concat(dataChecks, analysisChecks, adapterChecks, layerChecks, attentionChecks) {
		all = append(all, fallbackCall{c.op.String(), c, 0, 0})
		switch c.op {
		case OpGram, OpMatmul, OpNorm, OpGather:
			all = append(all, fallbackCall{c.op.String() + " with beta", c, 0.5, 0})
		case OpGate:
			all = append(all, fallbackCall{"Gate in place of up", c, 0, 2})
		}
		switch c.op {
		case OpCenter, OpNorm, OpRoPE, OpActivate, OpGate, OpRowNormalize:
			all = append(all, fallbackCall{c.op.String() + " in place", c, 0, 1})
		}
	}
	return append(all, fallbackCall{"Alloc", checkCase{op: OpAlloc, make: func(*maker) arguments { return arguments{} }}, 0, 0})
}

type fallbackCall struct {
	name    string
	c       checkCase
	beta    float64
	inPlace int // the list whose first view is dst too; 0: none
}

// arguments returns host arguments with content that depends on the seed.
func (f fallbackCall) arguments(t *testing.T) *arguments {
	t.Helper()
	a := f.c.make(&maker{})
	if f.inPlace > 0 {
		a.lists[0][0] = a.lists[f.inPlace][0]
	}
	r := seeded(t, 7)
	for _, mem := range a.memory() {
		for i := range mem {
			mem[i] = byte(r.Uint32())
		}
	}
	return &a
}

// TestFallbackRedoes loses the primary in the middle of each operation: what is
// in memory afterwards, padding included, must be as if it had never been there.
func TestFallbackRedoes(t *testing.T) {
	ctx := t.Context()
	for _, call := range fallbackCalls() {
		t.Run(call.name, func(t *testing.T) {
			want, got := call.arguments(t), call.arguments(t)
			for range 3 {
				if err := want.invoke(ctx, newFake("sole", Device{}), call.c.op, call.beta); err != nil {
					t.Fatal(err)
				}
			}
			primary, secondary := newFake("cuda/sm_90", cuda0), newFake("cpu/avx2", Device{})
			primary.failAt = 2 // the first of the three calls runs on the primary
			b := WithFallback(primary, secondary)
			for i := range 3 {
				if err := got.invoke(ctx, b, call.c.op, call.beta); err != nil {
					t.Fatalf("call %d: %v", i, err)
				}
			}
			if p, s := primary.calls.Load(), secondary.calls.Load(); p != 2 || s != 2 {
				t.Errorf("%d calls on the primary, %d on the secondary, want 2 and 2", p, s)
			}
			wantMemory := want.memory()
			for i, mem := range got.memory() {
				if !bytes.Equal(mem, wantMemory[i]) {
					t.Errorf("operand %d differs from one that was computed without a fault", i)
				}
			}
		})
	}
}

// TestFallbackRefusesLostMemory puts each operand in turn on the lost device.
func TestFallbackRefusesLostMemory(t *testing.T) {
	ctx := t.Context()
	for _, call := range fallbackCalls() {
		t.Run(call.name, func(t *testing.T) {
			for l, name := range call.c.names {
				a := call.arguments(t)
				list := slices.Clone(a.lists[l])
				last := len(list) - 1
				list[last] = (&maker{dev: cuda0}).mat(list[last].DType, list[last].Rows, list[last].Cols)
				a.lists[l] = list

				primary, secondary := newFake("cuda/sm_90", cuda0), newFake("cpu/avx2", Device{})
				primary.failAt = 1
				b := WithFallback(primary, secondary)
				if err := a.invoke(ctx, b, call.c.op, call.beta); !errors.Is(err, ErrLost) || err.Error() != primary.fail.Error() {
					t.Errorf("%s on the device: got %v, want the primary's error", name, err)
				}
				label := call.c.label(l, last)
				err := a.invoke(ctx, b, call.c.op, call.beta)
				wantError(t, err, ErrLost, "kernels: "+call.c.op.String()+": "+label+" is on cuda:0, which cuda/sm_90 lost")
				if p, s := primary.calls.Load(), secondary.calls.Load(); p != 1 || s != 0 {
					t.Errorf("%s: %d calls on the primary, %d on the secondary, want 1 and 0", label, p, s)
				}
			}
		})
	}
}

func TestFallbackQuantizedOnLostDevice(t *testing.T) {
	primary, secondary := newFake("cuda/sm_90", cuda0), newFake("cpu/avx2", Device{})
	primary.failAt = 1
	b := WithFallback(primary, secondary)
	src := must(ForeignQuantized(cuda0, cudaAddress, Q4_0, 1, 32, nil))
	dst := (&maker{}).mat(Float32, 1, 32)
	wantError(t, b.Dequantize(t.Context(), dst, src, nil, Options{}), ErrLost, "launch failed")
	wantError(t, b.Dequantize(t.Context(), dst, src, nil, Options{}), ErrLost, "kernels: Dequantize: src is on cuda:0")
	if s := secondary.calls.Load(); s != 0 {
		t.Errorf("%d calls on the secondary", s)
	}
}

// TestFallbackOtherDevices: memory that is not the lost device's is the
// secondary's business.
func TestFallbackOtherDevices(t *testing.T) {
	for _, device := range []Device{cuda0, {}} { // a host backend can be lost without its memory
		primary, secondary := newFake("first", device), newFake("cuda/sm_90", cuda1)
		primary.failAt = 1
		b := WithFallback(primary, secondary)
		host, other := (&maker{}).mat(Float32, 2, 2), (&maker{dev: cuda1}).mat(Float32, 2, 2)
		if err := b.Copy(t.Context(), host, (&maker{}).mat(Float32, 2, 2)); err != nil {
			t.Fatal(err)
		}
		if err := b.Copy(t.Context(), host, other); err != nil {
			t.Errorf("primary on %s, operand on cuda:1 after the loss: %v", device, err)
		}
		if p, s := primary.calls.Load(), secondary.calls.Load(); p != 1 || s != 2 {
			t.Errorf("primary on %s: %d calls on it, %d on the secondary, want 1 and 2", device, p, s)
		}
	}
}

// TestFallbackStream: work queued on a stream of the lost device cannot be done
// elsewhere, whatever its operands.
func TestFallbackStream(t *testing.T) {
	primary, secondary := newFake("cuda/sm_90", cuda0), newFake("cpu/avx2", Device{})
	primary.failAt = 1
	b := WithFallback(primary, secondary)
	wantError(t, b.Gram(t.Context(), nil, nil, 1, 0, Full, Options{Stream: 5}), ErrLost, "719")
	if s := secondary.calls.Load(); s != 0 {
		t.Errorf("%d calls on the secondary", s)
	}
}

func TestFallbackPassesErrors(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, fail := range []error{
		fmt.Errorf("kernels: LowRank: w[0]: %w", ErrMemory),
		ErrUnsupported,
		ErrShape,
		ErrDevice,
		ErrAlias,
		ErrClosed,
		Degenerate(OpRotation, "norm is 0", []int{1}),
		fmt.Errorf("kernels: LowRank: %w", cancelled.Err()),
		errors.New("of another kind"),
	} {
		primary, secondary := newFake("cuda/sm_90", cuda0), newFake("cpu/avx2", Device{})
		primary.failAt, primary.fail = 1, fail
		b := WithFallback(primary, secondary)
		m := maker{}
		w, x := []Matrix{m.mat(Float32, 2, 2)}, []Matrix{m.mat(Float32, 2, 2)}
		for range 2 {
			if err := b.LowRank(cancelled, w, x, x, []float32{1}, Options{}); !errors.Is(err, fail) || err.Error() != fail.Error() {
				t.Errorf("got %v, want %v unchanged", err, fail)
			}
		}
		if p, s := primary.calls.Load(), secondary.calls.Load(); p != 2 || s != 0 || b.Info().Fallback != nil {
			t.Errorf("%v: %d calls on the primary, %d on the secondary, fallback %v", fail, p, s, b.Info().Fallback)
		}
	}
}

func TestFallbackSecondaryErrors(t *testing.T) {
	primary, secondary := newFake("cuda/sm_90", cuda0), newFake("cpu/avx2", Device{})
	primary.failAt, secondary.failAt, secondary.fail = 1, 1, ErrMemory
	b := WithFallback(primary, secondary)
	m := maker{}
	err := b.Add(t.Context(), m.mat(Float32, 2, 2), m.mat(Float32, 2, 2), 1, Options{})
	wantError(t, err, ErrMemory, "")
}

func TestFallbackInfo(t *testing.T) {
	primary, secondary := newFake("cuda/sm_90", cuda0), newFake("cpu/avx2", Device{})
	primary.failAt = 2
	b := WithFallback(primary, secondary)
	m := maker{}
	dst, src := m.mat(Float32, 2, 2), m.mat(Float32, 2, 2)
	for range 2 {
		if info := b.Info(); info.Name != "cuda/sm_90" || info.Device != cuda0 || info.Fallback != nil {
			t.Errorf("before the loss: %+v", info)
		}
		if err := b.Copy(t.Context(), dst, src); err != nil {
			t.Fatal(err)
		}
	}
	info := b.Info()
	if info.Name != "cpu/avx2" || info.Device != (Device{}) || info.Fingerprint != "cpu/avx2" {
		t.Errorf("after the loss: %+v", info)
	}
	wantError(t, info.Fallback, ErrLost, "cpu/avx2 serves instead of cuda/sm_90: ")
	if !errors.Is(info.Fallback, primary.fail) {
		t.Errorf("%v does not wrap what the primary reported", info.Fallback)
	}

	// A chain tells both losses.
	last := newFake("cpu/generic", Device{})
	secondary.failAt, last.info = 2, errors.New("no AVX2 on this machine")
	chain := WithFallback(newFakeLost(), WithFallback(secondary, last))
	if err := chain.Copy(t.Context(), dst, src); err != nil {
		t.Fatal(err)
	}
	info = chain.Info()
	for _, want := range []error{ErrLost, last.info, secondary.fail} {
		if info.Name != "cpu/generic" || !errors.Is(info.Fallback, want) {
			t.Errorf("%s with fallback %v, want it to wrap %v", info.Name, info.Fallback, want)
		}
	}
}

func newFakeLost() *fakeBackend {
	b := newFake("cuda/sm_80", cuda1)
	b.failAt = 1
	return b
}

func TestFallbackAlloc(t *testing.T) {
	primary, secondary := newFake("cuda/sm_90", cuda0), newFake("cpu/avx2", Device{})
	primary.failAt = 2
	b := WithFallback(primary, secondary)
	for i, want := range []string{"cuda/sm_90", "cpu/avx2", "cpu/avx2"} {
		buffer, err := b.Alloc(t.Context(), Float32, 3, 4)
		if err != nil {
			t.Fatal(err)
		}
		if got := buffer.(*fakeBuffer); got.owner != want || buffer.Matrix().Rows != 3 {
			t.Errorf("buffer %d comes from %s, want %s", i, got.owner, want)
		}
	}
	if p := primary.calls.Load(); p != 2 {
		t.Errorf("%d calls on the primary, want 2", p)
	}
}

func TestFallbackClose(t *testing.T) {
	for _, lose := range []bool{false, true} {
		primary, secondary := newFake("cuda/sm_90", cuda0), newFake("cpu/avx2", Device{})
		primary.close, secondary.close = errors.New("first"), errors.New("second")
		b := WithFallback(primary, secondary)
		if lose {
			primary.failAt = 1
			if _, err := b.Alloc(t.Context(), Float32, 1, 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Close(); !errors.Is(err, primary.close) || !errors.Is(err, secondary.close) {
			t.Errorf("Close gives %v, want both errors", err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := b.Close(); err != nil {
					t.Errorf("closing again gives %v", err)
				}
			})
		}
		wg.Wait()
		if p, s := primary.closes.Load(), secondary.closes.Load(); p != 1 || s != 1 {
			t.Errorf("primary closed %d times, secondary %d, want once each", p, s)
		}
	}
}

func TestFallbackOfOne(t *testing.T) {
	b := newFake("cpu/avx2", Device{})
	if got := WithFallback(nil, b); got != Backend(b) {
		t.Errorf("without a primary: %v", got)
	}
	if got := WithFallback(b, nil); got != Backend(b) {
		t.Errorf("without a secondary: %v", got)
	}
	if got := WithFallback(nil, nil); got != nil {
		t.Errorf("without either: %v", got)
	}
}

// TestFallbackProgress: done never falls, and ends at the total.
func TestFallbackProgress(t *testing.T) {
	primary, secondary := newFake("cuda/sm_90", cuda0), newFake("cpu/avx2", Device{})
	primary.failAt, secondary.tiles = 1, 3
	b := WithFallback(primary, secondary)
	m := maker{}
	dst, src := m.mat(Float32, 2, 2), m.mat(Float32, 2, 2)
	for _, want := range [][][2]int{
		{{1, 4}, {2, 4}, {3, 5}, {4, 5}, {5, 5}},
		{{1, 3}, {2, 3}, {3, 3}},
	} {
		var got [][2]int
		o := Options{Progress: func(done, total int) { got = append(got, [2]int{done, total}) }}
		if err := b.Activate(t.Context(), dst, src, ReLU, o); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("progress %v, want %v", got, want)
		}
	}
}

// TestFallbackConcurrent loses the primary while several goroutines update
// interleaved columns of one matrix: every update counts once, and none touches
// a neighbour's column.
func TestFallbackConcurrent(t *testing.T) {
	const workers, rounds = 8, 60
	for _, failAt := range []int64{1, 100, workers*rounds - 3} {
		primary, secondary := newFake("cuda/sm_90", cuda0), newFake("cpu/avx2", Device{})
		primary.failAt = failAt
		b := WithFallback(primary, secondary)
		data := make([]uint16, 16*workers)
		all := must(OfBits(Float16, data, 16, workers, workers))
		bias := (&maker{}).mat(Float16, 1, 1)
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				column := must(all.View(0, w, 16, 1))
				for range rounds {
					if err := b.Add(t.Context(), column, bias, 1, Options{}); err != nil {
						t.Error(err)
					}
					_ = b.Info()
				}
			})
		}
		wg.Wait()
		var once byte
		for range rounds {
			once = 3*once + 1
		}
		for i, v := range data {
			if v != uint16(once)<<8|uint16(once) {
				t.Fatalf("lost at call %d: element %d is %#x, want %#x after %d updates", failAt, i, v, once, rounds)
			}
		}
		if p, s := primary.calls.Load(), secondary.calls.Load(); p < failAt || p > failAt+workers-1 || s != workers*rounds-failAt+1 {
			t.Errorf("lost at call %d: %d calls on the primary, %d on the secondary", failAt, p, s)
		}
	}
}

// TestFallbackSavesOnlyWhatItMust looks at the snapshots themselves.
func TestFallbackSavesOnlyWhatItMust(t *testing.T) {
	m := maker{}
	dst, x := m.mat(Float32, 3, 4), m.mat(Float32, 3, 4)
	broken := dst
	broken.Rows = 1 << 20
	for _, c := range []struct {
		name   string
		update bool
		args   []operands
		want   int
	}{
		{"written only", false, []operands{oneDst("dst", dst), one("x", x)}, 0},
		{"updated", true, []operands{oneDst("dst", dst), one("x", x)}, 1},
		{"in place", false, []operands{oneDst("dst", dst), one("x", dst)}, 1},
		{"one of two in place", false, []operands{manyDst("dst", []Matrix{dst, x}), many("x", []Matrix{dst, dst})}, 1},
		{"fewer sources", false, []operands{manyDst("dst", []Matrix{x, dst}), many("x", []Matrix{dst})}, 0},
		{"refused", true, []operands{oneDst("dst", broken), one("x", x)}, 0},
		{"empty", true, []operands{oneDst("dst", Matrix{}), one("x", x)}, 0},
	} {
		saved := saveUpdated(c.update, c.args)
		if len(saved) != c.want {
			t.Errorf("%s: %d snapshots, want %d", c.name, len(saved), c.want)
		}
		for _, s := range saved {
			if len(s.rows) != 3*4*4 {
				t.Errorf("%s: snapshot of %d bytes, want 48: elements without padding", c.name, len(s.rows))
			}
		}
	}
}
