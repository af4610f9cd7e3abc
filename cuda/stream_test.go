//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cambium-kernels/cambium/cuda/fakecuda"
	"github.com/cambium-kernels/cambium/kernels"
)

// onDevice returns a buffer with the content of a host matrix.
func onDevice(t testing.TB, b kernels.Backend, m kernels.Matrix) kernels.Matrix {
	t.Helper()
	buf, err := b.Alloc(background, m.DType, m.Rows, m.Cols)
	if err == nil {
		err = b.Copy(background, buf.Matrix(), m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Matrix()
}

// TestStream queues work on a caller's stream: the call does not wait, the next
// call on stream 0 comes after it, and its scratch memory is given back only
// then.
func TestStream(t *testing.T) {
	fake(t)
	b := openFake(t, Options{}, usual)
	defer b.Close()
	r := rand.New(rand.NewPCG(5, 6))
	hx, _ := hostFloats(t, r, 50, 70, 70)
	hy, _ := hostFloats(t, r, 50, 70, 70)
	plain, plainData := hostFloats(t, r, 50, 50, 50)
	if err := b.Matmul(background, list(plain), list(hx), list(hy), kernels.NT, 1, 0, kernels.Options{}); err != nil {
		t.Fatal(err)
	}
	x, y := onDevice(t, b, hx), onDevice(t, b, hy)
	zero, _ := kernels.Of(make([]float32, 2500), 50, 50, 50)
	first, second := onDevice(t, b, zero), onDevice(t, b, zero)
	used := b.Info().Memory.InUse

	o := kernels.Options{Stream: fakecuda.Stream()}
	steps := 0
	o.Progress = func(int, int) { steps++ }
	if err := b.Matmul(background, list(first), list(x), list(y), kernels.NT, 1, 0, o); err != nil {
		t.Fatal(err)
	}
	if v := peek(t, first)[0]; v != 0 {
		t.Errorf("a queued call waited for its kernel: %v", v)
	}
	if err := b.Matmul(background, list(second), list(x), list(y), kernels.NT, 1, 0, o); err != nil {
		t.Fatal(err)
	}
	if v := peek(t, second)[0]; v != 0 {
		t.Errorf("a queued call waited for its kernel: %v", v)
	}
	if steps != 2 {
		t.Errorf("%d steps reported for two launches", steps)
	}
	if len(b.engine.queued) == 0 {
		t.Error("nothing is queued")
	}
	got, gotData := hostFloats(t, r, 50, 50, 50)
	for _, m := range list(first, second) {
		if err := b.Copy(background, got, m); err != nil { // no wait of ours in between
			t.Fatal(err)
		}
		if !slices.Equal(gotData, plainData) {
			t.Error("a call on stream 0 did not come after the queued one")
		}
	}
	if err := b.Convert(background, got, first); err != nil {
		t.Fatal(err)
	}
	if now := b.Info().Memory.InUse; now != used || len(b.engine.queued) != 0 {
		t.Errorf("%d bytes in use, %d before; %d calls queued", now, used, len(b.engine.queued))
	}

	// Go values are there when the call returns.
	values := make([]kernels.RotationValue, 1)
	stats := []kernels.RowStats{{Mean: make([]float64, 70)}}
	if err := b.Rotation(background, values, list(x), list(x), o); err != nil || values[0].Norm0 == 0 {
		t.Errorf("rotation on a stream: %v, %v", values, err)
	}
	if err := b.Center(background, list(y), list(y), stats, o); err != nil || slices.Equal(stats[0].Mean, make([]float64, 70)) {
		t.Errorf("centring on a stream: %v", err)
	}
}

// peek looks at memory of the fake device, which is the host's.
func peek(t *testing.T, m kernels.Matrix) []float32 {
	t.Helper()
	host, err := kernels.Foreign(kernels.Device{}, m.Address(), m.DType, m.Rows, m.Cols, m.Stride, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := kernels.Floats[float32](host)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestForeignStream refuses a handle that is no stream of the device, and
// operands on the host, without losing the device.
func TestForeignStream(t *testing.T) {
	fake(t)
	b := openFake(t, Options{}, small)
	defer b.Close()
	r := rand.New(rand.NewPCG(5, 6))
	hx, _ := hostFloats(t, r, 20, 20, 20)
	x, d := onDevice(t, b, hx), onDevice(t, b, hx)
	err := b.Gram(background, list(d), list(x), 1, 0, kernels.Full, kernels.Options{Stream: 0x1234})
	if !errors.Is(err, kernels.ErrDevice) || errors.Is(err, kernels.ErrLost) {
		t.Errorf("a stream of nobody: %v", err)
	}
	err = b.Gram(background, list(d), list(hx), 1, 0, kernels.Full, kernels.Options{Stream: fakecuda.Stream()})
	if !errors.Is(err, kernels.ErrDevice) {
		t.Errorf("a host operand on a stream: %v", err)
	}
	if err := b.Gram(background, list(d), list(x), 1, 0, kernels.Full, kernels.Options{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	fakecuda.Fail(2, 700, false) // the first call asks whether earlier work has finished, or for the flags
	err = b.Gram(background, list(d), list(x), 1, 0, kernels.Full, kernels.Options{Stream: fakecuda.Stream()})
	if !errors.Is(err, kernels.ErrLost) {
		t.Errorf("a lost device: %v", err)
	}
}

// TestShortMemoryOnStream makes a call wait for queued ones whose memory it
// needs.
func TestShortMemoryOnStream(t *testing.T) {
	fake(t)
	b := openFake(t, Options{}, small)
	defer b.Close()
	r := rand.New(rand.NewPCG(5, 6))
	hx, _ := hostFloats(t, r, 60, 60, 60)
	x, d := onDevice(t, b, hx), onDevice(t, b, hx)
	free, err := b.Alloc(background, kernels.Float32, 60, 60)
	if err != nil {
		t.Fatal(err)
	}
	o := kernels.Options{Stream: fakecuda.Stream()}
	if err := b.Convert(background, free.Matrix(), x); err != nil {
		t.Fatal(err)
	}
	if err := b.Matmul(background, list(d), list(x), list(free.Matrix()), kernels.NT, 1, 0, o); err != nil {
		t.Fatal(err)
	}
	if err := free.Free(); err != nil { // while queued work reads it
		t.Fatal(err)
	}
	b.arena.limit = b.arena.held
	if _, err := b.Alloc(background, kernels.Float32, 60, 60); err != nil {
		t.Fatalf("the memory of queued work was not waited for: %v", err)
	}
	got, data := hostFloats(t, r, 60, 60, 60)
	b.arena.limit = 1 << 30
	if err := b.Copy(background, got, d); err != nil {
		t.Fatal(err)
	}
	want, wantData := hostFloats(t, r, 60, 60, 60)
	if err := b.Matmul(background, list(want), list(hx), list(hx), kernels.NT, 1, 0, kernels.Options{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(data, wantData) {
		t.Error("queued work read memory that was free already")
	}
}

// dying is a context that ends when it has been asked so many times.
type dying struct {
	context.Context
	left int
}

func (d *dying) Err() error {
	if d.left--; d.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestCancelCopy ends the context of a copy of many chunks.
func TestCancelCopy(t *testing.T) {
	fake(t)
	b := openFake(t, Options{}, small)
	defer b.Close()
	h := hostMatrix(kernels.Float32, 600, 512) // 60 chunks
	d := onDevice(t, b, h)
	for _, c := range []struct {
		call     string
		dst, src kernels.Matrix
	}{{"cuMemcpyHtoDAsync", d, h}, {"cuMemcpyDtoHAsync", h, d}} {
		from := fakecuda.Calls()
		if err := b.Copy(&dying{background, 10}, c.dst, c.src); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", c.call, err)
		}
		copies := 0
		for _, call := range fakecuda.Log()[from:] {
			if call == c.call {
				copies++
			}
		}
		if copies < 5 || copies > 10 {
			t.Errorf("%d copies of a context that ended at the tenth question", copies)
		}
		if err := b.Copy(background, c.dst, c.src); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}

// TestCancelWaiting ends the context of a call that waits for another one.
func TestCancelWaiting(t *testing.T) {
	fake(t)
	b := openFake(t, Options{}, small)
	defer b.Close()
	x, h := hostMatrix(kernels.Float32, 10, 10), hostMatrix(kernels.Float16, 10, 10)
	inside, leave := make(chan bool), make(chan bool)
	first := make(chan error)
	go func() {
		var once sync.Once
		first <- b.Gram(background, list(hostMatrix(kernels.Float32, 10, 10)), list(x), 1, 0, kernels.Full, kernels.Options{Progress: func(int, int) {
			once.Do(func() { inside <- true; <-leave })
		}})
	}()
	<-inside
	ctx, cancel := context.WithCancel(background)
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := b.Convert(ctx, h, x); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that waits: %v", err)
	}
	leave <- true
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// TestConcurrent lets callers work side by side, each on buffers of its own.
func TestConcurrent(t *testing.T) {
	fake(t)
	b := openFake(t, Options{}, small)
	var wg sync.WaitGroup
	for range 4 {
		all := workloads(t)
		wg.Go(func() {
			for _, w := range all {
				if err := w.run(b, kernels.Options{}); err != nil {
					t.Errorf("%s: %v", w.name, err)
				}
			}
		})
	}
	wg.Wait()
	if used := b.Info().Memory.InUse; used != 0 {
		t.Errorf("%d bytes in use", used)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if held := fakecuda.Held(); len(held) > 0 {
		t.Errorf("after Close the driver holds %v", held)
	}
}
