//go:build cuda && cgo && linux

package cambium_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium"
	"github.com/cambium-kernels/cambium/cuda"
	"github.com/cambium-kernels/cambium/cuda/fakecuda"
	"github.com/cambium-kernels/cambium/kernels"
)

func fake(t *testing.T) {
	t.Helper()
	if !fakecuda.Open() {
		const why = cuda.DriverVariable + " does not name the fake driver (./build.sh test sets it)"
		if os.Getenv("CAMBIUM_REQUIRE") == "all" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	fakecuda.Reset()
}

func openWith(t *testing.T, c cambium.Config) kernels.Backend {
	t.Helper()
	b, err := cambium.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// product multiplies two small integer matrices.
func product(b kernels.Backend) (float32, error) {
	x, _ := kernels.Of([]float32{1, 2, 3, 4}, 2, 2, 2)
	out := make([]float32, 4)
	d, _ := kernels.Of(out, 2, 2, 2)
	err := b.Matmul(context.Background(), []kernels.Matrix{d}, []kernels.Matrix{x}, []kernels.Matrix{x}, kernels.NN, 1, 0, kernels.Options{})
	return out[3], err
}

// TestCUDALost loses the device: the CPU goes on, and Info says so; with Strict
// the loss is an error.
func TestCUDALost(t *testing.T) {
	fake(t)
	for _, strict := range []bool{false, true} {
		fakecuda.Reset()
		b := openWith(t, cambium.Config{Backend: "cuda", Strict: strict})
		if v, err := product(b); v != 22 || err != nil {
			t.Fatalf("%v, %v", v, err)
		}
		if info := b.Info(); info.Fallback != nil || info.Name != "cuda/sm_90" {
			t.Errorf("%+v", info)
		}
		fakecuda.Fail(3, 700, false)
		v, err := product(b)
		if strict {
			if !errors.Is(err, kernels.ErrLost) {
				t.Errorf("strict: %v, %v", v, err)
			}
			continue
		}
		if v != 22 || err != nil {
			t.Errorf("%v, %v", v, err)
		}
		info := b.Info()
		if !errors.Is(info.Fallback, kernels.ErrLost) || !strings.HasPrefix(info.Name, "cpu/") || !strings.Contains(info.Fallback.Error(), "ILLEGAL_ADDRESS (700)") {
			t.Errorf("%+v", info)
		}
	}
}

// TestCUDAIncomplete: a backend that lacks operations is not chosen by itself,
// with the reason, but by name.
func TestCUDAIncomplete(t *testing.T) {
	fake(t)
	missing := cuda.Missing()
	if len(missing) == 0 {
		t.Skip("the CUDA backend has every operation")
	}
	info := openWith(t, cambium.Config{}).Info()
	if !strings.HasPrefix(info.Name, "cpu/") || !errors.Is(info.Fallback, kernels.ErrUnsupported) || !strings.Contains(info.Fallback.Error(), missing[0].String()) {
		t.Errorf("%+v", info)
	}
	for _, c := range []cambium.Config{{Strict: true}, {Device: 1, Strict: true}, {Backend: "cuda", Device: 1}} {
		if b, err := cambium.Open(context.Background(), c); b != nil || !errors.Is(err, kernels.ErrUnsupported) {
			t.Errorf("%+v: %v, %v", c, b, err)
		}
	}
	found := false
	for _, c := range cambium.Backends() {
		if strings.HasPrefix(c.Name, "cuda:0 ") {
			found = c.Usable && !c.Default && strings.Contains(c.Note, missing[0].String())
		}
	}
	if !found {
		t.Errorf("%+v", cambium.Backends())
	}
	fakecuda.Configure(fakecuda.Settings{Count: 1, Major: 7, Minor: 0, Memory: 1 << 30})
	list := cambium.Backends()
	if last := list[len(list)-1]; last.Usable || !strings.Contains(last.Reason, "8.0") {
		t.Errorf("%+v", last)
	}
	if held := fakecuda.Held(); len(held) > 0 {
		t.Errorf("the driver holds %v", held)
	}
}
