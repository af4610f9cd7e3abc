package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/cambium-kernels/cambium/kernels"
)

// Limits of a configuration. They keep every product of two sizes within an int
// of 64 bits, and memory for the description of a model small.
const (
	maxSize   = 1 << 24
	maxBlocks = 4096
	maxConfig = 16 << 20 // bytes of config.json
)

// A Config is what a configuration comes to: numbers, with every default filled in.
type Config struct {
	Type         string // model_type
	Blocks       int    // L
	Width        int    // of a hidden state
	Heads        int    // of queries
	KVHeads      int    // of keys and values
	HeadDim      int
	Inner        int // width of the MLP
	Vocabulary   int
	MaxPositions int // tokens of a sequence at most where positions are learned; else what the model was made for

	Norm       kernels.NormKind
	Offset     float64 // added to the norms' weights
	Epsilon    float64
	Activation kernels.Activation
	Causal     bool
	Layers     []Layer // one per block

	SoftCap        float64 // of attention scores; 0: none
	EmbeddingScale float64
	ResidualScale  float64 // on what a block adds
	LogitScale     float64
	LogitCap       float64 // 0: none
	Tied           bool    // the head is the embedding
	Image          Image   // of models that see images

	QueryBias, OutputBias, MLPBias bool // the linear maps that have one; of the attention: queries, keys and values

	Types int // token types; 0: none
	// Passed are keys that are not known to matter, sorted. transformers passes
	// them over as well.
	Passed []string
}

// A Layer is what may differ between the blocks of one model.
type Layer struct {
	Window int // 0: none; else a query sees keys at position > its own − Window
	RoPE   *RoPE
	Scale  float64 // on queries·keys
}

// An Image is the input of a vision model: Size x Size in Channels, cut into
// squares of Patch.
type Image struct{ Size, Patch, Channels int }

// Patches returns the number of patches.
func (i Image) Patches() int { return (i.Size / i.Patch) * (i.Size / i.Patch) }

// ParseConfig reads the text of a config.json, in the spelling of transformers 4
// or 5. Errors: [ErrUnsupported] for what is not run here, [ErrConfig] for what
// contradicts itself.
func ParseConfig(text []byte) (*Config, error) {
	m, _, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("model: config.json: %w", err)
	}
	return m, nil
}

func parseConfig(text []byte) (*Config, *family, error) {
	values, err := decode(text)
	if err != nil {
		return nil, nil, err
	}
	if err := refuseQuantized(values); err != nil {
		return nil, nil, err
	}
	if values, err = textPart(values); err != nil {
		return nil, nil, err
	}
	kind, _ := values["model_type"].(string)
	f, err := familyOf(kind)
	if err != nil {
		return nil, nil, err
	}
	c := &reader{family: f, values: values}
	m := c.read(kind)
	if c.err != nil {
		return nil, nil, c.err
	}
	return m, f, nil
}

// decode reads one JSON object; numbers stay as they are written.
func decode(text []byte) (map[string]any, error) {
	if len(text) > maxConfig {
		return nil, fmt.Errorf("%d bytes, %d at most: %w", len(text), maxConfig, ErrConfig)
	}
	var values map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&values); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("something follows the end of the object: %w", ErrConfig)
	}
	if values == nil {
		return nil, fmt.Errorf("null where an object was expected: %w", ErrConfig)
	}
	return values, nil
}

// familyOf looks a model_type up.
func familyOf(kind string) (*family, error) {
	if f := families[kind]; f != nil {
		return f, nil
	}
	switch reason := refusedTypes[kind]; {
	case kind == "":
		return nil, fmt.Errorf("there is no model_type: %w", ErrConfig)
	case reason != "":
		return nil, fmt.Errorf("model_type %q is %s, which is not run here: %w (%s)", kind, reason, ErrUnsupported, WayRound)
	}
	return nil, fmt.Errorf("model_type %q is not known; these are: %s: %w (%s)",
		kind, strings.Join(Families(), ", "), ErrUnsupported, WayRound)
}

// refuseQuantized refuses weights that are packed in a way of their own.
func refuseQuantized(values map[string]any) error {
	for _, k := range []string{"quantization_config", "compression_config"} {
		q, ok := values[k].(map[string]any)
		if !ok || len(q) == 0 {
			if neutral(values[k]) {
				continue
			}
			return fmt.Errorf("%s is %v: %w", k, values[k], ErrConfig)
		}
		method, _ := q["quant_method"].(string)
		if method == "" {
			method = "an unnamed method"
		}
		return fmt.Errorf("the weights are quantized by %s, which is not read here: %w (take the unquantized model, or %s)", method, ErrUnsupported, WayRound)
	}
	return nil
}

// textPart returns the configuration of the text model within that of a model
// with other inputs besides.
func textPart(values map[string]any) (map[string]any, error) {
	inner, ok := values["text_config"].(map[string]any)
	if !ok {
		return values, nil
	}
	outer, _ := values["model_type"].(string)
	kind, known := spellings[outer]
	if !known {
		return values, nil // to be refused by its name
	}
	if err := refuseQuantized(inner); err != nil {
		return nil, err
	}
	inner = maps.Clone(inner)
	if _, ok := inner["model_type"]; !ok {
		inner["model_type"] = kind
	}
	// The outer one counts for the whole model.
	if tied, ok := values["tie_word_embeddings"]; ok {
		if own, ok := inner["tie_word_embeddings"]; ok && own != tied {
			return nil, fmt.Errorf("tie_word_embeddings is %v, and %v in text_config: %w", tied, own, ErrConfig)
		}
		inner["tie_word_embeddings"] = tied
	}
	return inner, nil
}

// A reader takes values out of a configuration. After the first error values are
// zero, so that it is looked at once, at the end.
type reader struct {
	*family
	values map[string]any
	err    error
}

func (c *reader) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *reader) refuse(key string, v any) {
	c.fail("%s is %s, which is not run here: %w (%s)", key, shown(v), ErrUnsupported, WayRound)
}

// shown is a value in an error.
func shown(v any) string {
	const most = 60
	b, err := json.Marshal(v)
	if err != nil || len(b) > most {
		return fmt.Sprintf("a value of %d characters", len(b))
	}
	return string(b)
}

// heeds reports whether the key means something to the family.
func (c *reader) heeds(key string) bool {
	_, ok := c.keys[key]
	return ok
}

// get returns a value, or the default of one that is absent; nil for null.
func (c *reader) get(key string) any {
	if v, ok := c.values[key]; ok && c.heeds(key) {
		return v
	}
	return c.keys[key]
}

// wrong records a value of the wrong kind.
func (c *reader) wrong(key, want string, v any) {
	c.fail("%s is %s, want %s: %w", key, shown(v), want, ErrConfig)
}

// integer returns a whole number from 0 to maxSize; 0 for null.
func (c *reader) integer(key string) int {
	n, ok := wholeNumber(c.get(key))
	if !ok && c.get(key) != nil {
		c.wrong(key, fmt.Sprintf("a whole number from 0 to %d", maxSize), c.get(key))
	}
	return n
}

// wholeNumber converts a value; floats that happen to be whole are none.
func wholeNumber(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case json.Number:
		n, err := v.Int64()
		return int(n), err == nil && 0 <= n && n <= maxSize
	}
	return 0, false
}

// count returns a whole number of 1 or more.
func (c *reader) count(key string) int {
	n := c.integer(key)
	if n < 1 {
		c.fail("%s is %s, want a whole number of 1 or more: %w", key, shown(c.get(key)), ErrConfig)
		return 1
	}
	return n
}

// finiteNumber converts a value.
func finiteNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	case json.Number:
		x, err := v.Float64()
		return x, err == nil
	}
	return 0, false
}

// positive returns a finite number above 0.
func (c *reader) positive(key string) float64 {
	x, ok := finiteNumber(c.get(key))
	if !ok || !(x > 0) {
		c.wrong(key, "a number above 0", c.get(key))
		return 1
	}
	return x
}

// cap returns a number above 0, or 0 for null.
func (c *reader) cap(key string) float64 {
	if c.get(key) == nil {
		return 0
	}
	return c.positive(key)
}

// flag returns a truth value.
func (c *reader) flag(key string) bool {
	b, ok := c.get(key).(bool)
	if !ok {
		c.wrong(key, "true or false", c.get(key))
	}
	return b
}

// first returns the first of the keys that the family heeds.
func (c *reader) first(keys ...string) string {
	for _, k := range keys {
		if c.heeds(k) {
			return k
		}
	}
	return keys[0]
}

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
	case m.HeadDim > maxSize/m.Heads:
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

// inert are keys that change no state: of training, generation, the making of
// the file.
var inert = keySet(`
	_attn_implementation _attn_implementation_autoset _from_model_config _name_or_path _sliding_window_pattern _num_labels
	add_bos_token add_eos_token architectures attention_dropout attention_probs_dropout_prob attn_implementation attn_pdrop
	auto_map bad_words_ids begin_suppress_tokens bos_token_id cache_implementation chunk_size_feed_forward classifier_dropout
	decoder_start_token_id diversity_penalty do_sample dtype early_stopping embd_pdrop encoder_no_repeat_ngram_size
	encoder_stride eos_token_id exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id
	gradient_checkpointing hidden_dropout hidden_dropout_prob id2label initializer_range is_llama_config label2id
	length_penalty max_length max_window_layers min_length no_repeat_ngram_size num_beam_groups num_beams num_labels
	num_return_sequences output_attentions output_hidden_states output_scores pad_token_id pooler_act pooler_fc_size
	pooler_num_attention_heads pooler_num_fc_layers pooler_output_size pooler_size_per_head pooler_type prefix
	pretraining_tp problem_type remove_invalid_values reorder_and_upcast_attn repetition_penalty resid_pdrop return_dict
	return_dict_in_generate rope_interleaved sep_token_id summary_activation summary_first_dropout summary_proj_to_labels
	summary_type summary_use_proj suppress_tokens task_specific_params temperature tf_legacy_loss tie_encoder_decoder
	tokenizer_class top_k top_p torch_dtype torchscript transformers.js_config transformers_version typical_p unsloth_fixed
	unsloth_version use_bfloat16 use_cache model_type text_config vision_config directionality use_sliding_window
	vocab_size tie_word_embeddings max_position_embeddings type_vocab_size layer_norm_eps rms_norm_eps layer_norm_epsilon
	hidden_act hidden_activation activation_function`)

// telling are keys that no family here heeds and that change the numbers where
// one does.
var telling = keySet(`
	add_cross_attention alibi altup_num_inputs attention_chunk_size attn_temperature_tuning clip_qkv cross_attention_layers
	first_k_dense_replace is_causal is_decoder is_encoder_decoder kv_lora_rank laurel_rank layernorm_type moe_intermediate_size
	moe_layer_freq multi_query n_routed_experts n_shared_experts num_experts num_experts_per_tok num_local_experts
	position_embedding_type pruned_heads q_lora_rank qk_layernorm qk_norm rotary_pct parallel_attn use_alibi
	use_bidirectional_attention use_parallel_residual use_qk_norm`)

func keySet(list string) map[string]bool {
	out := map[string]bool{}
	for _, k := range strings.Fields(list) {
		out[k] = true
	}
	return out
}

// heededBySome are all keys of the table: in a model whose family does not heed
// one, somebody has put it there for a reason.
var heededBySome = func() map[string]bool {
	out := map[string]bool{}
	for _, f := range families {
		for k := range f.keys {
			out[k] = true
		}
	}
	return out
}()

// harmless are values with which a key that is not heeded changes nothing.
var harmless = map[string][]any{
	"position_embedding_type": {"absolute"},
	"residual_multiplier":     {json.Number("1"), json.Number("1.0")},
	"embedding_multiplier":    {json.Number("1"), json.Number("1.0")},
	"logits_scaling":          {json.Number("1"), json.Number("1.0")},
	"partial_rotary_factor":   {json.Number("1"), json.Number("1.0")},
	"rotary_pct":              {json.Number("1"), json.Number("1.0")},
}

// passOver sorts out the keys that the family does not heed: those that would
// change the numbers are refused, the rest is noted.
func (c *reader) passOver(m *Config) {
	for _, k := range slices.Sorted(maps.Keys(c.values)) {
		v := c.values[k]
		switch {
		case c.heeds(k) || inert[k] || v == nil:
		case neutral(v) && k != "is_causal" && k != "sliding_window": // false and 0 say something there
		case k == "is_causal" && v == c.causal || k == "is_decoder" && v == true && c.causal:
		case slices.Contains(harmless[k], v):
		case k == "sliding_window" && c.values["use_sliding_window"] == false:
		case k == "original_max_position_embeddings" && c.roped && c.sameOriginal(v):
		case telling[k] || heededBySome[k]:
			c.refuse(k, v)
		default:
			m.Passed = append(m.Passed, k)
		}
	}
}

// neutral reports whether v is nothing: null, false, 0, or empty.
func neutral(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case json.Number:
		x, err := v.Float64()
		return err == nil && x == 0
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}
