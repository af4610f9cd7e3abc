package cka

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Centring leaves rows that sum to zero, symmetric, and U-centring besides a
// diagonal of zeros; both change nothing that is centred already.
func TestCentring(t *testing.T) {
	for _, n := range []int{4, 5, 12} {
		r := rand.New(rand.NewPCG(1, uint64(n)))
		k := make([]float64, n*n)
		for i := range n {
			for j := range i + 1 {
				k[i*n+j] = r.NormFloat64()
				k[j*n+i] = k[i*n+j]
			}
		}
		for name, f := range map[string]func([]float64, int){"center": center, "uCenter": uCenter} {
			c := append([]float64{}, k...)
			f(c, n)
			for i := range n {
				if s := sum(c[i*n : (i+1)*n]); math.Abs(s) > 1e-13 {
					t.Errorf("%s, n = %d: row %d sums to %g", name, n, i, s)
				}
				if name == "uCenter" && c[i*n+i] != 0 {
					t.Errorf("uCenter: diagonal element %d is %g", i, c[i*n+i])
				}
				for j := range n {
					if math.Abs(c[i*n+j]-c[j*n+i]) > 1e-14 {
						t.Errorf("%s: not symmetric at (%d, %d)", name, i, j)
					}
				}
			}
			again := append([]float64{}, c...)
			f(again, n)
			for i := range c {
				if math.Abs(again[i]-c[i]) > 1e-13 {
					t.Errorf("%s twice: element %d moves from %g to %g", name, i, c[i], again[i])
				}
			}
		}
	}
}

// dot is exact where float64 is, in each of its chains and in the remainder.
func TestDot(t *testing.T) {
	for n := range 11 {
		a, b := make([]float64, n), make([]float64, n+3)
		want := 0.0
		for i := range a {
			a[i], b[i] = float64(3*i+1<<20+1), float64(7-5*i)
			want += a[i] * b[i]
		}
		if got := dot(a, b); got != want {
			t.Errorf("%d terms: %v, want %v", n, got, want)
		}
	}
}

// norm2Packed bounds the squared norm of the whole symmetric matrix, and not by
// more than a factor of two.
func TestNorm2Packed(t *testing.T) {
	packed := []float64{1, 2, 3, -4, 5, 6} // 1 / 2 3 / -4 5 6
	const whole = 1 + 9 + 36 + 2*(4+16+25)
	if got := norm2Packed(packed); got < whole || got > 2*whole {
		t.Errorf("%v for a squared norm of %v", got, whole)
	}
}
