#!/usr/bin/env python3
"""Write DIR/reference.safetensors for a Hugging Face model: states by transformers in float32, as golden.py does.

    python real.py DIR TEXTFILE [--seqs 2] [--len 128]

TestRealModels compares them: CAMBIUM_MODELS=DIR:DIR... go test ./model -run RealModels -v
"""
import argparse
import os

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer

from golden import states

p = argparse.ArgumentParser()
p.add_argument("dir")
p.add_argument("text")
p.add_argument("--seqs", type=int, default=2)
p.add_argument("--len", type=int, default=128)
a = p.parse_args()
config = transformers.AutoConfig.from_pretrained(a.dir)
kind = transformers.AutoModel if config.model_type == "bert" else transformers.AutoModelForCausalLM
model = kind.from_pretrained(a.dir, dtype=torch.float32, attn_implementation="eager").eval()
tokenizer = Tokenizer.from_file(os.path.join(a.dir, "tokenizer.json"))
tokenizer.no_truncation()
tokenizer.no_padding()
with open(a.text, encoding="utf-8", errors="replace") as f:
    ids = tokenizer.encode(f.read(200_000), add_special_tokens=False).ids
ids = torch.tensor(ids[: a.seqs * a.len]).reshape(a.seqs, a.len)
seen, out = states(model, dict(input_ids=ids))
result = {f"hidden_states.{i}": h.contiguous() for i, h in enumerate(seen)} | dict(input_ids=ids)
if hasattr(out, "logits"):
    result["log_probs"] = out.logits[:, :-1].double().log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].contiguous()
save_file(result, os.path.join(a.dir, "reference.safetensors"))
print(a.dir, config.model_type, len(seen) - 1, "blocks; largest value", max(h.abs().max().item() for h in seen))
