package kerneltest

import (
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// roundTo returns v rounded to nearest even to a type, from the definition: the
// spacing of numbers around v, and math.RoundToEven.
func roundTo(dt kernels.DType, v float64) float64 {
	precision, lowest, largest := 53, -1074, math.MaxFloat64
	switch dt {
	case kernels.Float32:
		precision, lowest, largest = 24, -149, math.MaxFloat32
	case kernels.Float16:
		precision, lowest, largest = 11, -24, 65504
	case kernels.BFloat16:
		precision, lowest, largest = 8, -133, 0x1.fep127
	default:
	}
	if dt == kernels.Float64 || v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	_, e := math.Frexp(v)
	step := max(e-precision, lowest)
	out := math.Ldexp(math.RoundToEven(math.Ldexp(v, -step)), step)
	if math.Abs(out) > largest {
		return math.Copysign(math.Inf(1), v)
	}
	return math.Copysign(out, v)
}

func testConvert(s *suite, t *testing.T) {
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for i, p := range pairs(sizes) {
			to := dtypes[i%len(dtypes)]
			src := random(t, kernels.Float32, p[0], p[1], layouts[i%len(layouts)], gaussian(r))
			dst := unset(t, r, to, p[0], p[1])
			if !s.do(t, s.b.Convert(background(), dst.m, src.m), to) {
				continue
			}
			dst.intact(t, "Convert")
			for i := range p[0] {
				for j := range p[1] {
					if got, want := dst.at(i, j), roundTo(to, src.at(i, j)); got != want {
						t.Fatalf("%v to %s, first bad index (%d, %d): %v, want %v, seed %d", p, to, i, j, got, want, s.seed)
					}
				}
			}
		}
	})
	t.Run("values", func(t *testing.T) { s.convertValues(t) })
}

func (s *suite) convertValues(t *testing.T) {
	specials := []float64{
		0, math.Copysign(0, -1), 1, math.NaN(), math.Inf(1), math.Inf(-1), 65504, 65519.99, 65520, 65536, 0x1p-24, 0x1p-25, 0x1.8p-25,
		0x1.fep127, 0x1.ffp127, 0x1.feffffp127, math.MaxFloat32, math.MaxFloat64, 0x1p-133, 0x1p-134, 0x1.8p-134, 0x1p-149, 0x1p-150, 0x1p-1074,
		1 + 0x1p-11, 1 + 0x3p-11, 1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1p-24, 1 + 0x3p-24, 1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-8 + 0x1p-30, 0x1.ffcp-15, 0x1.ffep-15, 0x1.fcp-127,
	}
	r := s.rng(t)
	for _, from := range dtypes {
		for i, to := range dtypes {
			l := layouts[i]
			k := 0
			src := random(t, from, 21, 45, l, func() float64 {
				if k++; k <= 2*len(specials) {
					return specials[(k-1)/2] * float64(1-k%2*2)
				}
				return math.Ldexp(r.NormFloat64(), r.IntN(60)-40)
			})
			dst := newGuarded(t, to, 21, 45, 45+l.pad, l.offset)
			if !s.do(t, s.b.Convert(background(), dst.m, src.m), compute(from)) {
				continue
			}
			dst.intact(t, "Convert")
			for i := range 21 {
				for j := range 45 {
					v, got := src.at(i, j), dst.at(i, j)
					want := roundTo(to, v)
					if math.IsNaN(want) && math.IsNaN(got) {
						continue
					}
					if got != want || math.Signbit(got) != math.Signbit(want) {
						t.Fatalf("%s -> %s (%d, %d): %v became %v, want %v", from, to, i, j, v, got, want)
					}
				}
			}
		}
	}
}
