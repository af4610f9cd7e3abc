"""Tells interop_test.go what Python's tokenizers make of lines.

    python interop.py FILE < lines.json

FILE is a tokenizer.json, or a GGUF file, which needs the package gguf as well. For GGUF the reference is built here from the
vocabulary, by the family's own rules: transformers takes GPT-2's rule for every byte-level vocabulary.
Writes one JSON object: ids and special (with special tokens) by line; vocabulary, for GGUF.
"""
import json
import sys

from tokenizers import AddedToken, Tokenizer, __version__, models as M, normalizers as N, pre_tokenizers as P


def byte_level(v):
    rules = {"smollm": [P.Digits(True), P.ByteLevel(add_prefix_space=False)], "gpt-2": [P.ByteLevel(add_prefix_space=False)]}
    t = Tokenizer(M.BPE(vocab={k: i for i, k in enumerate(v["Tokens"])}, merges=[tuple(m.split(" ")) for m in v["Merges"]]))
    t.pre_tokenizer = P.Sequence(rules[v["Pre"]])
    return t


def scored(v):
    """Any two pieces join that make a third, the best score first: what SentencePiece does, as merges."""
    scores = {k: v["Scores"][i] for i, k in enumerate(v["Tokens"]) if v["Types"][i] not in (2, 3, 6)}
    merges = []
    for piece, score in scores.items():
        halves = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        merges += [(-score, half) for half in halves if half[0] in scores and half[1] in scores]
    merges.sort(key=lambda m: m[0])
    t = Tokenizer(M.BPE(vocab={k: i for i, k in enumerate(v["Tokens"])}, merges=[m for _, m in merges],
                        unk_token=v["Tokens"][v["Unknown"]], fuse_unk=True, byte_fallback=True))
    replace = N.Replace(" ", "\u2581")
    t.normalizer = N.Sequence([N.Prepend("\u2581"), replace]) if v.get("AddSpacePrefix", True) else replace
    return t


def gguf_vocabulary(path):
    from gguf import GGUFReader
    fields = GGUFReader(path).fields
    names = dict(Model="model", Pre="pre", Tokens="tokens", Scores="scores", Types="token_type", Merges="merges",
                 BOS="bos_token_id", EOS="eos_token_id", Unknown="unknown_token_id", AddBOS="add_bos_token",
                 AddEOS="add_eos_token", AddSpacePrefix="add_space_prefix")
    return {k: fields[f"tokenizer.ggml.{n}"].contents() for k, n in names.items() if f"tokenizer.ggml.{n}" in fields}


path, lines = sys.argv[1], json.load(sys.stdin)
out = {"version": __version__}
if path.endswith(".gguf"):
    v = out["vocabulary"] = gguf_vocabulary(path)
    t = {"gpt2": byte_level, "llama": scored}[v["Model"]](v)
    t.add_special_tokens([AddedToken(k, normalized=False, special=True) for i, k in enumerate(v["Tokens"]) if v["Types"][i] in (2, 3)])
    t.add_tokens([AddedToken(k, normalized=False) for i, k in enumerate(v["Tokens"]) if v["Types"][i] == 4])
else:
    t = Tokenizer.from_file(path)
    t.no_truncation()
    t.no_padding()
    out["special"] = [t.encode(line).ids for line in lines]
out["ids"] = [t.encode(line, add_special_tokens=False).ids for line in lines]
json.dump(out, sys.stdout)
