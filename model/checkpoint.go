package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cambium-kernels/cambium/kernels"
)

// A tensorPair is the weight of a slot and its bias, if it has one.
type tensorPair struct {
	name                 string // as the checkpoint has it, without .weight
	weightName, biasName string
	weight, bias         Tensor
}

// A checkpoint is the tensors of a Source, each at its place in the table.
type checkpoint struct {
	prefix string
	blocks []map[slot]tensorPair

	embedding, positions, types, embedNorm, patches, class, finalNorm, head tensorPair

	parameters int64 // in all tensors that are used
}

// A sorter puts tensors in their places and takes them off a list.
type sorter struct {
	src  Source
	f    *family
	m    *Config
	left map[string]bool // names without a place
	out  *checkpoint
	err  error
}

func (s *sorter) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// place looks at every tensor of a checkpoint. Errors: [ErrTensors] for one that
// is missing, has no place, or does not have the shape that the configuration
// gives it.
func place(src Source, f *family, m *Config) (*checkpoint, error) {
	s := &sorter{src: src, f: f, m: m, left: map[string]bool{}, out: &checkpoint{}}
	for _, n := range src.Names() {
		s.left[n] = true
	}
	s.findPrefix()
	s.outside()
	for i := range m.Blocks {
		if s.err != nil {
			break
		}
		s.out.blocks = append(s.out.blocks, s.block(i))
	}
	s.rest()
	if s.err != nil {
		return nil, s.err
	}
	return s.out, nil
}

// findPrefix chooses the prefix by the tensor that every checkpoint has.
func (s *sorter) findPrefix() {
	first := s.f.embedding + weightSuffix
	if s.f.patches != "" {
		first = s.f.patches + weightSuffix
	}
	for _, p := range s.f.prefixes {
		if s.left[p+first] {
			s.out.prefix = p
			return
		}
	}
	s.fail("there is no tensor %s, with any of the prefixes %q: %w", first, s.f.prefixes, ErrTensors)
}

// The endings of names, and those of the first BERT's norms.
const (
	weightSuffix = ".weight"
	biasSuffix   = ".bias"
	gammaSuffix  = ".gamma"
	betaSuffix   = ".beta"
)

// take looks a tensor up and checks its shape.
func (s *sorter) take(name string, shape ...int) Tensor {
	if s.err != nil {
		return nil
	}
	if !s.left[name] {
		s.fail("there is no tensor %s, which a model of type %s with this configuration has: %w", name, s.m.Type, ErrTensors)
		return nil
	}
	t, err := s.src.Tensor(name)
	if err != nil {
		s.err = err
		return nil
	}
	if !shapeIs(t, shape...) {
		s.fail("tensor %s has the shape %v, the configuration gives it %v: %w", name, t.Shape(), shape, ErrTensors)
	}
	delete(s.left, name)
	rows, cols := rowsOf(t)
	s.out.parameters += int64(rows) * int64(cols)
	return t
}

// linear takes a map from in to out values. In blocks of a family that stores
// them so, its weight is in x out.
func (s *sorter) linear(name string, bias, inOut bool, out, in int) tensorPair {
	p := tensorPair{name: name, weightName: name + weightSuffix}
	if inOut {
		p.weight = s.take(p.weightName, in, out)
	} else {
		p.weight = s.take(p.weightName, out, in)
	}
	if bias {
		p.biasName = name + biasSuffix
		p.bias = s.take(p.biasName, out)
	}
	return p
}

// normalisation takes the weights of a norm.
func (s *sorter) normalisation(name string, width int) tensorPair {
	weight, bias := weightSuffix, biasSuffix
	if s.left[name+gammaSuffix] {
		weight, bias = gammaSuffix, betaSuffix
	}
	p := tensorPair{name: name, weightName: name + weight, weight: s.take(name+weight, width)}
	if s.f.norm == kernels.LayerNorm {
		p.biasName = name + bias
		p.bias = s.take(p.biasName, width)
	}
	return p
}

// outside takes the tensors outside blocks.
func (s *sorter) outside() {
	f, m, out, prefix := s.f, s.m, s.out, s.out.prefix
	if f.embedding != "" {
		out.embedding = s.linear(prefix+f.embedding, false, false, m.Vocabulary, m.Width)
	}
	switch {
	case f.patches != "":
		out.patches.name = prefix + f.patches
		out.patches.weight = s.take(prefix+f.patches+weightSuffix, m.Width, m.Image.Channels, m.Image.Patch, m.Image.Patch)
		out.patches.bias = s.take(prefix+f.patches+biasSuffix, m.Width)
		out.class.weight = s.take(prefix+f.class, m.Width)
		out.positions.weight = s.take(prefix+f.positions, m.Image.Patches()+1, m.Width)
	case f.positions != "":
		out.positions = s.linear(prefix+f.positions, false, false, m.MaxPositions, m.Width)
	}
	if f.types != "" {
		out.types = s.linear(prefix+f.types, false, false, m.Types, m.Width)
	}
	if f.embedNorm != "" {
		out.embedNorm = s.normalisation(prefix+f.embedNorm, m.Width)
	}
	// A file of the blocks alone has no final norm either; it is missed when it is needed.
	if f.finalNorm != "" && s.left[prefix+f.finalNorm+weightSuffix] {
		out.finalNorm = s.normalisation(prefix+f.finalNorm, m.Width)
	}
	for _, before := range []string{"", "language_model."} {
		if f.head != "" && s.left[before+f.head+weightSuffix] {
			out.head = s.linear(before+f.head, false, false, m.Vocabulary, m.Width)
			break
		}
	}
}

// block takes the tensors of block i.
func (s *sorter) block(i int) map[slot]tensorPair {
	m, inOut := s.m, s.f.inOut
	prefix := s.out.prefix + strings.Replace(s.f.block, "%d", strconv.Itoa(i), 1)
	queries, keys := m.Heads*m.HeadDim, m.KVHeads*m.HeadDim
	normQ1, normK1 := m.HeadDim, m.HeadDim
	if s.f.wholeNorm {
		normQ1, normK1 = queries, keys
	}
	out := map[slot]tensorPair{}
	for k := range slotCount {
		name, ok := s.f.slots[k]
		if !ok {
			continue
		}
		name = prefix + name
		switch k {
		case normQ:
			out[k] = s.normalisation(name, normQ1)
		case normK:
			out[k] = s.normalisation(name, normK1)
		case query:
			out[k] = s.linear(name, m.QueryBias, inOut, queries, m.Width)
		case key, value:
			out[k] = s.linear(name, m.QueryBias, inOut, keys, m.Width)
		case queryKeyValue:
			out[k] = s.linear(name, m.QueryBias, inOut, queries+2*keys, m.Width)
		case output:
			out[k] = s.linear(name, m.OutputBias, inOut, m.Width, queries)
		case gate, up:
			out[k] = s.linear(name, m.MLPBias, inOut, m.Inner, m.Width)
		case gateUp:
			out[k] = s.linear(name, m.MLPBias, inOut, 2*m.Inner, m.Width)
		case down:
			out[k] = s.linear(name, m.MLPBias, inOut, m.Width, m.Inner)
		default:
			out[k] = s.normalisation(name, m.Width)
		}
	}
	return out
}

// rest refuses a tensor that has no place, the first by name.
func (s *sorter) rest() {
	var names []string
	for n := range s.left {
		if !s.ignored(n) {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	s.fail("tensor %s, and %d more, have no place in a model of type %s with this configuration: %w (%s)", names[0], len(names)-1, s.m.Type, ErrTensors, WayRound)
}

// ignored reports whether the hidden states do not depend on a tensor.
func (s *sorter) ignored(name string) bool {
	rest, inside := strings.CutPrefix(name, s.out.prefix)
	for _, pattern := range s.f.ignored {
		if part, ok := strings.CutPrefix(pattern, "*"); ok {
			before, _, _ := strings.Cut(s.f.block, "%d")
			inner, isBlock := strings.CutPrefix(rest, before)
			_, inner, _ = strings.Cut(inner, ".")
			if inside && isBlock && inner == part {
				return true
			}
			continue
		}
		if start, ok := strings.CutSuffix(pattern, "*"); ok && (strings.HasPrefix(name, start) || strings.HasPrefix(rest, start)) || rest == pattern {
			return true
		}
	}
	// The eyes of a model whose text part runs here.
	for _, eyes := range []string{"vision_tower.", "multi_modal_projector."} {
		if strings.Contains(s.out.prefix, "language_model.") && strings.HasPrefix(strings.TrimPrefix(name, "model."), eyes) {
			return true
		}
	}
	return false
}
