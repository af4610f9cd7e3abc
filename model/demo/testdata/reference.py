#!/usr/bin/env python3
"""Write reference.safetensors: the tokens of ../text.txt, the log-probability of each in the first eight sequences of 128,
and the states of the first one, by tokenizers 0.23 and transformers 5.23 in float32."""
import os

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
demo = os.path.dirname(here)
with open(os.path.join(demo, "text.txt"), encoding="utf-8") as f:
    text = f.read()
tokens = torch.tensor(Tokenizer.from_file(os.path.join(demo, "tokenizer.json")).encode(text, add_special_tokens=False).ids)
model = LlamaForCausalLM.from_pretrained(demo, dtype=torch.float32, attn_implementation="eager").eval()
ids = tokens[: 8 * 128].reshape(8, 128)
seen = []
for block in model.model.layers:
    block.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
block.register_forward_hook(lambda _, args, out: seen.append((out if torch.is_tensor(out) else out[0]).clone()))
with torch.no_grad():
    logits = model(ids).logits
logs = logits[:, :-1].double().log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
print(len(tokens), "tokens of", len(text.encode()), "bytes; loss", -logs.mean().item(), "nats a token")
save_file({"tokens": tokens.int(), "log_probs": logs.float().contiguous(),
           **{f"hidden_states.{i}": seen[i][0, ::16].contiguous() for i in (0, 6, 12)}}, os.path.join(here, "reference.safetensors"))
