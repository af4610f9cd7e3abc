package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// An Array is an array to be written to an npy or npz file.
type Array struct {
	Name  string // in an npz file; an npy file has none
	DType DType  // one that numpy has: no BF16, no 8-bit float
	Shape []int  // empty for a scalar
	// Data yields the elements, little endian and row-major, as many bytes as
	// DType and Shape say.
	Data io.Reader
}

// Number are the element types that [ArrayOf] takes.
type Number interface {
	bool | uint8 | uint16 | uint32 | uint64 | int8 | int16 | int32 | int64 | float32 | float64
}

// ArrayOf returns an array with the elements of data, which is not copied, in
// row-major order. Writing reports a shape that does not fit.
func ArrayOf[T Number](name string, data []T, shape ...int) Array {
	a := Array{Name: name, Shape: shape, Data: &encoder[T]{data: data}}
	switch any(data).(type) {
	case []bool:
		a.DType = Bool
	case []uint8:
		a.DType = U8
	case []uint16:
		a.DType = U16
	case []uint32:
		a.DType = U32
	case []uint64:
		a.DType = U64
	case []int8:
		a.DType = I8
	case []int16:
		a.DType = I16
	case []int32:
		a.DType = I32
	case []int64:
		a.DType = I64
	case []float32:
		a.DType = F32
	case []float64:
		a.DType = F64
	}
	return a
}

// An encoder yields the bytes of numbers, little endian.
type encoder[T Number] struct {
	data    []T
	buf     []byte
	pending []byte // of buf, not read yet
}

func (e *encoder[T]) Read(b []byte) (int, error) {
	if len(e.pending) == 0 {
		if len(e.data) == 0 {
			return 0, io.EOF
		}
		n := min(len(e.data), chunkBytes/8)
		var err error
		if e.buf, err = binary.Append(e.buf[:0], binary.LittleEndian, e.data[:n]); err != nil {
			return 0, err
		}
		e.data, e.pending = e.data[n:], e.buf
	}
	n := copy(b, e.pending)
	e.pending = e.pending[n:]
	return n, nil
}

// WriteNPYTo writes a to w as an npy file of version 1.0, little endian and
// row-major: the bytes that numpy.save writes for such an array. Errors:
// [ErrUnsupported] for an element type that numpy does not have and more than
// 32 dimensions, [ErrShape] for a negative dimension and for too little or too
// much data, then with a part of it written; those of reading and writing.
func WriteNPYTo(w io.Writer, a Array) error {
	if err := writeNPY(w, a); err != nil {
		return fmt.Errorf("weights: npy: %w", err)
	}
	return nil
}

func writeNPY(w io.Writer, a Array) error {
	header, size, err := npyHeaderOf(a)
	if err != nil {
		return err
	}
	if a.Data == nil {
		a.Data = strings.NewReader("")
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	n, err := io.CopyN(w, a.Data, size)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%d bytes of data for shape %v of %s, which has %d: %w", n, a.Shape, a.DType, size, ErrShape)
	}
	if err != nil {
		return err
	}
	switch n, err := io.ReadFull(a.Data, make([]byte, 1)); {
	case n > 0:
		return fmt.Errorf("more data than the %d bytes of shape %v of %s: %w", size, a.Shape, a.DType, ErrShape)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// npyHeaderOf returns what stands before the elements, and the elements' size.
func npyHeaderOf(a Array) (header []byte, size int64, err error) {
	descr := ""
	for code, t := range npyTypes {
		if t == a.DType {
			descr = "<" + code
		}
	}
	switch {
	case descr == "":
		return nil, 0, fmt.Errorf("numpy has no type %s: convert to F32, or write safetensors: %w", a.DType, ErrUnsupported)
	case a.DType.Size() == 1:
		descr = "|" + descr[1:]
	}
	if len(a.Shape) > maxNPYRank {
		return nil, 0, fmt.Errorf("%d dimensions, more than %d: %w", len(a.Shape), maxNPYRank, ErrUnsupported)
	}
	shape := make([]uint64, len(a.Shape))
	tuple := make([]string, len(a.Shape))
	for i, n := range a.Shape {
		if n < 0 {
			return nil, 0, fmt.Errorf("shape %v: %w", a.Shape, ErrShape)
		}
		shape[i], tuple[i] = uint64(n), strconv.Itoa(n)
	}
	count, ok := elements(shape)
	bytes, ok2 := mul(count, uint64(a.DType.Size())) //nolint:gosec // positive
	if !ok || !ok2 || bytes > 1<<62 {
		return nil, 0, fmt.Errorf("shape %v of %s overflows 62 bits: %w", a.Shape, a.DType, ErrShape)
	}
	dims := strings.Join(tuple, ", ")
	if len(tuple) == 1 {
		dims += ","
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, dims)
	if len(tuple) > 0 { // numpy leaves room for a first dimension of 21 digits, to append in place
		text += strings.Repeat(" ", 21-len(tuple[0]))
	}
	// The elements begin at a multiple of 64, and the line feed before them
	// follows one space at least.
	const align = 64
	text += strings.Repeat(" ", align-(10+len(text)+1)%align) + "\n"
	header = append([]byte(npyMagic), 1, 0)
	header = binary.LittleEndian.AppendUint16(header, uint16(len(text))) //nolint:gosec // 32 dimensions are 800 bytes
	return append(header, text...), int64(bytes), nil
}
