package model

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cambium-kernels/cambium/kernels"
)

// A Model is a checkpoint that has been held against the table. Its methods may
// be called from several goroutines.
type Model struct {
	config *Config
	family *family
	source Source
	*checkpoint
}

// Open opens a Hugging Face directory: config.json and safetensors files. See
// [New] for what it refuses.
func Open(path string) (*Model, error) {
	src, err := openDir(path)
	if err != nil {
		return nil, err
	}
	m, err := New(src)
	if err != nil {
		return nil, errors.Join(err, src.Close())
	}
	return m, nil
}

// New holds a checkpoint against the table; no weights are read. Close closes
// the source. Errors: [ErrUnsupported] and [ErrConfig] for a configuration,
// [ErrTensors] for a tensor that is missing, has no place or the wrong shape.
func New(src Source) (*Model, error) {
	config, f, err := parseConfig(src.Config())
	if err != nil {
		return nil, fmt.Errorf("model: config.json: %w", err)
	}
	tensors, err := place(src, f, config)
	if err != nil {
		if !strings.HasPrefix(err.Error(), "model: ") {
			err = fmt.Errorf("model: %w", err)
		}
		return nil, err
	}
	return &Model{config, f, src, tensors}, nil
}

// Config returns what the configuration comes to. The caller does not change it.
func (m *Model) Config() *Config { return m.config }

// Parameters returns the number of weights that the forward pass uses.
func (m *Model) Parameters() int64 { return m.parameters }

// A Weight is a tensor of a block.
type Weight struct {
	Name  string // in the checkpoint
	Role  string // what the block does with it, in words
	Shape []int
	DType kernels.DType // as what it is read
}

// Weights returns the tensors of block i, norms first; nil if there is no such
// block.
func (m *Model) Weights(i int) []Weight {
	if i < 0 || i >= len(m.blocks) {
		return nil
	}
	var out []Weight
	for k := range slotCount {
		pair, ok := m.blocks[i][k]
		if !ok {
			continue
		}
		out = append(out, Weight{pair.weightName, slotNames[k], pair.weight.Shape(), pair.weight.DType()})
		if pair.bias != nil {
			out = append(out, Weight{pair.biasName, slotNames[k] + ", bias", pair.bias.Shape(), pair.bias.DType()})
		}
	}
	return out
}

// Source returns what the model reads from.
func (m *Model) Source() Source { return m.source }

// Close closes the source.
func (m *Model) Close() error { return m.source.Close() }
