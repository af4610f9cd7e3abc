package kernels

import "strconv"

// DType is the element type of a [Matrix].
type DType uint8

// The element types. Float32 is the zero value.
const (
	Float32  DType = iota // IEEE 754 binary32
	Float64               // IEEE 754 binary64
	Float16               // IEEE 754 binary16
	BFloat16              // the upper 16 bits of a binary32
)

var dtypeNames = [...]string{Float32: "f32", Float64: "f64", Float16: "f16", BFloat16: "bf16"}

// String returns the short name used in benchmarks and messages: f32, f64, f16 or bf16.
func (t DType) String() string {
	if int(t) < len(dtypeNames) {
		return dtypeNames[t]
	}
	return "dtype(" + strconv.Itoa(int(t)) + ")"
}

// Valid reports whether t is one of the types above.
func (t DType) Valid() bool { return int(t) < len(dtypeNames) }

// Size returns the bytes of one element; 0 for an invalid type.
func (t DType) Size() int {
	switch t {
	case Float32:
		return 4
	case Float64:
		return 8
	case Float16, BFloat16:
		return 2
	default:
		return 0
	}
}

// UnitRoundoff returns u, half the distance from 1 to the next larger number of
// the type: 2⁻²⁴, 2⁻⁵³, 2⁻¹¹ and 2⁻⁸ for f32, f64, f16 and bf16.
func (t DType) UnitRoundoff() float64 {
	switch t {
	case Float64:
		return 0x1p-53
	case Float16:
		return 0x1p-11
	case BFloat16:
		return 0x1p-8
	default:
		return 0x1p-24
	}
}

// smallest returns the smallest positive (subnormal) number of the type.
func (t DType) smallest() float64 {
	switch t {
	case Float64:
		return 0x1p-1074
	case Float16:
		return 0x1p-24
	case BFloat16:
		return 0x1p-133
	default:
		return 0x1p-149
	}
}

// Kind says what sort of memory a [Device] is.
type Kind uint8

// The kinds of device. Host is the zero value.
const (
	Host Kind = iota // memory the CPU reads and writes
	CUDA             // memory of an NVIDIA device
)

// String returns "host" or "cuda".
func (k Kind) String() string {
	switch k {
	case Host:
		return "host"
	case CUDA:
		return "cuda"
	default:
		return "kind(" + strconv.Itoa(int(k)) + ")"
	}
}

// Device names a memory: the host (the zero value), or CUDA device Index.
type Device struct {
	Kind  Kind
	Index int
}

// String returns "host", "cuda:0", "cuda:1" and so on.
func (d Device) String() string {
	if d.Kind == Host && d.Index == 0 {
		return "host"
	}
	return d.Kind.String() + ":" + strconv.Itoa(d.Index)
}
