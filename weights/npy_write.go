package weights

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/cambium-kernels/cambium/internal/atomicfile"
)

// WriteNPY writes a to path as an npy file, all of it or, after an error,
// nothing: a file that was there before stays as it was. The array's name is not
// used. The file is of version 1.0, little endian and row-major, with the bytes
// that numpy.save writes for such an array.
//
// Errors: [ErrUnsupported] for an element type that numpy does not have, BF16
// and the 8-bit floats, and for more than 32 dimensions; [ErrShape] for an array
// that contradicts itself, by its data too; what Data returns; those of the
// system.
func WriteNPY(path string, a Array) error {
	err := atomicfile.Write(path, 0o666, func(w io.Writer) error {
		buffered := bufio.NewWriterSize(w, chunkBytes)
		if err := writeNPY(buffered, a); err != nil {
			return err
		}
		return buffered.Flush()
	})
	if err != nil {
		return fmt.Errorf("weights: writing %s: %w", path, err)
	}
	return nil
}

// WriteNPYTo writes to w what [WriteNPY] writes to a file. After an error a part
// of it is written.
func WriteNPYTo(w io.Writer, a Array) error {
	if err := writeNPY(w, a); err != nil {
		return fmt.Errorf("weights: writing npy: %w", err)
	}
	return nil
}

func writeNPY(w io.Writer, a Array) error {
	header, size, err := npyHeaderOf(a)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	exact := &exactWriter{w: w, left: size}
	if err := a.Data(exact); err != nil {
		return err
	}
	if exact.left > 0 {
		return fmt.Errorf("%d bytes fewer than the %d that its shape has: %w", exact.left, size, ErrShape)
	}
	return nil
}

// npyHeaderOf returns what stands before the elements, and the elements' size.
func npyHeaderOf(a Array) (header []byte, size uint64, err error) {
	descr := ""
	for code, t := range npyTypes {
		if t == a.DType {
			descr = "<" + code
		}
	}
	switch {
	case a.Data == nil:
		return nil, 0, fmt.Errorf("there are no data: %w", ErrShape)
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
			return nil, 0, fmt.Errorf("the shape %d has a negative dimension: %w", a.Shape, ErrShape)
		}
		shape[i], tuple[i] = uint64(n), strconv.Itoa(n)
	}
	count, ok := elements(shape)
	bytes, ok2 := mul(count, uint64(a.DType.Size())) //nolint:gosec // positive
	if !ok || !ok2 || bytes > math.MaxInt64/2 {
		return nil, 0, fmt.Errorf("the shape %d is too large: %w", a.Shape, ErrShape)
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
	return append(header, text...), bytes, nil
}
