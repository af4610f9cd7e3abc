"""Makes the small tokenizers in this folder, and what Python's tokenizers answers for the lines in lines.json.gz.

    python make.py OPTICKS REPOSITORY

OPTICKS is Isaac Newton's Opticks, in the public domain, as Go brings it (src/testdata/Isaac.Newton-Opticks.txt); REPOSITORY
is this one, whose sources are lines too. The rest is generated (seed 1) or written below. Each tokenizer has the
normalizer, pre-tokenizer, model options, decoder and post-processor of a family, and a vocabulary of some hundred tokens
trained on Opticks.

answers.bin.gz holds, for each tokenizer by name and each line, 64 bits: FNV-1a over the ids (32 bits each), a word of
ones, the ids with special tokens, a word of ones, and the ids' text, all little endian. The same with tokenizers 0.23.3.
"""
import gzip
import json
import pathlib
import random
import struct
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders as D, models as M, normalizers as N
from tokenizers import pre_tokenizers as P, processors, trainers as T

HERE = pathlib.Path(__file__).parent
OPTICKS = pathlib.Path(sys.argv[1]).read_text().splitlines()
REPOSITORY = pathlib.Path(sys.argv[2])
TRAIN = OPTICKS[200:5000]

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
             r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BAILING = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
           r"|\s*[\r\n]|\s+(?!\S)|\s+")
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"


def special(*contents):
    return [AddedToken(c, special=True, normalized=False) for c in contents]


def byte_level(normalizer, pre, extra=(), specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"), size=620):
    t = Tokenizer(M.BPE())
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = D.ByteLevel()
    t.train_from_iterator(TRAIN, T.BpeTrainer(vocab_size=size, special_tokens=special(*specials), show_progress=False,
                                              initial_alphabet=sorted(P.ByteLevel.alphabet())))
    t.add_tokens(list(extra))
    return t


def edited(t, edit):
    spec = json.loads(t.to_str())
    edit(spec)
    return Tokenizer.from_str(json.dumps(spec))


def split(expr):
    return P.Split(Regex(expr), "isolated")


MAPPED = P.ByteLevel(add_prefix_space=False, use_regex=False)


def llama3():
    t = byte_level(None, P.Sequence([split(LLAMA3), MAPPED]), specials=("<|begin_of_text|>", "<|end_of_text|>"))
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", t.token_to_id("<|begin_of_text|>"))])])

    def edit(spec):  # words that no merges make, as in Llama 3's own vocabulary
        spec["model"]["ignore_merges"] = True
        vocab = spec["model"]["vocab"]
        for word in ("\u0120Phaenomena", "Refrangible", "\u0120\u0120\u0120", "\u00e2\u0122\u013f"):
            if word not in vocab:
                vocab[word] = len(vocab)
    return edited(t, edit)


def gpt4o():
    return byte_level(None, P.Sequence([split(GPT4O), MAPPED]), extra=[
        AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
        AddedToken("light", single_word=True, normalized=True), AddedToken("<both>", lstrip=True, rstrip=True),
        AddedToken("<both>more", normalized=False), AddedToken(" <right", normalized=False)])


def roberta():
    t = byte_level(None, P.ByteLevel(add_prefix_space=True), specials=("<s>", "</s>", "<unk>"),
                   extra=[AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    t.post_processor = processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")))
    return t


def bert(lowercase):
    t = Tokenizer(M.WordPiece(unk_token="[UNK]"))
    t.normalizer = N.BertNormalizer(lowercase=lowercase)
    t.pre_tokenizer = P.BertPreTokenizer()
    t.decoder = D.WordPiece(cleanup=lowercase)
    t.train_from_iterator(TRAIN + ["\u4e2d \u6587 \u00df \u00e9 \u0130"], T.WordPieceTrainer(
        vocab_size=700, special_tokens=special("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), show_progress=False))
    t.post_processor = processors.BertProcessing(("[SEP]", t.token_to_id("[SEP]")), ("[CLS]", t.token_to_id("[CLS]")))
    return t


def byte_fallback(normalizer, pre, decoder, missing=()):
    """SentencePiece's BPE: three special tokens, the bytes, then what was learnt."""
    t = Tokenizer(M.BPE())
    t.normalizer = N.Replace(" ", "\u2581")
    t.pre_tokenizer = P.Split("\u2581", "merged_with_next")
    t.train_from_iterator(TRAIN, T.BpeTrainer(vocab_size=500, show_progress=False, special_tokens=["\n", "\u2581\u2581"]))
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    learnt = sorted(t.get_vocab().items(), key=lambda kv: kv[1])
    merges = json.loads(t.to_str())["model"]["merges"] + [["\u2581", "\u2581"]]
    vocab = {}
    for name in names + [token for token, _ in learnt]:
        if name not in missing:
            vocab.setdefault(name, len(vocab))
    t = Tokenizer(M.BPE(vocab=vocab, merges=[tuple(m) for m in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    t.decoder = decoder
    t.add_special_tokens(special("<unk>", "<s>", "</s>"))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


TO_BLANK = D.Sequence([D.Replace("\u2581", " "), D.ByteFallback(), D.Fuse()])
STRIPPED = D.Sequence([D.Replace("\u2581", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])

TOKENIZERS = {
    "gpt2": lambda: byte_level(None, P.ByteLevel(add_prefix_space=False)),
    "smollm": lambda: byte_level(None, P.Sequence([P.Digits(True), P.ByteLevel(add_prefix_space=False)])),
    "llama3": llama3,
    "qwen2": lambda: byte_level(N.NFC(), P.Sequence([split(QWEN2), MAPPED])),
    "gpt4o": gpt4o,
    "deepseek": lambda: byte_level(N.Sequence([]), P.Sequence(
        [split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK3), MAPPED])),
    "coder": lambda: byte_level(N.NFKD(), P.Sequence([
        split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(r"\s+$"), P.Digits(True), MAPPED])),
    "falcon": lambda: byte_level(N.Sequence([N.StripAccents(), N.Lowercase(), N.Strip()]), P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False),
                                                   P.Digits(False), split("[0-9][0-9][0-9]")])),
    "bailing": lambda: byte_level(N.NFKC(), P.Sequence([split(BAILING), MAPPED])),
    "bloom": lambda: byte_level(None, P.Sequence([split(BLOOM), MAPPED])),
    "roberta": roberta,
    "uncased": lambda: bert(True),
    "cased": lambda: bert(False),
    "gemma": lambda: byte_fallback(N.Replace(" ", "\u2581"), P.Split(" ", "merged_with_previous"), TO_BLANK),
    "llama2": lambda: byte_fallback(N.Sequence([N.Prepend("\u2581"), N.Replace(" ", "\u2581")]), None, STRIPPED),
    "metaspace": lambda: byte_fallback(N.Sequence([N.NFKC(), N.Lowercase()]),
                                       P.Metaspace("\u2581", "first", True), D.Metaspace("\u2581", "first", True),
                                       missing=("<0xE2>",)),
}

HAND = """
Hello, world!|  two  spaces   three |\t\ttabs\t|trailing   |   leading||\n|\r\n\r\n|a\r\nb\n\n\nc|  \n  x
I'm you're HE'S they'LL 'tis don't CAN'T we've'd|'s|''s|'\u017f 'S \u017f|\u2019s it\u2019s|x'ss x'st 'ST
0 12 345 6789 1234567890 3.14159 1,000,000 1e-9 0x1F|\u00bd \u00b2\u00b3 \u2460 \u2167 \u0661\u0662\u0663 \u096a\u096b \uff11\uff12
\u4e2d\u6587\u5b57\u7b26 \u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \ud55c\uad6d\uc5b4 \u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea \u0e44\u0e17\u0e22 \u0939\u093f\u0928\u094d\u0926\u0940
\u00e9 e\u0301 \u00c5 A\u030a \u212b \ufb01 \ufb06 \u1e9b\u0323 q\u0307\u0323 q\u0323\u0307|\u0130stanbul I\u0307 \u0131|\u03a3\u039f\u03a6\u039f\u03a3 \u00df \u1e9e|e\u0301\u0301\u0301
\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001f44d\U0001f3fd|\u00a0nbsp\u00a0 \u2003em\u3000ideo\u2028line\u2029para\u0085nel\u200bzero\ufeff
<|endoftext|>|a <|im_start|> b<|im_end|>|<|im_start|><|im_start|>|[CLS] a [MASK] b [SEP]|<s> x </s>|  <mask> y <mask>|<unk>
a <left> b  <right>  c <both>  d light lights delight light.<both>more <bothmore|<left><right> <right|  <left>\u3000<right>\u00a0<both>
delight|light|(light)|_light|light\u0301|light\u24b6|lightlight light|\u2581x y\u2581 \u2581\u2581|a\u2581b
<0x41> <0xE2>|\ufffd \ufffe \U0010ffff \U000e0001|\x00\x01\x07\x7f\x80\x9f|\u0378\u0530|\ue000|\u00ad soft\u00adhyphen
(a) [b] {c} "d" 'e' `f` ~g^h_i|j #k $l %m &n *o +p -q /r \\s :t ;u <v =w >x ?y @z !|... -- --- ==== //// ####
https://example.org/a_b?c=d&e=%20f#g user.name+tag@example.com C:\\dir\\file.txt ./a/../b|camelCase PascalCase UPPER_CASE snake_case kebab-case
\u216b \u24b6\u24d0 \u3007 \u3021 \u16ee|\u0300\u0301 \u0903\u0904 \u20dd|\U00011938 \U00011935\U00011930 \U0002ebf0 \U0001e5d0\U0001e5f1 \U000143fa
\u32ff \ua7f2 \u1c89 \ua7cb \ua7dc|\u0f71\u0f72\u0f74 \u0f73|\u1100\u1161\u11a8 \uac00\u11a8 \uac01|\u0344 \u0958 \u2126 \uf900 \U0002f800
\u2f00 \uff21 \u2475 \u00bc \u2122 \u33a1 \ufdfa|\u060c \u06d4 \u0964 \u2026 \u3002 \uff0c \u3001
"""


def marks(rng):
    """More combining marks than Go lets pass in a row."""
    return "a" + "".join(rng.choice("\u0300\u0301\u0316\u0323\u0327\u0345\u05b0\u3099\u0308") for _ in range(40)) + "z"


def generated(rng):
    pools = [
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ", " ", " ", "\t\n\r \u00a0\u3000\u2003\x0b\x0c\x85", "0123456789", ".,;:!?'\"()-_/\\",
        ["'s", "'T", "'re", "'LL", "n't", "'"], ["the ", " of", " light", "Refrangible", " Rays ", "\n\n", "  ", "    "],
        [chr(c) for c in range(0xA0, 0x250)], [chr(c) for c in range(0x300, 0x370)], [chr(c) for c in range(0x370, 0x600)],
        [chr(c) for c in range(0x900, 0xE80)], [chr(c) for c in range(0x1100, 0x1200)], [chr(c) for c in range(0x2000, 0x2BFF)],
        [chr(c) for c in range(0x3000, 0x3100)], [chr(c) for c in range(0x4E00, 0x4F00)], [chr(c) for c in range(0xAC00, 0xAD00)],
        [chr(c) for c in range(0x1F300, 0x1F700)], [chr(c) for c in range(0x80, 0x30000) if not 0xD800 <= c < 0xE000],
        [chr(c) for c in range(0x80, 0x30000) if not 0xD800 <= c < 0xE000],
        ["<|endoftext|>", "<|im_end|>", "<s>", "<mask>", "[MASK]", "<left>", "<right>", "<both>", "light"],
    ]
    line = ""
    while len(line) < rng.randrange(1, 90):
        pool = rng.choice(pools)
        line += "".join(rng.choice(pool) for _ in range(rng.choice([1, 1, 2, 3, 8])))
    return line


def make_lines():
    rng = random.Random(1)
    lines = [part for row in HAND.strip("\n").split("\n") for part in [row, *row.split("|")]]
    lines += [marks(rng) for _ in range(20)]
    lines += ["a" * 300, " " * 300, "\n" * 300, "ab" * 200, " \n" * 100 + "x", "\u4e2d" * 150, "x " * 100]
    lines += OPTICKS[5200:5600] + ["\n".join(OPTICKS[i:i + 8]) for i in range(6000, 6400, 8)]
    for path in ("kernels/bounds.go", "weights/json.go", "build.sh", ".golangci.yml"):
        lines += (REPOSITORY / path).read_text().splitlines()[:100]
    lines += [generated(rng) for _ in range(600)]
    return lines


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def answer(t, line):
    ids = t.encode(line, add_special_tokens=False).ids
    around = t.encode(line, add_special_tokens=True).ids
    words = [*ids, 0xFFFFFFFF, *around, 0xFFFFFFFF]
    return fnv(struct.pack(f"<{len(words)}I", *words) + t.decode(ids, skip_special_tokens=False).encode())


def save(name, data):
    (HERE / name).write_bytes(gzip.compress(data, mtime=0))


lines = make_lines()
save("lines.json.gz", json.dumps(lines).encode())
answers = b""
for name, make in sorted(TOKENIZERS.items()):
    t = make()
    text = t.to_str()
    save(f"{name}.json.gz", text.encode())
    t = Tokenizer.from_str(text)
    for line in lines:
        answers += struct.pack("<Q", answer(t, line))
    print(name, len(text), t.get_vocab_size())
save("answers.bin.gz", answers)
print(len(lines), "lines,", len(lines) * len(TOKENIZERS), "answers")
