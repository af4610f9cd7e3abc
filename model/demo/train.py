#!/usr/bin/env python3
"""Train the demonstration model from scratch on public-domain text.

    python train.py OPTICKS.txt KJV.txt OUT [--steps 23709]

OPTICKS.txt is Isaac Newton's Opticks (src/testdata/Isaac.Newton-Opticks.txt of the Go distribution), KJV.txt the King
James Bible (what `bible -f gen1:1-rev22:21` of Debian's bible-kjv prints; the reference that starts each line is cut).
Both are long out of copyright. The last twentieth of each is held out.

A Llama of 12 blocks, 96 wide, with 4 query and 2 key heads and a byte-level BPE vocabulary of 512, seed 0. Weights start
larger than usual (0.1), which makes the blocks of so small a model do different things. Needs torch, transformers,
tokenizers and numpy.
"""
import argparse
import math
import re

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY, LENGTH, BATCH = 512, 128, 8
PEAK, WARMUP = 2e-3, 50


def read(opticks, kjv):
    with open(opticks, encoding="utf-8", errors="replace") as f:
        newton = f.read()
    with open(kjv, encoding="latin-1") as f:
        bible = re.sub(r"^\S+ ", "", f.read(), flags=re.M)
    return newton, bible


def train_tokenizer(text):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [text[i:i + 100_000] for i in range(0, len(text), 100_000)],
        trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<|endoftext|>"], show_progress=False,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def new_model():
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=96, intermediate_size=256, num_hidden_layers=12, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=0,
        eos_token_id=0))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                p.normal_(0, 0.1 / math.sqrt(24))  # two maps onto the residual stream in each of 12 blocks
            elif p.ndim == 2:
                p.normal_(0, 0.1)
    return model


def batch(ids, rng, n=BATCH):
    at = rng.integers(0, len(ids) - LENGTH - 1, n)
    return torch.tensor(np.stack([ids[i:i + LENGTH] for i in at]))


def rate(step, steps):
    """Linear warm-up, then half a cosine down to a twentieth."""
    return PEAK * min(1, (step + 1) / WARMUP) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("opticks")
    p.add_argument("kjv")
    p.add_argument("out")
    p.add_argument("--steps", type=int, default=23709)
    a = p.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    newton, bible = read(a.opticks, a.kjv)
    tokenizer = train_tokenizer(bible + newton)
    newton, bible = (np.array(tokenizer.encode(t).ids) for t in (newton, bible))
    n, b = int(len(newton) * 0.95), int(len(bible) * 0.95)
    train = np.concatenate([bible[:b], np.tile(newton[:n], 2)])
    held_out = np.concatenate([bible[b:], newton[n:]])
    fixed = np.random.default_rng(1)
    held_out = [batch(held_out, fixed) for _ in range(4)]

    model = new_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.95), weight_decay=0.1)
    for step in range(a.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, a.steps)
        ids = batch(train, rng)
        loss = model(ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 500 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    model.eval()
    with torch.no_grad():
        loss = sum(model(x, labels=x).loss.item() for x in held_out) / len(held_out)
    print(f"held-out loss {loss:.4f} nats a token")
    model.to(torch.bfloat16).save_pretrained(a.out)
    tokenizer.save(a.out + "/tokenizer.json")


if __name__ == "__main__":
    main()
