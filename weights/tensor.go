package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// chunkBytes is how much is read or written at once where elements are converted;
// it stays in a second-level cache.
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
		return fmt.Errorf("weights: %s: bytes %d to %d of %d bytes of %s: %w", quote([]byte(t.Name)), offset, offset+int64(len(dst)), t.Bytes(), t.DType, ErrShape)
	}
	if t.columnMajor() {
		return t.gatherBytes(dst, int(offset/int64(size)))
	}
	if err := readFull(t.source, dst, t.offset+offset); err != nil {
		return fmt.Errorf("weights: %s: %w", quote([]byte(t.Name)), err)
	}
	t.littleEndian(dst)
	return nil
}

// columnMajor reports whether the order in the file differs from row-major.
func (t *Tensor) columnMajor() bool { return t.fortran && len(t.Shape) > 1 && t.count > 0 }

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
	if !t.big {
		return
	}
	part := t.DType.Size()
	if t.DType == C64 || t.DType == C128 {
		part /= 2
	}
	switch part {
	case 2:
		for ; len(b) >= 2; b = b[2:] {
			b[0], b[1] = b[1], b[0]
		}
	case 4:
		for ; len(b) >= 4; b = b[4:] {
			binary.LittleEndian.PutUint32(b, binary.BigEndian.Uint32(b))
		}
	case 8:
		for ; len(b) >= 8; b = b[8:] {
			binary.LittleEndian.PutUint64(b, binary.BigEndian.Uint64(b))
		}
	}
}

// Float64s reads all elements as float64; exact for every type but 64-bit
// integers beyond 2⁵³, which are rounded to nearest. Errors: [ErrShape] unless
// dst has as many elements as the tensor, [ErrUnsupported] for a complex or
// 8-bit float type; those of reading.
func (t *Tensor) Float64s(dst []float64) error { return floats(t, dst) }

// Float32s reads all elements as float32, rounded to nearest where float32 does
// not hold them; the bits of an F32, NaN payloads too, stay as they are. Errors:
// as [Tensor.Float64s].
func (t *Tensor) Float32s(dst []float32) error { return floats(t, dst) }

func floats[T float32 | float64](t *Tensor, dst []T) error {
	if !t.DType.Float() && !t.DType.integer() {
		return fmt.Errorf("weights: %s: %s has no real numbers that are read here: %w", quote([]byte(t.Name)), t.DType, ErrUnsupported)
	}
	return read(t, dst, func(dst []T, b []byte) { decodeFloats(t.DType, dst, b) })
}

// Bits16 reads all elements of a 16-bit type as they are. Errors:
// [ErrUnsupported] for another type, [ErrShape] for another length; those of
// reading.
func (t *Tensor) Bits16(dst []uint16) error {
	if t.DType.Size() != 2 {
		return fmt.Errorf("weights: %s: %s is not a 16-bit type: %w", quote([]byte(t.Name)), t.DType, ErrUnsupported)
	}
	return read(t, dst, decodeBits16)
}

// Int64s reads all elements of an integer type, Bool among them. Errors:
// [ErrUnsupported] for another type or a U64 beyond the range of int64,
// [ErrShape] for another length; those of reading.
func (t *Tensor) Int64s(dst []int64) error {
	if !t.DType.integer() {
		return fmt.Errorf("weights: %s: %s is not an integer type: %w", quote([]byte(t.Name)), t.DType, ErrUnsupported)
	}
	if err := read(t, dst, func(dst []int64, b []byte) { decodeInts(t.DType, dst, b) }); err != nil {
		return err
	}
	if t.DType == U64 {
		for i, v := range dst {
			if v < 0 {
				//nolint:gosec // G115: back to what the file says
				return fmt.Errorf("weights: %s: element %d, %d, does not fit int64: %w", quote([]byte(t.Name)), i, uint64(v), ErrUnsupported)
			}
		}
	}
	return nil
}

// read fills dst with all elements; decode turns the little-endian bytes of
// some of them into numbers.
func read[T any](t *Tensor, dst []T, decode func(dst []T, b []byte)) error {
	if len(dst) != t.count {
		return fmt.Errorf("weights: %s: %d elements wanted, the tensor has %d: %w", quote([]byte(t.Name)), len(dst), t.count, ErrShape)
	}
	if t.columnMajor() {
		return gather(t, dst, decode)
	}
	size := t.DType.Size()
	return chunks(t, len(dst), func(i int, b []byte) { decode(dst[i:i+len(b)/size], b) })
}

// chunks calls use with the bytes of the first n elements, some at a time; i is
// the number of the first one. A column-major tensor comes whole: each part of
// it would read every column.
func chunks(t *Tensor, n int, use func(i int, b []byte)) error {
	size := t.DType.Size()
	most := chunkBytes / size
	if t.columnMajor() {
		most = n // not 0
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
