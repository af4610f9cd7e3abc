package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// npy: magic and version (8 bytes), the header's length (2 bytes in version 1,
// 4 in versions 2 and 3), the header, a Python dictionary as text, and the
// elements, up to the end of the file.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

const npyMagic = "\x93NUMPY"

const (
	// maxNPYHeader admits every header of version 1. numpy itself stops at 10,000
	// characters; what is read here needs some hundreds.
	maxNPYHeader = 1 << 16
	// maxNPYRank is the limit of numpy 1; numpy 2 has 64.
	maxNPYRank = 32
)

// An archive holds the arrays of an open file, with the methods of [File].
type archive struct {
	tensors []*Tensor
	file    io.Closer
}

// Len returns the number of arrays.
func (a *archive) Len() int { return len(a.tensors) }

// Names returns the names of the arrays in the order of the file.
func (a *archive) Names() []string {
	names := make([]string, len(a.tensors))
	for i, t := range a.tensors {
		names[i] = t.Name
	}
	return names
}

// Tensors goes over the arrays in the order of the file.
func (a *archive) Tensors() iter.Seq[*Tensor] { return slices.Values(a.tensors) }

// Tensor returns the array of that name. Error: [ErrMissing].
func (a *archive) Tensor(name string) (*Tensor, error) {
	for _, t := range a.tensors {
		if t.Name == name {
			return t, nil
		}
	}
	return nil, fmt.Errorf("weights: %w: %q, among %d", ErrMissing, name, len(a.tensors))
}

// Metadata returns nil: neither npy nor npz has any.
func (a *archive) Metadata() map[string]string { return nil }

// Close closes the file. Reading elements is an error, [ErrClosed], from then on.
func (a *archive) Close() error { return a.file.Close() }

// An NPY is an open npy file: one array, named like the file without folder
// and .npy.
type NPY struct{ archive }

// OpenNPY opens an npy file of version 1, 2 or 3 and validates all of it but
// the elements. Element types are bool, integers of 8 to 64 bits, floats of 16
// to 64 bits, complex numbers of 64 and 128, in either byte order and either
// storage order; "=", the writer's own byte order, is taken to be little endian,
// and numpy never writes it. Stricter than numpy: a header of more than 64 KiB,
// more than 32 dimensions, a repeated key, and bytes after the array are errors.
//
// Errors: those of opening; [ErrUnsupported] for another format or element type,
// object arrays among them; [ErrFormat] for what no npy file is.
func OpenNPY(path string) (*NPY, error) {
	f, err := openRegular(path, path, os.OpenFile) //nolint:forbidigo // for reading
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	t, err := readNPY(f, f.size, strings.TrimSuffix(filepath.Base(path), ".npy"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("weights: %s: %w", path, err), f.Close())
	}
	return &NPY{archive{[]*Tensor{t}, f}}, nil
}

// readNPY reads the description of an npy file of size bytes.
func readNPY(r io.ReaderAt, size int64, name string) (*Tensor, error) {
	if err := expectContent(r, size, contentNPY); err != nil {
		return nil, err
	}
	h, err := readNPYHeader(io.NewSectionReader(r, 0, size), uint64(size)) //nolint:gosec // not negative
	if err != nil {
		return nil, err
	}
	return h.tensor(name, r), nil
}

// expectContent refuses a file that begins like one of another kind.
func expectContent(r io.ReaderAt, size int64, want content) error {
	head := make([]byte, min(size, sniffBytes))
	if err := readFull(r, head, 0); err != nil {
		return err
	}
	c := sniff(head)
	switch err := c.refuse(); {
	case c == want:
		return nil
	case err != nil:
		return err
	default:
		return fmt.Errorf("begins with %q, which no NumPy file does: %w", head[:min(len(head), 8)], ErrFormat)
	}
}

// An npyHeader is the validated description of an array.
type npyHeader struct {
	dtype        DType
	big, fortran bool
	shape        []int
	count        int
	offset       int64 // of the first element
}

func (h *npyHeader) tensor(name string, source io.ReaderAt) *Tensor {
	return &Tensor{
		Name: name, DType: h.dtype, Shape: h.shape,
		source: source, offset: h.offset, count: h.count, big: h.big, fortran: h.fortran,
	}
}

// readNPYHeader reads no further than the header. size is that of the whole
// file, which must hold exactly the array.
func readNPYHeader(r io.Reader, size uint64) (*npyHeader, error) {
	prefix := make([]byte, 12)
	if err := readPart(r, prefix[:8], "magic and version"); err != nil {
		return nil, err
	}
	if string(prefix[:6]) != npyMagic {
		return nil, fmt.Errorf("begins with %q, an npy file with %q: %w", prefix[:6], npyMagic, ErrFormat)
	}
	major, minor := prefix[6], prefix[7]
	if major < 1 || major > 3 || minor != 0 {
		return nil, fmt.Errorf("version %d.%d; 1.0, 2.0 and 3.0 are read: %w", major, minor, ErrUnsupported)
	}
	start := uint64(10)
	if major > 1 {
		start = 12
	}
	if err := readPart(r, prefix[8:start], "header length"); err != nil {
		return nil, err
	}
	length := uint64(binary.LittleEndian.Uint16(prefix[8:]))
	if major > 1 {
		length = uint64(binary.LittleEndian.Uint32(prefix[8:]))
	}
	if length > maxNPYHeader || length > size-start {
		return nil, fmt.Errorf("header of %d bytes in a file of %d; the limit is %d: %w", length, size, maxNPYHeader, ErrFormat)
	}
	text := make([]byte, length)
	if err := readPart(r, text, "header"); err != nil {
		return nil, err
	}
	return parseNPYHeader(string(text), major < 3, start+length, size)
}

// readPart reads all of b.
func readPart(r io.Reader, b []byte, what string) error {
	n, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: the file ends after %d of %d bytes: %w", what, n, len(b), ErrFormat)
	}
	return err
}

// parseNPYHeader parses the text and checks it against the sizes: offset is
// where the elements begin, size where the file ends.
func parseNPYHeader(text string, python2 bool, offset, size uint64) (*npyHeader, error) {
	d, err := parseNPYDict(text, python2)
	if err != nil {
		return nil, err
	}
	h := &npyHeader{fortran: d.fortran, offset: int64(offset), shape: make([]int, len(d.shape))} //nolint:gosec // offset <= 12 + maxNPYHeader
	if h.dtype, h.big, err = parseNPYType(d.descr); err != nil {
		return nil, err
	}
	count, ok := elements(d.shape)
	bytes, ok2 := mul(count, uint64(h.dtype.Size())) //nolint:gosec // positive
	end, ok3 := add(offset, bytes)
	if !ok || !ok2 || !ok3 {
		return nil, fmt.Errorf("shape %v of %s overflows 64 bits: %w", d.shape, h.dtype, ErrFormat)
	}
	if end != size {
		what := "truncated"
		if end < size {
			what = "bytes after the array, which numpy.save in a loop on one file leaves; use numpy.savez"
		}
		return nil, fmt.Errorf("shape %v of %s ends at byte %d, the file at %d: %s: %w", d.shape, h.dtype, end, size, what, ErrFormat)
	}
	for i, n := range append(d.shape, count) { // dimensions beside a zero may still be too large for an int
		v, ok := toInt(n)
		if !ok {
			return nil, fmt.Errorf("shape %v: %d is too large for this machine: %w", d.shape, n, ErrUnsupported)
		}
		if i < len(h.shape) {
			h.shape[i] = v
		}
	}
	h.count = int(count) //nolint:gosec // checked above
	return h, nil
}
