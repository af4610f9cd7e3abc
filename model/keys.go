package model

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

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
		case c.heeds(k) || v == nil:
		case k == "max_position_embeddings" && c.heeds("n_positions"):
			c.refuse(k+" beside n_positions", v) // the reference takes it for the same
		case inert[k]:
		case neutral(v) && k != "is_causal" && k != "sliding_window": // false and 0 say something there
		case k == "is_causal" && v == c.causal || k == "is_decoder" && v == true && c.causal:
		case slices.Contains(harmless[k], v):
		case k == "sliding_window" && c.values["use_sliding_window"] == false:
		case k == "original_max_position_embeddings" && c.roped && c.sameOriginal(v):
		case k == "layer_types" && c.windowed == nil && allFull(v, m.Blocks):
		case telling[k] || heededBySome[k]:
			c.refuse(k, v)
		default:
			m.Passed = append(m.Passed, k)
		}
	}
}

// allFull reports whether layer_types says nothing but full attention, of each
// block.
func allFull(v any, blocks int) bool {
	list, ok := v.([]any)
	return ok && len(list) == blocks && !slices.ContainsFunc(list, func(kind any) bool { return kind != fullAttention })
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
