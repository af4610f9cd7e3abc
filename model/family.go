package model

import (
	"maps"
	"slices"

	"github.com/cambium-kernels/cambium/kernels"
)

// A slot is a place for a tensor in a block. Which norm slots a family names
// decides the flow of its blocks:
//
//	x = resA(x + r·postA(attention(preA(x))))
//	x = resM(x + r·postM(      mlp(preM(x))))
//
// where a norm without a name is the identity.
type slot uint8

const (
	preA slot = iota // norms
	postA
	resA
	preM
	postM
	resM
	normQ // of queries and keys
	normK
	query // linear maps of the attention
	key
	value
	queryKeyValue // the three in one
	output
	gate // and of the MLP
	up
	gateUp // the two in one
	down
	slotCount
)

var slotNames = [...]string{
	preA: "norm before attention", postA: "norm behind attention", resA: "norm of the sum with attention",
	preM: "norm before MLP", postM: "norm behind MLP", resM: "norm of the sum with MLP",
	normQ: "norm of queries", normK: "norm of keys",
	query: "queries", key: "keys", value: "values", queryKeyValue: "queries, keys and values", output: "attention output",
	gate: "MLP gate", up: "MLP up", gateUp: "MLP gate and up", down: "MLP down",
}

// A layout names the tensors of a family, without .weight and .bias.
type layout struct {
	prefixes  []string // of the names outside blocks too; the one that the embedding has
	block     string   // of block i, with %d for i
	slots     map[slot]string
	embedding string // vocabulary x width
	positions string // learned positions
	types     string // token types
	embedNorm string // norm of the sum of the three
	patches   string // images: the map from a patch to a state
	class     string // images: the first state
	finalNorm string
	head      string // without prefix
	inOut     bool   // the weights of blocks are stored in x out
	// ignored names what holds no weights, or none that hidden states depend on:
	// whole names without prefix, parts of blocks behind a *, or beginnings before
	// a *.
	ignored []string
}

// A family is what models of one model_type have in common.
type family struct {
	*layout
	norm   kernels.NormKind
	offset float64 // added to the norms' weights
	causal bool
	roped  bool // rotary positions
	nested bool // rope_parameters has one entry per kind of layer
	// wholeNorm: queries and keys are normalised over all heads at once.
	wholeNorm bool
	// nullHeadDim: null stands for width/heads; the reference fails on it elsewhere.
	nullHeadDim bool
	// legacyGELU: by gelu the authors meant its approximation with tanh.
	legacyGELU bool
	// partial: rotary positions may be for a part of each head.
	partial bool
	// keys are those of the configuration that a family heeds, with what counts
	// where they are absent: the defaults of the reference implementation.
	keys map[string]any
	// windowed says of block i whether it has a window where layer_types is absent.
	windowed func(c *reader, i int) bool
	// finish sets what only this family has.
	finish func(c *reader, m *Config)
}

// more returns a copy of m with further entries; one that is nil is taken out.
func more[K comparable, V any](m, with map[K]V, without ...K) map[K]V {
	out := maps.Clone(m)
	maps.Copy(out, with)
	maps.DeleteFunc(out, func(k K, _ V) bool { return slices.Contains(without, k) })
	return out
}

// The layouts.
var (
	llamaSlots = map[slot]string{
		preA: "input_layernorm", preM: "post_attention_layernorm",
		query: "self_attn.q_proj", key: "self_attn.k_proj", value: "self_attn.v_proj", output: "self_attn.o_proj",
		gate: "mlp.gate_proj", up: "mlp.up_proj", down: "mlp.down_proj",
	}
	headNorms = map[slot]string{normQ: "self_attn.q_norm", normK: "self_attn.k_norm"}
	// In these post_attention_layernorm stands behind the attention, in Llama before the MLP.
	sandwichSlots = more(llamaSlots, map[slot]string{
		postA: "post_attention_layernorm", preM: "pre_feedforward_layernorm", postM: "post_feedforward_layernorm",
	})
	outputNormSlots = more(more(llamaSlots, headNorms), map[slot]string{
		postA: "post_attention_layernorm", postM: "post_feedforward_layernorm",
	}, preA, preM)
	fusedSlots = more(llamaSlots, map[slot]string{
		queryKeyValue: "self_attn.qkv_proj", gateUp: "mlp.gate_up_proj",
	}, query, key, value, gate, up)

	gpt2Layout = &layout{
		prefixes: []string{"transformer.", ""}, block: "h.%d.",
		slots: map[slot]string{
			preA: "ln_1", queryKeyValue: "attn.c_attn", output: "attn.c_proj", preM: "ln_2", up: "mlp.c_fc", down: "mlp.c_proj",
		},
		embedding: "wte", positions: "wpe", finalNorm: "ln_f", head: "lm_head", inOut: true,
		ignored: []string{"*attn.bias", "*attn.masked_bias"},
	}
	bertLayout = &layout{
		prefixes: []string{"bert.", ""}, block: "encoder.layer.%d.",
		slots: map[slot]string{
			query: "attention.self.query", key: "attention.self.key", value: "attention.self.value", output: "attention.output.dense",
			resA: "attention.output.LayerNorm", up: "intermediate.dense", down: "output.dense", resM: "output.LayerNorm",
		},
		embedding: "embeddings.word_embeddings", positions: "embeddings.position_embeddings",
		types: "embeddings.token_type_embeddings", embedNorm: "embeddings.LayerNorm",
		ignored: []string{"embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "cls.*", "classifier.*", "qa_outputs.*"},
	}
	vitLayout = &layout{
		prefixes: []string{"vit.", ""}, block: "encoder.layer.%d.",
		slots: map[slot]string{
			preA: "layernorm_before", query: "attention.attention.query", key: "attention.attention.key", value: "attention.attention.value",
			output: "attention.output.dense", preM: "layernorm_after", up: "intermediate.dense", down: "output.dense",
		},
		patches: "embeddings.patch_embeddings.projection", class: "embeddings.cls_token", positions: "embeddings.position_embeddings",
		finalNorm: "layernorm",
		ignored:   []string{"pooler.*", "classifier.*"},
	}
)

// decoder is a layout in the manner of Llama.
func decoder(slots map[slot]string) *layout {
	return &layout{
		prefixes: []string{"model.", "model.language_model.", "language_model.model.", ""}, block: "layers.%d.", slots: slots,
		embedding: "embed_tokens", finalNorm: "norm", head: "lm_head",
		ignored: []string{"*self_attn.rotary_emb.inv_freq", "rotary_emb.inv_freq", "score.*", "classifier.*"},
	}
}

// decoderKeys are heeded by every decoder in the manner of Llama.
var decoderKeys = map[string]any{
	"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
	"num_key_value_heads": nil, "head_dim": nil, "hidden_act": "silu", "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
	"tie_word_embeddings": false,
	"rope_parameters":     nil, "rope_scaling": nil, "rope_theta": nil, "partial_rotary_factor": nil,
}

// withKeys returns decoderKeys with those of one family.
func withKeys(keys map[string]any, without ...string) map[string]any {
	return more(decoderKeys, keys, without...)
}

// families is the table. The defaults are those of transformers 5.23.
var families = map[string]*family{
	"llama": {
		layout: decoder(llamaSlots), causal: true, roped: true, nullHeadDim: true,
		keys: withKeys(map[string]any{"attention_bias": false, "mlp_bias": false}),
		finish: func(c *reader, m *Config) {
			c.wholeHeads(m)
			m.biases(c.flag("attention_bias"), c.flag("attention_bias"), c.flag("mlp_bias"))
		},
	},
	"mistral": {
		layout: decoder(llamaSlots), causal: true, roped: true, nullHeadDim: true,
		keys: withKeys(map[string]any{
			"intermediate_size": 14336, "num_key_value_heads": 8, "max_position_embeddings": 131072, "sliding_window": 4096,
		}),
		windowed: always,
	},
	"qwen2": {
		layout: decoder(llamaSlots), causal: true, roped: true,
		keys:     withKeys(qwenKeys),
		windowed: qwenWindowed,
		finish:   func(_ *reader, m *Config) { m.biases(true, false, false) },
	},
	"qwen3": {
		layout: decoder(more(llamaSlots, headNorms)), causal: true, roped: true,
		keys:     withKeys(more(qwenKeys, map[string]any{"head_dim": 128, "attention_bias": false})),
		windowed: qwenWindowed,
		finish: func(c *reader, m *Config) {
			m.biases(c.flag("attention_bias"), c.flag("attention_bias"), false)
		},
	},
	"gemma": {
		layout: decoder(llamaSlots), causal: true, roped: true, offset: 1, legacyGELU: true,
		keys: withKeys(map[string]any{
			"vocab_size": 256000, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28, "num_attention_heads": 16,
			"num_key_value_heads": 16, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh", "max_position_embeddings": 8192,
			"tie_word_embeddings": true, "attention_bias": false,
		}),
		finish: gemma,
	},
	"gemma2": {
		layout: decoder(sandwichSlots), causal: true, roped: true, offset: 1,
		keys: withKeys(more(gemma2Keys, map[string]any{
			"vocab_size": 256000, "max_position_embeddings": 8192, "final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0,
		}), "hidden_act"),
		windowed: func(_ *reader, i int) bool { return i%2 == 0 },
		finish:   gemma,
	},
	"gemma3_text": {
		layout: decoder(more(sandwichSlots, headNorms)), causal: true, roped: true, offset: 1, nested: true,
		keys: withKeys(more(gemma2Keys, map[string]any{
			"vocab_size": 262208, "max_position_embeddings": 131072, "final_logit_softcapping": nil, "attn_logit_softcapping": nil,
			"sliding_window_pattern": 6, "rope_local_base_freq": nil,
		}), "hidden_act"),
		windowed: func(c *reader, i int) bool { return (i+1)%max(c.integer("sliding_window_pattern"), 1) != 0 },
		finish:   gemma,
	},
	"phi3": {
		layout: decoder(fusedSlots), causal: true, roped: true, partial: true,
		keys: withKeys(map[string]any{
			"vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192, "max_position_embeddings": 4096,
			"original_max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "sliding_window": nil,
		}),
		windowed: always,
	},
	"olmo2": {
		layout: decoder(outputNormSlots), causal: true, roped: true, wholeNorm: true,
		keys: withKeys(map[string]any{"vocab_size": 50304, "rms_norm_eps": 1e-5, "attention_bias": false}),
		finish: func(c *reader, m *Config) {
			m.biases(c.flag("attention_bias"), c.flag("attention_bias"), false)
		},
	},
	"olmo3": {
		layout: decoder(outputNormSlots), causal: true, roped: true, wholeNorm: true, nested: true,
		keys: withKeys(map[string]any{
			"vocab_size": 50304, "rms_norm_eps": 1e-5, "attention_bias": false, "sliding_window": 4096, "layer_types": nil,
		}),
		windowed: func(_ *reader, i int) bool { return (i+1)%4 != 0 },
		finish: func(c *reader, m *Config) {
			m.biases(c.flag("attention_bias"), c.flag("attention_bias"), false)
		},
	},
	"smollm3": {
		layout: decoder(llamaSlots), causal: true, roped: true,
		keys: withKeys(map[string]any{
			"vocab_size": 128256, "hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 4,
			"max_position_embeddings": 32768, "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false,
			"use_sliding_window": false, "sliding_window": nil, "layer_types": nil, "no_rope_layers": nil, "no_rope_layer_interval": 4,
		}),
		windowed: func(c *reader, i int) bool { return !c.rotates(i) },
		finish: func(c *reader, m *Config) {
			m.biases(c.flag("attention_bias"), c.flag("attention_bias"), c.flag("mlp_bias"))
			for i := range m.Layers {
				if !c.rotates(i) {
					m.Layers[i].RoPE = nil
				}
			}
		},
	},
	"granite": {
		layout: decoder(llamaSlots), causal: true, roped: true,
		keys: withKeys(map[string]any{
			"attention_bias": false, "mlp_bias": false,
			"embedding_multiplier": 1.0, "logits_scaling": 1.0, "residual_multiplier": 1.0, "attention_multiplier": 1.0,
		}),
		finish: func(c *reader, m *Config) {
			m.biases(c.flag("attention_bias"), c.flag("attention_bias"), c.flag("mlp_bias"))
			m.EmbeddingScale, m.ResidualScale = c.positive("embedding_multiplier"), c.positive("residual_multiplier")
			m.LogitScale = 1 / c.positive("logits_scaling")
			m.scale(c.positive("attention_multiplier"))
		},
	},
	"gpt2": {
		layout: gpt2Layout, causal: true, norm: kernels.LayerNorm,
		keys: map[string]any{
			"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": nil,
			"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": true,
			"scale_attn_weights": true, "scale_attn_by_inverse_layer_idx": false,
		},
		finish: func(c *reader, m *Config) {
			m.biases(true, true, true)
			for i := range m.Layers {
				if !c.flag("scale_attn_weights") {
					m.Layers[i].Scale = 1
				}
				if c.flag("scale_attn_by_inverse_layer_idx") {
					m.Layers[i].Scale /= float64(i + 1)
				}
			}
		},
	},
	"bert": {
		layout: bertLayout, norm: kernels.LayerNorm,
		keys:   more(encoderKeys, map[string]any{"vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2}),
		finish: func(c *reader, m *Config) { c.wholeHeads(m); m.biases(true, true, true) },
	},
	"vit": {
		layout: vitLayout, norm: kernels.LayerNorm,
		keys: more(encoderKeys, map[string]any{"image_size": 224, "patch_size": 16, "num_channels": 3, "qkv_bias": true}),
		finish: func(c *reader, m *Config) {
			c.wholeHeads(m)
			m.biases(c.flag("qkv_bias"), true, true)
			m.Image = Image{Size: c.count("image_size"), Patch: c.count("patch_size"), Channels: c.count("num_channels")}
			if c.err == nil && (m.Image.Size%m.Image.Patch != 0 || m.Image.Size > maxSize || m.Image.Channels > maxSize) {
				c.fail("image_size %d is no multiple of patch_size %d, or too large: %w", m.Image.Size, m.Image.Patch, ErrConfig)
			}
		},
	},
}

var (
	qwenKeys = map[string]any{
		"vocab_size": 151936, "intermediate_size": 22016, "num_key_value_heads": 32, "max_position_embeddings": 32768,
		"use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28, "layer_types": nil,
	}
	gemma2Keys = map[string]any{
		"hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
		"head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": true, "attention_bias": false,
		"query_pre_attn_scalar": 256, "sliding_window": 4096, "layer_types": nil,
	}
	encoderKeys = map[string]any{
		"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_act": "gelu",
		"layer_norm_eps": 1e-12,
	}
)

func always(*reader, int) bool { return true }

func qwenWindowed(c *reader, i int) bool { return i >= c.integer("max_window_layers") }

// gemma finishes the families of that name.
func gemma(c *reader, m *Config) {
	m.biases(c.flag("attention_bias"), c.flag("attention_bias"), false)
	m.EmbeddingScale = rootOf(m.Width)
	if c.heeds("query_pre_attn_scalar") {
		c.wholeHeads(m)
		m.scale(1 / rootOf(c.count("query_pre_attn_scalar")))
		m.SoftCap, m.LogitCap = c.cap("attn_logit_softcapping"), c.cap("final_logit_softcapping")
	}
	// transformers passes it over in Gemma 3, where its authors did not use it either.
	if c.nested && m.SoftCap != 0 {
		c.refuse("attn_logit_softcapping", m.SoftCap)
	}
}

// spellings are other names of a model_type, of whole models whose text part is
// the family.
var spellings = map[string]string{"gemma3": "gemma3_text"}

// refusedTypes are model_types that are known and not run here, with the reason.
var refusedTypes = reasons(map[string][]string{
	"a mixture of experts": {
		"mixtral", "qwen2_moe", "qwen3_moe", "qwen3_next", "deepseek_v2", "deepseek_v3", "olmoe", "granitemoe", "gpt_oss", "phimoe",
		"llama4", "llama4_text", "dbrx", "jamba", "glm4_moe", "minimax", "ernie4_5_moe", "flex_olmo", "jetmoe", "hunyuan_v1_moe",
	},
	"not a stack of attention blocks alone": {
		"mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma", "bamba", "zamba", "zamba2", "nemotron_h", "granitemoehybrid", "lfm2",
	},
	"an encoder with a decoder":                            {"t5", "mt5", "bart", "mbart", "pegasus", "whisper", "marian", "t5gemma"},
	"a model with inputs to each layer besides the states": {"gemma3n", "gemma3n_text", "gemma4", "gemma4_text"},
})

func reasons(types map[string][]string) map[string]string {
	out := map[string]string{}
	for reason, names := range types {
		for _, n := range names {
			out[n] = reason
		}
	}
	return out
}

// Families returns the model_types that are run here, sorted.
func Families() []string {
	return slices.Sorted(maps.Keys(families))
}
