package tokenizer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// small is a description of a tokenizer with other parts in place of its own.
func small(t testing.TB, replace ...string) []byte {
	t.Helper()
	s := `{"added_tokens":[{"id":4,"content":"<s>","special":true}],"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,` +
		`"model":{"type":"BPE","unk_token":"u","vocab":{"u":0,"a":1,"b":2,"ab":3},"merges":["a b"]}}`
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(s, replace[i]) {
			t.Fatalf("no %s in %s", replace[i], s)
		}
		s = strings.Replace(s, replace[i], replace[i+1], 1)
	}
	return []byte(s)
}

func parsed(t testing.TB, replace ...string) *Tokenizer {
	t.Helper()
	tok, err := Parse(small(t, replace...))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tokenizer.json")
	if err := os.WriteFile(path, small(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{dir, path} {
		tok, err := Load(p)
		if err != nil {
			t.Fatal(err)
		}
		if ids := tok.Encode("<s>abxba"); !slices.Equal(ids, []int32{4, 3, 0, 2, 1}) {
			t.Errorf("%s: %v", p, ids)
		}
	}
	if _, err := Load(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "tokenizer: ") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); !errors.Is(err, ErrFormat) || !strings.HasPrefix(err.Error(), "tokenizer: "+path+": malformed tokenizer: ") {
		t.Errorf("%v", err)
	}
	if err := os.Truncate(path, maxFile+1); err == nil { // sparse
		if _, err := Load(path); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "268435457 bytes") {
			t.Errorf("%v", err)
		}
	}
}

// TestRefused holds what is refused, by name.
func TestRefused(t *testing.T) {
	nested := func(kind, list string) string {
		return strings.Repeat(`{"type":"Sequence","`+list+`":[`, 20) + `{"type":"` + kind + `"}` + strings.Repeat("]}", 20)
	}
	const bpe, norm, pre, post, dec = `"type":"BPE"`, `"normalizer":null`, `"pre_tokenizer":null`, `"post_processor":null`, `"decoder":null`
	const added, merges, vocab, unk = `{"id":4,"content":"<s>","special":true}`, `["a b"]`, `{"u":0,"a":1,"b":2,"ab":3}`, `"unk_token":"u"`
	for _, c := range []struct {
		from, to, want string
		err            error
	}{
		{bpe, `"type":"Unigram"`, `model type "Unigram"`, ErrUnsupported},
		{bpe, `"type":"WordLevel"`, `model type "WordLevel"`, ErrUnsupported},
		{bpe, `"type":"BPE","dropout":0.1`, "dropout of 0.1", ErrUnsupported},
		{unk, `"unk_token":"x"`, `"x", is not in the vocabulary`, ErrFormat},
		{vocab, `["u"]`, "vocabulary", ErrFormat},
		{vocab, `{"u":0,"a":1,"b":1,"ab":3}`, "id 1", ErrFormat},
		{vocab, `{"u":0,"a":1,"b":-2,"ab":3}`, "id -2", ErrFormat},
		{vocab, `{"u":0,"a":1,"b":3000000000,"ab":3}`, "vocabulary", ErrFormat},
		{vocab, `{"u":0,"a":1,"b":2}`, `makes "ab"`, ErrFormat},
		{vocab, `{"u":0,"a":1,"ab":3}`, `joins "a" and "b"`, ErrFormat},
		{merges, `["ab"]`, `merge 0, "ab", is not two tokens`, ErrFormat},
		{merges, `["a b a"]`, `merge 0, "a b a", is not two tokens`, ErrFormat},
		{merges, `[["a","b","a"]]`, "is not two tokens", ErrFormat},
		{merges, `[1]`, "merges", ErrFormat},
		{merges, `["a b"],"continuing_subword_prefix":"##"`, "shorter than the prefix", ErrFormat},
		{bpe, `"type":"WordPiece","max_input_chars_per_word":1001`, "1001", ErrUnsupported},
		{bpe, `"type":"WordPiece","max_input_chars_per_word":-1`, "-1", ErrUnsupported},
		{bpe + "," + unk, `"type":"WordPiece"`, "WordPiece without", ErrFormat},
		{added, `{"id":5,"content":"a"}`, `"a" has id 5, and 1`, ErrFormat},
		{added, `{"id":1,"content":"x"}`, `that of "a"`, ErrFormat},
		{added, `{"id":4,"content":"x"},{"id":4,"content":"y"}`, `that of "x"`, ErrFormat},
		{added, `{"id":-1,"content":"x"}`, "id -1", ErrFormat},
		{added, `{"id":9,"content":"` + strings.Repeat("x", 1025) + `"}`, "1025 bytes", ErrUnsupported},
		{`"normalized":true}],"normalizer":null`, "", "", nil},
		{norm, `"normalizer":{"type":"Nmt"}`, `normalizer "Nmt"`, ErrUnsupported},
		{norm, `"normalizer":{"type":"Precompiled"}`, `normalizer "Precompiled"`, ErrUnsupported},
		{norm, `"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Nmt"}]}`, `normalizer "Nmt"`, ErrUnsupported},
		{norm, `"normalizer":` + nested("NFC", "normalizers"), "nested deeper than 16", ErrFormat},
		{norm, `"normalizer":{"type":"Replace","pattern":{"Regex":"^a"},"content":""}`, `pattern "^a"`, ErrUnsupported},
		{norm, `"normalizer":{"type":"Replace","pattern":{"String":""},"content":""}`, "no pattern", ErrFormat},
		{norm, `"normalizer":{"type":"Replace","pattern":{"String":"a"},"content":"` + strings.Repeat("x", 4097) + `"}`, "4096 times longer", ErrUnsupported},
		{norm, `"normalizer":{"type":"Prepend","prepend":"` + strings.Repeat("x", 4096) + `"}`, "4096 times longer", ErrUnsupported},
		{pre, `"pre_tokenizer":{"type":"Sequence","pretokenizers":[` + strings.Repeat(`{"type":"Digits"},`, 64) + `{"type":"Digits"}]}`, "more than 64", ErrUnsupported},
		{pre, `"pre_tokenizer":{"type":"UnicodeScripts"}`, `pre-tokenizer "UnicodeScripts"`, ErrUnsupported},
		{pre, `"pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\b"},"behavior":"Isolated"}`, `escape \b`, ErrUnsupported},
		{pre, `"pre_tokenizer":{"type":"Split","pattern":{"Regex":"a"},"behavior":"Sometimes"}`, `"Sometimes"`, ErrUnsupported},
		{pre, `"pre_tokenizer":{"type":"Punctuation","behavior":"Never"}`, `"Never"`, ErrUnsupported},
		{pre, `"pre_tokenizer":{"type":"Split","behavior":"Isolated"}`, "no pattern", ErrFormat},
		{pre, `"pre_tokenizer":{"type":"CharDelimiterSplit"}`, "no pattern", ErrFormat},
		{pre, `"pre_tokenizer":{"type":"Metaspace"}`, "no pattern", ErrFormat},
		{pre, `"pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"last"}`, `"last"`, ErrUnsupported},
		{pre, `"pre_tokenizer":` + nested("ByteLevel", "pretokenizers"), "nested deeper than 16", ErrFormat},
		{norm + "," + pre, `"normalizer":{"type":"Sequence","normalizers":[{"type":"Strip"}]},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Metaspace","replacement":"_","prepend_scheme":"first"}]}`, "may delete the start", ErrUnsupported},
		{norm + "," + pre, `"normalizer":{"type":"Replace","pattern":{"String":"a"},"content":""},"pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"first"}`, "may delete the start", ErrUnsupported},
		{post, `"post_processor":{"type":"PairProcessing"}`, `post-processor "PairProcessing"`, ErrUnsupported},
		{post, `"post_processor":{"type":"Sequence","processors":[{"type":"Odd"}]}`, `post-processor "Odd"`, ErrUnsupported},
		{post, `"post_processor":` + nested("ByteLevel", "processors"), "nested deeper than 16", ErrFormat},
		{post, `"post_processor":{"type":"BertProcessing","cls":["a",1]}`, "without cls or sep", ErrFormat},
		{post, `"post_processor":{"type":"BertProcessing","cls":["a",1],"sep":["a"]}`, "", ErrFormat},
		{post, `"post_processor":{"type":"BertProcessing","cls":["a",1],"sep":"a"}`, "", ErrFormat},
		{post, `"post_processor":{"type":"BertProcessing","cls":["a",1],"sep":["a",1,1]}`, "", ErrFormat},
		{post, `"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}]}`, `special token "x"`, ErrFormat},
		{post, `"post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}},{"Sequence":{"id":"A"}}]}`, "holds it twice", ErrUnsupported},
		{post, `"post_processor":{"type":"TemplateProcessing","single":[{}]}`, "something else", ErrUnsupported},
		{post, `"post_processor":{"type":"TemplateProcessing","single":[]}`, "without the sequence", ErrUnsupported},
		{dec, `"decoder":{"type":"CTC"}`, `decoder "CTC"`, ErrUnsupported},
		{dec, `"decoder":{"type":"Sequence","decoders":[{"type":"CTC"}]}`, `decoder "CTC"`, ErrUnsupported},
		{dec, `"decoder":{"type":"Replace","pattern":{},"content":""}`, "no pattern", ErrFormat},
		{dec, `"decoder":{"type":"Replace","pattern":{"String":"a"},"content":"` + strings.Repeat("x", 4097) + `"}`, "4096 times longer", ErrUnsupported},
		{dec, `"decoder":` + nested("Fuse", "decoders"), "nested deeper than 16", ErrFormat},
	} {
		if c.err == nil {
			continue
		}
		_, err := Parse(small(t, c.from, c.to))
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "tokenizer: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.150s: %v; want %v, %q", c.to, err, c.err, c.want)
		}
	}
	empty := small(t, norm, `"normalizer":{"type":"Strip","strip_left":true}`, added, `{"id":5,"content":"  ","normalized":true}`)
	if _, err := Parse(empty); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "nothing once normalized") {
		t.Errorf("%v", err)
	}
}

// TestParts holds behavior that the stored tokenizers do not have. The expected
// ids, but for an old spelling of Metaspace that it refuses,
// are those of Python's tokenizers 0.23.3.
func TestParts(t *testing.T) {
	const norm, pre, merges = `"normalizer":null`, `"pre_tokenizer":null`, `"merges":["a b"]`
	for _, c := range []struct {
		name    string
		replace []string
		text    string
		want    []int32
	}{
		{"no type", []string{`"type":"BPE",`, ""}, "ab", []int32{3}},
		{"pairs", []string{merges, `"merges":[["a","b"]]`}, "ab", []int32{3}},
		{"version line", []string{merges, `"merges":["#version: 0.2","a b"]`}, "ab", []int32{3}},
		{"unknown letters", nil, "axxb", []int32{1, 0, 0, 2}},
		{"fused", []string{merges, merges + `,"fuse_unk":true`}, "axxbx", []int32{1, 0, 2, 0}},
		{"unknown letters vanish", []string{`"unk_token":"u",`, ""}, "axxb", []int32{3}},
		{"ignored merges", []string{merges, `"merges":[],"ignore_merges":true`}, "ab", []int32{3}},
		{"no merges", []string{merges, `"merges":[]`}, "ab", []int32{1, 2}},
		{"prefix and suffix", []string{`{"u":0,"a":1,"b":2,"ab":3}`, `{"u":0,"a":1,"#b":2,"#b!":3,"ab!":5}`, merges, `"merges":["a #b!"],"continuing_subword_prefix":"#","end_of_word_suffix":"!"`}, "ab", []int32{5}},
		{"suffix", []string{`{"u":0,"a":1,"b":2,"ab":3}`, `{"u":0,"a":1,"b!":2,"a!":3}`, merges, `"merges":[],"end_of_word_suffix":"!"`}, "aaba", []int32{1, 1, 0, 3}},
		{"Whitespace", []string{pre, `"pre_tokenizer":{"type":"Whitespace"}`}, "a b.b ab", []int32{1, 2, 0, 2, 3}},
		{"WhitespaceSplit", []string{pre, `"pre_tokenizer":{"type":"WhitespaceSplit"}`}, " a b ", []int32{1, 2}},
		{"delimiter", []string{pre, `"pre_tokenizer":{"type":"CharDelimiterSplit","delimiter":"x"}`}, "axbxab", []int32{1, 2, 3}},
		{"punctuation", []string{pre, `"pre_tokenizer":{"type":"Punctuation"}`}, "a.b", []int32{1, 0, 2}},
		{"old Metaspace", []string{pre, `"pre_tokenizer":{"type":"Metaspace","replacement":"a","add_prefix_space":true}`}, "b", []int32{3}},
		{"old Metaspace without", []string{pre, `"pre_tokenizer":{"type":"Metaspace","replacement":"a","add_prefix_space":false}`}, "b b", []int32{2, 3}},
		{"Metaspace, first", []string{pre, `"pre_tokenizer":{"type":"Metaspace","replacement":"a","prepend_scheme":"first"}`}, "b<s>b", []int32{3, 4, 2}},
		{"Metaspace, always", []string{pre, `"pre_tokenizer":{"type":"Metaspace","replacement":"a","prepend_scheme":"always","split":false}`}, "b<s>b", []int32{3, 4, 3}},
		{"Metaspace, first, not split", []string{pre, `"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"CharDelimiterSplit","delimiter":"x"},{"type":"Metaspace","replacement":"a","prepend_scheme":"first"}]}`}, "bxb", []int32{3, 2}},
		{"ByteLevel normalizer", []string{norm, `"normalizer":{"type":"ByteLevel"}`, `"u":0`, `"u":0,"Ġ":9`}, "a b", []int32{1, 9, 2}},
		{"ByteLevel, fallback", []string{pre, `"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}`, merges, merges + `,"byte_fallback":true`, `"u":0`, `"u":0,"<0xC4>":8,"<0xA0>":9`}, "a b", []int32{1, 8, 9, 2}},
		{"ByteLevel, unknown byte", []string{pre, `"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}`}, "ab b", []int32{3, 0, 2}},
		{"ByteLevel, WordPiece", []string{pre, `"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}`, `"type":"BPE"`, `"type":"WordPiece","continuing_subword_prefix":""`, `"u":0`, `"u":0,"Ġ":9`}, "a b", []int32{1, 9, 2}},
		{"ByteLevel twice", []string{pre, `"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}`, `"u":0`, `"u":0,"Ä":9,"ł":10`}, " a", []int32{9, 10, 1}},
		{"Replace by expression", []string{norm, `"normalizer":{"type":"Replace","pattern":{"Regex":"x+"},"content":"b"}`}, "axxxxb", []int32{3, 2}},
		{"Prepend", []string{norm, `"normalizer":{"type":"Prepend","prepend":"a"}`}, "b<s>", []int32{3, 4}},
		{"Strip right", []string{norm, `"normalizer":{"type":"Strip","strip_right":true}`}, " a ", []int32{0, 1}},
		{"Strip left", []string{norm, `"normalizer":{"type":"Strip","strip_left":true}`}, " a ", []int32{1, 0}},
		{"empty added token", []string{`"added_tokens":[`, `"added_tokens":[{"id":7,"content":""},`}, "a", []int32{1}},
		{"added twice", []string{`"added_tokens":[`, `"added_tokens":[{"id":4,"content":"<s>"},`}, "<s>", []int32{4}},
		{"no text", nil, "", nil},
	} {
		if got := parsed(t, c.replace...).Encode(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWordPiece(t *testing.T) {
	tok := parsed(t, `"type":"BPE"`, `"type":"WordPiece","continuing_subword_prefix":"##","max_input_chars_per_word":5`,
		`"ab":3`, `"ab":3,"##b":5,"##ab":6,"é":7,"##é":8`)
	for text, want := range map[string][]int32{
		"abab": {3, 6}, "aab": {1, 6}, "abb": {3, 5}, "aé": {1, 8}, "éé": {7, 8}, "abx": {0}, "x": {0}, "ababa": {0}, "ééééé": {7, 8, 8, 8, 8}, "éééééé": {0}, "ba": {0},
	} {
		if got := tok.Encode(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	plain := parsed(t, `"type":"BPE"`, `"type":"WordPiece"`)
	if got := plain.Encode(strings.Repeat("a", 100)); len(got) != 100 {
		t.Errorf("100 letters: %d tokens", len(got))
	}
	if got := plain.Encode(strings.Repeat("a", 101)); !slices.Equal(got, []int32{0}) {
		t.Errorf("101 letters: %v", got)
	}
}

func TestDecode(t *testing.T) {
	const dec = `"decoder":null`
	for _, c := range []struct {
		replace []string
		ids     []int32
		want    string
	}{
		{nil, []int32{3, 4, 1}, "ab <s> a"},
		{[]string{dec, `"decoder":{"type":"Sequence","decoders":[]}`}, []int32{3, 4, 1}, "ab<s>a"},
		{[]string{dec, `"decoder":{"type":"BPEDecoder","suffix":"b"}`}, []int32{3, 1, 3}, "a aa"},
		{[]string{dec, `"decoder":{"type":"Strip","content":"a","start":2,"stop":1}`, `"u":0`, `"u":0,"aaaba":8`}, []int32{8, 1, 3}, "abb"},
		{[]string{dec, `"decoder":{"type":"Strip","content":"","start":2,"stop":9}`}, []int32{3}, "ab"},
		{[]string{dec, `"decoder":{"type":"Strip","content":"b","start":0,"stop":3}`}, []int32{3, 2}, "a"},
		{[]string{dec, `"decoder":{"type":"Metaspace","replacement":"a","prepend_scheme":"never"}`}, []int32{3, 3}, " b b"},
		{[]string{dec, `"decoder":{"type":"Metaspace","replacement":"a","add_prefix_space":false}`}, []int32{3, 3}, " b b"},
		{[]string{dec, `"decoder":{"type":"Metaspace","replacement":"a","add_prefix_space":true}`}, []int32{3, 3}, "b b"},
		{[]string{dec, `"decoder":{"type":"WordPiece","prefix":"##","cleanup":true}`, `"u":0`, `"u":0,"##b":8,".":9,"n't":10`}, []int32{8, 8, 9, 10}, "##bb.n't"},
		{[]string{dec, `"decoder":{"type":"WordPiece","prefix":"##"}`, `"u":0`, `"u":0,".":9`}, []int32{1, 9}, "a ."},
		{[]string{dec, `"decoder":{"type":"ByteFallback"}`, `"u":0`, `"u":0,"<0xC3>":8,"<0xA9>":9,"<0x4g>":10,"<0x41>x":11`}, []int32{8, 9, 9, 1, 8, 9, 10, 11, 8}, "\ufffd\ufffd\ufffdaé<0x4g><0x41>x\ufffd"},
		{[]string{dec, `"decoder":{"type":"ByteLevel"}`, `"u":0`, `"u":0,"Ã":8,"©":9,"中":10,"âĤ":11`}, []int32{8, 9, 9, 10, 11, 1, 11}, "é\ufffd中\ufffda\ufffd"},
	} {
		if got, err := parsed(t, c.replace...).Decode(c.ids, false); got != c.want || err != nil {
			t.Errorf("%q: %q, %v; want %q", c.replace, got, err, c.want)
		}
	}
	tok := parsed(t)
	if got, err := tok.Decode([]int32{4, 1, 4, 2}, true); got != "a b" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, id := range []int32{5, -1} {
		if _, err := tok.Decode([]int32{1, id}, false); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), fmt.Sprintf("id %d at 1; there are 5", id)) {
			t.Errorf("%v", err)
		}
	}
}

func TestLookup(t *testing.T) {
	tok := parsed(t)
	if n := tok.Size(); n != 5 {
		t.Errorf("size %d", n)
	}
	for token, id := range map[string]int32{"u": 0, "ab": 3, "<s>": 4} {
		if got, ok := tok.ID(token); got != id || !ok {
			t.Errorf("%q: %d, %v", token, got, ok)
		}
		if got, ok := tok.Token(id); got != token || !ok {
			t.Errorf("%d: %q, %v", id, got, ok)
		}
	}
	if id, ok := tok.ID("x"); ok {
		t.Errorf("%d", id)
	}
	if token, ok := tok.Token(5); ok {
		t.Errorf("%q", token)
	}
}

func TestPostProcessors(t *testing.T) {
	const post = `"post_processor":null`
	for processor, want := range map[string][]int32{
		`null`:                 {1},
		`{"type":"ByteLevel"}`: {1},
		`{"type":"BertProcessing","sep":["b",2],"cls":["a",4]}`: {4, 1, 2},
		`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}},{"SpecialToken":{"id":"y"}},{"SpecialToken":{"id":"x"}}],"special_tokens":{"x":{"ids":[4,3]},"y":{"ids":[2]}}}`: {4, 3, 1, 2, 4, 3},
		`{"type":"Sequence","processors":[{"type":"BertProcessing","sep":["b",2],"cls":["a",4]},{"type":"ByteLevel"},{"type":"BertProcessing","sep":["u",0],"cls":["ab",3]}]}`:                                      {3, 4, 1, 2, 0},
	} {
		tok := parsed(t, post, `"post_processor":`+processor)
		if got := tok.EncodeSpecial("a"); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", processor, got, want)
		}
		if got := tok.Encode("a"); !slices.Equal(got, []int32{1}) {
			t.Errorf("%s, without special tokens: %v", processor, got)
		}
		if got := tok.EncodeSpecial(""); len(got) != len(want)-1 {
			t.Errorf("%s: %v around nothing", processor, got)
		}
	}
}

// TestEncodeFirst compares with the start of all ids, and counts the words that
// were looked at.
func TestEncodeFirst(t *testing.T) {
	text := "Hello <|im_start|> of the light, <s> x\n\n \u00e9\u4e2d [MASK] 12345 ''s don't"
	for _, name := range storedNames(t) {
		tok := stored(t, name)
		all := tok.Encode(text)
		for n := -1; n <= len(all)+1; n++ {
			if got, want := tok.EncodeFirst(text, n), all[:min(max(n, 0), len(all))]; !slices.Equal(got, want) {
				t.Fatalf("%s: first %d: %v, want %v", name, n, got, want)
			}
		}
	}
	tok := parsed(t, `"pre_tokenizer":null`, `"pre_tokenizer":{"type":"WhitespaceSplit"}`)
	words := 0
	step := tok.steps[0]
	tok.steps[0] = func(p piece, yield func(piece) bool) bool {
		return step(p, func(p piece) bool { words++; return yield(p) })
	}
	if got := tok.EncodeFirst(strings.Repeat("ab ", 1000), 5); len(got) != 5 || words != 5 {
		t.Errorf("%v after %d words", got, words)
	}
}

func TestConcurrent(t *testing.T) {
	lines := storedLines(t)[:300]
	tok := stored(t, "gpt4o")
	alone, want := stored(t, "gpt4o"), make([][]int32, len(lines))
	for i, l := range lines {
		want[i] = alone.Encode(l)
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for i, l := range lines {
				if !slices.Equal(tok.Encode(l), want[i]) {
					t.Errorf("%q differs", l)
				}
			}
		})
	}
	wait.Wait()
}

// TestCache fills the memory of words beyond its limit.
func TestCache(t *testing.T) {
	tok := stored(t, "gpt2")
	s := tok.scratch.Get().(*scratch)
	for i := range maxCachedWords + 10 {
		tok.word(strconv.Itoa(i), s, nil)
	}
	if n := len(s.words); n != 10 {
		t.Errorf("%d words remembered", n)
	}
	tok.word(strings.Repeat("x", maxCachedWord+1), s, nil)
	tok.word(strings.Repeat("x", maxCachedWord), s, nil)
	if n := len(s.words); n != 11 {
		t.Errorf("%d words remembered", n)
	}
	before := []int32{7}
	if got := tok.word("123", s, before); len(got) < 2 || got[0] != 7 {
		t.Errorf("%v", got)
	}
}

// TestInvalid: what is not UTF-8 is U+FFFD, or to byte-level encodings itself.
func TestInvalid(t *testing.T) {
	const bad = "a\xffb \xe4\xb8\xad\xe4\xb8 \x80"
	good := strings.NewReplacer("\xff", "\ufffd", "\xe4\xb8 \x80", "\ufffd\ufffd \ufffd").Replace(bad)
	for _, name := range []string{"uncased", "gemma", "llama2"} {
		tok := stored(t, name)
		if got, want := tok.Encode(bad), tok.Encode(good); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// TestLongWord joins a word of many letters; time that grows with its square
// would not end here.
func TestLongWord(t *testing.T) {
	tok := parsed(t)
	n := 300_000
	if got := tok.Encode(strings.Repeat("ab", n)); len(got) != n || got[0] != 3 || got[n-1] != 3 {
		t.Errorf("%d tokens", len(got))
	}
	if got := parsed(t, `"merges":["a b"]`, `"merges":["a b","ab ab"]`, `"ab":3`, `"ab":3,"abab":9`).Encode(strings.Repeat("ab", n+1)); len(got) != n/2+1 || got[0] != 9 || got[n/2] != 3 {
		t.Errorf("%d tokens", len(got))
	}
}
