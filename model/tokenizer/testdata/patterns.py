"""Writes patterns.gz: what Oniguruma, through tokenizers, cuts texts into, by pattern and behavior.

    python patterns.py | gzip -9n > patterns.gz
"""
import json
import random

from tokenizers import Regex, pre_tokenizers as P

PATTERNS = [
    r"a", r"ab|a", r"a|ab", r"a+?b*", r"a??b", r"(a|b)*c", r"(?:ab){2,3}", r"a{2}", r"a{2,}", r"(a{1,2}){2}b?", r"x*a", r"[^ab]+", r".+",
    r"\s+(?!\S)|\s+", r"\s+$", r"a+(?=b)", r"a(?!b)", r"[ab](?!\z)", r"a++b?", r"a?+ab", r"a*+b", r"[a-b]++c", r"(?i:'s|k)", r"(?i:[sk])",
    r"(?i:A(?:b)c)", r"[a[bc]]+", r"[^a[bc]]+", r"[a-z&&[^b]]+", r"[a-c&&b-d]+", r"[\s\d]+", r"\S+", r"\w+", r"\W+", r"\D+", r"\d",
    r"\p{L}+", r"\P{L}+", r"\p{^L}+", r"[^\p{L}\s]+", r"\p{Lu}\p{Ll}*", r"\p{Han}+", r"[\u4e00-\u9fa5]+", r"\x41|\x{42}", r"[\]\-\\]+",
    r"[a\-z]+", r"[-a]+", r"[a-]+", r"\.|\*|\[", r"\t|\n|\r", r"(?:a|b|ab)(?:c|bcd)", r"a(?:b|c|)d?", r"(?:a?b?)c", r"b{0,2}a", r"[|(]+",
    r"(?:a(?!b)|b)+", r"a+?(?!a)", r"\n$", r"a$", r"(?:aa|a)(?!\S)",
]
TEXTS = [
    "", "a", "abab", "aaabbb c", "abcab abc", "  a  b ", "a\nb\n\n", "x\r\n y\t", "\u4e2d\u6587 ab\u00e9 \u00c9a", "'S 's '\u017f K\u212ak",
    "A.b*[c]-]\\", "12 a1b2 \u0661\u00b2", "abcd aab", "\u3000\u00a0a\u2028", "(|a|)", "aaaa",
]
rng = random.Random(2)
TEXTS += ["".join(rng.choice("aaabbbcd \nA1.") for _ in range(rng.randrange(3, 25))) for _ in range(24)]

out = []
for pattern in PATTERNS:
    for behavior in ("isolated", "removed", "contiguous", "merged_with_previous", "merged_with_next"):
        for invert in (False, True):
            if behavior != "isolated" and pattern not in (r"a", r"\s+$", r"[ab](?!\z)", r"a+(?=b)"):
                continue
            p = P.Split(Regex(pattern), behavior, invert)
            name = "".join(w.capitalize() for w in behavior.split("_"))
            out.append([pattern, name, invert, [[t, [w for w, _ in p.pre_tokenize_str(t)]] for t in TEXTS]])
print("[" + ",\n".join(json.dumps(o) for o in out) + "]")
