#!/usr/bin/env python3
"""Write the checkpoints and reference states that the tests of package model compare with.

    python golden.py [NAME...]

For each case: NAME/config.json and NAME/model.safetensors, a tiny model with random weights, and
NAME/reference.safetensors with input_ids (or pixel_values), hidden_states.0 to hidden_states.L as hooks on the blocks
see them, logits of the first sequence and its loss. For most families also NAME/variants.json: corruptions of its
config.json, each with what transformers makes of it, and the last states in NAME/variants.safetensors.

The models are built so that a fault shows: a head dimension that is not width/heads, grouped heads, windows shorter than
the text, norms and biases with random weights. Made with torch 2.15.0 and transformers 5.23.0; seeded, so that another
run writes the same weights.
"""
import copy
import json
import logging
import os
import sys
import tempfile
import warnings

import torch
import transformers as tf
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
tf.logging.set_verbosity(logging.CRITICAL)
tf.logging.disable_progress_bar()
torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))

BASE = dict(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
            max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
KV = dict(num_key_value_heads=2, head_dim=6)
LLAMA3 = dict(rope_type="llama3", rope_theta=5e5, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
SLIDING, FULL = "sliding_attention", "full_attention"
GEMMA3_ROPE = {FULL: dict(rope_type="linear", factor=8.0, rope_theta=1e6), SLIDING: dict(rope_type="default", rope_theta=1e4)}
OLMO3_ROPE = {FULL: dict(rope_type="yarn", rope_theta=5e5, factor=8.0, original_max_position_embeddings=16),
              SLIDING: dict(rope_type="default", rope_theta=5e5)}

CASES = {
    "llama": (tf.LlamaConfig(**BASE, **KV), tf.LlamaForCausalLM),
    "llama_llama3": (tf.LlamaConfig(**BASE, **KV, rope_parameters=LLAMA3, attention_bias=True, mlp_bias=True,
                                    tie_word_embeddings=True), tf.LlamaForCausalLM),
    "llama_linear": (tf.LlamaConfig(**BASE, rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=4.0)),
                     tf.LlamaForCausalLM),
    "llama_yarn": (tf.LlamaConfig(**BASE, **KV, rope_parameters=dict(
        rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16)), tf.LlamaForCausalLM),
    "llama_dynamic": (tf.LlamaConfig(**{**BASE, "max_position_embeddings": 8}, **KV, rope_parameters=dict(
        rope_type="dynamic", rope_theta=1e4, factor=3.0)), tf.LlamaForCausalLM),
    "mistral": (tf.MistralConfig(**BASE, **KV, sliding_window=5), tf.MistralForCausalLM),
    "qwen2": (tf.Qwen2Config(**BASE, num_key_value_heads=2, use_sliding_window=True, sliding_window=5, max_window_layers=1),
              tf.Qwen2ForCausalLM),
    "qwen3": (tf.Qwen3Config(**BASE, **KV, use_sliding_window=True, sliding_window=5, max_window_layers=2),
              tf.Qwen3ForCausalLM),
    "gemma": (tf.GemmaConfig(**BASE, num_key_value_heads=1, head_dim=6), tf.GemmaForCausalLM),
    "gemma2": (tf.Gemma2Config(**BASE, **KV, query_pre_attn_scalar=24, sliding_window=5, attn_logit_softcapping=5.0,
                               final_logit_softcapping=3.0), tf.Gemma2ForCausalLM),
    "gemma3": (tf.Gemma3TextConfig(**BASE, **KV, query_pre_attn_scalar=24, sliding_window=5,
                                   layer_types=[SLIDING, FULL, SLIDING], rope_parameters=GEMMA3_ROPE), tf.Gemma3ForCausalLM),
    "bert": (tf.BertConfig(**BASE), tf.BertModel),
    "phi3": (tf.Phi3Config(**BASE, num_key_value_heads=2, sliding_window=5, rope_parameters=dict(
        rope_type="default", rope_theta=1e4, partial_rotary_factor=0.5)), tf.Phi3ForCausalLM),
    "phi3_longrope": (tf.Phi3Config(**{**BASE, "max_position_embeddings": 128}, num_key_value_heads=2,
                                    original_max_position_embeddings=64, rope_parameters=dict(
        rope_type="longrope", rope_theta=1e4, short_factor=[1.0, 1.7], long_factor=[2.0, 5.0])), tf.Phi3ForCausalLM),
    "phi3_long": (tf.Phi3Config(**{**BASE, "max_position_embeddings": 32}, num_key_value_heads=2,
                                original_max_position_embeddings=8, rope_parameters=dict(
        rope_type="longrope", rope_theta=1e4, short_factor=[1.0, 1.7], long_factor=[2.0, 5.0])), tf.Phi3ForCausalLM),
    "olmo2": (tf.Olmo2Config(**BASE, num_key_value_heads=2), tf.Olmo2ForCausalLM),
    "olmo3": (tf.Olmo3Config(**BASE, num_key_value_heads=2, sliding_window=5, layer_types=[SLIDING, FULL, SLIDING],
                             rope_parameters=OLMO3_ROPE), tf.Olmo3ForCausalLM),
    "smollm3": (tf.SmolLM3Config(**BASE, num_key_value_heads=2, no_rope_layer_interval=2, use_sliding_window=True,
                                 sliding_window=5), tf.SmolLM3ForCausalLM),
    "granite": (tf.GraniteConfig(**BASE, num_key_value_heads=2, embedding_multiplier=12.0, attention_multiplier=0.1,
                                 residual_multiplier=0.22, logits_scaling=3.0), tf.GraniteForCausalLM),
    "gpt2": (tf.GPT2Config(vocab_size=40, n_embd=16, n_layer=3, n_head=4, n_positions=64, n_inner=24,
                           scale_attn_by_inverse_layer_idx=True), tf.GPT2LMHeadModel),
    "vit": (tf.ViTConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4, image_size=8,
                         patch_size=4), tf.ViTModel),
}
CORRUPTED = ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "bert", "phi3", "olmo2", "olmo3", "smollm3",
             "granite", "gpt2"]
DTYPES = {"qwen2": torch.bfloat16, "mistral": torch.float16, "gemma": torch.float64}  # what else a file may have


def randomize(model, dtype):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name.lower() or "ln_" in name:
                p.add_(torch.randn_like(p) * 0.3)
            elif p.ndim == 1:
                p.copy_(torch.randn_like(p) * 0.2)
            elif "emb" in name or "wte" in name or "wpe" in name:
                p.copy_(torch.randn_like(p) * 0.5)
            else:
                p.copy_(torch.randn_like(p) * (1.5 / p.shape[-1] ** 0.5))
            p.copy_(p.to(dtype).to(torch.float32))


def blocks(model):
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and name.split(".")[-1] in ("layers", "h", "layer"):
            return module
    raise ValueError("no stack of blocks")


def states(model, inputs):
    """The input of each block, and the output of the last."""
    seen, stack = [], blocks(model)
    hooks = [b.register_forward_pre_hook(lambda _, a, k: seen.append((a[0] if a else k["hidden_states"]).clone()),
                                         with_kwargs=True) for b in stack]
    hooks.append(stack[-1].register_forward_hook(
        lambda _, a, o: seen.append((o if torch.is_tensor(o) else o[0]).clone())))
    with torch.no_grad():
        out = model(**inputs)
    for h in hooks:
        h.remove()
    return seen, out


def write(name, number):
    config, cls = CASES[name]
    dtype = DTYPES.get(name, torch.float32)
    torch.manual_seed(number)
    config._attn_implementation = "eager"
    model = cls(config).eval()
    randomize(model, dtype)
    model.tie_weights()
    inputs = dict(pixel_values=torch.randn(2, 3, 8, 8)) if name == "vit" else dict(input_ids=torch.randint(3, 40, (2, 12)))
    seen, out = states(model, inputs)
    result = {f"hidden_states.{i}": h.contiguous() for i, h in enumerate(seen)} | inputs
    if hasattr(out, "logits"):
        ids = inputs["input_ids"]
        logp = out.logits[:, :-1].double().log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
        result |= {"logits": out.logits[0].contiguous(), "log_probs": logp.contiguous()}
    else:  # an encoder: one token of padding
        if name != "vit":
            mask = torch.ones_like(inputs["input_ids"])
            mask[0, -3:] = 0
            result["masked"] = states(model, inputs | {"attention_mask": mask})[0][-1]
    folder = os.path.join(HERE, name)
    model.to(dtype).save_pretrained(folder)
    save_file(result, os.path.join(folder, "reference.safetensors"))
    generation = os.path.join(folder, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)
    print(name, len(seen) - 1, "blocks", flush=True)
    if name in CORRUPTED:
        variants(name, inputs, seen[-1])


def corruptions(config):
    """(name, keys to set, keys to delete) of everything that is tried; what a family does not have is set all the same."""
    act = next(k for k in ("hidden_activation", "hidden_act", "activation_function") if k in config)
    norm = next(k for k in ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon") if k in config)
    for value in ("gelu", "relu", "gelu_new", "silu", "quick_gelu", "tanh", "nosuch", None):
        yield f"{act} {value}", {act: value}, []
    yield "eps", {norm: 0.1}, []
    yield "eps as text", {norm: "0.1"}, []
    rope = lambda **kw: {"rope_parameters": dict(rope_theta=1e4, **kw)}
    yield "theta", rope(rope_type="default") | {"rope_parameters": dict(rope_type="default", rope_theta=100.0)}, []
    yield "linear", rope(rope_type="linear", factor=4.0), []
    yield "linear without factor", rope(rope_type="linear"), []
    yield "dynamic", rope(rope_type="dynamic", factor=4.0) | {"max_position_embeddings": 8}, []
    yield "llama3", {"rope_parameters": LLAMA3}, []
    yield "yarn", rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16), []
    yield "yarn betas", rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=4.0, beta_slow=0.5), []
    yield "yarn scales", rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, mscale=2.0, mscale_all_dim=0.5), []
    yield "yarn whole", rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, truncate=False), []
    yield "yarn attention", rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, attention_factor=0.7), []
    pairs = config.get("head_dim", 4) // 2
    yield "longrope", rope(rope_type="longrope", factor=4.0, original_max_position_embeddings=16,
                           short_factor=[1.5] * pairs, long_factor=[3.0] * pairs), []
    yield "longrope long", rope(rope_type="longrope", factor=4.0, original_max_position_embeddings=8,
                                short_factor=[1.5] * pairs, long_factor=[3.0] * pairs), []
    yield "unknown rope", rope(rope_type="nosuch", factor=4.0), []
    yield "partial", rope(rope_type="default", partial_rotary_factor=0.5), []
    yield "partial linear", rope(rope_type="linear", factor=2.0, partial_rotary_factor=0.67), []
    yield "old theta", {"rope_theta": 100.0}, ["rope_parameters"]
    yield "old linear", {"rope_theta": 100.0, "rope_scaling": {"type": "linear", "factor": 2.0}}, ["rope_parameters"]
    yield "old yarn", {"rope_theta": 1e4, "rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 16}}, ["rope_parameters"]
    yield "old local", {"rope_theta": 1e6, "rope_local_base_freq": 50.0}, ["rope_parameters"]
    yield "both spellings", {"rope_scaling": {"type": "linear", "factor": 2.0}}, []
    yield "theta twice", {"rope_theta": 7.0}, []
    nested = {FULL: dict(rope_type="default", rope_theta=50.0), SLIDING: dict(rope_type="linear", factor=3.0, rope_theta=1e3)}
    yield "nested rope", {"rope_parameters": nested}, []
    yield "nested yarn", {"rope_parameters": {FULL: dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16),
                                              SLIDING: dict(rope_type="default", rope_theta=1e4)}}, []
    yield "half nested rope", {"rope_parameters": {FULL: nested[FULL]}}, []
    for window in (2, 3, 0, None, 100):
        yield f"window {window}", {"sliding_window": window}, []
    yield "no use of windows", {"use_sliding_window": False}, []
    yield "no use of windows, no kinds", {"use_sliding_window": False}, ["layer_types"]
    yield "windows from 0", {"max_window_layers": 0}, ["layer_types"]
    yield "all full", {"layer_types": [FULL] * 3}, []
    yield "all sliding", {"layer_types": [SLIDING] * 3}, []
    yield "other kinds", {"layer_types": [FULL, "chunked_attention", FULL]}, []
    yield "kinds too short", {"layer_types": [FULL] * 2}, []
    yield "pattern", {"sliding_window_pattern": 2}, ["layer_types"]
    yield "heads 2", {"num_attention_heads": 2}, []
    yield "heads 8 of half", {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 3}, []
    yield "heads 2 of double", {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 12}, []
    yield "heads 3", {"num_attention_heads": 3}, []
    yield "key heads 1", {"num_key_value_heads": 1}, []
    yield "head dim null", {"head_dim": None}, []
    yield "width", {"hidden_size": 32}, []
    yield "fewer blocks", {"num_hidden_layers": 2}, []
    yield "more blocks", {"num_hidden_layers": 4}, []
    yield "inner", {"intermediate_size": 16}, []
    yield "attention bias", {"attention_bias": True}, []
    yield "MLP bias", {"mlp_bias": True}, []
    yield "tied", {"tie_word_embeddings": not config.get("tie_word_embeddings", True)}, []
    for value in (1.0, None):
        yield f"soft cap {value}", {"attn_logit_softcapping": value}, []
    yield "score scale", {"query_pre_attn_scalar": 3}, []
    yield "logit cap", {"final_logit_softcapping": 1.0}, []
    yield "both directions", {"use_bidirectional_attention": True}, []
    yield "decoder", {"is_decoder": True}, []
    yield "not causal", {"is_causal": False}, []
    yield "relative positions", {"position_embedding_type": "relative_key"}, []
    yield "residual", {"residual_multiplier": 0.5}, []
    yield "embedding", {"embedding_multiplier": 2.0}, []
    yield "score factor", {"attention_multiplier": 0.3}, []
    yield "logits", {"logits_scaling": 2.0}, []
    yield "rotary blocks", {"no_rope_layers": [0, 1, 1]}, []
    yield "interval", {"no_rope_layer_interval": 3}, ["no_rope_layers"]
    yield "unscaled scores", {"scale_attn_weights": False}, []
    yield "scores by block", {"scale_attn_by_inverse_layer_idx": False}, []
    yield "original length", {"original_max_position_embeddings": 32}, []
    yield "inner of GPT-2", {"n_inner": None}, []
    yield "positions of GPT-2", {"n_positions": 32}, []
    yield "experts", {"num_experts": 8}, []
    yield "quantized", {"quantization_config": {"quant_method": "fp8"}}, []
    yield "vocabulary", {"vocab_size": 41}, []
    yield "positions", {"max_position_embeddings": 128}, []
    yield "types", {"type_vocab_size": 3}, []
    yield "harmless", {"a_key_nobody_knows": 7, "attention_dropout": 0.5, "initializer_range": 0.3}, []
    for key in (act, norm, "sliding_window", "rope_parameters", "head_dim", "num_key_value_heads", "layer_types", "num_hidden_layers",
                "attn_logit_softcapping", "query_pre_attn_scalar", "attention_bias", "use_sliding_window", "tie_word_embeddings"):
        if key in config:
            yield f"without {key}", {}, [key]
    for key in ("partial_rotary_factor", "original_max_position_embeddings", "no_rope_layers", "residual_multiplier", "attention_multiplier",
                "embedding_multiplier", "scale_attn_by_inverse_layer_idx", "n_inner"):
        if key in config:
            yield f"without {key}", {}, [key]
    for other in ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "bert", "mixtral", "nosuch"):
        if other != config["model_type"] and "hidden_size" in config:  # without it, a model of billions would be made
            yield f"as {other}", {"model_type": other}, []


def variants(name, inputs, last):
    folder = os.path.join(HERE, name)
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    weights = load_file(os.path.join(folder, "model.safetensors"))
    out, kept = [], {}
    for label, change, delete in corruptions(config):
        v = copy.deepcopy(config) | change
        for k in delete:
            v.pop(k, None)
        entry = dict(name=label, set=change, delete=delete)
        try:
            with tempfile.TemporaryDirectory() as d:
                with open(os.path.join(d, "config.json"), "w") as f:
                    json.dump(v, f)
                save_file(weights, os.path.join(d, "model.safetensors"), metadata={"format": "pt"})
                model, info = tf.AutoModel.from_pretrained(d, dtype=torch.float32, attn_implementation="eager",
                                                           output_loading_info=True)
                if info["missing_keys"] or info["mismatched_keys"]:
                    raise ValueError(f"missing {sorted(info['missing_keys'])[:1]}, mismatched {list(info['mismatched_keys'])[:1]}")
                seen = states(model.eval(), inputs)[0][-1]
            if not torch.isfinite(seen).all():
                raise ValueError("no finite numbers")
            if torch.equal(seen, last):
                entry["reference"] = "base"
            else:
                entry["reference"] = f"{len(kept)}"
                kept[entry["reference"]] = seen[0].contiguous()
        except Exception as e:  # whatever it is: the reference has no numbers
            entry["error"] = f"{type(e).__name__}: {e}".split("\n")[0][:100]
        out.append(entry)
    with open(os.path.join(folder, "variants.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(e) for e in out) + "\n]\n")
    save_file(kept, os.path.join(folder, "variants.safetensors"))
    print(" ", len(out), "variants,", sum("error" in e for e in out), "without numbers,",
          sum(e.get("reference") == "base" for e in out), "unchanged", flush=True)


if __name__ == "__main__":
    for number, case in enumerate(CASES):
        if len(sys.argv) == 1 or case in sys.argv[1:]:
            write(case, number)
