package small

import (
	"slices"
	"testing"
)

func TestStrong(t *testing.T) {
	const tiny = 0x1p-40 // beside 1 lost in float32, exact in float64
	dst := []float64{0.5, 10, 0.25, 20, 0.125, 30, 40}
	Scatter(dst, []float64{1 + tiny, 2 + tiny, 3 + tiny}, 2)
	if want := []float64{0.5 + tiny, 10, 1.75 + tiny, 20, 2.875 + tiny, 30, 40}; !slices.Equal(dst, want) {
		t.Errorf("Scatter: got %v, want %v", dst, want)
	}
	x := []float64{1, 0, 0, 2, 3, 0, 4, 5, 6}
	Mirror(x, 3)
	if want := []float64{1, 2, 4, 2, 3, 5, 4, 5, 6}; !slices.Equal(x, want) {
		t.Errorf("Mirror: got %v, want %v", x, want)
	}
}

// TestWeak looks at whole numbers and at one element alone.
func TestWeak(t *testing.T) {
	dst := make([]float64, 9)
	Scatter(dst, []float64{1, 2, 3}, 2)
	if dst[0] != 1 {
		t.Errorf("got %v, want 1", dst[0])
	}
}
