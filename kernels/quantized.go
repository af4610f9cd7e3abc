package kernels

import (
	"fmt"
	"math"
	"strconv"
	"unsafe"
)

// QuantType is a block format of quantised weights, as GGUF files store them
// (ggml's ggml-common.h). A block holds BlockSize values in BlockBytes bytes.
type QuantType uint8

// The block formats. d, m and dmin are binary16, q unsigned integers of the
// stated width unless said otherwise.
const (
	Q8_0 QuantType = iota // 32 values d·q, q int8
	Q4_0                  // 32 values d·(q − 8)
	Q4_1                  // 32 values d·q + m
	Q5_0                  // 32 values d·(q − 16)
	Q5_1                  // 32 values d·q + m
	Q2_K                  // 256 values d·s·q − dmin·t, 4-bit s and t per 16
	Q3_K                  // 256 values d·(s − 32)·(q − 4), 6-bit s per 16
	Q4_K                  // 256 values d·s·q − dmin·t, 6-bit s and t per 32
	Q5_K                  // as Q4_K with 5-bit q
	Q6_K                  // 256 values d·s·(q − 32), int8 s per 16
	quantCount
)

var quantFormats = [...]struct {
	name        string
	size, bytes int
}{
	Q8_0: {"Q8_0", 32, 34}, Q4_0: {"Q4_0", 32, 18}, Q4_1: {"Q4_1", 32, 20}, Q5_0: {"Q5_0", 32, 22}, Q5_1: {"Q5_1", 32, 24},
	Q2_K: {"Q2_K", 256, 84}, Q3_K: {"Q3_K", 256, 110}, Q4_K: {"Q4_K", 256, 144}, Q5_K: {"Q5_K", 256, 176}, Q6_K: {"Q6_K", 256, 210},
}

// QuantTypes returns all block formats.
func QuantTypes() []QuantType {
	all := make([]QuantType, quantCount)
	for i := range all {
		all[i] = QuantType(i)
	}
	return all
}

// Valid reports whether q is one of the formats above.
func (q QuantType) Valid() bool { return q < quantCount }

// String returns the name GGUF uses: Q8_0, Q4_K and so on.
func (q QuantType) String() string {
	if q.Valid() {
		return quantFormats[q].name
	}
	return "QuantType(" + strconv.Itoa(int(q)) + ")"
}

// BlockSize returns the values in a block; 0 for an invalid format.
func (q QuantType) BlockSize() int {
	if q.Valid() {
		return quantFormats[q].size
	}
	return 0
}

// BlockBytes returns the bytes of a block; 0 for an invalid format.
func (q QuantType) BlockBytes() int {
	if q.Valid() {
		return quantFormats[q].bytes
	}
	return 0
}

// A Quantized is a view on rows x cols quantised weights, rows one after the
// other without padding. Like a [Matrix] it never owns its memory.
type Quantized struct {
	Rows, Cols int // Cols is a multiple of the block size
	Type       QuantType
	Device     Device

	host unsafe.Pointer
	addr uintptr
	span int // bytes
	keep any
	home Device // where the memory is
}

// OfQuantized returns a view on host bytes, without a copy. Errors: [ErrShape]
// for a bad size or too few bytes, [ErrUnsupported] for an unknown format.
func OfQuantized(t QuantType, data []byte, rows, cols int) (Quantized, error) {
	q := Quantized{Rows: rows, Cols: cols, Type: t, host: unsafe.Pointer(unsafe.SliceData(data)), span: len(data)}
	if err := q.Validate(); err != nil {
		return Quantized{}, fmt.Errorf("kernels: OfQuantized: %w", err)
	}
	return q, nil
}

// ForeignQuantized returns a view on device memory at address ptr; the caller
// vouches for its size. Errors: as [OfQuantized], and [ErrShape] for an address
// that is nil, odd, or so high that the memory would wrap around.
func ForeignQuantized(d Device, ptr uintptr, t QuantType, rows, cols int, keep any) (Quantized, error) {
	q := Quantized{Rows: rows, Cols: cols, Type: t, Device: d, keep: keep, span: math.MaxInt, home: d}
	q.host, q.addr = foreignMemory(d, ptr, rows == 0 || cols == 0)
	if err := q.Validate(); err != nil {
		return Quantized{}, fmt.Errorf("kernels: ForeignQuantized: %w", err)
	}
	q.span = q.Rows * q.RowBytes()
	if wraps(ptr, q.span) || d.Kind != Host && ptr%2 != 0 && q.span > 0 {
		return Quantized{}, fmt.Errorf("kernels: ForeignQuantized: address %#x of %d bytes: odd or beyond the address space: %w", ptr, q.span, ErrShape)
	}
	return q, nil
}

// RowBytes returns the bytes of one row.
func (q Quantized) RowBytes() int {
	if !q.Type.Valid() {
		return 0
	}
	return q.Cols / q.Type.BlockSize() * q.Type.BlockBytes()
}

// Validate checks the view against itself and its memory. Errors: [ErrShape],
// [ErrUnsupported] for an unknown format, or [ErrDevice] if Device was changed.
func (q Quantized) Validate() error {
	if !q.Type.Valid() {
		return fmt.Errorf("format %s: %w", q.Type, ErrUnsupported)
	}
	if q.Rows < 0 || q.Cols < 0 {
		return fmt.Errorf("size %d x %d is negative: %w", q.Rows, q.Cols, ErrShape)
	}
	if q.Cols%q.Type.BlockSize() != 0 {
		return fmt.Errorf("cols %d is no multiple of %s's block of %d: %w", q.Cols, q.Type, q.Type.BlockSize(), ErrShape)
	}
	if q.Rows == 0 || q.Cols == 0 {
		return nil
	}
	blocks := q.Cols / q.Type.BlockSize()
	if blocks > math.MaxInt/8/q.Type.BlockBytes() || q.Rows > q.span/q.RowBytes() {
		return fmt.Errorf("%d x %d %s does not fit memory of %d bytes: %w", q.Rows, q.Cols, q.Type, q.span, ErrShape)
	}
	if q.Address() == 0 {
		return fmt.Errorf("%d x %d without memory: %w", q.Rows, q.Cols, ErrShape)
	}
	if q.Device != q.home {
		return fmt.Errorf("device %s for memory on %s: %w", q.Device, q.home, ErrDevice)
	}
	return nil
}

// Address returns the address of the first byte, for backends; see [Matrix.Address].
func (q Quantized) Address() uintptr {
	if q.host != nil {
		return uintptr(q.host)
	}
	return q.addr
}

// Bytes returns the bytes of a host view, all rows. Errors: [ErrDevice] if it
// is not on the host, and those of [Quantized.Validate].
func (q Quantized) Bytes() ([]byte, error) {
	if err := q.Validate(); err != nil {
		return nil, fmt.Errorf("kernels: Bytes: %w", err)
	}
	if q.Device != (Device{}) {
		return nil, fmt.Errorf("kernels: Bytes: weights are on %s: %w", q.Device, ErrDevice)
	}
	return unsafe.Slice((*byte)(q.host), q.Rows*q.RowBytes()), nil
}
