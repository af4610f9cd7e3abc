//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"os"
	"testing"

	"github.com/cambium-kernels/cambium/cuda/fakecuda"
	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/kernels/kerneltest"
)

// fake skips a test where the fake driver is not in place.
func fake(t testing.TB) {
	t.Helper()
	if !fakecuda.Open() {
		const why = DriverVariable + " does not name the fake driver (./build.sh test sets it)"
		if os.Getenv("CAMBIUM_REQUIRE") == "all" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	fakecuda.Reset()
}

// small sizes lead host operands through several pieces and chunks, and leave
// no room in which an overrun could hide.
var small = tuning{slot: 20 << 10, strip: 100 << 10, exact: true}

// openFake opens a backend on the fake driver.
func openFake(t testing.TB, o Options, tune tuning) *backend {
	t.Helper()
	b, err := open(context.Background(), o, tune)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// weak is what docs/cuda.md names as not yet within the contract's bounds.
var weak = map[string]string{
	"Center/outlier":  "the kernel adds differences to the first row in one chain a strip",
	"Rotation/ratios": "the kernel's difference of norms cancels where one norm is far above the other",
	"Rotation/range":  "the kernel does not scale tensors whose squares leave float64's range",
}

// TestConformance runs the contract's suite through the driver's calls, with the
// threads of the kernels in shuffled order.
func TestConformance(t *testing.T) {
	fake(t)
	fakecuda.Seed(7)
	t.Run("suite", func(t *testing.T) {
		kerneltest.Short(t, kerneltest.Target{
			Missing: Missing(),
			Weak:    weak,
			Open:    func(t testing.TB, _ int) kernels.Backend { return openFake(t, Options{}, small) },
		})
	})
	if held := fakecuda.Held(); len(held) > 0 {
		t.Errorf("after Close the driver still holds %v", held)
	}
}
