package kernels

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// seeded returns a generator whose seed is printed when the test fails.
func seeded(t *testing.T, seed uint64) *rand.Rand {
	t.Helper()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// halfType describes a 16-bit type by its IEEE parameters.
type halfType struct {
	name     string
	fracBits int
	bias     int
	widen    func(uint16) float32
	from32   func(float32) uint16
	from64   func(float64) uint16
}

var halfTypes = []halfType{
	{"f16", 10, 15, Float16ToFloat32, Float32ToFloat16, Float64ToFloat16},
	{"bf16", 7, 127, BFloat16ToFloat32, Float32ToBFloat16, Float64ToBFloat16},
}

func (h halfType) inf() uint16 { return uint16(0x7fff) >> h.fracBits << h.fracBits }

// value decodes bits by the definition of the format; Inf decodes to the power
// of two that follows the largest finite value.
func (h halfType) value(b uint16) float64 {
	exp, frac := int(b&0x7fff)>>h.fracBits, float64(b&(1<<h.fracBits-1))
	v := math.Ldexp(frac, 1-h.bias-h.fracBits)
	if exp > 0 {
		v = math.Ldexp(math.Ldexp(1, h.fracBits)+frac, exp-h.bias-h.fracBits)
	}
	return math.Copysign(v, 1-2*float64(b>>15))
}

// round is the oracle: it looks for the neighbours of x among all values of the
// type and compares x with the middle between them, which is exact in float64.
func (h halfType) round(positive []float64, x float64) uint16 {
	var sign uint16
	if math.Signbit(x) {
		sign, x = 0x8000, -x
	}
	i, exact := slices.BinarySearch(positive, x)
	switch {
	case exact:
		return sign | uint16(i)
	case i == len(positive):
		return sign | h.inf()
	}
	lo, hi := positive[i-1], positive[i]
	mid := lo + (hi-lo)/2
	if x < mid || x == mid && (i-1)&1 == 0 {
		i--
	}
	return sign | uint16(i)
}

// positives returns the values of the bits 0 to inf, in order.
func (h halfType) positives() []float64 {
	vs := make([]float64, int(h.inf())+1)
	for b := range vs {
		vs[b] = h.value(uint16(b))
	}
	return vs
}

func TestHalfRoundTrip(t *testing.T) {
	for _, h := range halfTypes {
		t.Run(h.name, func(t *testing.T) {
			for b := range 1 << 16 {
				bits := uint16(b)
				w := h.widen(bits)
				switch mag := bits & 0x7fff; {
				case mag > h.inf():
					if n32, n64 := h.from32(w), h.from64(float64(w)); w == w || n32&0x7fff <= h.inf() || n64&0x7fff <= h.inf() ||
						n32>>15 != bits>>15 || n64>>15 != bits>>15 {
						t.Fatalf("%#04x: NaN widens to %v and comes back as %#04x, %#04x", bits, w, n32, n64)
					}
					continue
				case mag == h.inf():
					if !math.IsInf(float64(w), 1-2*int(bits>>15)) {
						t.Fatalf("%#04x widens to %v, want an infinity", bits, w)
					}
				default:
					if math.Float64bits(float64(w)) != math.Float64bits(h.value(bits)) {
						t.Fatalf("%#04x widens to %v, want %v", bits, w, h.value(bits))
					}
				}
				if n32, n64 := h.from32(w), h.from64(float64(w)); n32 != bits || n64 != bits {
					t.Fatalf("%#04x comes back as %#04x (float32), %#04x (float64)", bits, n32, n64)
				}
			}
		})
	}
}

// TestHalfRounding visits each value, each middle between neighbours and the
// nearest wide numbers on both sides of these, of both signs.
func TestHalfRounding(t *testing.T) {
	for _, h := range halfTypes {
		t.Run(h.name, func(t *testing.T) {
			positive := h.positives()
			check64 := func(x float64) {
				t.Helper()
				for _, x := range []float64{x, -x} {
					if got, want := h.from64(x), h.round(positive, x); got != want {
						t.Fatalf("float64 %v (%#x) gives %#04x, want %#04x", x, math.Float64bits(x), got, want)
					}
				}
			}
			check32 := func(x float32) {
				t.Helper()
				for _, x := range []float32{x, -x} {
					if math.IsInf(float64(x), 0) {
						continue // beyond float32: the neighbour of bf16's overflow threshold
					}
					if got, want := h.from32(x), h.round(positive, float64(x)); got != want {
						t.Fatalf("float32 %v (%#x) gives %#04x, want %#04x", x, math.Float32bits(x), got, want)
					}
				}
			}
			for i := range positive[:len(positive)-1] {
				lo, hi := positive[i], positive[i+1]
				for _, v := range []float64{lo, lo + (hi-lo)/2, hi} {
					check64(v)
					check64(math.Nextafter(v, math.Inf(1)))
					check64(math.Abs(math.Nextafter(v, math.Inf(-1))))
					v32 := float32(v)
					check32(v32)
					check32(math.Nextafter32(v32, float32(math.Inf(1))))
					check32(float32(math.Abs(float64(math.Nextafter32(v32, float32(math.Inf(-1)))))))
				}
			}
			for _, x := range []float64{math.MaxFloat64, math.SmallestNonzeroFloat64, math.MaxFloat32, 0x1p-149, 0x1p-1022} {
				check64(x)
			}
			r := seeded(t, 1)
			for range 200_000 {
				if x := math.Float64frombits(r.Uint64()); !math.IsNaN(x) && !math.IsInf(x, 0) {
					check64(x)
				}
				if x := math.Float32frombits(r.Uint32()); x == x {
					check32(x)
				}
				check64(math.Ldexp(1+r.Float64(), r.IntN(290)-145)) // the range of both types
			}
			for _, inf := range []float64{math.Inf(1), math.Inf(-1)} {
				if got, want := h.from64(inf), h.inf()|uint16(math.Float64bits(inf)>>48&0x8000); got != want {
					t.Errorf("%v gives %#04x, want %#04x", inf, got, want)
				}
			}
		})
	}
}

// TestHalfRoundsOnce uses values that a detour over float32 rounds twice.
func TestHalfRoundsOnce(t *testing.T) {
	const f16Middle, bf16Middle = 1 + 0x1p-11, 1 + 0x1p-8 // ties go down, to the even 1
	for _, c := range []struct {
		name      string
		got, want uint16
	}{
		{"f16 just above a tie", Float64ToFloat16(f16Middle + 0x1p-40), 0x3c01},
		{"f16 tie", Float64ToFloat16(f16Middle), 0x3c00},
		{"bf16 just above a tie", Float64ToBFloat16(bf16Middle + 0x1p-40), 0x3f81},
		{"bf16 tie", Float64ToBFloat16(bf16Middle), 0x3f80},
		{"f16 just below the overflow threshold", Float64ToFloat16(65520 - 0x1p-30), 0x7bff},
		{"f16 at the overflow threshold", Float64ToFloat16(65520), 0x7c00},
		{"f16 half the smallest", Float64ToFloat16(0x1p-25), 0},
		{"f16 above half the smallest", Float64ToFloat16(0x1p-25 + 0x1p-70), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %#04x, want %#04x", c.name, c.got, c.want)
		}
	}
}

func TestHalfKeepsNaN(t *testing.T) {
	isNaN := func(h halfType, b uint16) bool { return b&0x7fff > h.inf() }
	for _, h := range halfTypes {
		for payload := uint32(1); payload < 1<<23; payload++ { // all of them
			b := h.from32(math.Float32frombits(0x7f800000 | payload))
			n := h.from32(math.Float32frombits(0xff800000 | payload))
			if !isNaN(h, b) || !isNaN(h, n) || b>>15 != 0 || n>>15 != 1 {
				t.Fatalf("%s: float32 NaN of payload %#x gives %#04x and %#04x", h.name, payload, b, n)
			}
		}
		for bit := range 52 {
			for _, sign := range []uint64{0, 1 << 63} {
				if b := h.from64(math.Float64frombits(sign | 0x7ff0000000000000 | 1<<bit)); !isNaN(h, b) || uint64(b>>15) != sign>>63 {
					t.Errorf("%s: float64 NaN with payload bit %d gives %#04x", h.name, bit, b)
				}
			}
		}
	}
}
