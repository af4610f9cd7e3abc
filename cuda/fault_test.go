//go:build cuda && cgo && linux

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cambium-kernels/cambium/cuda/fakecuda"
	"github.com/cambium-kernels/cambium/kernels"
)

// faults are codes that the sweep injects: want of memory, one that the driver
// repeats for ever, one that it does not. TestClasses has the others.
var faults = []int{2, 700, 999}

// TestFaults lets every driver call of every operation fail, once and for ever;
// with -short, every seventh.
func TestFaults(t *testing.T) {
	fake(t)
	stride := 1
	if testing.Short() {
		stride = 7
	}
	before := runtime.NumGoroutine()
	for i, w := range workloads(t) {
		t.Run(w.name, func(t *testing.T) {
			fakecuda.Reset()
			b := openFake(t, Options{}, small)
			from := fakecuda.Calls()
			if err := w.run(b, kernels.Options{}); err != nil {
				t.Fatal(err)
			}
			want, calls := w.result(), fakecuda.Calls()-from
			if calls < 5 {
				t.Fatalf("%d driver calls", calls)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			for _, code := range faults {
				for _, forever := range []bool{false, true} {
					for k := 1; k <= calls; k += stride {
						fault(t, workloads(t)[i], want, k, code, forever)
					}
				}
			}
		})
	}
	settled(t, before)
}

// fault runs a workload whose k-th driver call fails.
func fault(t *testing.T, w workload, want []uint64, k, code int, forever bool) {
	t.Helper()
	fakecuda.Reset()
	b := openFake(t, Options{}, small)
	fakecuda.Fail(k, code, forever)
	err := w.run(b, kernels.Options{})
	what := fmt.Sprintf("%s, call %d answers %d, for ever %v", w.name, k, code, forever)
	switch {
	case err == nil:
		if code != 2 || !slices.Equal(w.result(), want) {
			t.Fatalf("%s: no error, or a wrong result", what)
		}
	case errors.Is(err, kernels.ErrLost):
	case code == 2 && errors.Is(err, kernels.ErrMemory):
	default:
		t.Fatalf("%s: %v", what, err)
	}
	if b.lost.Load() != nil {
		lostForGood(t, what, b, w)
	} else {
		fakecuda.Fail(0, 0, false)
		if used := b.Info().Memory.InUse; used != 0 {
			t.Fatalf("%s: %d bytes still in use", what, used)
		}
		if err := w.run(b, kernels.Options{}); err != nil {
			t.Fatalf("%s, then again: %v", what, err)
		}
		if !slices.Equal(w.result(), want) {
			t.Fatalf("%s, then again: a wrong result", what)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatalf("%s: close: %v", what, err)
	}
	if held := fakecuda.Held(); b.lost.Load() == nil && len(held) > 0 {
		t.Fatalf("%s: after Close the driver holds %v", what, held)
	}
}

// lostForGood checks that a lost device is left alone.
func lostForGood(t *testing.T, what string, b *backend, w workload) {
	t.Helper()
	if used := b.Info().Memory.InUse; used != 0 {
		t.Fatalf("%s: %d bytes in use on a lost device", what, used)
	}
	calls := fakecuda.Calls()
	if err := w.run(b, kernels.Options{}); !errors.Is(err, kernels.ErrLost) {
		t.Fatalf("%s, then again: %v", what, err)
	}
	if err := b.Close(); err != nil {
		t.Fatalf("%s: close: %v", what, err)
	}
	if n := fakecuda.Calls() - calls; n != 0 {
		t.Fatalf("%s: %d driver calls after the loss", what, n)
	}
}

// TestOpenFaults lets every driver call of Open and Close fail.
func TestOpenFaults(t *testing.T) {
	fake(t)
	before := runtime.NumGoroutine()
	if err := openFake(t, Options{}, small).Close(); err != nil { // the first Open of a process also loads the driver
		t.Fatal(err)
	}
	fakecuda.Reset()
	b := openFake(t, Options{}, small)
	opening := fakecuda.Calls()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	all := fakecuda.Calls()
	for _, code := range faults {
		for k := 1; k <= all; k++ {
			fakecuda.Reset()
			fakecuda.Fail(k, code, false)
			b, err := open(background, Options{}, small)
			what := fmt.Sprintf("call %d answers %d", k, code)
			lost := errors.Is(err, kernels.ErrLost)
			switch {
			case k > opening && err == nil:
				err = b.Close()
				if !errors.Is(err, kernels.ErrLost) {
					t.Fatalf("%s in Close: %v", what, err)
				}
				continue
			case err == nil:
				t.Fatalf("%s: no error", what)
			case !lost && (code != 2 || !errors.Is(err, kernels.ErrMemory)):
				t.Fatalf("%s: %v", what, err)
			}
			if held := fakecuda.Held(); !lost && len(held) > 0 {
				t.Fatalf("%s: the driver holds %v", what, held)
			}
		}
	}
	settled(t, before)
}

// settled waits until no more goroutines run than before.
func settled(t *testing.T, before int) {
	t.Helper()
	for range 500 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}
