package model

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/weights"
)

// A Source is a checkpoint: a configuration, and tensors by name.
type Source interface {
	// Config returns the text of config.json.
	Config() []byte
	// Names returns the names of all tensors.
	Names() []string
	// Tensor returns the tensor of a name.
	Tensor(name string) (Tensor, error)
	// Close ends reading.
	Close() error
}

// A Tensor is an array of a Source. Its first index counts rows; what follows is
// flattened. One of rank 1 is a single row. It may be read from several
// goroutines.
type Tensor interface {
	// Shape returns the sizes; the caller does not change them.
	Shape() []int
	// DType is the type in which Rows reads.
	DType() kernels.DType
	// Rows reads rows from on into dst, a host matrix of the type, without gaps
	// between its rows.
	Rows(dst kernels.Matrix, from int) error
}

// A QuantizedTensor is a Tensor that the file has in blocks of a format that
// backends expand. Its DType is Float32.
type QuantizedTensor interface {
	Tensor
	Quant() kernels.QuantType
	// Blocks reads the blocks of rows from on, as many as dst holds.
	Blocks(dst []byte, from int) error
}

// arraySource is a Source of an open file.
type arraySource struct {
	config []byte
	weights.Arrays
}

// NewSource returns the Source of the text of a config.json and the arrays of an
// open file, which Close closes.
func NewSource(config []byte, arrays weights.Arrays) Source { return &arraySource{config, arrays} }

// openDir opens a Hugging Face directory.
func openDir(path string) (Source, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() { //nolint:gosec // the model that the caller names
		return nil, fmt.Errorf("model: %s is a file, and a directory with config.json and safetensors files is needed: %w", path, ErrUnsupported)
	}
	config, err := readConfig(filepath.Join(path, "config.json"))
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	file, err := weights.Open(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return NewSource(config, file), nil
}

// readConfig reads a file that is no longer than a configuration may be.
func readConfig(path string) ([]byte, error) {
	info, err := os.Stat(path) //nolint:gosec // first: opening a pipe waits for its writer
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: a regular file is needed: %w", path, fs.ErrInvalid)
	}
	f, err := os.Open(path) //nolint:gosec // the model that the caller names
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	return io.ReadAll(io.LimitReader(f, maxConfig+1))
}

// Config implements Source.
func (s *arraySource) Config() []byte { return s.config }

// Tensor implements Source.
func (s *arraySource) Tensor(name string) (Tensor, error) {
	t, err := s.Arrays.Tensor(name)
	if err != nil {
		return nil, err
	}
	dt, ok := dtypes[t.DType]
	if !ok {
		return nil, fmt.Errorf("model: tensor %s has elements of type %s, want F32, F16, BF16 or F64: %w (%s)", name, t.DType, ErrUnsupported, WayRound)
	}
	return &stored{t, dt}, nil
}

// dtypes says as what elements are read: float64 is rounded, as the states are
// float32 anyway.
var dtypes = map[weights.DType]kernels.DType{
	weights.F32: kernels.Float32, weights.F64: kernels.Float32, weights.F16: kernels.Float16, weights.BF16: kernels.BFloat16,
}

// stored is a tensor of a file.
type stored struct {
	t  *weights.Tensor
	dt kernels.DType
}

// Shape implements Tensor.
func (s *stored) Shape() []int { return s.t.Shape }

// DType implements Tensor.
func (s *stored) DType() kernels.DType { return s.dt }

// Rows implements Tensor.
func (s *stored) Rows(dst kernels.Matrix, from int) error {
	part := s.t
	if len(part.Shape) > 1 {
		var err error
		if part, err = s.t.Slice(from, from+dst.Rows); err != nil {
			return err
		}
	}
	if s.dt == kernels.Float32 {
		data, err := kernels.Floats[float32](dst)
		if err != nil {
			return err
		}
		return part.Float32s(data)
	}
	data, err := kernels.Bits(dst)
	if err != nil {
		return err
	}
	return part.Bits16(data)
}

// rowsOf returns a tensor's rows and their width.
func rowsOf(t Tensor) (rows, cols int) {
	shape := t.Shape()
	rows, cols = 1, 1
	if len(shape) > 1 {
		rows, shape = shape[0], shape[1:]
	}
	for _, d := range shape {
		cols *= d
	}
	return rows, cols
}

// hostMatrix returns a new matrix on the host, without gaps.
func hostMatrix(dt kernels.DType, rows, cols int) (kernels.Matrix, error) {
	if dt.Size() == 2 {
		return kernels.OfBits(dt, make([]uint16, rows*cols), rows, cols, cols)
	}
	return kernels.Of(make([]float32, rows*cols), rows, cols, cols)
}

// shapeIs compares a tensor's shape, apart from sizes of 1, with the wanted one.
func shapeIs(t Tensor, want ...int) bool {
	drop := func(s []int) []int {
		return slices.DeleteFunc(slices.Clone(s), func(d int) bool { return d == 1 })
	}
	return slices.Equal(drop(t.Shape()), drop(want))
}
