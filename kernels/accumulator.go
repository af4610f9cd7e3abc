package kernels

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

const (
	chunkCount = 67
	chunkBits  = 32
	chunkMask  = 1<<chunkBits - 1
	// unitExponent: bit 0 of chunk 0 is worth 2⁻¹⁰⁷⁵, so that a float64 with
	// exponent field e is its significand shifted left by e.
	unitExponent = -1075
	// One addition changes a chunk by less than 2⁵², and carrying leaves less
	// than 2³²: after 2,047 additions no chunk has reached 2⁶³.
	addsPerCarry = 2047

	accumulatorBytes = 8 * chunkCount
)

// What was added besides numbers, as a set: its union does not depend on order.
const (
	sawPosInf = 1 << iota
	sawNegInf
	sawNaN
)

// In canonical form, chunk 0 is never negative: these mark the sums that are no
// number.
const (
	markNaN    = -1
	markPosInf = -2
	markNegInf = -3
)

// An Accumulator adds float64 values without any error. The result is rounded
// once, at the end, so that it depends neither on the order of the values nor
// on how they were grouped: accumulators of equal sums encode to equal bytes
// and merge to equal bytes. The zero value is an empty sum, ready for use.
//
// It is the small superaccumulator of R. Neal, Fast exact summation using small
// and large superaccumulators (2015): one fixed-point number that spans the
// whole range of float64, in 67 chunks of 64 bits of which neighbours overlap by
// 32, so that carries need handling once in 2,047 additions only.
//
// A sum may leave the range of float64 on the way and come back. The capacity
// is ±2¹¹⁰⁰: 2⁷⁶ additions of the largest float64. Whoever exceeds it by merging
// an accumulator with itself again and again gets NaN, never a wrong number.
//
// NaN gives NaN, +Inf and −Inf give themselves, both together NaN. Zero has one
// representation: the sum of values −0 is +0.
//
// An Accumulator must not be written by one goroutine while another uses it.
type Accumulator struct {
	chunks [chunkCount]int64 // chunk k counts units of 2^(32k + unitExponent)
	adds   int               // additions since the last carry
	saw    uint8
}

var (
	_ encoding.BinaryMarshaler   = (*Accumulator)(nil)
	_ encoding.BinaryAppender    = (*Accumulator)(nil)
	_ encoding.BinaryUnmarshaler = (*Accumulator)(nil)
)

// Add adds x exactly.
func (a *Accumulator) Add(x float64) {
	b := math.Float64bits(x)
	e := uint(b >> 52 & 0x7ff)
	m := b & (1<<52 - 1)
	switch e {
	case 0x7ff:
		a.addSpecial(x)
		return
	case 0:
		e = 1 // subnormals have the exponent of the smallest normal, without its leading bit
	default:
		m |= 1 << 52
	}
	k, shift := e/chunkBits, e%chunkBits
	lo := int64(m << shift & chunkMask)
	hi := int64(m >> (chunkBits - shift)) //nolint:gosec // at most 53 bits
	if b>>63 != 0 {
		lo, hi = -lo, -hi
	}
	a.chunks[k] += lo
	a.chunks[k+1] += hi
	if a.adds++; a.adds >= addsPerCarry {
		a.carry()
	}
}

func (a *Accumulator) addSpecial(x float64) {
	switch {
	case math.IsInf(x, 1):
		a.saw |= sawPosInf
	case math.IsInf(x, -1):
		a.saw |= sawNegInf
	default:
		a.saw |= sawNaN
	}
}

// Merge adds the sum of b exactly. b is not changed; it may be a itself. A nil b
// is an empty sum.
func (a *Accumulator) Merge(b *Accumulator) {
	if b == nil {
		return
	}
	c := b.canonical()
	a.carry()
	for k := range chunkCount - 1 {
		a.chunks[k] += c.chunks[k]
	}
	a.saw |= c.saw
	a.addTop(c.chunks[chunkCount-1])
	a.carry()
}

// carry brings all chunks but the last into [0, 2³²): the canonical form.
func (a *Accumulator) carry() {
	for k := range chunkCount - 2 {
		c := a.chunks[k] >> chunkBits
		a.chunks[k] &= chunkMask
		a.chunks[k+1] += c
	}
	const next = chunkCount - 2
	c := a.chunks[next] >> chunkBits
	a.chunks[next] &= chunkMask
	a.addTop(c)
	a.adds = 0
}

// addTop adds to the last chunk. The sum is beyond capacity if that overflows.
func (a *Accumulator) addTop(c int64) {
	const top = chunkCount - 1
	sum := a.chunks[top] + c
	if (sum > a.chunks[top]) != (c > 0) && c != 0 {
		a.saw |= sawNaN
	}
	a.chunks[top] = sum
}

// canonical returns the same sum with all carries done.
func (a *Accumulator) canonical() Accumulator {
	c := *a
	c.carry()
	return c
}

// mark returns the mark of a sum that is no number, or 0.
func (a *Accumulator) mark() int64 {
	switch a.saw {
	case 0:
		return 0
	case sawPosInf:
		return markPosInf
	case sawNegInf:
		return markNegInf
	default:
		return markNaN
	}
}

// Sum returns the sum, rounded to nearest, ties to even; it is infinite if it
// rounds to 2¹⁰²⁴ or more. The accumulator can go on.
func (a *Accumulator) Sum() float64 {
	c := a.canonical()
	switch c.mark() {
	case markNaN:
		return math.NaN()
	case markPosInf:
		return math.Inf(1)
	case markNegInf:
		return math.Inf(-1)
	}
	limbs, negative := c.magnitude()
	top := len(limbs) - 1
	for top >= 0 && limbs[top] == 0 {
		top--
	}
	if top < 0 {
		return 0
	}
	// The significand runs from the highest bit set down to last, which is at
	// least the bit of the smallest subnormal.
	highest := chunkBits*top + bits.Len32(limbs[top]) - 1
	last := max(highest-52, 1)
	var m uint64
	for i := highest; i >= last; i-- {
		m = m<<1 | bit(&limbs, i)
	}
	if bit(&limbs, last-1) == 1 && (m&1 == 1 || anyBelow(&limbs, last-1)) {
		m++
	}
	x := math.Ldexp(float64(m), last+unitExponent)
	if negative {
		return -x
	}
	return x
}

// magnitude returns the absolute value of a canonical sum; the last chunk makes
// two limbs.
func (a *Accumulator) magnitude() (limbs [chunkCount + 1]uint32, negative bool) {
	for k, c := range &a.chunks {
		limbs[k] = uint32(c & chunkMask)
	}
	limbs[chunkCount] = uint32(a.chunks[chunkCount-1] >> chunkBits & chunkMask)
	if a.chunks[chunkCount-1] >= 0 {
		return limbs, false
	}
	carry := uint32(1) // two's complement
	for k, limb := range limbs {
		limbs[k], carry = bits.Add32(^limb, 0, carry)
	}
	return limbs, true
}

func bit(limbs *[chunkCount + 1]uint32, i int) uint64 {
	return uint64(limbs[i/chunkBits] >> (i % chunkBits) & 1)
}

// anyBelow reports whether a bit below bit i is set.
func anyBelow(limbs *[chunkCount + 1]uint32, i int) bool {
	k := i / chunkBits
	for _, limb := range limbs[:k] {
		if limb != 0 {
			return true
		}
	}
	return limbs[k]&(1<<(i%chunkBits)-1) != 0
}

// AppendBinary appends the canonical encoding, 536 bytes: the chunks in little
// endian. The error is always nil.
func (a *Accumulator) AppendBinary(dst []byte) ([]byte, error) {
	c := a.canonical()
	if mark := c.mark(); mark != 0 {
		c.chunks = [chunkCount]int64{mark}
	}
	for _, v := range &c.chunks {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v)) //nolint:gosec // two's complement
	}
	return dst, nil
}

// MarshalBinary returns the canonical encoding: 536 bytes, equal for equal sums.
// The error is always nil.
func (a *Accumulator) MarshalBinary() ([]byte, error) {
	return a.AppendBinary(make([]byte, 0, accumulatorBytes))
}

// UnmarshalBinary replaces the sum by an encoded one. Errors: [ErrShape] if data
// is not what MarshalBinary returns; the accumulator is then unchanged.
func (a *Accumulator) UnmarshalBinary(data []byte) error {
	if len(data) != accumulatorBytes {
		return fmt.Errorf("kernels: Accumulator: encoding of %d bytes, want %d: %w", len(data), accumulatorBytes, ErrShape)
	}
	var c Accumulator
	for k := range c.chunks {
		c.chunks[k] = int64(binary.LittleEndian.Uint64(data[8*k:])) //nolint:gosec // two's complement
	}
	if first := c.chunks[0]; first < 0 {
		switch first {
		case markNaN:
			c.saw = sawNaN
		case markPosInf:
			c.saw = sawPosInf
		case markNegInf:
			c.saw = sawNegInf
		default:
			return fmt.Errorf("kernels: Accumulator: chunk 0 is %d, which marks nothing: %w", first, ErrShape)
		}
		if c.chunks[0] = 0; c.chunks != [chunkCount]int64{} {
			return fmt.Errorf("kernels: Accumulator: chunk 0 is %d, but others are not 0: %w", first, ErrShape)
		}
	}
	for k, v := range c.chunks[:chunkCount-1] {
		if v < 0 || v > chunkMask {
			return fmt.Errorf("kernels: Accumulator: chunk %d is %d, want 0 to %d: %w", k, v, int64(chunkMask), ErrShape)
		}
	}
	if c.chunks[0]&1 != 0 {
		return fmt.Errorf("kernels: Accumulator: chunk 0 is %d, no multiple of the smallest float64: %w", c.chunks[0], ErrShape)
	}
	*a = c
	return nil
}
