package tokenizer

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func id(n int32) *int32 { return &n }

func boolean(b bool) *bool { return &b }

func fromGGUF(t *testing.T, v GGUF) *Tokenizer {
	t.Helper()
	tok, err := FromGGUF(v)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func equalIDs(t *testing.T, what string, got []int32, want ...int32) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// byteGGUF is a byte-level vocabulary: <s>, </s>, a user's token, 256 bytes, and "ab", "abc", "Ġa".
func byteGGUF(pre string) GGUF {
	v := GGUF{Model: "gpt2", Pre: pre, Tokens: []string{"<s>", "</s>", "<tool>"}, Types: []int32{typeControl, typeControl, typeUserDefined}, BOS: id(0), EOS: id(1)}
	for _, r := range byteRunes {
		v.Tokens = append(v.Tokens, string(r))
	}
	v.Tokens = append(v.Tokens, "ab", "abc", "Ġa")
	for len(v.Types) < len(v.Tokens) {
		v.Types = append(v.Types, typeNormal)
	}
	v.Merges = []string{"a b", "Ġ a"}
	return v
}

func TestGGUFBytes(t *testing.T) {
	tok := fromGGUF(t, byteGGUF("gpt-2"))
	const ab, abc, blankA = 259, 260, 261
	text := "<s>ab ab<tool>é</s>x"
	ids := tok.Encode(text)
	equalIDs(t, "gpt-2", ids, 0, ab, 3+' ', ab, 2, 3+0xc3, 3+0xa9, 1, 3+'x')
	if got, err := tok.Decode(ids, false); got != text || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := tok.Decode(ids, true); got != "ab ab<tool>éx" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	equalIDs(t, "special", tok.EncodeSpecial("a"), 3+'a')
	equalIDs(t, "gpt-2", tok.Encode("abc"), ab, 3+'c')
	llama := byteGGUF("llama-bpe")
	equalIDs(t, "llama-bpe", fromGGUF(t, llama).EncodeSpecial("abc"), 0, abc)
	llama.AddBOS, llama.AddEOS = boolean(false), boolean(true)
	equalIDs(t, "without bos", fromGGUF(t, llama).EncodeSpecial("abc"), abc, 1)
	llama.BOS, llama.EOS, llama.AddBOS = nil, nil, boolean(true)
	equalIDs(t, "without either", fromGGUF(t, llama).EncodeSpecial("abc"), abc)
	llama.Types = nil
	equalIDs(t, "without types", fromGGUF(t, llama).Encode("<s>"), 3+'<', 3+'s', 3+'>')
}

// TestGGUFRules compiles every family's rules, and cuts a text by each.
func TestGGUFRules(t *testing.T) {
	const text = "It's 2024! HTTPServer fooBar\r\n  \n\tx  y   中文字 日本\u0301 v1.2345 a/b//c a\u0300b don'T ..\n"
	want := map[string]string{
		"gpt-2":       "It|'s| 2024|!| HTTPServer| fooBar|\r\n  \n|\t|x| | y|  | 中文字| 日本|\u0301| v|1|.|2345| a|/|b|//|c| a|\u0300|b| don|'|T| ..|\n",
		"smollm":      "It|'s| |2|0|2|4|!| HTTPServer| fooBar|\r\n  \n|\t|x| | y|  | 中文字| 日本|\u0301| v|1|.|2|3|4|5| a|/|b|//|c| a|\u0300|b| don|'|T| ..|\n",
		"llama-bpe":   "It|'s| |202|4|!| HTTPServer| fooBar|\r\n  \n|\tx| | y|  | 中文字| 日本|\u0301| v|1|.|234|5| a|/b|//|c| a|\u0300b| don|'T| ..\n",
		"qwen2":       "It|'s| |2|0|2|4|!| HTTPServer| fooBar|\r\n  \n|\tx| | y|  | 中文字| 日本|\u0301| v|1|.|2|3|4|5| a|/b|//|c| a|\u0300b| don|'T| ..\n",
		"qwen35":      "It|'s| |2|0|2|4|!| HTTPServer| fooBar|\r\n  \n|\tx| | y|  | 中文字| 日本\u0301| v|1|.|2|3|4|5| a|/b|//|c| a\u0300b| don|'T| ..\n",
		"gpt-4o":      "It's| |202|4|!| HTTPServer| foo|Bar|\r\n  \n|\tx| | y|  | 中文字| 日本\u0301| v|1|.|234|5| a|/b|//|c| a\u0300b| don'T| ..\n",
		"tekken":      "It|'s| |2|0|2|4|!| HTTPServer| foo|Bar|\r\n  \n|\tx| | y|  | 中文字| 日本\u0301| v|1|.|2|3|4|5| a|/b|//|c| a\u0300b| don|'T| ..\n",
		"deepseek-v3": "It|'s| |202|4|!| HTTPServer| fooBar|\r\n  \n|\tx| | y|   |中文字| |日本|\u0301| v|1|.|234|5| a|/b|//|c| a\u0300b| don|'T| ..\n",
		"bailingmoe":  "It|'s| |2|0|2|4|!| HTTPServer| fooBar|\r\n  \n|\tx| | y|  | 中文字| 日本|\u0301| v|1|.|2|3|4|5| a|/b|//|c| a|\u0300b| don|'T| ..\n",
		"seed-coder":  "It|'s| |2|0|2|4|!| HTTPServer| fooBar|\r\n  \n|\tx| | y|  | 中文字| 日本|\u0301| v|1|.|2|3|4|5| a|/b|//|c| a|\u0300b| don|'T| ..|\n",
		"bloom":       "It's| 2024|!| HTTPServer| fooBar|\r\n  \n\t|x| | y|  | 中文字| 日本\u0301| v1|.|2345| a/b//c| a\u0300b| don'T| ..\n",
		"viking":      "It's| |2|0|2|4|!| HTTPServer| fooBar|\r\n  \n\t|x| | y|  | 中文字| 日本\u0301| v|1|.|2|3|4|5| a/b//c| a\u0300b| don'T| ..\n",
	}
	for name, rule := range ggufRules {
		tok := fromGGUF(t, byteGGUF(name))
		var words []string
		tok.run(0, piece{text, true}, func(p piece) bool { words = append(words, p.text); return true })
		if strings.Join(words, "") != text {
			t.Errorf("%s: %q", name, words)
		}
		same, ok := want[name]
		for other, w := range want {
			if slices.Equal(ggufRules[other].patterns, rule.patterns) {
				same, ok = w, true
			}
		}
		if got := strings.Join(words, "|"); got != same || !ok {
			t.Errorf("%s:\n got %q\nwant %q", name, got, same)
		}
	}
}

func TestGGUFScores(t *testing.T) {
	v := GGUF{
		Model:   "llama",
		Tokens:  []string{"<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "▁", "a", "b", "c", "ab", "bc", "▁a", "abc", "▁▁", "<tool>"},
		Scores:  []float32{0, 0, 0, 0, 0, -9, -8, -8, -8, -2, -1, -3, -4, -4, 0},
		Types:   []int32{2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4},
		Unknown: id(0), BOS: id(1), EOS: id(2),
	}
	tok := fromGGUF(t, v)
	equalIDs(t, "best score first", tok.Encode("abc"), 11, 10) // bc, then ▁a
	equalIDs(t, "leftmost of equals", tok.Encode("a  b"), 11, 13, 7)
	equalIDs(t, "bytes and unknown", tok.Encode("aéxb"), 11, 3, 4, 0, 7)
	equalIDs(t, "special tokens", tok.EncodeSpecial("a<tool></s>ab"), 1, 11, 14, 2, 5, 9)
	equalIDs(t, "token's name in pieces", tok.Encode("<0xC3>")[:1], 5)
	equalIDs(t, "nothing", tok.Encode(""))
	for text, want := range map[string]string{"a  bc": "a  bc", "é": "é", "<s>a": "<s> a"} {
		if got, err := tok.Decode(tok.Encode(text), false); got != want || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	v.AddSpacePrefix, v.AddBOS, v.AddEOS = boolean(false), boolean(false), boolean(true)
	tok = fromGGUF(t, v)
	equalIDs(t, "no prefix", tok.EncodeSpecial(" a"), 11, 2)
	if got, err := tok.Decode([]int32{11, 7}, false); got != " ab" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	v.Unknown = nil
	equalIDs(t, "no unknown", fromGGUF(t, v).Encode("axb"), 6, 7)
	if len(tok.steps) != 1 {
		t.Error("the text is one word, where it may be cut before blanks")
	}
	v.Tokens[14] = "a▁b"
	tok = fromGGUF(t, v)
	if len(tok.steps) != 0 {
		t.Error("a text is cut where a token may join it")
	}
	v.Scores = slices.Repeat([]float32{-1}, len(v.Tokens))
	equalIDs(t, "equal scores", fromGGUF(t, v).Encode("abc"), 12)
	equalIDs(t, "equal scores", fromGGUF(t, v).Encode("bcb"), 10, 7)
}

// TestCuts: whether or not words are cut, ids are the same.
func TestCuts(t *testing.T) {
	for _, name := range []string{"gemma", "llama2"} {
		tok, whole := stored(t, name), stored(t, name)
		whole.steps = whole.steps[:len(whole.steps)-1]
		if len(whole.steps) == len(tok.steps) {
			t.Fatal("not cut")
		}
		for _, line := range storedLines(t) {
			if got, want := tok.Encode(line), whole.Encode(line); !slices.Equal(got, want) {
				t.Fatalf("%s, %q: %v, want %v", name, line, got, want)
			}
		}
	}
	const vocab = `{"u":0,"a":1,"b":2,"ab":3}`
	for _, c := range []struct {
		vocab, more string
		cut         bool
	}{
		{`{"u":0,"a":1,"b":2,"ab":3,"▁":5}`, `["a b"]`, true},
		{`{"u":0,"a":1,"b":2,"ab":3,"▁":5,"▁▁":6,"▁a":7}`, `["a b","▁ ▁","▁ a"]`, true},
		{`{"u":0,"a":1,"b":2,"ab":3,"▁":5,"a▁":6}`, `["a b"]`, true}, // which nothing makes
		{`{"u":0,"a":1,"b":2,"ab":3,"▁":5,"a▁":6}`, `["a b","a ▁"]`, false},
		{vocab, `["a b"]`, false},
		{`{"u":0,"a":1,"b":2,"ab":3,"▁":5}`, `["a b"],"ignore_merges":true`, false},
		{`{"u":0,"a":1,"b":2,"ab":3,"▁":5}`, `[],"continuing_subword_prefix":"#"`, false},
		{`{"u":0,"a":1,"b":2,"ab":3,"▁":5}`, `["a b"],"end_of_word_suffix":"#"`, false},
		{`{"u":0,"a":1,"b":2,"ab":3,"▁":5}`, `["a b"],"type":"WordPiece"`, false},
	} {
		tok := parsed(t, vocab, c.vocab, `["a b"]`, c.more)
		if cut := len(tok.steps) == 1; cut != c.cut {
			t.Errorf("%s, %s: cut before blanks: %v", c.vocab, c.more, cut)
		}
	}
	for text, want := range map[string]string{"": "", "▁a": "▁a", "a▁b": "a|▁b", "▁▁a▁▁b": "▁▁a|▁▁b", "a▁": "a|▁", "ab": "ab"} {
		if got := strings.Join(cut(beforeWords, text), "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestGGUFWordPiece(t *testing.T) {
	v := GGUF{
		Model: "bert", Tokens: []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁un", "aff", "able", "▁e", "▁,", "▁中", "[tool]"},
		Types: []int32{3, 2, 3, 3, 1, 1, 1, 1, 1, 1, 4}, Unknown: id(1), BOS: id(2), Separator: id(3),
	}
	tok := fromGGUF(t, v)
	equalIDs(t, "pieces", tok.EncodeSpecial("Unaffable, É中[SEP] x"), 2, 4, 5, 6, 8, 7, 9, 3, 1, 3)
	equalIDs(t, "begins no word", tok.Encode("aff"), 1)
	if got, err := tok.Decode([]int32{4, 5, 6, 8, 7}, false); got != "unaffable , e" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	equalIDs(t, "limit", tok.Encode("un"+strings.Repeat("aff", 33)), 1)
	v.CLS, v.AddEOS = id(0), boolean(false)
	equalIDs(t, "CLS", fromGGUF(t, v).EncodeSpecial("un"), 0, 4)
	v.Tokens[5] = "Aff"
	equalIDs(t, "cased", fromGGUF(t, v).Encode("Un unAff é"), 1, 4, 5, 1)
}

func TestGGUFRefused(t *testing.T) {
	for want, c := range map[string]struct {
		v   GGUF
		err error
	}{
		`model "t5"`:                    {GGUF{Model: "t5"}, ErrUnsupported},
		`pre-tokenizer "made-up"`:       {GGUF{Model: "gpt2", Pre: "made-up"}, ErrUnsupported},
		`pre-tokenizer ""`:              {GGUF{Model: "gpt2"}, ErrUnsupported},
		"1 token types for 2 tokens":    {GGUF{Model: "llama", Tokens: []string{"a", "b"}, Types: []int32{1}}, ErrFormat},
		"1 scores for 2 tokens":         {GGUF{Model: "llama", Tokens: []string{"a", "b"}, Scores: []float32{1}}, ErrFormat},
		`"a" comes twice, the second`:   {GGUF{Model: "llama", Tokens: []string{"a", "a"}}, ErrFormat},
		"special token 2 of 2":          {GGUF{Model: "llama", Tokens: []string{"a", "b"}, EOS: id(2)}, ErrFormat},
		"special token -1 of 2":         {GGUF{Model: "llama", Tokens: []string{"a", "b"}, CLS: id(-1)}, ErrFormat},
		`merge 0, "ab", is not two`:     {GGUF{Model: "gpt2", Pre: "gpt-2", Tokens: []string{"a", "b"}, Merges: []string{"ab"}}, ErrFormat},
		`which is not in the vocabular`: {GGUF{Model: "gpt2", Pre: "gpt-2", Tokens: []string{"a", "b"}, Merges: []string{"a b"}}, ErrFormat},
		"WordPiece without a token":     {GGUF{Model: "bert", Tokens: []string{"a"}}, ErrFormat},
		"1025 bytes":                    {GGUF{Model: "llama", Tokens: []string{strings.Repeat("x", 1025)}, Scores: []float32{0}, Types: []int32{typeControl}}, ErrUnsupported},
	} {
		if _, err := FromGGUF(c.v); !errors.Is(err, c.err) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "tokenizer: GGUF: ") {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
