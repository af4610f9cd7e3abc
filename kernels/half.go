package kernels

import "math"

// Conversions between the 16-bit types and the native ones. Narrowing rounds
// once, to nearest, ties to even, straight from the wide type: overflow gives
// infinity, small values become subnormal, a NaN stays a (quiet) NaN.

// Float16ToFloat32 widens IEEE binary16 bits. It is exact.
func Float16ToFloat32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h & 0x3ff)
	switch exp {
	case 0: // zero and subnormals: frac · 2⁻²⁴, exact in float32
		v := float32(frac) * 0x1p-24
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	default:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
}

// BFloat16ToFloat32 widens bfloat16 bits. It is exact.
func BFloat16ToFloat32(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// Float32ToFloat16 rounds to IEEE binary16.
func Float32ToFloat16(f float32) uint16 { return Float64ToFloat16(float64(f)) }

// Float32ToBFloat16 rounds to bfloat16.
func Float32ToBFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40 // keep it a NaN whatever the upper payload bits are
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// Float64ToFloat16 rounds to IEEE binary16 once, without a detour over float32.
func Float64ToFloat16(f float64) uint16 {
	b := math.Float64bits(f)
	sign := uint16(b >> 48 & 0x8000)
	mag := b &^ (1 << 63)
	switch {
	case mag > 0x7ff0000000000000:
		return sign | 0x7e00
	case mag >= 0x40effe0000000000: // 65520 and more round to infinity
		return sign | 0x7c00
	case mag < 0x3f10000000000000: // below 2⁻¹⁴: a multiple of 2⁻²⁴
		return sign | uint16(math.RoundToEven(math.Float64frombits(mag)*0x1p24))
	}
	// A carry out of the fraction increments the exponent field, as it should.
	mag += 1<<41 - 1 + mag>>42&1
	return sign | uint16(mag>>42-(1023-15)<<10)
}

// Float64ToBFloat16 rounds to bfloat16 once, without a detour over float32.
func Float64ToBFloat16(f float64) uint16 {
	b := math.Float64bits(f)
	sign := uint16(b >> 48 & 0x8000)
	mag := b &^ (1 << 63)
	switch {
	case mag > 0x7ff0000000000000:
		return sign | 0x7fc0
	case mag >= 0x47eff00000000000: // 2¹²⁸ − 2¹¹⁹, half a step above the largest
		return sign | 0x7f80
	case mag < 0x3810000000000000: // below 2⁻¹²⁶: a multiple of 2⁻¹³³
		return sign | uint16(math.RoundToEven(math.Float64frombits(mag)*0x1p133))
	}
	mag += 1<<44 - 1 + mag>>45&1
	return sign | uint16(mag>>45-(1023-127)<<7)
}
