package kernels

import (
	"math"
	"testing"
)

var boundTypes = []struct{ compute, out DType }{
	{Float32, Float32},
	{Float32, Float16},
	{Float32, BFloat16},
	{Float32, Float64},
	{Float64, Float64},
	{Float64, Float32},
	{Float64, BFloat16},
}

var boundSizes = []int{0, 1, 2, 3, 7, 8, 17, 18, 19, 20, 63, 255, 256, 257, 511, 512, 513, 4096, 65_536, 1 << 20, 1 << 30}

func atMost(a, b Tolerance) bool {
	return a.Gauge <= b.Gauge && a.Value <= b.Value && a.Absolute <= b.Absolute
}

func TestBoundsOrder(t *testing.T) {
	for _, op := range Ops() {
		for _, ty := range boundTypes {
			for _, rows := range boundSizes {
				var last Bounds
				for _, terms := range boundSizes {
					p := Problem{Terms: terms, Rows: rows, Compute: ty.compute, Out: ty.out}
					b := BoundsOf(op, p)
					if !atMost(b.Typical, b.Bound) {
						t.Fatalf("%s %+v: typical %+v exceeds the bound %+v", op, p, b.Typical, b.Bound)
					}
					if !atMost(last.Bound, b.Bound) || !atMost(last.Typical, b.Typical) {
						t.Fatalf("%s %+v: %+v after %+v falls with more terms", op, p, b, last)
					}
					for _, v := range []float64{b.Bound.Gauge, b.Bound.Value, b.Bound.Absolute, b.Typical.Gauge, b.Typical.Value, b.Typical.Absolute} {
						if !(v >= 0) || math.IsInf(v, 0) {
							t.Fatalf("%s %+v: %+v is not finite", op, p, b)
						}
					}
					if exact := op == OpAlloc || op == OpCopy; exact != (b == Bounds{}) || !exact && (b.Bound.Value <= 0 || b.Bound.Absolute == 0 && ty.out != Float64) {
						t.Fatalf("%s %+v: %+v", op, p, b)
					}
					last = b
				}
			}
		}
	}
}

// TestBoundsByHand compares factors with numbers worked out on paper.
func TestBoundsByHand(t *testing.T) {
	const u, w = 0x1p-24, 0x1p-53
	for _, c := range []struct {
		op             Op
		p              Problem
		bound, typical float64 // of the gauge
	}{
		{OpMatmul, Problem{Terms: 1}, (1 + 1 + 2 + 3) * u, 7 * u},
		{OpMatmul, Problem{Terms: 0}, (1 + 0 + 2 + 3) * u, 6 * u},
		{OpMatmul, Problem{Terms: 16}, (16 + 1 + 2 + 3) * u, 22 * u},
		{OpMatmul, Problem{Terms: 256}, (256 + 1 + 2 + 3) * u, 24 * u},
		{OpMatmul, Problem{Terms: 257}, (256 + 2 + 2 + 3) * u, 24 * u},
		{OpGram, Problem{Terms: 65_536}, (256 + 256 + 2 + 3) * u, 24 * u},
		{OpGram, Problem{Terms: 65_536, Compute: Float64, Out: Float64}, (256 + 256 + 2 + 3) * w, 24 * w},
		{OpLowRank, Problem{Terms: 8}, 14 * u, 14 * u},
		{OpHSIC, Problem{Terms: 256, Rows: 100}, 2*(262+4)*u + 1e4*w, 24*u + 24*w},
		{OpHSICMatrix, Problem{Terms: 1, Rows: 4}, 2*(7+4)*u + 16*w, 22*u + 16*w},
		{OpRBF, Problem{Terms: 256}, (2*262 + 8) * u, 24 * u},
		{OpAttention, Problem{Terms: 64, Rows: 256}, (70 + 262 + 16) * u, 24 * u},
		{OpApplyAdapters, Problem{Terms: 512, Rows: 8}, (256 + 2 + 5 + 14 + 16) * u, 24 * u},
		{OpNorm, Problem{Terms: 256}, (262 + 12) * u, 24 * u},
		{OpSVD, Problem{Terms: 100}, 640 * u, 24 * u},
		{OpAdd, Problem{Terms: 1000}, 8 * u, 8 * u},
		{OpCenter, Problem{Rows: 100}, 104 * w * (1 + u), 24 * w * (1 + u)},
		{OpCenter, Problem{Rows: 3}, 7 * w * (1 + u), 7 * w * (1 + u)},
		{OpCenter, Problem{Rows: 3, Out: BFloat16}, 7 * w * (1 + 0x1p-8), 7 * w * (1 + 0x1p-8)},
		{OpMatmul, Problem{Terms: 16, Out: BFloat16}, 22 * u * (1 + 0x1p-8), 22 * u * (1 + 0x1p-8)},
		{OpRotation, Problem{Terms: 1000}, 4e-10, 4e-10},
		{OpRowNormalize, Problem{Terms: 1000}, 0, 0},
		{OpConvert, Problem{Out: Float16}, 0, 0},
	} {
		b := BoundsOf(c.op, c.p)
		if math.Abs(b.Bound.Gauge-c.bound) > 1e-12*c.bound || math.Abs(b.Typical.Gauge-c.typical) > 1e-12*c.typical {
			t.Errorf("%s %+v: gauge factors %v and %v, want %v and %v", c.op, c.p, b.Bound.Gauge, b.Typical.Gauge, c.bound, c.typical)
		}
	}
}

// TestBoundOfRoundedWorstCase takes a sum that is off by all that the gauge allows
// and rounds it to the worst side: dst's rounding is relative to the sum as
// computed, not to the exact one.
func TestBoundOfRoundedWorstCase(t *testing.T) {
	const gauge = 1e6
	for _, dt := range []DType{Float16, BFloat16} {
		wide := BoundsOf(OpMatmul, Problem{Terms: 256, Out: Float32}).Bound
		b := BoundsOf(OpMatmul, Problem{Terms: 256, Out: dt}).Bound
		off := wide.Limit(0, gauge) // the exact value is 0
		if got := off * (1 + dt.UnitRoundoff()); got > b.Limit(0, gauge) {
			t.Errorf("%s: an error of %v is possible, the bound is %v", dt, got, b.Limit(0, gauge))
		}
	}
}

// TestBoundsOfRounding checks the part that the type of dst adds.
func TestBoundsOfRounding(t *testing.T) {
	for _, dt := range []DType{Float16, BFloat16} {
		wide := BoundsOf(OpMatmul, Problem{Terms: 64, Out: Float32}).Bound
		half := BoundsOf(OpMatmul, Problem{Terms: 64, Out: dt}).Bound
		if got, least := half.Value-wide.Value, dt.UnitRoundoff(); got < least || got > 1.01*least {
			t.Errorf("a %s result adds %v of the value, want little over %v", dt, got, least)
		}
		if got, want := half.Absolute, wide.Absolute*(1+dt.UnitRoundoff())+dt.smallest()/2; got != want {
			t.Errorf("a %s result may be off by %v, want %v", dt, got, want)
		}
		if got, want := half.Gauge, wide.Gauge*(1+dt.UnitRoundoff()); got != want {
			t.Errorf("a %s result may be off by %v of the gauge, want %v: the rounding is one of the errors too", dt, got, want)
		}
		one := Tolerance{Value: dt.UnitRoundoff(), Absolute: dt.smallest() / 2}
		if b := BoundsOf(OpDequantize, Problem{Out: dt}); b.Bound != one || b.Typical != one {
			t.Errorf("Dequantize to %s: %+v, want one rounding, %+v", dt, b, one)
		}
	}
	flush := BoundsOf(OpMatmul, Problem{Terms: 99}).Bound.Absolute
	if flush != 100*0x1p-126 {
		t.Errorf("flushed products may cost %v, want 100 of the smallest normal numbers", flush)
	}
}

func TestToleranceLimit(t *testing.T) {
	tol := Tolerance{Gauge: 0.5, Value: 0.25, Absolute: 2}
	for _, exact := range []float64{8, -8} {
		if got := tol.Limit(exact, 100); got != 54 {
			t.Errorf("Limit(%v, 100) = %v, want 54", exact, got)
		}
	}
}
