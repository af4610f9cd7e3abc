package weights

import (
	"math"
	"math/bits"
)

// All sizes that come from a file go through these: ok is false if the exact
// result does not fit.

func add(a, b uint64) (sum uint64, ok bool) {
	sum, carry := bits.Add64(a, b, 0)
	return sum, carry == 0
}

func mul(a, b uint64) (product uint64, ok bool) {
	hi, lo := bits.Mul64(a, b)
	return lo, hi == 0
}

// roundUp returns the smallest multiple of align, a power of two, that is a or more.
func roundUp(a, align uint64) (rounded uint64, ok bool) {
	sum, ok := add(a, align-1)
	return sum &^ (align - 1), ok
}

// toInt returns a as an int, which has 32 bits on some machines.
func toInt(a uint64) (n int, ok bool) {
	if a > math.MaxInt {
		return 0, false
	}
	return int(a), true
}

// elements returns the product of the dimensions, 1 for none of them.
func elements(shape []uint64) (n uint64, ok bool) {
	n = 1
	zero := false
	for _, d := range shape {
		if d == 0 {
			zero = true // but the others must not overflow all the same
			continue
		}
		if n, ok = mul(n, d); !ok {
			return 0, false
		}
	}
	if zero {
		n = 0
	}
	return n, true
}
