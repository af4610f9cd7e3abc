package model

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cambium-kernels/cambium/kernels"
)

// A Point is a place in a block where a pass can be looked at.
type Point uint8

// The points, in the order in which a block comes to them. A matrix has one row
// per token.
const (
	BlockInput      Point = iota // the state before the block
	AttentionOutput              // heads side by side, before the output map
	MLPActivation                // units, before the down map
	BlockOutput                  // the state behind the block
)

// String returns the name.
func (p Point) String() string {
	names := [...]string{"block input", "attention output", "MLP activation", "block output"}
	if int(p) < len(names) {
		return names[p]
	}
	return fmt.Sprintf("Point(%d)", uint8(p))
}

// At is where a hook is called.
type At struct {
	Point        Point
	Block, Batch int
}

// Options of a pass. The zero value is the usual choice.
type Options struct {
	Precision kernels.Precision
	Drop      Drop
	// Hook, if set, is called at every point of every block that is not left out,
	// with a view that is valid during the call, on the backend's device. What it
	// writes there, the pass goes on with. An error ends the pass.
	Hook func(ctx context.Context, at At, x kernels.Matrix) error
	// Progress, if set, is called after each batch of each block.
	Progress func(done, total int)
}

// States are the hidden states of batches, float32, on the backend's device: one
// matrix per batch, with a row per token, sequences one after another.
type States struct {
	batches []Batch
	spans   []*spans
	list    []kernels.Matrix
	buffers []kernels.Buffer
}

// Len returns the number of batches.
func (s *States) Len() int { return len(s.list) }

// Matrix returns the states of batch i; valid until Free.
func (s *States) Matrix(i int) kernels.Matrix { return s.list[i] }

// Sequences returns the row at which each sequence of batch i starts and, last,
// the number of rows.
func (s *States) Sequences(i int) []int32 { return s.spans[i].starts }

// Free gives the memory back.
func (s *States) Free() error {
	var failed []error
	for _, b := range s.buffers {
		failed = append(failed, b.Free())
	}
	s.buffers, s.list = nil, nil
	return errors.Join(failed...)
}

// pass is one call of Run.
type pass struct {
	*Model
	*arena
	o       Options
	states  *States
	weights [slotCount]struct{ weight, bias kernels.Matrix }
	scratch map[string]kernels.Matrix // by what they hold; for the largest batch
}

// Run embeds batches and takes them through all blocks, block by block, so that
// the weights of each are read once. It returns the raw output of the last
// block; the caller frees it. Errors: [ErrInput]; those of reading and of the
// backend; the context's, soon after it ends; the hook's.
func (m *Model) Run(ctx context.Context, b kernels.Backend, batches []Batch, o Options) (s *States, err error) {
	p := &pass{
		Model: m, arena: newArena(b, kernels.Options{Precision: o.Precision}), o: o,
		states: &States{batches: batches}, scratch: map[string]kernels.Matrix{},
	}
	defer func() {
		err = errors.Join(err, p.close())
		if err != nil {
			err = errors.Join(err, p.states.Free())
			s = nil
		}
	}()
	if err := o.Drop.check(m.config); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	for i, batch := range batches {
		span, err := m.spansOf(batch)
		if err != nil {
			return nil, fmt.Errorf("model: batch %d: %w", i, err)
		}
		p.states.spans = append(p.states.spans, span)
	}
	if err := p.embedAll(ctx); err != nil {
		return nil, fmt.Errorf("model: embedding: %w", err)
	}
	done, total := 0, (m.config.Blocks-len(runsOf(o.Drop.Blocks)))*len(batches)
	for i := range m.config.Blocks {
		if slices.Contains(o.Drop.Blocks, i) {
			continue
		}
		if err := p.loadBlock(ctx, i); err != nil {
			return nil, fmt.Errorf("model: block %d: %w", i, err)
		}
		for k := range batches {
			if err := p.block(ctx, i, k); err != nil {
				return nil, fmt.Errorf("model: block %d, batch %d: %w", i, k, err)
			}
			if done++; o.Progress != nil {
				o.Progress(done, total)
			}
		}
		p.release()
	}
	return p.states, nil
}

// runsOf returns the distinct numbers of a list.
func runsOf(list []int) []int { return slices.Compact(slices.Sorted(slices.Values(list))) }

// loadBlock reads the weights of a block into the arena. Fused maps become views
// on their parts.
func (p *pass) loadBlock(ctx context.Context, block int) error {
	for k, pair := range p.blocks[block] {
		w := &p.weights[k]
		rows, _ := rowsOf(pair.weight)
		var err error
		if w.weight, err = p.load(ctx, pair.weight, 0, rows); err != nil {
			return fmt.Errorf("%s: %w", pair.name, err)
		}
		if pair.bias != nil {
			if w.bias, err = p.load(ctx, pair.bias, 0, 1); err != nil {
				return fmt.Errorf("%s: %w", pair.name, err)
			}
		}
	}
	c := p.config
	queries, keys := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	if _, fused := p.family.slots[queryKeyValue]; fused {
		if err := p.split(queryKeyValue, []slot{query, key, value}, []int{queries, keys, keys}); err != nil {
			return err
		}
	}
	if _, fused := p.family.slots[gateUp]; fused {
		return p.split(gateUp, []slot{gate, up}, []int{c.Inner, c.Inner})
	}
	return nil
}

// split makes views on the parts of a fused map.
func (p *pass) split(fused slot, parts []slot, sizes []int) error {
	whole := p.weights[fused]
	at := 0
	for i, n := range sizes {
		part := &p.weights[parts[i]]
		row, col, rows, cols := at, 0, n, whole.weight.Cols
		if p.family.inOut {
			row, col, rows, cols = 0, at, whole.weight.Rows, n
		}
		var err error
		if part.weight, err = whole.weight.View(row, col, rows, cols); err != nil {
			return err
		}
		if !whole.bias.Empty() {
			if part.bias, err = whole.bias.View(0, at, 1, n); err != nil {
				return err
			}
		}
		at += n
	}
	return nil
}

// room returns scratch memory of a name for rows x cols values. A name always
// has the same number of columns.
func (p *pass) room(ctx context.Context, name string, rows, cols int) (kernels.Matrix, error) {
	m, ok := p.scratch[name]
	if !ok {
		most := 0
		for _, s := range p.states.spans {
			most = max(most, s.rows())
		}
		var err error
		if m, err = p.get(ctx, kernels.Float32, most, cols); err != nil {
			return kernels.Matrix{}, err
		}
		p.scratch[name] = m
	}
	return m.View(0, 0, rows, cols)
}

// block takes batch k through the block that is loaded.
func (p *pass) block(ctx context.Context, block, k int) error {
	x, span := p.states.list[k], p.states.spans[k]
	at := At{BlockInput, block, k}
	if err := p.hook(ctx, at, x); err != nil {
		return err
	}
	h, err := p.attention(ctx, at, x, span)
	if err != nil {
		return fmt.Errorf("attention: %w", err)
	}
	if err := p.residual(ctx, x, h, postA, resA); err != nil {
		return fmt.Errorf("attention: %w", err)
	}
	if h, err = p.mlp(ctx, at, x); err != nil {
		return fmt.Errorf("MLP: %w", err)
	}
	if err := p.residual(ctx, x, h, postM, resM); err != nil {
		return fmt.Errorf("MLP: %w", err)
	}
	at.Point = BlockOutput
	return p.hook(ctx, at, x)
}

func (p *pass) hook(ctx context.Context, at At, x kernels.Matrix) error {
	if p.o.Hook == nil {
		return nil
	}
	return p.o.Hook(ctx, at, x)
}

// residual adds h to x: x = res(x + r·post(h)).
func (p *pass) residual(ctx context.Context, x, h kernels.Matrix, post, res slot) error {
	r := p.config.ResidualScale
	if _, ok := p.family.slots[post]; ok {
		if err := p.norm(ctx, x, h, post, 1, r, 1); err != nil {
			return err
		}
	} else if err := p.b.Add(ctx, x, h, r, p.arena.o); err != nil {
		return err
	}
	if _, ok := p.family.slots[res]; ok {
		return p.norm(ctx, x, x, res, 1, 1, 0)
	}
	return nil
}

// norm computes dst = alpha·norm(x) + beta·dst, in groups of columns.
func (p *pass) norm(ctx context.Context, dst, x kernels.Matrix, s slot, groups int, alpha, beta float64) error {
	w := p.weights[s]
	return p.b.Norm(ctx, dst, x, kernels.NormParams{
		Kind: p.config.Norm, Weight: w.weight, Bias: w.bias, Offset: p.config.Offset, Epsilon: p.config.Epsilon, Groups: groups,
	}, alpha, beta, p.arena.o)
}

// before returns the normalised input of a half of a block: x itself where there
// is no norm.
func (p *pass) before(ctx context.Context, x kernels.Matrix, s slot) (kernels.Matrix, error) {
	if _, ok := p.family.slots[s]; !ok {
		return x, nil
	}
	h, err := p.room(ctx, "h", x.Rows, x.Cols)
	if err != nil {
		return kernels.Matrix{}, err
	}
	return h, p.norm(ctx, h, x, s, 1, 1, 0)
}

// linear computes a map of x into scratch memory.
func (p *pass) linear(ctx context.Context, x kernels.Matrix, s slot, name string, cols int) (kernels.Matrix, error) {
	dst, err := p.room(ctx, name, x.Rows, cols)
	if err != nil {
		return kernels.Matrix{}, err
	}
	w, form := p.weights[s], kernels.NT
	if p.family.inOut {
		form = kernels.NN
	}
	if err := p.b.Matmul(ctx, []kernels.Matrix{dst}, []kernels.Matrix{x}, []kernels.Matrix{w.weight}, form, 1, 0, p.arena.o); err != nil {
		return kernels.Matrix{}, err
	}
	if w.bias.Empty() {
		return dst, nil
	}
	return dst, p.b.Add(ctx, dst, w.bias, 1, p.arena.o)
}

// attention returns what the attention adds to x.
func (p *pass) attention(ctx context.Context, at At, x kernels.Matrix, span *spans) (kernels.Matrix, error) {
	c := p.config
	layer := c.Layers[at.Block]
	queries, keys := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	none := kernels.Matrix{}
	h, err := p.before(ctx, x, preA)
	if err != nil {
		return none, err
	}
	q, err := p.linear(ctx, h, query, "q", queries)
	if err != nil {
		return none, err
	}
	k, err := p.linear(ctx, h, key, "k", keys)
	if err != nil {
		return none, err
	}
	v, err := p.linear(ctx, h, value, "v", keys)
	if err != nil {
		return none, err
	}
	if err := p.turn(ctx, q, normQ, c.Heads, layer.RoPE, span); err != nil {
		return none, err
	}
	if err := p.turn(ctx, k, normK, c.KVHeads, layer.RoPE, span); err != nil {
		return none, err
	}
	a, err := p.room(ctx, "a", x.Rows, queries)
	if err != nil {
		return none, err
	}
	err = p.b.Attention(ctx, a, q, k, v, kernels.AttentionParams{
		Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Queries: span.starts, Scale: layer.Scale, SoftCap: c.SoftCap,
		Causal: c.Causal, Window: layer.Window, KeyMask: span.mask,
	}, p.arena.o)
	if err != nil {
		return none, err
	}
	if err := p.clear(ctx, a, p.o.Drop.Heads[at.Block], c.HeadDim); err != nil {
		return none, err
	}
	at.Point = AttentionOutput
	if err := p.hook(ctx, at, a); err != nil {
		return none, err
	}
	return p.linear(ctx, a, output, "h", c.Width)
}

// turn normalises queries or keys, where the family does, and rotates them by
// their positions.
func (p *pass) turn(ctx context.Context, x kernels.Matrix, s slot, heads int, rope *RoPE, span *spans) error {
	if _, ok := p.family.slots[s]; ok {
		if p.family.wholeNorm {
			heads = 1
		}
		if err := p.norm(ctx, x, x, s, heads, 1, 0); err != nil {
			return err
		}
	}
	if rope == nil {
		return nil
	}
	return p.b.RoPE(ctx, x, x, span.positions, kernels.RoPEParams{
		HeadDim: p.config.HeadDim, InvFreq: rope.Frequencies(span.longest), Scale: rope.Scale,
	}, p.arena.o)
}

// mlp returns what the MLP adds to x.
func (p *pass) mlp(ctx context.Context, at At, x kernels.Matrix) (kernels.Matrix, error) {
	c := p.config
	none := kernels.Matrix{}
	h, err := p.before(ctx, x, preM)
	if err != nil {
		return none, err
	}
	u, err := p.linear(ctx, h, up, "u", c.Inner)
	if err != nil {
		return none, err
	}
	if p.gated() {
		g, err := p.linear(ctx, h, gate, "g", c.Inner)
		if err != nil {
			return none, err
		}
		if err := p.b.Gate(ctx, u, g, u, c.Activation, p.arena.o); err != nil {
			return none, err
		}
	} else if err := p.b.Activate(ctx, u, u, c.Activation, p.arena.o); err != nil {
		return none, err
	}
	if err := p.clear(ctx, u, p.o.Drop.Units[at.Block], 1); err != nil {
		return none, err
	}
	at.Point = MLPActivation
	if err := p.hook(ctx, at, u); err != nil {
		return none, err
	}
	return p.linear(ctx, u, down, "h", c.Width)
}

// gated reports whether the MLP multiplies two maps.
func (m *Model) gated() bool {
	_, fused := m.family.slots[gateUp]
	_, ok := m.family.slots[gate]
	return ok || fused
}

// clear sets the columns of parts of x, each width wide, to zero.
func (p *pass) clear(ctx context.Context, x kernels.Matrix, parts []int, width int) error {
	for _, r := range runs(parts) {
		v, err := x.View(0, r[0]*width, x.Rows, (r[1]-r[0])*width)
		if err != nil {
			return err
		}
		// With both factors 0 nothing is read: the contract's way to write zeros.
		if err := p.b.Norm(ctx, v, v, kernels.NormParams{}, 0, 0, p.arena.o); err != nil {
			return err
		}
	}
	return nil
}
