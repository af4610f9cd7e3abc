package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// A Tensor is one array of an open file: its description, and access to its
// elements, which stay in the file until they are read. It is valid until the
// file is closed and may be read from several goroutines.
//
// Elements are numbered in row-major order: the last index runs fastest,
// whatever the order in the file.
type Tensor struct {
	Name  string
	DType DType
	Shape []int // empty for a scalar

	source  io.ReaderAt // elements as the file has them
	offset  int64       // of the first one in source
	count   int         // product of Shape
	big     bool        // most significant byte first
	fortran bool        // the first index runs fastest in the file
}

// chunkBytes is how much is read at once where elements are converted.
const chunkBytes = 1 << 16

// Elements returns the number of elements.
func (t *Tensor) Elements() int { return t.count }

// Bytes returns the size of the elements in the file.
func (t *Tensor) Bytes() int64 { return int64(t.count) * int64(t.DType.Size()) }

// ReadBytes fills dst with the elements' bytes from byte offset on, little
// endian and row-major. offset and len(dst) are multiples of the element size.
// Errors: [ErrShape] for a range outside the tensor; those of reading.
func (t *Tensor) ReadBytes(dst []byte, offset int64) error {
	size := t.DType.Size()
	if size == 0 || len(dst)%size != 0 || offset < 0 || offset%int64(size) != 0 || offset > t.Bytes()-int64(len(dst)) {
		return fmt.Errorf("weights: %s: bytes %d to %d of %d bytes of %s: %w", t.Name, offset, offset+int64(len(dst)), t.Bytes(), t.DType, ErrShape)
	}
	if t.fortran {
		return t.gather(dst, int(offset)/size)
	}
	if err := readFull(t.source, dst, t.offset+offset); err != nil {
		return fmt.Errorf("weights: %s: %w", t.Name, err)
	}
	t.littleEndian(dst)
	return nil
}

// readFull reads exactly len(dst) bytes. A file that ends before is truncated.
func readFull(r io.ReaderAt, dst []byte, offset int64) error {
	n, err := r.ReadAt(dst, offset)
	switch {
	case n == len(dst):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("the file ends at byte %d, %d more were expected: %w", offset+int64(n), len(dst)-n, ErrFormat)
	default:
		return err
	}
}

// littleEndian turns the bytes of each number around if the file has them the
// other way.
func (t *Tensor) littleEndian(b []byte) {
	part := t.DType.Size()
	if t.DType == C64 || t.DType == C128 {
		part /= 2
	}
	if !t.big || part == 1 {
		return
	}
	for ; len(b) > 0; b = b[part:] {
		slices.Reverse(b[:part])
	}
}

// gather reads elements from number first on out of a file in column-major
// order, in runs along the first index so that a run is one read.
func (t *Tensor) gather(dst []byte, first int) error {
	size := t.DType.Size()
	rows := t.Shape[0]
	if rows == 0 || len(dst) == 0 {
		return nil
	}
	// A column holds all elements that differ in the first index alone. In
	// row-major order they are t.count/rows apart, in the file they are adjacent.
	step := t.count / rows
	last := first + len(dst)/size
	column := make([]byte, min(rows, chunkBytes/size+1)*size)
	for c := range step {
		lo, hi := (first-c+step-1)/step, (last-c+step-1)/step // rows of this column within [first, last)
		if first <= c {
			lo = 0
		}
		if last <= c {
			continue
		}
		at := t.columnStart(c)
		for r := lo; r < hi; {
			n := min(hi-r, len(column)/size)
			part := column[:n*size]
			if err := readFull(t.source, part, t.offset+int64(at+r)*int64(size)); err != nil {
				return fmt.Errorf("weights: %s: %w", t.Name, err)
			}
			t.littleEndian(part)
			for k := range n {
				to := ((r+k)*step + c - first) * size
				copy(dst[to:to+size], part[k*size:])
			}
			r += n
		}
	}
	return nil
}

// columnStart returns the number, in the file's order, of the first element of
// the c-th column: c counts the indices after the first in row-major order.
func (t *Tensor) columnStart(c int) int {
	at := 0
	rest := t.count / t.Shape[0]
	weight := t.Shape[0]
	for _, d := range t.Shape[1:] {
		rest /= d
		at += c / rest % d * weight
		weight *= d
	}
	return at
}

// Float64s reads all elements as float64; exact for every type but 64-bit
// integers beyond 2⁵³. Errors: [ErrShape] unless dst has as many elements as the
// tensor, [ErrUnsupported] for a complex or 8-bit float type; those of reading.
func (t *Tensor) Float64s(dst []float64) error {
	return convert(t, dst, func(v float64) float64 { return v })
}

// Float32s reads all elements as float32, rounded to nearest where float32 does
// not hold them. Errors: as [Tensor.Float64s].
func (t *Tensor) Float32s(dst []float32) error {
	if t.DType == F32 && len(dst) == t.count {
		return chunks(t, len(dst), func(i int, b []byte) {
			for k := 0; k+4 <= len(b); k += 4 { // bits unchanged, NaN payloads too
				dst[i+k/4] = math.Float32frombits(binary.LittleEndian.Uint32(b[k:]))
			}
		})
	}
	return convert(t, dst, func(v float64) float32 { return float32(v) })
}

// Bits16 reads all elements of a 16-bit type as they are. Errors:
// [ErrUnsupported] for another type, [ErrShape] for another length; those of
// reading.
func (t *Tensor) Bits16(dst []uint16) error {
	if t.DType.Size() != 2 {
		return fmt.Errorf("weights: %s: %s is not a 16-bit type: %w", t.Name, t.DType, ErrUnsupported)
	}
	if err := t.length(len(dst)); err != nil {
		return err
	}
	return chunks(t, len(dst), func(i int, b []byte) {
		for k := 0; k+2 <= len(b); k += 2 {
			dst[i+k/2] = binary.LittleEndian.Uint16(b[k:])
		}
	})
}

// Int64s reads all elements of an integer type. Errors: [ErrUnsupported] for
// another type or a U64 beyond the range of int64, [ErrShape] for another
// length; those of reading.
func (t *Tensor) Int64s(dst []int64) error {
	load := intLoader(t.DType)
	if load == nil {
		return fmt.Errorf("weights: %s: %s is not an integer type: %w", t.Name, t.DType, ErrUnsupported)
	}
	if err := t.length(len(dst)); err != nil {
		return err
	}
	size, beyond := t.DType.Size(), -1
	err := chunks(t, len(dst), func(i int, b []byte) {
		for k := 0; k+size <= len(b); k += size {
			v := load(b[k:])
			if t.DType == U64 && v < 0 && beyond < 0 {
				beyond = i + k/size
			}
			dst[i+k/size] = v
		}
	})
	if err == nil && beyond >= 0 {
		return fmt.Errorf("weights: %s: element %d does not fit int64: %w", t.Name, beyond, ErrUnsupported)
	}
	return err
}

func (t *Tensor) length(n int) error {
	if n != t.count {
		return fmt.Errorf("weights: %s: %d elements wanted, the tensor has %d: %w", t.Name, n, t.count, ErrShape)
	}
	return nil
}

// chunks calls use with the bytes of n elements, some at a time; i is the number
// of the first one. A column-major tensor comes whole: each part of it would
// read every column.
func chunks(t *Tensor, n int, use func(i int, b []byte)) error {
	size := t.DType.Size()
	most := chunkBytes / size
	if t.fortran {
		most = max(n, 1)
	}
	buf := make([]byte, min(n, most)*size)
	for i := 0; i < n; i += most {
		b := buf[:min(most, n-i)*size]
		if err := t.ReadBytes(b, int64(i)*int64(size)); err != nil {
			return err
		}
		use(i, b)
	}
	return nil
}

func convert[T float32 | float64](t *Tensor, dst []T, round func(float64) T) error {
	load := floatLoader(t.DType)
	if load == nil {
		return fmt.Errorf("weights: %s: %s has no real numbers that are read here: %w", t.Name, t.DType, ErrUnsupported)
	}
	if err := t.length(len(dst)); err != nil {
		return err
	}
	size := t.DType.Size()
	return chunks(t, len(dst), func(i int, b []byte) {
		for k := 0; k+size <= len(b); k += size {
			dst[i+k/size] = round(load(b[k:]))
		}
	})
}

// floatLoader returns what reads one little-endian number of the type; nil for
// types that are no real numbers, and for the 8-bit floats.
func floatLoader(t DType) func(b []byte) float64 {
	switch t {
	case F16:
		return func(b []byte) float64 { return halfToFloat64(binary.LittleEndian.Uint16(b)) }
	case BF16:
		return func(b []byte) float64 {
			return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16))
		}
	case F32:
		return func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }
	case F64:
		return func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
	case U64:
		return func(b []byte) float64 { return float64(binary.LittleEndian.Uint64(b)) }
	default:
		load := intLoader(t)
		if load == nil {
			return nil
		}
		return func(b []byte) float64 { return float64(load(b)) }
	}
}

// intLoader returns what reads one little-endian integer of the type; nil for
// other types.
func intLoader(t DType) func(b []byte) int64 {
	switch t {
	case Bool, U8:
		return func(b []byte) int64 { return int64(b[0]) }
	case I8:
		return func(b []byte) int64 { return int64(int8(b[0])) } //nolint:gosec // two's complement
	case U16:
		return func(b []byte) int64 { return int64(binary.LittleEndian.Uint16(b)) }
	case I16:
		return func(b []byte) int64 { return int64(int16(binary.LittleEndian.Uint16(b))) } //nolint:gosec // two's complement
	case U32:
		return func(b []byte) int64 { return int64(binary.LittleEndian.Uint32(b)) }
	case I32:
		return func(b []byte) int64 { return int64(int32(binary.LittleEndian.Uint32(b))) } //nolint:gosec // two's complement
	case U64, I64:
		return func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) } //nolint:gosec // two's complement
	default:
		return nil
	}
}

// halfToFloat64 widens IEEE binary16, exactly.
func halfToFloat64(h uint16) float64 {
	exponent, fraction := int(h>>10&0x1f), float64(h&0x3ff)
	var v float64
	switch exponent {
	case 0:
		v = math.Ldexp(fraction, -24)
	case 0x1f:
		if fraction != 0 {
			return math.NaN()
		}
		v = math.Inf(1)
	default:
		v = math.Ldexp(1024+fraction, exponent-25)
	}
	if h>>15 != 0 {
		return -v
	}
	return v
}
