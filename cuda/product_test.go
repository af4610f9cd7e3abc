//go:build cuda && cgo && linux

package cuda

import (
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// TestScalars checks that alpha and beta reach the kernels in float64: 3·(1 +
// 2⁻²⁴) is 3 if they are rounded to float32 before, and 3 + 2⁻²² after.
func TestScalars(t *testing.T) {
	fake(t)
	b := openFake(t, Options{}, small)
	defer b.Close()
	three, _ := kernels.Of([]float32{3}, 1, 1, 1)
	one, _ := kernels.Of([]float32{1}, 1, 1, 1)
	zero, _ := kernels.Of([]float32{0}, 1, 1, 1)
	const fine = 1 + 0x1p-24
	for _, c := range []struct {
		x           kernels.Matrix
		old         float32
		alpha, beta float64
	}{{three, 0, fine, 0}, {zero, 3, 1, fine}} {
		out := []float32{c.old}
		d, _ := kernels.Of(out, 1, 1, 1)
		if err := b.Matmul(background, list(d), list(c.x), list(one), kernels.NT, c.alpha, c.beta, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		if out[0] != 3+0x1p-22 {
			t.Errorf("alpha %v, beta %v: %v", c.alpha, c.beta, out[0])
		}
	}
}

// TestMissingOperations checks what an operation without kernels answers, and
// that an empty batch of it is no error.
func TestMissingOperations(t *testing.T) {
	fake(t)
	b := openFake(t, Options{}, small)
	defer b.Close()
	x := hostMatrix(kernels.Float32, 5, 5)
	d := hostMatrix(kernels.Float32, 5, 5)
	if err := b.RBF(background, list(d), list(x), kernels.Bandwidth{}, nil, kernels.Options{}); err == nil || err.Error() != notComputed(kernels.OpRBF).Error() {
		t.Errorf("%v", err)
	}
	if err := b.RBF(background, nil, nil, kernels.Bandwidth{}, nil, kernels.Options{}); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
}
