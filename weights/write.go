package weights

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/cambium-kernels/cambium/internal/atomicfile"
)

// An Array is a tensor to be written. [Float32s] and its like make one of a
// slice, [Copy] one of a tensor in another file.
type Array struct {
	Name  string
	DType DType
	Shape []int // empty for a scalar
	// Data writes the elements, little endian and row-major. It is called once,
	// when their turn comes, so that elements need not be in memory before.
	Data func(w io.Writer) error
}

// Float32s is an array of type F32. data are its elements in row-major order; no
// shape stands for a scalar.
func Float32s(name string, data []float32, shape ...int) Array {
	return Array{name, F32, shape, stream(len(data), 4, func(b []byte, i int) {
		binary.LittleEndian.PutUint32(b, math.Float32bits(data[i]))
	})}
}

// Float64s is an array of type F64; see [Float32s].
func Float64s(name string, data []float64, shape ...int) Array {
	return Array{name, F64, shape, stream(len(data), 8, func(b []byte, i int) {
		binary.LittleEndian.PutUint64(b, math.Float64bits(data[i]))
	})}
}

// Int64s is an array of type I64; see [Float32s].
func Int64s(name string, data []int64, shape ...int) Array {
	return Array{name, I64, shape, stream(len(data), 8, func(b []byte, i int) {
		binary.LittleEndian.PutUint64(b, uint64(data[i])) //nolint:gosec // two's complement
	})}
}

// Bits16 is an array of a 16-bit type, F16 or BF16 as a rule; see [Float32s].
func Bits16(name string, t DType, data []uint16, shape ...int) Array {
	return Array{name, t, shape, stream(len(data), 2, func(b []byte, i int) {
		binary.LittleEndian.PutUint16(b, data[i])
	})}
}

// Bytes is an array of any type whose elements are there as the file will have
// them, little endian; see [Float32s].
func Bytes(name string, t DType, data []byte, shape ...int) Array {
	return Array{name, t, shape, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}}
}

// Copy is an array with the name, type, shape and elements of t, which is read
// as the array is written.
func Copy(t *Tensor) Array {
	return Array{t.Name, t.DType, t.Shape, func(w io.Writer) error {
		var failed error
		err := chunks(t, t.count, func(_ int, b []byte) {
			if failed == nil {
				_, failed = w.Write(b)
			}
		})
		if failed != nil {
			return failed
		}
		return err
	}}
}

// stream returns what writes n elements of size bytes, some at a time.
func stream(n, size int, put func(b []byte, i int)) func(io.Writer) error {
	return func(w io.Writer) error {
		buf := make([]byte, min(n, chunkBytes/size)*size)
		for i := 0; i < n; i += chunkBytes / size {
			some := min(n-i, chunkBytes/size)
			for k := range some {
				put(buf[k*size:], i+k)
			}
			if _, err := w.Write(buf[:some*size]); err != nil {
				return err
			}
		}
		return nil
	}
}

// Write writes a safetensors file, all of it or, after an error, nothing: a file
// that was there before stays as it was. metadata may be nil.
//
// The bytes depend on the arguments alone, and are those that the reference
// implementation writes: tensors by type, the larger elements first, then by
// name; the header padded to 8 bytes. Metadata are written by key, where the
// reference has no order.
//
// Errors: [ErrShape] for an array that contradicts itself, by its data too, and
// for names that are not UTF-8, that two have, or beyond the limits of [Open];
// [ErrUnsupported] for a type that the format does not have; what Data returns;
// those of the system.
func Write(path string, arrays []Array, metadata map[string]string) error {
	ordered, head, err := layout(arrays, metadata)
	if err != nil {
		return fmt.Errorf("weights: writing %s: %w", path, err)
	}
	err = atomicfile.Write(path, 0o666, func(w io.Writer) error {
		if err := writeAll(w, head, ordered); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	return nil
}

// writeAll writes the beginning of a file and the data of the arrays.
func writeAll(w io.Writer, head []byte, ordered []placed) error {
	buffered := bufio.NewWriterSize(w, chunkBytes)
	if _, err := buffered.Write(head); err != nil {
		return err
	}
	for i := range ordered {
		a := &ordered[i]
		exact := &exactWriter{w: buffered, left: a.size}
		if err := a.Data(exact); err != nil {
			return fmt.Errorf("tensor %q: %w", a.Name, err)
		}
		if exact.left > 0 {
			return fmt.Errorf("tensor %q: %d bytes fewer than the %d that its shape has: %w", a.Name, exact.left, a.size, ErrShape)
		}
	}
	return buffered.Flush()
}

// An exactWriter passes on a number of bytes and refuses more.
type exactWriter struct {
	w    io.Writer
	left uint64
}

func (e *exactWriter) Write(b []byte) (int, error) {
	if uint64(len(b)) > e.left {
		return 0, fmt.Errorf("%d bytes more than its shape has: %w", uint64(len(b))-e.left, ErrShape)
	}
	n, err := e.w.Write(b)
	e.left -= uint64(n) //nolint:gosec // not negative
	return n, err
}

// A placed array has its size in bytes.
type placed struct {
	Array
	size uint64
}

// layout puts arrays in order and returns the file's beginning: the header with
// its length.
func layout(arrays []Array, metadata map[string]string) ([]placed, []byte, error) {
	if len(arrays) > maxTensors {
		return nil, nil, fmt.Errorf("%d tensors, %d at most: %w", len(arrays), maxTensors, ErrShape)
	}
	ordered := make([]placed, len(arrays))
	for i, a := range arrays {
		size, err := a.check()
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", a.Name, err)
		}
		ordered[i] = placed{a, size}
	}
	slices.SortFunc(ordered, func(a, b placed) int {
		return cmp.Or(
			cmp.Compare(slices.Index(safetensorsTypes[:], a.DType), slices.Index(safetensorsTypes[:], b.DType)),
			cmp.Compare(a.Name, b.Name))
	})
	seen := make(map[string]bool, len(ordered))
	head := append(make([]byte, 8), '{')
	head, err := appendMetadata(head, metadata)
	if err != nil {
		return nil, nil, err
	}
	end := uint64(0)
	for i := range ordered {
		a := &ordered[i]
		if seen[a.Name] {
			return nil, nil, fmt.Errorf("two tensors are called %q: %w", a.Name, ErrShape)
		}
		seen[a.Name] = true
		begin := end
		var ok bool
		if end, ok = add(begin, a.size); !ok || end > math.MaxInt64-maxHeader-8 {
			return nil, nil, fmt.Errorf("up to tensor %q, there are more bytes than a file can have: %w", a.Name, ErrShape)
		}
		head = a.appendEntry(head, begin, end)
	}
	if head[len(head)-1] == ',' {
		head = head[:len(head)-1]
	}
	head = append(head, '}')
	for full, _ := roundUp(uint64(len(head)), 8); uint64(len(head)) < full; {
		head = append(head, ' ')
	}
	if len(head)-8 > maxHeader {
		return nil, nil, fmt.Errorf("a header of %d bytes, %d at most: %w", len(head)-8, maxHeader, ErrShape)
	}
	binary.LittleEndian.PutUint64(head, uint64(len(head)-8)) //nolint:gosec // 8 at least
	return ordered, head, nil
}

// check returns the size in bytes.
func (a *Array) check() (uint64, error) {
	switch {
	case !slices.Contains(safetensorsTypes[:], a.DType):
		return 0, fmt.Errorf("safetensors has no type %s: %w", a.DType, ErrUnsupported)
	case a.Name == metadataKey:
		return 0, fmt.Errorf("the name is reserved: %w", ErrShape)
	case len(a.Name) > maxName || !utf8.ValidString(a.Name):
		return 0, fmt.Errorf("a name is UTF-8 of %d bytes at most: %w", maxName, ErrShape)
	case len(a.Shape) > maxRank:
		return 0, fmt.Errorf("%d dimensions, %d at most: %w", len(a.Shape), maxRank, ErrShape)
	case a.Data == nil:
		return 0, fmt.Errorf("there are no data: %w", ErrShape)
	}
	shape := make([]uint64, len(a.Shape))
	for i, d := range a.Shape {
		if d < 0 {
			return 0, fmt.Errorf("the shape %d has a negative dimension: %w", a.Shape, ErrShape)
		}
		shape[i] = uint64(d)
	}
	size, err := sizeOf(a.DType, shape)
	if err != nil {
		return 0, fmt.Errorf("the shape %d is too large: %w", a.Shape, ErrShape)
	}
	return size, nil
}

func (a *Array) appendEntry(head []byte, begin, end uint64) []byte {
	head = appendJSON(head, a.Name)
	head = append(head, `:{"dtype":`...)
	head = appendJSON(head, a.DType.String())
	head = append(head, `,"shape":[`...)
	for i, d := range a.Shape {
		if i > 0 {
			head = append(head, ',')
		}
		head = strconv.AppendInt(head, int64(d), 10)
	}
	head = append(head, `],"data_offsets":[`...)
	head = strconv.AppendUint(head, begin, 10)
	head = append(head, ',')
	head = strconv.AppendUint(head, end, 10)
	return append(head, `]},`...)
}

func appendMetadata(head []byte, metadata map[string]string) ([]byte, error) {
	if metadata == nil {
		return head, nil
	}
	head = appendJSON(head, metadataKey)
	head = append(head, `:{`...)
	for i, key := range slices.Sorted(maps.Keys(metadata)) {
		if !utf8.ValidString(key) || !utf8.ValidString(metadata[key]) {
			return nil, fmt.Errorf("the metadata %q: %q are not UTF-8: %w", key, metadata[key], ErrShape)
		}
		if i > 0 {
			head = append(head, ',')
		}
		head = appendJSON(head, key)
		head = append(head, ':')
		head = appendJSON(head, metadata[key])
	}
	return append(head, `},`...), nil
}

// appendJSON appends a string as serde_json writes it: nothing is escaped that
// need not be.
func appendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			if c < 0x20 {
				b = fmt.Appendf(b, `\u%04x`, c)
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}
