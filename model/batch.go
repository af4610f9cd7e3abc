package model

import (
	"fmt"
	"math"
	"slices"
)

// A Batch is sequences that go through a block together. Their lengths may
// differ; nothing is padded.
type Batch struct {
	// Tokens are the ids of each sequence. Empty for a model that sees images.
	Tokens [][]int32
	// Mask is nil, or one value per token: false hides it from all others, as a
	// padding token of the reference's attention_mask. Its own row means nothing.
	Mask [][]bool
	// Images are for a model that sees images: Channels x Size x Size values each.
	Images [][]float32
}

// A span is how the rows of a batch fall into sequences.
type spans struct {
	starts    []int32 // row at which each sequence starts, and the number of rows
	positions []int32 // of each row in its sequence
	longest   int
	mask      []bool // nil, or one per row
}

func (s *spans) rows() int { return len(s.positions) }

// spansOf checks a batch.
func (m *Model) spansOf(b Batch) (*spans, error) {
	s := &spans{starts: []int32{0}}
	if m.config.Image.Patch > 0 {
		return s, m.imageSpans(b, s)
	}
	switch {
	case len(b.Images) > 0:
		return nil, fmt.Errorf("images for a model of type %s, which reads tokens: %w", m.config.Type, ErrInput)
	case len(b.Tokens) == 0:
		return nil, fmt.Errorf("no sequences: %w", ErrInput)
	case b.Mask != nil && len(b.Mask) != len(b.Tokens):
		return nil, fmt.Errorf("%d masks for %d sequences: %w", len(b.Mask), len(b.Tokens), ErrInput)
	}
	for i, seq := range b.Tokens {
		switch {
		case len(seq) == 0:
			return nil, fmt.Errorf("sequence %d has no tokens: %w", i, ErrInput)
		case m.positions.weight != nil && len(seq) > m.config.MaxPositions:
			return nil, fmt.Errorf("sequence %d has %d tokens, the model has %d positions: %w", i, len(seq), m.config.MaxPositions, ErrInput)
		case len(b.Mask) > 0 && len(b.Mask[i]) != len(seq):
			return nil, fmt.Errorf("mask %d has %d values for %d tokens: %w", i, len(b.Mask[i]), len(seq), ErrInput)
		}
		for k, id := range seq {
			if id < 0 || int(id) >= m.config.Vocabulary {
				return nil, fmt.Errorf("sequence %d, token %d has the id %d, the vocabulary %d: %w (was the text encoded for this model?)",
					i, k, id, m.config.Vocabulary, ErrInput)
			}
		}
		if err := s.add(len(seq)); err != nil {
			return nil, err
		}
		if b.Mask != nil {
			s.mask = append(s.mask, b.Mask[i]...)
		}
	}
	return s, nil
}

func (m *Model) imageSpans(b Batch, s *spans) error {
	image := m.config.Image
	if len(b.Images) == 0 || len(b.Tokens) > 0 || b.Mask != nil {
		return fmt.Errorf("a model of type %s sees images, and neither tokens nor masks: %w", m.config.Type, ErrInput)
	}
	for i, pixels := range b.Images {
		if want := image.Channels * image.Size * image.Size; len(pixels) != want {
			return fmt.Errorf("image %d has %d values, want %d x %d x %d: %w", i, len(pixels), image.Channels, image.Size, image.Size, ErrInput)
		}
		if err := s.add(image.Patches() + 1); err != nil {
			return err
		}
	}
	return nil
}

// add appends a sequence of n rows.
func (s *spans) add(n int) error {
	if n > math.MaxInt32-s.rows() {
		return fmt.Errorf("more than %d tokens in a batch: %w", math.MaxInt32, ErrInput)
	}
	for i := range n {
		s.positions = append(s.positions, int32(i))
	}
	s.starts = append(s.starts, int32(s.rows())) //nolint:gosec // checked above
	s.longest = max(s.longest, n)
	return nil
}

// Drop names parts of a model that are left out of a pass. The weights stay as
// they are.
type Drop struct {
	Blocks []int         // passed over: their output is their input
	Heads  map[int][]int // by block: query heads whose output is zero
	Units  map[int][]int // by block: units of the MLP whose activation is zero
}

func (d *Drop) check(m *Config) error {
	in := func(what string, list []int, n int) error {
		for _, i := range list {
			if i < 0 || i >= n {
				return fmt.Errorf("%s %d to be left out, there are %d: %w", what, i, n, ErrInput)
			}
		}
		return nil
	}
	if err := in("block", d.Blocks, m.Blocks); err != nil {
		return err
	}
	for block, list := range d.Heads {
		if err := in("block", []int{block}, m.Blocks); err != nil {
			return err
		}
		if err := in("head", list, m.Heads); err != nil {
			return err
		}
	}
	for block, list := range d.Units {
		if err := in("block", []int{block}, m.Blocks); err != nil {
			return err
		}
		if err := in("unit", list, m.Inner); err != nil {
			return err
		}
	}
	return nil
}

// runs returns the stretches [from, to) of consecutive numbers in a list.
func runs(list []int) [][2]int {
	list = slices.Compact(slices.Sorted(slices.Values(list)))
	var out [][2]int
	for _, i := range list {
		if n := len(out); n > 0 && out[n-1][1] == i {
			out[n-1][1]++
		} else {
			out = append(out, [2]int{i, i + 1})
		}
	}
	return out
}
