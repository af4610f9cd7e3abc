package weights

import (
	"encoding/binary"
	"math"
)

// The decoders turn little-endian bytes into numbers, one loop per element
// type. b holds exactly the bytes of len(dst) elements.

// decodeFloats rounds once, to nearest: a conversion by way of float64 would
// round 64-bit integers twice.
func decodeFloats[T float32 | float64](t DType, dst []T, b []byte) {
	le := binary.LittleEndian
	switch t {
	case F16:
		for i := range dst {
			dst[i] = T(halfToFloat32(le.Uint16(b[2*i:])))
		}
	case BF16:
		for i := range dst {
			dst[i] = T(math.Float32frombits(uint32(le.Uint16(b[2*i:])) << 16))
		}
	case F32:
		for i := range dst {
			dst[i] = T(math.Float32frombits(le.Uint32(b[4*i:])))
		}
	case F64:
		for i := range dst {
			dst[i] = T(math.Float64frombits(le.Uint64(b[8*i:])))
		}
	case U64:
		for i := range dst {
			dst[i] = T(le.Uint64(b[8*i:]))
		}
	default:
		decodeNumbers(t, dst, b)
	}
}

// decodeInts wraps a U64 beyond int64 to a negative number.
func decodeInts(t DType, dst []int64, b []byte) {
	if t == U64 {
		t = I64
	}
	decodeNumbers(t, dst, b)
}

// decodeNumbers reads the integers that int64 holds.
//
//nolint:gosec // G115: two's complement is what the bytes are
func decodeNumbers[T float32 | float64 | int64](t DType, dst []T, b []byte) {
	le := binary.LittleEndian
	switch t {
	case Bool, U8:
		for i := range dst {
			dst[i] = T(b[i])
		}
	case I8:
		for i := range dst {
			dst[i] = T(int8(b[i]))
		}
	case U16:
		for i := range dst {
			dst[i] = T(le.Uint16(b[2*i:]))
		}
	case I16:
		for i := range dst {
			dst[i] = T(int16(le.Uint16(b[2*i:])))
		}
	case U32:
		for i := range dst {
			dst[i] = T(le.Uint32(b[4*i:]))
		}
	case I32:
		for i := range dst {
			dst[i] = T(int32(le.Uint32(b[4*i:])))
		}
	case I64:
		for i := range dst {
			dst[i] = T(int64(le.Uint64(b[8*i:])))
		}
	default: // no integers: the callers do not ask
	}
}

func decodeBits16(dst []uint16, b []byte) {
	for i := range dst {
		dst[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
}

// halfToFloat32 widens IEEE binary16, exactly. Exponent and fraction are moved
// to their place in binary32; the product corrects the bias and, the number
// being denormal, normalizes it.
func halfToFloat32(h uint16) float32 {
	const rebias = 0x1p112 // 127 - 15
	magnitude := uint32(h & 0x7fff)
	bits := math.Float32bits(math.Float32frombits(magnitude<<13) * rebias)
	if magnitude >= 0x7c00 { // infinite or NaN, whose payload is kept
		bits = magnitude<<13 | 0x7f800000
	}
	return math.Float32frombits(bits | uint32(h&0x8000)<<16)
}
