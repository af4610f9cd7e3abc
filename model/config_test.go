package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// tiny returns a config.json of a small Llama with changes.
func tiny(change string) []byte {
	base := `"model_type":"llama","vocab_size":40,"hidden_size":16,"intermediate_size":24,"num_hidden_layers":2,"num_attention_heads":4,"rms_norm_eps":1e-5`
	if change != "" {
		base += "," + change // of two equal keys the last counts, in Python too
	}
	return []byte("{" + base + "}")
}

func TestRefusedConfigs(t *testing.T) {
	nested := strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000)
	for _, c := range []struct {
		text     string
		sentinel error
		mentions string
	}{
		{"", ErrConfig, "EOF"},
		{"[]", ErrConfig, "array"},
		{"null", ErrConfig, "null"},
		{"{} {}", ErrConfig, "follows"},
		{"{}", ErrConfig, "no model_type"},
		{nested, ErrConfig, ""},
		{strings.Repeat(" ", maxConfig+1), ErrConfig, "at most"},
		{`{"model_type":7}`, ErrConfig, "no model_type"},
		{`{"model_type":"mixtral"}`, ErrUnsupported, "mixture of experts"},
		{`{"model_type":"mamba"}`, ErrUnsupported, "mamba"},
		{`{"model_type":"t5"}`, ErrUnsupported, "decoder"},
		{`{"model_type":"gemma3n"}`, ErrUnsupported, "dump.py"},
		{`{"model_type":"nosuch"}`, ErrUnsupported, `"nosuch" is not known; these are: bert, `},
		{`{"model_type":"llava","text_config":{"model_type":"llama"}}`, ErrUnsupported, "llava"},
		{string(tiny(`"quantization_config":{"quant_method":"gptq"}`)), ErrUnsupported, "gptq"},
		{string(tiny(`"quantization_config":{"bits":4}`)), ErrUnsupported, "unnamed"},
		{string(tiny(`"quantization_config":7`)), ErrConfig, "quantization_config"},
		{string(tiny(`"compression_config":{"quant_method":"compressed-tensors"}`)), ErrUnsupported, "compressed-tensors"},
		{`{"model_type":"gemma3","text_config":{"quantization_config":{"quant_method":"awq"}}}`, ErrUnsupported, "awq"},
		{`{"model_type":"gemma3","tie_word_embeddings":true,"text_config":{"tie_word_embeddings":false}}`, ErrConfig, "text_config"},
		{string(tiny(`"hidden_size":16.0`)), ErrConfig, "hidden_size is 16.0"},
		{string(tiny(`"hidden_size":"16"`)), ErrConfig, `hidden_size is "16"`},
		{string(tiny(`"hidden_size":0`)), ErrConfig, "hidden_size"},
		{string(tiny(`"hidden_size":-16`)), ErrConfig, "hidden_size"},
		{string(tiny(`"hidden_size":16777217`)), ErrConfig, "hidden_size"},
		{string(tiny(`"hidden_size":null`)), ErrConfig, "hidden_size is null"},
		{string(tiny(`"num_hidden_layers":4097`)), ErrConfig, "4097 blocks"},
		{string(tiny(`"num_attention_heads":3`)), ErrConfig, "multiple of 3"},
		{string(tiny(`"num_key_value_heads":3`)), ErrConfig, "3 key heads"},
		{string(tiny(`"head_dim":3`)), ErrConfig, "even"},
		{string(tiny(`"num_attention_heads":16,"head_dim":16777216`)), ErrConfig, "16 heads of 16777216"},
		{string(tiny(`"rms_norm_eps":0`)), ErrConfig, "rms_norm_eps"},
		{string(tiny(`"rms_norm_eps":1e999`)), ErrConfig, "rms_norm_eps"},
		{string(tiny(`"rms_norm_eps":true`)), ErrConfig, "rms_norm_eps is true"},
		{string(tiny(`"hidden_act":"quick_gelu"`)), ErrUnsupported, "quick_gelu"},
		{string(tiny(`"hidden_act":7`)), ErrConfig, "hidden_act is 7"},
		{string(tiny(`"hidden_activation":"relu"`)), ErrConfig, "which one counts"},
		{string(tiny(`"tie_word_embeddings":1`)), ErrConfig, "true or false"},
		{string(tiny(`"attention_bias":null`)), ErrConfig, "attention_bias"},
		{string(tiny(`"sliding_window":8`)), ErrUnsupported, "sliding_window is 8"},
		{string(tiny(`"layer_types":["full_attention","sliding_attention"]`)), ErrUnsupported, "layer_types"},
		{string(tiny(`"layer_types":"full_attention"`)), ErrUnsupported, "layer_types"},
		{`{"model_type":"mistral","layer_types":["full_attention"]}`, ErrUnsupported, "layer_types"},
		{string(tiny(`"attention_multiplier":0.5`)), ErrUnsupported, "attention_multiplier"},
		{string(tiny(`"num_local_experts":8`)), ErrUnsupported, "num_local_experts"},
		{string(tiny(`"pruned_heads":{"1":[2]}`)), ErrUnsupported, "pruned_heads"},
		{string(tiny(`"position_embedding_type":"relative_key"`)), ErrUnsupported, "relative_key"},
		{string(tiny(`"is_causal":false`)), ErrUnsupported, "is_causal"},
		{string(tiny(`"original_max_position_embeddings":9,"rope_scaling":{"type":"linear","factor":2}`)), ErrUnsupported, "original_max"},
		{string(tiny(`"num_experts":"` + strings.Repeat("x", 100) + `"`)), ErrUnsupported, "a value of 102 characters"},
		{`{"model_type":"bert","is_decoder":true}`, ErrUnsupported, "is_decoder"},
		{`{"model_type":"gpt2","max_position_embeddings":64}`, ErrUnsupported, "n_positions"},
		{`{"model_type":"gpt2","hidden_size":16}`, ErrUnsupported, "hidden_size"},
		{`{"model_type":"vit","image_size":30,"patch_size":16}`, ErrConfig, "30 is no multiple"},
		{`{"model_type":"vit","image_size":[32,32]}`, ErrConfig, "image_size"},
		{`{"model_type":"vit","num_attention_heads":5}`, ErrConfig, "multiple of 5"},
		{`{"model_type":"granite","logits_scaling":0}`, ErrConfig, "logits_scaling"},
		{`{"model_type":"gemma2","attn_logit_softcapping":-1}`, ErrConfig, "softcapping"},
		{`{"model_type":"gemma2","sliding_window":null}`, ErrConfig, "no window"},
		{`{"model_type":"gemma2","num_attention_heads":7}`, ErrConfig, "7 heads"},
		{`{"model_type":"gemma3_text","attn_logit_softcapping":5.0}`, ErrUnsupported, "softcapping"},
		{`{"model_type":"qwen2","layer_types":"full_attention"}`, ErrConfig, "layer_types"},
		{`{"model_type":"qwen2","layer_types":["full_attention"]}`, ErrConfig, "1 entries for 32"},
		{`{"model_type":"qwen2","head_dim":null}`, ErrConfig, "head_dim is null"},
		{`{"model_type":"smollm3","no_rope_layers":[1,1]}`, ErrConfig, "no_rope_layers"},
		{`{"model_type":"smollm3","num_hidden_layers":2,"no_rope_layers":[1,2]}`, ErrConfig, "no_rope_layers[1]"},
		{`{"model_type":"smollm3","no_rope_layers":7}`, ErrConfig, "no_rope_layers"},
	} {
		_, err := ParseConfig([]byte(c.text))
		if !errors.Is(err, c.sentinel) || !strings.Contains(err.Error(), c.mentions) {
			t.Errorf("%.120s: %v", c.text, err)
		} else if !strings.HasPrefix(err.Error(), "model: config.json: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.120s: %q", c.text, err)
		}
	}
}

func TestRefusedRoPE(t *testing.T) {
	for params, mentions := range map[string]string{
		`"rope_parameters":7`:      "an object",
		`"rope_scaling":"dynamic"`: "an object",
		`"rope_scaling":{"type":"linear","factor":2},"rope_parameters":{"rope_type":"default"}`: "both",
		`"rope_scaling":{"type":"nosuch"}`:                                                                           "nosuch",
		`"rope_scaling":{"type":"linear"}`:                                                                           "factor is null",
		`"rope_scaling":{"type":"linear","factor":0}`:                                                                "factor is 0",
		`"rope_scaling":{"type":"linear","factor":"2"}`:                                                              "a number",
		`"rope_scaling":{"type":"linear","factor":2,"alpha":3}`:                                                      "alpha with rope_type linear",
		`"rope_parameters":{"rope_type":"default","factor":2.0}`:                                                     "factor with rope_type default",
		`"rope_parameters":{"rope_theta":1.0}`:                                                                       "rope_theta is 1",
		`"rope_theta":-5`:                                                                                            "rope_theta is -5",
		`"rope_theta":"1e4"`:                                                                                         "a number",
		`"partial_rotary_factor":0.5`:                                                                                "partial_rotary_factor",
		`"rope_parameters":{"partial_rotary_factor":0.5}`:                                                            "partial_rotary_factor",
		`"rope_parameters":{"full_attention":{"rope_type":"default"}}`:                                               "full_attention",
		`"rope_scaling":{"type":"llama3","factor":8}`:                                                                "low_freq_factor",
		`"rope_scaling":{"type":"linear","factor":4e-320}`:                                                           "frequency",
		`"rope_scaling":{"type":"yarn","factor":2,"truncate":1}`:                                                     "truncate",
		`"rope_scaling":{"type":"yarn","factor":2,"attention_factor":0}`:                                             "attention_factor",
		`"rope_scaling":{"type":"yarn","factor":2,"original_max_position_embeddings":0}`:                             "original_max",
		`"rope_scaling":{"type":"longrope","short_factor":[1],"long_factor":[1]}`:                                    "1 entries for 2",
		`"rope_scaling":{"type":"longrope","short_factor":[1,0],"long_factor":[1,1]}`:                                "short_factor[1]",
		`"rope_scaling":{"type":"longrope","short_factor":[1,1],"long_factor":[1,"x"]}`:                              "long_factor[1]",
		`"rope_scaling":{"type":"dynamic","factor":2},"head_dim":2,"num_attention_heads":8,"num_key_value_heads":8`:  "head of 2",
		`"model_type":"phi3","rope_scaling":{"type":"linear","factor":2}`:                                            "linear",
		`"model_type":"phi3","partial_rotary_factor":1.5`:                                                            "1.5",
		`"model_type":"phi3","partial_rotary_factor":0.1`:                                                            "0.1",
		`"model_type":"gemma3_text","rope_parameters":{"rope_type":"default"}`:                                       "rope_type",
		`"model_type":"gemma3_text","rope_parameters":{"full_attention":7}`:                                          "full_attention",
		`"model_type":"gemma3_text","rope_scaling":{"type":"linear","factor":2}`:                                     "linear",
		`"model_type":"olmo3","rope_theta":7`:                                                                        "rope_theta",
		`"model_type":"olmo3","num_hidden_layers":4,"rope_scaling":{"rope_type":"yarn","factor":2,"truncate":false}`: "truncate",
	} {
		_, err := ParseConfig(tiny(params))
		if err == nil || !strings.Contains(err.Error(), mentions) || !errors.Is(err, ErrConfig) && !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", params, err)
		}
	}
}

// The defaults and special cases that no golden checkpoint has.
func TestResolvedConfigs(t *testing.T) {
	for _, c := range []struct {
		text string
		is   func(m *Config) bool
	}{
		{string(tiny(``)), func(m *Config) bool {
			return m.KVHeads == 4 && m.HeadDim == 4 && m.Activation == kernels.SiLU && !m.Tied && m.MaxPositions == 2048 && m.Causal &&
				len(m.Layers) == 2 && m.Layers[1].RoPE.InvFreq[1] == 0.01 && m.Layers[0].Scale == 0.5 && len(m.Passed) == 0
		}},
		{string(tiny(`"strange":1,"also_strange":{"a":2},"torch_dtype":"bfloat16","mlp_only_layers":[]`)), func(m *Config) bool {
			return slices.Equal(m.Passed, []string{"also_strange", "strange"})
		}},
		{string(tiny(`"is_decoder":true,"is_causal":true,"sliding_window":8,"use_sliding_window":false`)), func(m *Config) bool { return m.Layers[0].Window == 0 }},
		{string(tiny(`"original_max_position_embeddings":9,"rope_scaling":{"type":"yarn","factor":2,"original_max_position_embeddings":9}`)), func(m *Config) bool {
			return m.Layers[0].RoPE.Kind == "yarn" && math.Abs(m.Layers[0].RoPE.Scale-(0.1*math.Log(2)+1)) < 1e-15
		}},
		{string(tiny(`"rope_scaling":{"type":"yarn","factor":null,"original_max_position_embeddings":1024}`)), func(m *Config) bool {
			return math.Abs(m.Layers[0].RoPE.Scale-(0.1*math.Log(2)+1)) < 1e-15
		}},
		{string(tiny(`"rope_scaling":{"type":"yarn","factor":0.5}`)), func(m *Config) bool { return m.Layers[0].RoPE.Scale == 1 }},
		{string(tiny(`"rope_scaling":{"type":"longrope","factor":0.5,"short_factor":[1,1],"long_factor":[1,1]}`)), func(m *Config) bool { return m.Layers[0].RoPE.Scale == 1 }},
		{string(tiny(`"rope_scaling":{"type":"longrope","attention_factor":3,"short_factor":[1,1],"long_factor":[1,1]}`)), func(m *Config) bool { return m.Layers[0].RoPE.Scale == 3 }},
		{string(tiny(`"rope_scaling":{},"rope_theta":100`)), func(m *Config) bool { return m.Layers[0].RoPE.InvFreq[1] == 0.1 }},
		{string(tiny(`"quantization_config":{}`)), func(m *Config) bool { return m.Blocks == 2 }},
		{string(tiny(`"layer_types":["full_attention","full_attention"]`)), func(m *Config) bool { return m.Layers[1].Window == 0 }},
		{`{"model_type":"mistral"}`, func(m *Config) bool { return m.Layers[31].Window == 4096 && m.KVHeads == 8 && m.Inner == 14336 }},
		{`{"model_type":"qwen2"}`, func(m *Config) bool { return m.Layers[31].Window == 0 && m.QueryBias && !m.OutputBias && !m.MLPBias }},
		{`{"model_type":"qwen2","use_sliding_window":true}`, func(m *Config) bool { return m.Layers[27].Window == 0 && m.Layers[28].Window == 4096 }},
		{`{"model_type":"gemma","hidden_act":"gelu","hidden_activation":null}`, func(m *Config) bool { return m.Activation == kernels.GELUTanh && m.Offset == 1 }},
		{`{"model_type":"gemma2"}`, func(m *Config) bool {
			return m.Layers[0].Window == 4096 && m.Layers[1].Window == 0 && m.SoftCap == 50 && m.LogitCap == 30 && m.Layers[0].Scale == 1.0/16
		}},
		{`{"model_type":"gemma3","text_config":{"hidden_size":2560,"num_hidden_layers":34,"rope_scaling":{"factor":8.0,"rope_type":"linear"},"sliding_window":1024}}`, func(m *Config) bool {
			return m.Type == "gemma3_text" && m.Width == 2560 && m.Heads == 8 && m.Layers[5].Window == 0 && m.Layers[4].Window == 1024 && m.Tied &&
				m.Layers[5].RoPE.Kind == "linear" && m.Layers[4].RoPE.Kind == "default" &&
				m.Layers[5].RoPE.InvFreq[0] == 0.125 && math.Abs(m.Layers[4].RoPE.InvFreq[64]-0.01) < 1e-15 && math.Abs(m.Layers[5].RoPE.InvFreq[64]-0.000125) < 1e-15
		}},
		{`{"model_type":"gemma3","tie_word_embeddings":false,"text_config":{"model_type":"gemma3_text"}}`, func(m *Config) bool { return !m.Tied }},
		{`{"model_type":"olmo3"}`, func(m *Config) bool { return m.Layers[2].Window == 4096 && m.Layers[3].Window == 0 }},
		{`{"model_type":"smollm3"}`, func(m *Config) bool {
			return m.Layers[2].RoPE != nil && m.Layers[3].RoPE == nil && math.Abs(m.Layers[2].RoPE.InvFreq[32]-1/math.Sqrt(2e6)) < 1e-12
		}},
		{`{"model_type":"smollm3","num_hidden_layers":2,"no_rope_layers":[0,1]}`, func(m *Config) bool { return m.Layers[0].RoPE == nil && m.Layers[1].RoPE != nil }},
		{`{"model_type":"gpt2"}`, func(m *Config) bool { return m.Inner == 3072 && m.Layers[11].Scale == 0.125 && m.Layers[0].RoPE == nil }},
		{`{"model_type":"gpt2","scale_attn_weights":false,"scale_attn_by_inverse_layer_idx":true}`, func(m *Config) bool { return m.Layers[0].Scale == 1 && m.Layers[3].Scale == 0.25 }},
		{`{"model_type":"bert","position_embedding_type":"absolute","is_causal":false}`, func(m *Config) bool { return !m.Causal && m.Types == 2 && m.Epsilon == 1e-12 }},
		{`{"model_type":"vit","qkv_bias":false}`, func(m *Config) bool { return m.Image.Patches() == 196 && !m.QueryBias && m.OutputBias }},
		{`{"model_type":"phi3","rope_scaling":{"type":"su","short_factor":[` + strings.Repeat("1,", 47) + `1],"long_factor":[` + strings.Repeat("2,", 47) + `2]}}`, func(m *Config) bool {
			r := m.Layers[0].RoPE
			return r.Kind == "longrope" && r.Original == 4096 && r.Long[0] == 0.5 && &r.Frequencies(4096)[0] == &r.InvFreq[0] && &r.Frequencies(4097)[0] == &r.Long[0]
		}},
	} {
		m, err := ParseConfig([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
		} else if !c.is(m) {
			t.Errorf("%s: %+v, layers %+v, RoPE %+v", c.text, m, m.Layers[0], m.Layers[0].RoPE)
		}
	}
}

// Both spellings of a configuration come to the same.
func TestSpellings(t *testing.T) {
	pairs := [][2]string{
		{`"rope_theta":500.0`, `"rope_parameters":{"rope_type":"default","rope_theta":500.0}`},
		{`"rope_theta":500.0,"rope_scaling":{"type":"linear","factor":4}`, `"rope_parameters":{"rope_type":"linear","factor":4.0,"rope_theta":5e2}`},
		{`"rope_scaling":null`, `"rope_parameters":{"rope_type":"default"}`},
		{`"rope_theta":500.0,"rope_parameters":{"rope_type":"default"}`, `"rope_theta":7.0,"rope_parameters":{"rope_theta":500.0}`},
	}
	for _, p := range pairs {
		var text [2]string
		for i := range p {
			m, err := ParseConfig(tiny(p[i]))
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			text[i] = string(b)
		}
		if text[0] != text[1] {
			t.Errorf("%s and %s differ:\n%s\n%s", p[0], p[1], text[0], text[1])
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, name := range goldens {
		text, err := os.ReadFile(filepath.Join("testdata", name, "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add(tiny(`"rope_scaling":{"type":"yarn","factor":2,"beta_fast":0,"truncate":false}`))
	f.Add([]byte(`{"model_type":"gemma3","text_config":{"rope_scaling":{"factor":8.0,"rope_type":"linear"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseConfig(text)
		if err != nil {
			if !errors.Is(err, ErrConfig) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("no sentinel: %v", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("more than a line: %q", err)
			}
			return
		}
		if m.Blocks != len(m.Layers) || m.Heads%m.KVHeads != 0 || !(m.Epsilon > 0) || m.Width < 1 || m.Inner < 1 || m.HeadDim < 1 {
			t.Fatalf("%+v", m)
		}
		for i, l := range m.Layers {
			if l.Window < 0 || !(l.Scale > 0) || math.IsInf(l.Scale, 0) {
				t.Fatalf("layer %d: %+v", i, l)
			}
			if l.RoPE == nil {
				continue
			}
			if n := len(l.RoPE.InvFreq); n < 1 || n > m.HeadDim/2 || l.RoPE.Long != nil && len(l.RoPE.Long) != n {
				t.Fatalf("layer %d: %+v", i, l.RoPE)
			}
			for _, v := range l.RoPE.InvFreq {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("layer %d: %+v", i, l.RoPE)
				}
			}
		}
		_ = fmt.Sprint(m.Image)
	})
}
