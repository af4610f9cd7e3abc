package weights

import "strconv"

// DType is the element type of a tensor in a file.
type DType uint8

// The element types. Whether a format has one is the format's business.
const (
	Invalid DType = iota
	Bool          // one byte, 0 or 1
	U8            // unsigned integers
	U16
	U32
	U64
	I8 // signed integers, two's complement
	I16
	I32
	I64
	F8E4M3 // 8-bit floats: OCP E4M3 (no infinities) and E5M2
	F8E5M2
	F16  // IEEE 754 binary16
	BF16 // the upper 16 bits of a binary32
	F32  // IEEE 754 binary32
	F64  // IEEE 754 binary64
	C64  // two binary32
	C128 // two binary64

	F8E8M0 // 8-bit floats again: a bare exponent, OCP E8M0, and those without negative zero
	F8E4M3FNUZ
	F8E5M2FNUZ
)

var dtypes = [...]struct {
	name string
	size int
}{
	Invalid: {"invalid", 0},
	Bool:    {"BOOL", 1},
	U8:      {"U8", 1}, U16: {"U16", 2}, U32: {"U32", 4}, U64: {"U64", 8},
	I8: {"I8", 1}, I16: {"I16", 2}, I32: {"I32", 4}, I64: {"I64", 8},
	F8E4M3: {"F8_E4M3", 1}, F8E5M2: {"F8_E5M2", 1},
	F16: {"F16", 2}, BF16: {"BF16", 2}, F32: {"F32", 4}, F64: {"F64", 8},
	C64: {"C64", 8}, C128: {"C128", 16},
	F8E8M0: {"F8_E8M0", 1}, F8E4M3FNUZ: {"F8_E4M3FNUZ", 1}, F8E5M2FNUZ: {"F8_E5M2FNUZ", 1},
}

// String returns the name that safetensors gives the type: F32, BF16 and so on.
func (t DType) String() string {
	if int(t) < len(dtypes) {
		return dtypes[t].name
	}
	return "DType(" + strconv.Itoa(int(t)) + ")"
}

// Size returns the bytes of one element; 0 for an unknown type.
func (t DType) Size() int {
	if int(t) < len(dtypes) {
		return dtypes[t].size
	}
	return 0
}

// Float reports whether the type is a real floating-point type of 16 bits or more.
func (t DType) Float() bool { return t == F16 || t == BF16 || t == F32 || t == F64 }

// integer reports whether the type is an integer type; Bool counts as one.
func (t DType) integer() bool { return Bool <= t && t <= I64 }
