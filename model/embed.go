package model

import (
	"context"
	"fmt"
	"slices"

	"github.com/cambium-kernels/cambium/kernels"
)

// embedAll makes the input of block 0 of every batch. Only those rows of the
// vocabulary are read that occur.
func (p *pass) embedAll(ctx context.Context) error {
	defer p.release()
	for k := range p.states.spans {
		buf, err := p.b.Alloc(ctx, kernels.Float32, p.states.spans[k].rows(), p.config.Width)
		if err != nil {
			return err
		}
		p.states.buffers = append(p.states.buffers, buf)
		p.states.list = append(p.states.list, buf.Matrix())
	}
	if p.config.Image.Patch > 0 {
		return p.embedImages(ctx)
	}
	seen := map[int32]int32{}
	var ids []int32
	for _, b := range p.states.batches {
		for _, id := range slices.Concat(b.Tokens...) {
			if _, ok := seen[id]; !ok {
				seen[id] = 0
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	for i, id := range ids {
		seen[id] = int32(i)
	}
	table, err := p.rows(ctx, p.embedding.weight, ids)
	if err != nil {
		return err
	}
	var extra [2]kernels.Matrix // positions, types
	for i, pair := range []tensorPair{p.positions, p.types} {
		if pair.weight == nil {
			continue
		}
		rows, _ := rowsOf(pair.weight)
		if extra[i], err = p.load(ctx, pair.weight, 0, rows); err != nil {
			return err
		}
	}
	for k, b := range p.states.batches {
		x, span := p.states.list[k], p.states.spans[k]
		local := slices.Concat(b.Tokens...)
		for i, id := range local {
			local[i] = seen[id]
		}
		if err := p.b.Gather(ctx, x, table, local, p.config.EmbeddingScale, 0, p.arena.o); err != nil {
			return err
		}
		for i, of := range [][]int32{span.positions, make([]int32, span.rows())} {
			if extra[i].Empty() {
				continue
			}
			if err := p.b.Gather(ctx, x, extra[i], of, 1, 1, p.arena.o); err != nil {
				return err
			}
		}
	}
	return p.embedNorms(ctx)
}

// rows reads single rows of a tensor, side by side.
func (p *pass) rows(ctx context.Context, t Tensor, ids []int32) (kernels.Matrix, error) {
	_, cols := rowsOf(t)
	m, err := p.get(ctx, t.DType(), len(ids), cols)
	if err != nil {
		return kernels.Matrix{}, err
	}
	p.held = append(p.held, m)
	for i := 0; i < len(ids); {
		n := 1 // neighbours are read together
		for i+n < len(ids) && ids[i+n] == ids[i]+int32(n) {
			n++
		}
		part, err := m.View(i, 0, n, cols)
		if err != nil {
			return kernels.Matrix{}, err
		}
		if err := p.fill(ctx, part, t, int(ids[i])); err != nil {
			return kernels.Matrix{}, err
		}
		i += n
	}
	return m, nil
}

// embedNorms normalises the sum of the embeddings, where the family does.
func (p *pass) embedNorms(ctx context.Context) error {
	if p.embedNorm.weight == nil {
		return nil
	}
	w, err := p.load(ctx, p.embedNorm.weight, 0, 1)
	if err != nil {
		return err
	}
	b, err := p.load(ctx, p.embedNorm.bias, 0, 1)
	if err != nil {
		return err
	}
	params := kernels.NormParams{Kind: p.config.Norm, Weight: w, Bias: b, Epsilon: p.config.Epsilon}
	for _, x := range p.states.list {
		if err := p.b.Norm(ctx, x, x, params, 1, 0, p.arena.o); err != nil {
			return err
		}
	}
	return nil
}

// embedImages makes a state of the class and of each patch: a map of its pixels,
// plus what its position has.
func (p *pass) embedImages(ctx context.Context) error {
	image := p.config.Image
	width, patches := p.config.Width, image.Patches()
	weight, err := p.load(ctx, p.patches.weight, 0, width)
	if err != nil {
		return err
	}
	bias, err := p.load(ctx, p.patches.bias, 0, 1)
	if err != nil {
		return err
	}
	class, err := p.fold(p.class.weight, 1, width)
	if err != nil {
		return err
	}
	positions, err := p.fold(p.positions.weight, patches+1, width)
	if err != nil {
		return err
	}
	for k, b := range p.states.batches {
		for i, pixels := range b.Images {
			x, err := p.states.list[k].View(i*(patches+1), 0, patches+1, width)
			if err != nil {
				return err
			}
			first, err := x.View(0, 0, 1, width)
			if err != nil {
				return err
			}
			rest, err := x.View(1, 0, patches, width)
			if err != nil {
				return err
			}
			cut, err := image.cut(pixels)
			if err != nil {
				return err
			}
			if err := p.b.Convert(ctx, first, class); err != nil {
				return err
			}
			if err := p.b.Matmul(ctx, []kernels.Matrix{rest}, []kernels.Matrix{cut}, []kernels.Matrix{weight}, kernels.NT, 1, 0, p.arena.o); err != nil {
				return err
			}
			if err := p.b.Add(ctx, rest, bias, 1, p.arena.o); err != nil {
				return err
			}
			if err := p.b.Add(ctx, x, positions, 1, p.arena.o); err != nil {
				return err
			}
		}
	}
	return nil
}

// fold reads a tensor and sees it as rows x cols, on the host.
func (p *pass) fold(t Tensor, rows, cols int) (kernels.Matrix, error) {
	r, c := rowsOf(t)
	m, err := hostMatrix(t.DType(), r, c)
	if err != nil {
		return kernels.Matrix{}, err
	}
	if err := t.Rows(m, 0); err != nil {
		return kernels.Matrix{}, err
	}
	if m.DType == kernels.Float32 {
		data, err := kernels.Floats[float32](m)
		if err != nil {
			return kernels.Matrix{}, err
		}
		return kernels.Of(data, rows, cols, cols)
	}
	data, err := kernels.Bits(m)
	if err != nil {
		return kernels.Matrix{}, err
	}
	return kernels.OfBits(m.DType, data, rows, cols, cols)
}

// cut returns the patches of an image, one a row, row by row of the image:
// channels, then rows, then columns of each patch.
func (i Image) cut(pixels []float32) (kernels.Matrix, error) {
	side, cols := i.Size/i.Patch, i.Channels*i.Patch*i.Patch
	out := make([]float32, 0, side*side*cols)
	for y := 0; y < i.Size; y += i.Patch {
		for x := 0; x < i.Size; x += i.Patch {
			for ch := range i.Channels {
				for dy := range i.Patch {
					at := (ch*i.Size+y+dy)*i.Size + x
					out = append(out, pixels[at:at+i.Patch]...)
				}
			}
		}
	}
	m, err := kernels.Of(out, side*side, cols, cols)
	if err != nil {
		return kernels.Matrix{}, fmt.Errorf("patches: %w", err)
	}
	return m, nil
}
