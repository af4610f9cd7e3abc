#!/usr/bin/env python3
"""Write the input and output of every block of a Hugging Face model to a file that cambium reads (--dump).

    python dump.py MODEL TEXTFILE OUT.safetensors [--seqs 32] [--len 128] [--dtype float32] [--stack layers] [--trust]

For models that cambium does not run itself. Needs torch, transformers (4 or 5) and safetensors. The file holds
hidden_states.0 ... hidden_states.L as the blocks themselves see them: state L is before the final norm, which
output_hidden_states=True gives after it in most models.
"""
import argparse
import sys

import torch
import transformers
from safetensors.torch import save_file


def stack_of(model, name=None):
    """The blocks: the named ModuleList, or the longest of the shallowest (lists of experts lie deeper)."""
    lists = [(n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) > 0]
    if name is not None:
        lists = [(n, m) for n, m in lists if n == name or n.endswith("." + name)]
    if not lists:
        sys.exit(f"dump.py: the model has no list of blocks{' called ' + name if name else ''} (name one with --stack)")
    depth = min(n.count(".") for n, _ in lists)
    return max((m for n, m in lists if n.count(".") == depth), key=len)


def state(value):
    """The hidden states in what a block takes or returns: transformers 4 returns tuples, 5 tensors."""
    while isinstance(value, (tuple, list)):
        value = value[0]
    return value.detach().float().cpu()


def record(model, blocks, run):
    """Run and return the input of each block and the output of the last, in order."""
    seen = {}

    def before(i):
        def hook(_, args, kwargs):
            seen[i] = state(args if args else kwargs["hidden_states"])
        return hook

    def behind(_, args, result):
        seen[len(blocks)] = state(result)

    hooks = [b.register_forward_pre_hook(before(i), with_kwargs=True) for i, b in enumerate(blocks)]
    hooks.append(blocks[-1].register_forward_hook(behind))
    try:
        with torch.inference_mode():
            run()
    finally:
        for h in hooks:
            h.remove()
    return [seen[i] for i in range(len(blocks) + 1)]


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("model")
    p.add_argument("text")
    p.add_argument("out")
    p.add_argument("--seqs", type=int, default=32)
    p.add_argument("--len", type=int, default=128)
    p.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"], help="of the model and of the file")
    p.add_argument("--stack", help="name of the ModuleList that holds the blocks")
    p.add_argument("--trust", action="store_true", help="run code that comes with the model")
    a = p.parse_args(argv)
    dtype = getattr(torch, a.dtype)
    tokenizer = transformers.AutoTokenizer.from_pretrained(a.model, trust_remote_code=a.trust)
    model = transformers.AutoModel.from_pretrained(a.model, torch_dtype=dtype, trust_remote_code=a.trust).eval()
    with open(a.text, encoding="utf-8", errors="replace") as f:
        ids = torch.tensor(tokenizer(f.read(), add_special_tokens=False)["input_ids"])
    n = min(a.seqs, len(ids) // a.len)
    if n == 0:
        sys.exit(f"dump.py: {len(ids)} tokens of text, {a.len} are one sequence (give more text, or a smaller --len)")
    ids = ids[: n * a.len].reshape(n, a.len)
    blocks = stack_of(model, a.stack)
    parts = [record(model, blocks, lambda s=s: model(input_ids=s[None])) for s in ids]
    tensors = {f"hidden_states.{i}": torch.cat([p[i] for p in parts]).to(dtype).contiguous() for i in range(len(blocks) + 1)}
    tensors["input_ids"] = ids.contiguous()
    save_file(tensors, a.out, metadata={
        "format": "pt", "producer": "cambium dump.py", "source": "hooks", "model": a.model, "model_type": model.config.model_type,
        "n_blocks": str(len(blocks)), "hidden_size": str(tensors["hidden_states.0"].shape[-1]),
    })
    print(f"{len(blocks)} blocks, {n} sequences of {a.len} tokens -> {a.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
