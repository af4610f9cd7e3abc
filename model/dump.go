package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/weights"
)

// A Dump is the inputs and outputs of blocks that another program wrote, for
// models that are not run here. dump.py writes one in PyTorch.
//
// It is a safetensors file with hidden_states.0 to hidden_states.L, of which
// block i has the i-th as input and the next as output; or with
// blocks.I.input and blocks.I.output for some blocks I; or a folder of .npy
// files of these names, where hidden_states.003.npy is number 3. Shapes are
// sequences x tokens x width, or rows x width; types F32, F16, BF16 or F64.
// attention_mask (sequences x tokens, or rows): rows with 0 are left out.
type Dump struct {
	Model string // metadata of the file, "" where it has none
	Type  string // model_type, likewise

	blocks  []DumpBlock
	rows    int // in each state
	starts  []int32
	kept    []int32 // rows that the mask lets through; nil: all
	closers []weights.Arrays
}

// A DumpBlock is a block of a dump.
type DumpBlock struct {
	Index int
	Width int
	// Normed: the output is behind the model's final norm, because it was taken
	// from output_hidden_states, which is so in most models. Comparing it with the
	// input says nothing about the block.
	Normed bool

	input, output *weights.Tensor
}

// The names in a dump.
const (
	statePrefix = "hidden_states."
	blockPrefix = "blocks."
	inputEnd    = ".input"
	outputEnd   = ".output"
	maskName    = "attention_mask"
	idsName     = "input_ids"
	npyEnd      = ".npy"
)

// OpenDump opens a dump, a file or a folder, and checks its names and shapes; no
// states are read. Errors: [ErrTensors] for a dump that contradicts itself; those
// of package weights.
func OpenDump(path string) (d *Dump, err error) {
	d = &Dump{rows: -1}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("model: dump %s: %w", path, err), d.Close())
			d = nil
		}
	}()
	tensors, metadata, err := d.open(path)
	if err != nil {
		return d, err
	}
	d.Model, d.Type = metadata["model"], metadata["model_type"]
	if err := d.sort(tensors); err != nil {
		return d, err
	}
	if metadata["source"] == "output_hidden_states" && d.blocks[len(d.blocks)-1].output.Name == statePrefix+strconv.Itoa(len(d.blocks)) {
		d.blocks[len(d.blocks)-1].Normed = true
	}
	if err := d.sequences(tensors); err != nil {
		return d, err
	}
	return d, nil
}

// open lists the tensors of a file or folder.
func (d *Dump) open(path string) (tensors map[string]*weights.Tensor, metadata map[string]string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	tensors = map[string]*weights.Tensor{}
	if !info.IsDir() {
		file, err := weights.Open(path)
		if err != nil {
			return nil, nil, err
		}
		d.closers = append(d.closers, file)
		for t := range file.Tensors() {
			tensors[t.Name] = t
		}
		return tensors, file.Metadata(), nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		name, isArray := strings.CutSuffix(e.Name(), npyEnd)
		if !isArray {
			continue
		}
		file, err := weights.OpenNPY(filepath.Join(path, e.Name()))
		if err != nil {
			return nil, nil, err
		}
		d.closers = append(d.closers, file)
		t, err := file.Tensor(file.Names()[0])
		if err != nil {
			return nil, nil, err
		}
		if n, ok := strings.CutPrefix(name, statePrefix); ok {
			i, err := strconv.ParseUint(n, 10, 31)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: a number was expected after %s: %w", e.Name(), statePrefix, ErrTensors)
			}
			name = statePrefix + strconv.FormatUint(i, 10)
		}
		if tensors[name] != nil {
			return nil, nil, fmt.Errorf("%s is there twice: %w", name, ErrTensors)
		}
		own := *t
		own.Name = name
		tensors[name] = &own
	}
	return tensors, nil, nil
}

// sort finds the blocks.
func (d *Dump) sort(tensors map[string]*weights.Tensor) error {
	for i := 0; ; i++ {
		in, out := tensors[statePrefix+strconv.Itoa(i)], tensors[statePrefix+strconv.Itoa(i+1)]
		if out == nil {
			break
		}
		if in == nil {
			return fmt.Errorf("there is %s and no %s%d: %w", out.Name, statePrefix, i, ErrTensors)
		}
		d.blocks = append(d.blocks, DumpBlock{Index: i, input: in, output: out})
	}
	chained := len(d.blocks)
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		if n, ok := strings.CutPrefix(name, statePrefix); ok {
			if i, err := strconv.Atoi(n); err != nil || i < 0 || i > chained || strconv.Itoa(i) != n {
				return fmt.Errorf("%s does not continue %s0 to %s%d: %w", name, statePrefix, statePrefix, chained, ErrTensors)
			}
		}
		n, isInput := strings.CutSuffix(name, inputEnd)
		n, isBlock := strings.CutPrefix(n, blockPrefix)
		if !isInput || !isBlock {
			continue
		}
		i, err := strconv.Atoi(n)
		out := tensors[blockPrefix+n+outputEnd]
		if err != nil || i < 0 || out == nil {
			return fmt.Errorf("%s has no number or no %s%s%s beside it: %w", name, blockPrefix, n, outputEnd, ErrTensors)
		}
		if chained > 0 {
			return fmt.Errorf("there are both %s* and %s*: %w", statePrefix, blockPrefix, ErrTensors)
		}
		d.blocks = append(d.blocks, DumpBlock{Index: i, input: tensors[name], output: out})
	}
	if len(d.blocks) == 0 {
		return fmt.Errorf("there are neither %s0 and %s1 nor %s0%s and %s0%s: %w", statePrefix, statePrefix, blockPrefix, inputEnd, blockPrefix, outputEnd, ErrTensors)
	}
	slices.SortFunc(d.blocks, func(a, b DumpBlock) int { return a.Index - b.Index })
	return d.shapes()
}

// shapes checks that all states belong together.
func (d *Dump) shapes() error {
	first := d.blocks[0].input
	for i := range d.blocks {
		b := &d.blocks[i]
		if i > 0 && b.Index == d.blocks[i-1].Index {
			return fmt.Errorf("block %d is there twice: %w", b.Index, ErrTensors)
		}
		for _, t := range []*weights.Tensor{b.input, b.output} {
			switch rank := len(t.Shape); {
			case !t.DType.Float():
				return fmt.Errorf("%s has elements of type %s, want F32, F16, BF16 or F64: %w", t.Name, t.DType, ErrTensors)
			case rank != 2 && rank != 3:
				return fmt.Errorf("%s has the shape %v, want sequences x tokens x width or rows x width: %w", t.Name, t.Shape, ErrTensors)
			case t.Elements() == 0:
				return fmt.Errorf("%s of the shape %v is empty: %w", t.Name, t.Shape, ErrTensors)
			case !slices.Equal(t.Shape[:rank-1], first.Shape[:len(first.Shape)-1]):
				return fmt.Errorf("%s has the shape %v, %s %v: row i must be the same token in all of them: %w", t.Name, t.Shape, first.Name, first.Shape, ErrTensors)
			}
		}
		b.Width = b.input.Shape[len(b.input.Shape)-1]
		if w := b.output.Shape[len(b.output.Shape)-1]; w != b.Width {
			return fmt.Errorf("block %d: the input is %d wide, the output %d: %w", b.Index, b.Width, w, ErrTensors)
		}
	}
	d.rows = first.Elements() / d.blocks[0].Width
	return nil
}

// sequences finds where sequences start, and which rows the mask leaves.
func (d *Dump) sequences(tensors map[string]*weights.Tensor) error {
	shape := d.blocks[0].input.Shape
	length := d.rows // rows x width: one sequence, unless the ids say more
	if len(shape) == 3 {
		length = shape[1]
	} else if ids := tensors[idsName]; ids != nil && len(ids.Shape) == 2 && ids.Elements() == d.rows {
		length = ids.Shape[1]
	}
	if ids := tensors[idsName]; ids != nil && ids.Elements() != d.rows {
		return fmt.Errorf("%s has the shape %v for %d rows: %w", idsName, ids.Shape, d.rows, ErrTensors)
	}
	mask := make([]int64, d.rows)
	for i := range mask {
		mask[i] = 1
	}
	if t := tensors[maskName]; t != nil {
		if t.Elements() != d.rows {
			return fmt.Errorf("%s has the shape %v for %d rows: %w", maskName, t.Shape, d.rows, ErrTensors)
		}
		if err := t.Int64s(mask); err != nil {
			return err
		}
		d.kept = []int32{}
	}
	n := int32(0)
	for i, shown := range mask {
		if i%length == 0 && (len(d.starts) == 0 || d.starts[len(d.starts)-1] < n) {
			d.starts = append(d.starts, n)
		}
		if shown == 0 {
			continue
		}
		n++
		if d.kept != nil {
			d.kept = append(d.kept, int32(i))
		}
	}
	if n == 0 {
		return fmt.Errorf("%s leaves no row: %w", maskName, ErrTensors)
	}
	if d.starts[len(d.starts)-1] < n {
		d.starts = append(d.starts, n)
	}
	return nil
}

// Blocks returns the blocks of the dump, by their numbers.
func (d *Dump) Blocks() []DumpBlock { return d.blocks }

// Sequences returns the row at which each sequence starts and, last, the number
// of rows, without those that the mask leaves out.
func (d *Dump) Sequences() []int32 { return d.starts }

// Rows returns the number of rows.
func (d *Dump) Rows() int { return int(d.starts[len(d.starts)-1]) }

// Read reads the states before and behind the i-th of Blocks, on the host, in
// the file's type (float64 becomes float32).
func (d *Dump) Read(ctx context.Context, i int) (input, output kernels.Matrix, err error) {
	if i < 0 || i >= len(d.blocks) {
		return input, output, fmt.Errorf("model: dump: block %d of %d: %w", i, len(d.blocks), ErrInput)
	}
	var read [2]kernels.Matrix
	for k, t := range []*weights.Tensor{d.blocks[i].input, d.blocks[i].output} {
		if err := ctx.Err(); err != nil {
			return input, output, err
		}
		if read[k], err = d.read(t, d.blocks[i].Width); err != nil {
			return input, output, fmt.Errorf("model: dump: %w", err)
		}
	}
	return read[0], read[1], nil
}

// read reads a state and drops the rows that the mask leaves out.
func (d *Dump) read(t *weights.Tensor, width int) (kernels.Matrix, error) {
	dt := dtypes[t.DType]
	if dt == kernels.Float32 {
		data := make([]float32, t.Elements())
		if err := t.Float32s(data); err != nil {
			return kernels.Matrix{}, err
		}
		data = compact(data, d.kept, width)
		return kernels.Of(data, len(data)/width, width, width)
	}
	data := make([]uint16, t.Elements())
	if err := t.Bits16(data); err != nil {
		return kernels.Matrix{}, err
	}
	data = compact(data, d.kept, width)
	return kernels.OfBits(dt, data, len(data)/width, width, width)
}

// compact moves the rows that are kept to the front.
func compact[T any](data []T, kept []int32, width int) []T {
	if kept == nil {
		return data
	}
	for i, row := range kept {
		copy(data[i*width:(i+1)*width], data[int(row)*width:])
	}
	return data[:len(kept)*width]
}

// Close closes the files.
func (d *Dump) Close() error {
	var failed []error
	for _, c := range d.closers {
		failed = append(failed, c.Close())
	}
	return errors.Join(failed...)
}
