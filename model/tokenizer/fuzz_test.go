package tokenizer

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse: what is not refused by a sentinel in one line encodes and decodes,
// to ids that are tokens.
func FuzzParse(f *testing.F) {
	f.Add(small(f), "abc <s>")
	for _, name := range storedNames(f) {
		f.Add(trimmed(unzip(f, name+".json.gz")), "It's 12 \u00c9\n\n x")
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		tok, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			return
		}
		ids := tok.Encode(text)
		if _, err := tok.Decode(ids, true); err != nil {
			t.Fatal(err)
		}
		if n := len(ids) / 2; !slices.Equal(tok.EncodeFirst(text, n), ids[:n]) {
			t.Fatalf("the first %d ids differ", n)
		}
	})
}

// trimmed leaves a description without vocabulary, so that mutations meet its
// other parts.
func trimmed(data []byte) []byte {
	before, rest, _ := strings.Cut(string(data), `"vocab":{`)
	_, after, ok := strings.Cut(rest, `"merges":[`)
	if !ok { // WordPiece
		return []byte(before + `"vocab":{"[UNK]":1,"a":9}}}`)
	}
	unknown := `"<unk>":0,"<|endoftext|>":0,`
	if strings.Contains(string(data), `"<unk>","id"`) || strings.Contains(string(data), `"unk_token":"<unk>"`) {
		unknown = `"<unk>":0,`
	}
	_, after, _ = strings.Cut(after, "]}")
	return []byte(before + `"vocab":{` + unknown + `"a":900,"b":901,"ab":902},"merges":["a b"]}` + strings.TrimPrefix(after, "]}"))
}

// FuzzEncode: byte-level encodings are undone by decoding, whatever the text.
func FuzzEncode(f *testing.F) {
	for _, line := range storedLines(f)[:200] {
		f.Add(line)
	}
	var all []*Tokenizer
	for _, name := range []string{"gpt2", "smollm", "llama3", "bloom"} {
		all = append(all, stored(f, name))
	}
	others := []*Tokenizer{stored(f, "uncased"), stored(f, "gemma"), stored(f, "metaspace"), stored(f, "falcon")}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range all {
			got, err := tok.Decode(tok.Encode(text), false)
			if want := toValid(text); err != nil || got != want {
				t.Fatalf("%q, %v; want %q", got, err, want)
			}
		}
		for _, tok := range others {
			if got, err := tok.Decode(tok.Encode(text), false); err != nil || !utf8.ValidString(got) {
				t.Fatalf("%q, %v", got, err)
			}
		}
	})
}

// FuzzPattern: any text is cut into parts that make it up.
func FuzzPattern(f *testing.F) {
	for _, rule := range ggufRules {
		for _, expr := range rule.patterns {
			f.Add(expr, "It's 12 \u00c9\n\n x  ")
		}
	}
	f.Add(`\s+$|[a&&[^b]]++(?!c)`, "a b  ")
	f.Fuzz(func(t *testing.T, expr, text string) {
		p, err := compilePattern(expr)
		if err != nil {
			if !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			return
		}
		var b strings.Builder
		p.split(text, func(part string, _ bool) bool {
			if part == "" {
				t.Fatal("an empty part")
			}
			b.WriteString(part)
			return true
		})
		if b.String() != text {
			t.Fatalf("%q of %q", b.String(), text)
		}
	})
}
