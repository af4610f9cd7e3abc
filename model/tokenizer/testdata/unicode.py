"""Writes unicode.txt: what the libraries below Python's tokenizers take each code point for.

    python unicode.py > unicode.txt

Oniguruma, Rust's standard library and three crates each bring tables of their own Unicode version, so that "is this a
letter" has several answers for characters of the last ten years. Each line is a class and its ranges, in hexadecimal.
"""
from tokenizers import Regex, __version__, normalizers as N, pre_tokenizers as P

POINTS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()
SCRIPTS = "Han Hiragana Katakana Hangul Latin Greek Cyrillic Arabic Hebrew Thai Devanagari".split()


def line(name, is_in):
    ranges, last = [], -2
    for ch in POINTS:
        if is_in(ch):
            if ord(ch) == last + 1:
                ranges[-1][1] = ord(ch)
            else:
                ranges.append([ord(ch), ord(ch)])
            last = ord(ch)
    print(name, *(f"{a:x}-{b:x}" if a != b else f"{a:x}" for a, b in ranges))


def removed(name, normalizer):
    line(name, lambda ch: normalizer.normalize_str(ch) == "")


print("# tokenizers", __version__)
for c in CATEGORIES + SCRIPTS:
    removed(c, N.Replace(Regex(r"\p{%s}" % c), ""))
for name, c in dict(s=r"\s", d=r"\d", w=r"\w").items():
    removed("oniguruma-" + name, N.Replace(Regex(c), ""))

whitespace, punctuation, digits = P.WhitespaceSplit(), P.Punctuation("removed"), P.Digits(True)
words = P.Whitespace()
line("space", lambda ch: whitespace.pre_tokenize_str(ch) == [])
line("punctuation", lambda ch: punctuation.pre_tokenize_str(ch) == [])
line("numeric", lambda ch: len(digits.pre_tokenize_str(ch + "a")) == 2)
line("word", lambda ch: words.pre_tokenize_str("a" + ch)[0][0] == "a" + ch)


def bert(**on):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return N.BertNormalizer(**(off | on))


removed("control", bert(clean_text=True))
removed("nonspacing", bert(strip_accents=True))
removed("mark", N.StripAccents())
chinese = bert(handle_chinese_chars=True)
line("chinese", lambda ch: chinese.normalize_str(ch) == f" {ch} ")

# A character has a combining class other than zero if it changes places with one of a higher or a lower class.
nfd, nfkd = N.NFD(), N.NFKD()
line("combining", lambda ch: nfd.normalize_str("\u0345" + ch) == ch + "\u0345" or nfd.normalize_str(ch + "\u0334") == "\u0334" + ch)
line("decomposes", lambda ch: nfkd.normalize_str(ch) != ch)

lower = N.Lowercase()
pairs = [(ch, lower.normalize_str(ch)) for ch in POINTS]
print("lower", *(f"{ord(a):x}:{'+'.join(f'{ord(c):x}' for c in b)}" for a, b in pairs if a != b))
