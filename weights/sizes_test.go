package weights

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// edgy returns a number of random length, near the ends of its range more often
// than a uniform one would be.
func edgy(rng *rand.Rand) uint64 {
	v := rng.Uint64() >> rng.IntN(64)
	switch rng.IntN(4) {
	case 0:
		return 1<<rng.IntN(64) - uint64(rng.IntN(3)) + 1
	case 1:
		return math.MaxUint64 - v&7
	default:
		return v
	}
}

// fits compares a checked result with the exact one.
func fits(t *testing.T, what string, a, b, got uint64, ok bool, exact *big.Int) {
	t.Helper()
	if ok != exact.IsUint64() || ok && got != exact.Uint64() {
		t.Fatalf("%s(%d, %d) = %d, %v; exactly %s", what, a, b, got, ok, exact)
	}
}

func TestCheckedArithmetic(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		a, b := edgy(rng), edgy(rng)
		x, y := new(big.Int).SetUint64(a), new(big.Int).SetUint64(b)
		sum, ok := add(a, b)
		fits(t, "add", a, b, sum, ok, new(big.Int).Add(x, y))
		product, ok := mul(a, b)
		fits(t, "mul", a, b, product, ok, new(big.Int).Mul(x, y))

		align := uint64(1) << rng.IntN(17)
		m := new(big.Int).SetUint64(align)
		up := new(big.Int).Add(x, new(big.Int).Sub(m, big.NewInt(1)))
		up.Div(up, m).Mul(up, m)
		rounded, ok := roundUp(a, align)
		// 2⁶⁴ itself may be refused early, but nothing that does not fit may pass.
		if ok || up.IsUint64() && a <= math.MaxUint64-align+1 {
			fits(t, "roundUp", a, align, rounded, ok, up)
		}
	}
}

func TestCheckedArithmeticEdges(t *testing.T) {
	const most = math.MaxUint64
	for _, c := range []struct {
		name string
		got  func() (uint64, bool)
		want uint64
		ok   bool
	}{
		{"add to the last", func() (uint64, bool) { return add(most-1, 1) }, most, true},
		{"add past it", func() (uint64, bool) { return add(most, 1) }, 0, false},
		{"mul to the last", func() (uint64, bool) { return mul(most, 1) }, most, true},
		{"mul past it", func() (uint64, bool) { return mul(1<<32, 1<<32) }, 0, false},
		{"roundUp of a multiple", func() (uint64, bool) { return roundUp(64, 64) }, 64, true},
		{"roundUp past a multiple", func() (uint64, bool) { return roundUp(65, 64) }, 128, true},
		{"roundUp of 0", func() (uint64, bool) { return roundUp(0, 8) }, 0, true},
		{"roundUp to 1", func() (uint64, bool) { return roundUp(7, 1) }, 7, true},
		// A padding that wraps to 0 is how a GGUF reader was overrun (llama.cpp #24759).
		{"roundUp wraps", func() (uint64, bool) { return roundUp(most-2, 8) }, 0, false},
	} {
		if got, ok := c.got(); ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestToInt(t *testing.T) {
	for _, v := range []uint64{0, 1, math.MaxInt} {
		if n, ok := toInt(v); !ok || uint64(n) != v {
			t.Errorf("toInt(%d) = %d, %v", v, n, ok)
		}
	}
	for _, v := range []uint64{math.MaxInt + 1, math.MaxUint64} {
		if n, ok := toInt(v); ok || n != 0 {
			t.Errorf("toInt(%d) = %d, %v; want 0, false", v, n, ok)
		}
	}
}

func TestElements(t *testing.T) {
	for _, c := range []struct {
		shape []uint64
		want  uint64
		ok    bool
	}{
		{nil, 1, true},
		{[]uint64{7}, 7, true},
		{[]uint64{3, 4, 5}, 60, true},
		{[]uint64{0}, 0, true},
		{[]uint64{3, 0, 5}, 0, true},
		{[]uint64{math.MaxUint64}, math.MaxUint64, true},
		{[]uint64{1 << 32, 1 << 32}, 0, false},
		// A zero must not hide that the others overflow: loops over them would.
		{[]uint64{0, 1 << 32, 1 << 32}, 0, false},
		{[]uint64{1 << 32, 1 << 32, 0}, 0, false},
	} {
		if n, ok := elements(c.shape); n != c.want || ok != c.ok {
			t.Errorf("elements(%v) = %d, %v; want %d, %v", c.shape, n, ok, c.want, c.ok)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 5_000 {
		shape := make([]uint64, rng.IntN(6))
		exact := big.NewInt(1)
		for i := range shape {
			shape[i] = 1 + edgy(rng)>>rng.IntN(64)
			if shape[i] == 0 {
				shape[i] = 1
			}
			exact.Mul(exact, new(big.Int).SetUint64(shape[i]))
		}
		n, ok := elements(shape)
		fits(t, "elements", uint64(len(shape)), 0, n, ok, exact)
	}
}
