package model

import (
	"fmt"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// read resolves everything.
func (c *reader) read(kind string) *Config {
	m := &Config{
		Type: kind, Norm: c.norm, Offset: c.offset, Causal: c.causal,
		Blocks: c.count(c.first("num_hidden_layers", "n_layer")), Width: c.count(c.first("hidden_size", "n_embd")),
		Heads:          c.count(c.first("num_attention_heads", "n_head")),
		EmbeddingScale: 1, ResidualScale: 1, LogitScale: 1,
	}
	c.passOver(m)
	c.sizes(m)
	m.Epsilon = c.positive(c.first("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"))
	m.Activation = c.activation()
	if c.heeds("tie_word_embeddings") {
		m.Tied = c.flag("tie_word_embeddings")
	}
	if c.err != nil {
		return nil
	}
	c.layers(m)
	if c.finish != nil {
		c.finish(c, m)
	}
	return m
}

func (c *reader) sizes(m *Config) {
	if m.Blocks > maxBlocks {
		c.fail("%d blocks, %d at most: %w", m.Blocks, maxBlocks, ErrConfig)
	}
	m.KVHeads, m.HeadDim, m.Inner = m.Heads, m.Width/m.Heads, 4*m.Width
	if c.get("num_key_value_heads") != nil {
		m.KVHeads = c.count("num_key_value_heads")
	}
	null, present := c.values["head_dim"]
	switch {
	case c.get("head_dim") != nil:
		m.HeadDim = c.count("head_dim")
	case c.heeds("head_dim") && present && null == nil && !c.nullHeadDim:
		c.fail("head_dim is null, which the reference does not run: %w (leave it out)", ErrConfig)
	default:
		c.wholeHeads(m)
	}
	if inner := c.first("intermediate_size", "n_inner"); c.get(inner) != nil || inner == "intermediate_size" {
		m.Inner = c.count(inner)
	}
	if c.heeds("vocab_size") {
		m.Vocabulary = c.count("vocab_size")
	}
	if positions := c.first("max_position_embeddings", "n_positions"); c.heeds(positions) {
		m.MaxPositions = c.count(positions)
	}
	if c.heeds("type_vocab_size") {
		m.Types = c.count("type_vocab_size")
	}
	switch {
	case m.Heads%m.KVHeads != 0:
		c.fail("%d heads are no multiple of %d key heads: %w", m.Heads, m.KVHeads, ErrConfig)
	case m.HeadDim > min(maxHead, maxSize/m.Heads):
		c.fail("%d heads of %d: %w", m.Heads, m.HeadDim, ErrConfig)
	case c.roped && m.HeadDim%2 != 0:
		c.fail("rotary positions need an even head dimension, and it is %d: %w", m.HeadDim, ErrConfig)
	}
}

// wholeHeads refuses a width that heads do not divide, where the reference does.
func (c *reader) wholeHeads(m *Config) {
	if m.Width%m.Heads != 0 {
		c.fail("the width %d is no multiple of %d heads: %w", m.Width, m.Heads, ErrConfig)
	}
}

// activations are the functions by the names of the reference. Several names
// there are of one function, in other words or digits.
var activations = map[string]kernels.Activation{
	"silu": kernels.SiLU, "swish": kernels.SiLU,
	"gelu": kernels.GELU, "gelu_python": kernels.GELU,
	"gelu_new": kernels.GELUTanh, "gelu_pytorch_tanh": kernels.GELUTanh, "gelu_python_tanh": kernels.GELUTanh,
	"gelu_fast": kernels.GELUTanh, "gelu_accurate": kernels.GELUTanh,
	"relu": kernels.ReLU, "linear": kernels.Identity,
}

// activation resolves the MLP's function.
func (c *reader) activation() kernels.Activation {
	heeded := c.first("hidden_act", "hidden_activation", "activation_function")
	f := c.namedActivation(heeded, c.get(heeded))
	// Gemma's configurations have both keys, and which one counts depends on the version.
	for _, other := range []string{"hidden_act", "hidden_activation", "activation_function"} {
		if v := c.values[other]; other != heeded && v != nil && c.namedActivation(other, v) != f {
			c.fail("%s is %s and %s %s: which one counts? %w", heeded, shown(c.get(heeded)), other, shown(v), ErrConfig)
		}
	}
	return f
}

func (c *reader) namedActivation(key string, v any) kernels.Activation {
	name, ok := v.(string)
	if !ok {
		c.wrong(key, "the name of a function", v)
		return kernels.Identity
	}
	if name == "gelu" && c.legacyGELU {
		return kernels.GELUTanh
	}
	f, ok := activations[name]
	if !ok {
		c.refuse(key, name)
	}
	return f
}

// layers sets what may differ between blocks.
func (c *reader) layers(m *Config) {
	kinds := c.kinds(m)
	ropes := map[string]*RoPE{}
	window := 0
	if c.get("sliding_window") != nil && (!c.heeds("use_sliding_window") || c.flag("use_sliding_window")) {
		window = c.count("sliding_window")
	}
	for i := range m.Blocks {
		kind := kinds[i]
		l := Layer{Scale: 1 / rootOf(m.HeadDim)}
		if kind == slidingAttention {
			if window == 0 {
				c.fail("block %d is of the kind %s, and there is no window: %w", i, kind, ErrConfig)
			}
			l.Window = window
		}
		if c.roped {
			if _, ok := ropes[kind]; !ok {
				ropes[kind] = c.rope(m, kind)
			}
			l.RoPE = ropes[kind]
		}
		m.Layers = append(m.Layers, l)
		if c.err != nil {
			return
		}
	}
}

// The kinds of attention in layer_types.
const (
	fullAttention    = "full_attention"
	slidingAttention = "sliding_attention"
)

// kinds returns the kind of each block.
func (c *reader) kinds(m *Config) []string {
	out := make([]string, m.Blocks)
	list, ok := c.get("layer_types").([]any)
	switch {
	case !ok && c.get("layer_types") != nil:
		c.wrong("layer_types", "a list", c.get("layer_types"))
		return out
	case ok && len(list) != m.Blocks:
		c.fail("layer_types has %d entries for %d blocks: %w", len(list), m.Blocks, ErrConfig)
		return out
	}
	none := c.get("sliding_window") == nil || c.heeds("use_sliding_window") && !c.flag("use_sliding_window")
	for i := range out {
		out[i] = fullAttention
		switch {
		case ok:
			kind, _ := list[i].(string)
			if kind != fullAttention && kind != slidingAttention {
				c.refuse(fmt.Sprintf("layer_types[%d]", i), list[i])
			}
			out[i] = kind
		case c.windowed == nil || !c.windowed(c, i):
		case !none || c.nested || c.heeds("query_pre_attn_scalar"): // Gemma slides whether there is a window or not
			out[i] = slidingAttention
		}
	}
	return out
}

// rotates reports whether SmolLM3's block i has rotary positions.
func (c *reader) rotates(i int) bool {
	v := c.get("no_rope_layers")
	if v == nil {
		return (i+1)%c.count("no_rope_layer_interval") != 0
	}
	list, ok := v.([]any)
	if !ok || i >= len(list) {
		c.wrong("no_rope_layers", "a list with an entry for each block", v)
		return true
	}
	n, ok := wholeNumber(list[i])
	if !ok || n > 1 {
		c.wrong(fmt.Sprintf("no_rope_layers[%d]", i), "0 or 1", list[i])
	}
	return n == 1
}

// biases says which linear maps have one.
func (m *Config) biases(queries, output, mlp bool) {
	m.QueryBias, m.OutputBias, m.MLPBias = queries, output, mlp
}

// scale sets the factor on queries·keys in all blocks.
func (m *Config) scale(s float64) {
	for i := range m.Layers {
		m.Layers[i].Scale = s
	}
}

func rootOf(n int) float64 { return math.Sqrt(float64(n)) }
