package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/weights"
)

// layers are the arrays of one file, or of two, that are compared.
type layers struct {
	x, y   []layer // y nil: one file
	rows   int
	notes  []string // what was passed over, for the user
	closer []io.Closer
}

// layer is an array seen as n rows; what follows the first index is flattened.
type layer struct {
	name   string
	tensor *weights.Tensor
	rows   int
	width  int
}

// openLayers opens the files and finds their layers; y may be empty.
func openLayers(x, y string) (in *layers, err error) {
	in = &layers{rows: -1}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	if in.x, err = in.open(x); err != nil {
		return in, err
	}
	if y != "" {
		if in.y, err = in.open(y); err != nil {
			return in, err
		}
	}
	first := in.x[0]
	for _, l := range in.all() {
		if l.rows != first.rows {
			return in, fmt.Errorf("layer %s has %d rows, layer %s %d: row i must be the same example in all of them", shown(l.name), l.rows, shown(first.name), first.rows)
		}
	}
	in.rows = first.rows
	return in, nil
}

// open lists the layers of one file. In a file of several arrays those that are
// no layers are passed over: integers, and what has fewer than two dimensions.
func (in *layers) open(path string) ([]layer, error) {
	file, err := weights.OpenArrays(path)
	if err != nil {
		return nil, err
	}
	in.closer = append(in.closer, file)
	names := file.Names()
	if _, sorted := file.(*weights.File); sorted {
		slices.SortFunc(names, naturalOrder) // the order in such a file says nothing
	}
	only := len(names) == 1
	var out []layer
	var passed []string
	for _, name := range names {
		t, err := file.Tensor(name)
		if err != nil {
			return nil, err
		}
		l := layer{name: t.Name, tensor: t, width: 1}
		switch {
		case !t.DType.Float() || len(t.Shape) < 2 && !only || len(t.Shape) == 0:
			passed = append(passed, fmt.Sprintf("%s (%s, %d dimensions)", shown(t.Name), t.DType, len(t.Shape)))
			continue
		case t.Shape[0] > 0:
			l.width = t.Elements() / t.Shape[0]
		default:
			for _, d := range t.Shape[1:] {
				l.width *= d // checked when the file was opened
			}
		}
		l.rows = t.Shape[0]
		out = append(out, l)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no layer: no array of 16 to 64-bit floats with two dimensions or more among %d", path, len(names))
	}
	if len(passed) > 0 {
		in.notes = append(in.notes, fmt.Sprintf("%s: passed over %s", filepath.Base(path), strings.Join(passed, ", ")))
	}
	return out, nil
}

func (in *layers) two() bool { return in.y != nil }

// all returns x and y in a row.
func (in *layers) all() []layer { return slices.Concat(in.x, in.y) }

func (in *layers) names(list []layer) []string {
	out := make([]string, len(list))
	for i, l := range list {
		out[i] = l.name
	}
	return out
}

// bytes returns what all layers take in memory.
func (in *layers) bytes() uint64 {
	var n uint64
	for _, l := range in.all() {
		n += uint64(l.tensor.Bytes()) //nolint:gosec // a size
	}
	return n
}

func (in *layers) close() {
	var err error
	for _, c := range in.closer {
		err = errors.Join(err, c.Close())
	}
	_ = err // files that were only read
}

// load reads the rows [from, to) of every layer.
func (in *layers) load(ctx context.Context, from, to int) (x, y []kernels.Matrix, err error) {
	read := func(list []layer) ([]kernels.Matrix, error) {
		if list == nil {
			return nil, nil
		}
		out := make([]kernels.Matrix, len(list))
		for i, l := range list {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if out[i], err = l.read(from, to); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	if x, err = read(in.x); err != nil {
		return nil, nil, err
	}
	y, err = read(in.y)
	return x, y, err
}

// read reads rows in the type that the file has.
func (l *layer) read(from, to int) (kernels.Matrix, error) {
	part, err := l.tensor.Slice(from, to)
	if err != nil {
		return kernels.Matrix{}, err
	}
	rows, n := to-from, part.Elements()
	switch part.DType {
	case weights.F64:
		data := make([]float64, n)
		if err := part.Float64s(data); err != nil {
			return kernels.Matrix{}, err
		}
		return kernels.Of(data, rows, l.width, l.width)
	case weights.F16, weights.BF16:
		dt := kernels.Float16
		if part.DType == weights.BF16 {
			dt = kernels.BFloat16
		}
		data := make([]uint16, n)
		if err := part.Bits16(data); err != nil {
			return kernels.Matrix{}, err
		}
		return kernels.OfBits(dt, data, rows, l.width, l.width)
	default:
		data := make([]float32, n)
		if err := part.Float32s(data); err != nil {
			return kernels.Matrix{}, err
		}
		return kernels.Of(data, rows, l.width, l.width)
	}
}

// sample reads n rows, evenly spaced from the first.
func (l *layer) sample(n int) (kernels.Matrix, error) {
	data := make([]float64, n*l.width)
	for i := range n {
		row := int(int64(i) * int64(l.rows) / int64(n))
		part, err := l.tensor.Slice(row, row+1)
		if err != nil {
			return kernels.Matrix{}, err
		}
		if err := part.Float64s(data[i*l.width : (i+1)*l.width]); err != nil {
			return kernels.Matrix{}, err
		}
	}
	return kernels.Of(data, n, l.width, l.width)
}

// digestRows is how many rows of each layer, evenly spaced, a digest looks at.
const digestRows = 64

// digest names the data for a state: shapes, types, and a sample of the rows, so
// that another file of the same form is not taken for this one. It does not read
// the whole file, which each shard would have to.
func (in *layers) digest() (string, error) {
	h := sha256.New()
	for i, l := range in.all() {
		fmt.Fprintf(h, "%d %q %s %v\n", i, l.name, l.tensor.DType, l.tensor.Shape)
		n := min(digestRows, l.rows)
		for k := range n {
			row := 0
			if n > 1 {
				row = int(int64(k) * int64(l.rows-1) / int64(n-1)) // the first and the last among them
			}
			part, err := l.tensor.Slice(row, row+1)
			if err != nil {
				return "", err
			}
			b := make([]byte, part.Bytes())
			if err := part.ReadBytes(b, 0); err != nil {
				return "", err
			}
			h.Write(b)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// readGroups reads one integer a row; nil if no file is named.
func readGroups(path string, rows int) (groups []int64, err error) {
	if path == "" {
		return nil, nil
	}
	file, err := weights.OpenArrays(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	names := file.Names()
	if len(names) != 1 {
		return nil, fmt.Errorf("--groups %s: %d arrays, want one", path, len(names))
	}
	t, err := file.Tensor(names[0])
	if err != nil {
		return nil, err
	}
	if t.Elements() != rows {
		return nil, fmt.Errorf("--groups %s: %d groups for %d rows, want one a row", path, t.Elements(), rows)
	}
	groups = make([]int64, rows)
	return groups, t.Int64s(groups)
}
