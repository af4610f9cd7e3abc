package tokenizer

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unzip reads a file of testdata.
func unzip(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	return b
}

func storedLines(t testing.TB) []string {
	t.Helper()
	var lines []string
	if err := json.Unmarshal(unzip(t, "lines.json.gz"), &lines); err != nil {
		t.Fatal(err)
	}
	return lines
}

// storedNames are the tokenizers of testdata in the order of the answers.
func storedNames(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/*.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == filepath.Join("testdata", "lines.json.gz") })
	for i, n := range names {
		names[i] = strings.TrimSuffix(filepath.Base(n), ".json.gz")
	}
	slices.Sort(names)
	return names
}

func stored(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tok, err := Parse(unzip(t, name+".json.gz"))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return tok
}

// answer is what testdata/make.py keeps of a line.
func answer(t testing.TB, tok *Tokenizer, line string) uint64 {
	t.Helper()
	ids := tok.Encode(line)
	text, err := tok.Decode(ids, false)
	if err != nil {
		t.Fatal(err)
	}
	h := fnv.New64a()
	words := slices.Concat(ids, []int32{-1}, tok.EncodeSpecial(line), []int32{-1})
	binary.Write(h, binary.LittleEndian, words)
	io.WriteString(h, text)
	return h.Sum64()
}

// TestReference compares ids, with and without special tokens, and their text
// with those of Python's tokenizers 0.23.3 for all stored lines.
func TestReference(t *testing.T) {
	lines, answers := storedLines(t), unzip(t, "answers.bin.gz")
	names := storedNames(t)
	if len(names) < 7 || len(lines)*len(names) < 10_000 || len(answers) != 8*len(lines)*len(names) {
		t.Fatalf("%d tokenizers, %d lines, %d bytes of answers", len(names), len(lines), len(answers))
	}
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tok := stored(t, name)
			wrong := 0
			for j, line := range lines {
				want := binary.LittleEndian.Uint64(answers[8*(i*len(lines)+j):])
				if got := answer(t, tok, line); got == want {
					continue
				}
				if wrong++; wrong <= 3 {
					ids := tok.Encode(line)
					text, _ := tok.Decode(ids, false)
					t.Errorf("line %d, %.200q: ids %v, special %v and text %.200q are not the reference's", j, line, ids, tok.EncodeSpecial(line), text)
				}
			}
			if wrong > 0 {
				t.Errorf("%d of %d lines", wrong, len(lines))
			}
		})
	}
}
