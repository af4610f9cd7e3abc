package text

import (
	"errors"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/model/tokenizer"
	"github.com/cambium-kernels/cambium/weights"
)

var _ Encoder = (*tokenizer.Tokenizer)(nil)

// write makes a file of a test.
func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// all collects documents up to the first error.
func all(documents iter.Seq2[string, error]) (texts []string, err error) {
	for s, err := range documents {
		if err != nil {
			return texts, err
		}
		texts = append(texts, s)
	}
	return texts, nil
}

func TestFiles(t *testing.T) {
	a, b := write(t, "a", "\ufeffone\r\n\ufeff"), write(t, "b", "twö\ufffd")
	got, err := all(Files(a, b))
	if want := []string{"one\r\n\ufeff", "twö\ufffd"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	for s := range Files(a, filepath.Join(t.TempDir(), "absent")) { // not read before it is needed
		if s == "" {
			t.Error("an error before the second file")
		}
		break
	}
	bad := write(t, "latin1", "caf\xe9")
	got, err = all(Files(a, bad, b))
	if len(got) != 1 || !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "0xe9 at 3") || !strings.HasPrefix(err.Error(), "text: "+bad) {
		t.Errorf("Latin-1: %q, %v", got, err)
	}
	if _, err := all(Files(filepath.Join(t.TempDir(), "absent"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	large := write(t, "large", "")
	if err := os.Truncate(large, maxFile+1); err == nil { // sparse
		if _, err := all(Files(large)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "1073741825 bytes") {
			t.Errorf("large: %v", err)
		}
	}
	if _, err := all(Files(t.TempDir())); err == nil {
		t.Error("a folder is read as text")
	}
}

// letters encodes a letter as its code, and counts what it was asked for.
type letters struct{ asked []int }

func (l *letters) EncodeFirst(text string, n int) (ids []int32) {
	l.asked = append(l.asked, n)
	for _, r := range text {
		if len(ids) < n {
			ids = append(ids, r)
		}
	}
	return ids
}

func documents(texts ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, s := range texts {
			if s == "ERROR" {
				yield("", ErrTemplate)
				return
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

func TestCut(t *testing.T) {
	show := func(ids [][]int32) string {
		var b strings.Builder
		for _, s := range ids {
			b.WriteString(string(s) + "|")
		}
		return b.String()
	}
	for _, c := range []struct {
		texts        []string
		seqs, length int
		atMost       bool
		want         string
		err          error
	}{
		{[]string{"abcde", "fgh", "ERROR"}, 2, 4, false, "abcd|efgh|", nil},
		{[]string{"abcdefghij"}, 2, 4, false, "abcd|efgh|", nil},
		{[]string{"abc", "", "defg"}, 2, 4, true, "abcd|", nil},
		{[]string{"abcd"}, 2, 4, true, "abcd|", nil},
		{[]string{"abc"}, 2, 4, true, "", ErrShort},
		{[]string{"abcdefg"}, 2, 4, false, "", ErrShort},
		{[]string{"a", "ERROR"}, 1, 4, false, "", ErrTemplate},
		{[]string{"ab"}, 1, 1, false, "a|", nil},
		{[]string{"a"}, 0, 4, false, "", ErrFormat},
		{[]string{"a"}, 4, 0, false, "", ErrFormat},
		{[]string{"a"}, 1<<15 + 1, 1 << 15, true, "", ErrFormat},
		{[]string{"a"}, 1 << 15, 1 << 15, true, "", ErrShort},
	} {
		got, err := Cut(&letters{}, documents(c.texts...), c.seqs, c.length, c.atMost)
		if show(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q, %d x %d: %q, %v; want %q, %v", c.texts, c.seqs, c.length, show(got), err, c.want, c.err)
		}
	}
	l := &letters{}
	ids, err := Cut(l, documents("abc", "defghijkl", "never"), 2, 3, false)
	if err != nil || !slices.Equal(l.asked, []int{6, 3}) {
		t.Errorf("asked for %v ids, %v; want 6, then 3", l.asked, err)
	}
	if cap(ids[0]) != 3 {
		t.Error("appending to a sequence overwrites the next")
	}
	_, err = Cut(l, documents("abc"), 2, 3, false)
	if err == nil || !strings.Contains(err.Error(), "3 tokens in 1 documents, for 2 sequences of 3 tokens 6 are needed") {
		t.Errorf("%v", err)
	}
}

func TestIDs(t *testing.T) {
	npy := func(d weights.DType, data []byte, shape ...int) string {
		path := filepath.Join(t.TempDir(), "ids.npy")
		if err := weights.WriteNPY(path, weights.Bytes("ids", d, data, shape...)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	narrow := []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0}
	ids, err := IDs(npy(weights.I32, narrow, 2, 2), 5)
	if err != nil || len(ids) != 2 || !slices.Equal(ids[0], []int32{1, 2}) || !slices.Equal(ids[1], []int32{3, 4}) {
		t.Errorf("%v, %v", ids, err)
	}
	ids, err = IDs(npy(weights.I32, []byte{0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0}, 1, 3), 4)
	if err != nil || len(ids) != 1 || !slices.Equal(ids[0], []int32{0, 2, 3}) {
		t.Errorf("%v, %v", ids, err)
	}
	if _, err := IDs(npy(weights.I32, []byte{0, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0}, 1, 3), 4); err == nil || !strings.Contains(err.Error(), "sequence 0, token 2: id 9") {
		t.Errorf("%v", err)
	}
	ids, err = IDs(npy(weights.I64, narrow[:8], 1, 1), math.MaxInt)
	if !errors.Is(err, ErrFormat) {
		t.Errorf("id beyond 32 bits: %v, %v", ids, err)
	}
	if ids, err = IDs(npy(weights.I64, []byte{9, 0, 0, 0, 0, 0, 0, 0}, 1, 1), 10); err != nil || ids[0][0] != 9 {
		t.Errorf("%v, %v", ids, err)
	}
	for name, c := range map[string]struct {
		path  string
		place string
	}{
		"beyond the vocabulary": {npy(weights.I32, narrow, 2, 2), "sequence 1, token 1: id 4, the vocabulary has 4"},
		"negative":              {npy(weights.I32, []byte{255, 255, 255, 255}, 1, 1), "id -1"},
		"one dimension":         {npy(weights.I32, narrow, 4), "[4]"},
		"none":                  {npy(weights.I32, nil, 0, 3), "[0 3]"},
		"floats":                {npy(weights.F32, narrow, 2, 2), "F32"},
	} {
		if _, err := IDs(c.path, 4); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.place) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := IDs(filepath.Join(t.TempDir(), "absent.npy"), 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

func TestJSONL(t *testing.T) {
	long := strings.Repeat("x", 1<<17)
	records := `{"text":"one","prompt":"P","answer":"A","n":1.50,"list":[1],"nothing":null}` + "\r\n\n  \t\n" +
		`{"text":"` + long + `","prompt":"Q","answer":"B","n":2,"nothing":"x"}`
	alpaca := "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n" +
		"### Instruction:\nP\n\n### Response:\nA"
	alpacaInput := "Below is an instruction that describes a task, paired with an input that provides further context. " +
		"Write a response that appropriately completes the request.\n\n### Instruction:\nP\n\n### Input:\n1.50\n\n### Response:\nA"
	own := write(t, "own", "{{Q}}: {prompt}\nA: {answer} {{{n}}}\n")
	for _, c := range []struct {
		name     string
		template string
		fields   []string
		want     string
	}{
		{"text", "none", nil, "one"},
		{"joined", "none", []string{"prompt", "n", "nothing"}, "P\n1.50\n"},
		{"alpaca", "alpaca", []string{"prompt", "answer"}, alpaca},
		{"alpaca with input", "alpaca", []string{"prompt", "n", "answer"}, alpacaInput},
		{"alpaca with an empty input", "alpaca", []string{"prompt", "nothing", "answer"}, alpaca},
		{"turns", "chat", []string{"prompt", "answer", "n"}, "<|im_start|>user\nP<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\n1.50<|im_end|>\n"},
		{"file", own, nil, "{Q}: P\nA: A {1.50}\n"},
		{"file with fields", own, []string{"n", "prompt", "answer"}, "{Q}: P\nA: A {1.50}\n"},
	} {
		tmpl, err := NewTemplate(c.template, c.fields)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := all(JSONL(write(t, "records.jsonl", records), tmpl))
		if err != nil || len(got) != 2 || got[0] != c.want {
			t.Errorf("%s: %.300q, %v; want %q", c.name, got, err, c.want)
		}
		if c.name == "text" && got[1] != long {
			t.Errorf("a line of %d bytes has %d", len(long), len(got[1]))
		}
		got, err = all(JSONL(write(t, "ended.jsonl", records[:strings.IndexByte(records, '\n')+1]), tmpl))
		if err != nil || len(got) != 1 {
			t.Errorf("%s, newline at the end: %q, %v", c.name, got, err)
		}
	}
	for range JSONL(write(t, "records.jsonl", records), mustTemplate(t, "none")) {
		break // must not go on
	}
}

func mustTemplate(t testing.TB, name string, fields ...string) *Template {
	t.Helper()
	tmpl, err := NewTemplate(name, fields)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestRecords(t *testing.T) {
	const lacks = "lacks role or content"
	for _, c := range []struct {
		name, template, record string
		fields                 []string
		want                   string
		err                    error
	}{
		{"messages", "chat", `{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"}]}`, nil, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n", nil},
		{"own field", "chat", `{"m":[{"role":"user","content":"U"}]}`, []string{"m"}, "<|im_start|>user\nU<|im_end|>\n", nil},
		{"no messages", "chat", `{"m":[]}`, []string{"m"}, "is not a list of messages", ErrTemplate},
		{"no content", "chat", `{"m":[{"role":"user","content":"U"},{"role":"user"}]}`, []string{"m"}, "message 1", ErrTemplate},
		{"no role", "chat", `{"m":[{"content":"user"}]}`, []string{"m"}, lacks, ErrTemplate},
		{"messages as text", "chat", `{"m":"x"}`, []string{"m"}, "is not a list of messages", ErrTemplate},
		{"no field of messages", "chat", `{}`, nil, `no field "messages"`, ErrTemplate},
		{"no turn", "chat", `{"a":"x"}`, []string{"a", "b"}, `no field "b"`, ErrTemplate},
		{"alpaca by default", "alpaca", `{"instruction":"I","output":"O"}`, nil, "### Instruction:\nI\n\n### Response:\nO", nil},
		{"alpaca with input by default", "alpaca", `{"instruction":"I","input":"N","output":"O"}`, nil, "### Instruction:\nI\n\n### Input:\nN\n\n### Response:\nO", nil},
		{"alpaca without input", "alpaca", `{"instruction":"I","output":"O"}`, []string{"instruction", "input", "output"}, `no field "input"`, ErrTemplate},
		{"alpaca without output", "alpaca", `{"instruction":"I"}`, nil, `no field "output"`, ErrTemplate},
		{"list", "none", `{"text":[1,2]}`, nil, `field "text" is not text but [1,2]`, ErrTemplate},
		{"object", "none", `{"text":{"a":1}}`, nil, `field "text" is not text`, ErrTemplate},
		{"absent", "none", `{"tex":"x"}`, nil, `no field "text"`, ErrTemplate},
		{"not an object", "none", `[1]`, nil, "not a JSON object", ErrFormat},
		{"no JSON", "none", `{"text":`, nil, "not a JSON object", ErrFormat},
		{"not UTF-8", "none", "{\"text\":\"\xff\"}", nil, "not UTF-8", ErrFormat},
		{"boolean", "none", `{"text":true}`, nil, "true", nil},
	} {
		path := write(t, "x.jsonl", "\n"+c.record)
		got, err := all(JSONL(path, mustTemplate(t, c.template, c.fields...)))
		switch {
		case c.err == nil && (err != nil || len(got) != 1 || !strings.HasSuffix(got[0], c.want)):
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		case c.err != nil && (!errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path+": line 2: ")):
			t.Errorf("%s: %q, %v; want %v, %q", c.name, got, err, c.err, c.want)
		}
	}
	if _, err := all(JSONL(filepath.Join(t.TempDir(), "absent"), mustTemplate(t, "none"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := all(JSONL(t.TempDir(), mustTemplate(t, "none"))); err == nil || errors.Is(err, ErrFormat) {
		t.Errorf("a folder: %v", err)
	}
	long := write(t, "long.jsonl", "{\"text\":\"x\"}\n")
	if err := os.Truncate(long, maxLine+100); err == nil {
		got, err := all(JSONL(long, mustTemplate(t, "none")))
		if len(got) != 1 || !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), long+": line 2: more than 67108864 bytes") {
			t.Errorf("a line without end: %q, %v", got, err)
		}
	}
	path := write(t, "file.jsonl", `{"a":"1"}`)
	if _, err := all(JSONL(path, mustTemplate(t, write(t, "own", "{a}{b}")))); !errors.Is(err, ErrTemplate) {
		t.Errorf("a file's field that the record lacks: %v", err)
	}
}

func TestTemplates(t *testing.T) {
	for _, c := range []struct {
		template string
		fields   []string
		want     string
	}{
		{"alpaca", []string{"one"}, "1 fields"},
		{"alpaca", []string{"one", "two", "three", "four"}, "4 fields"},
		{write(t, "t", "no field"), nil, "names no field"},
		{write(t, "t", "{a"), nil, "a brace that names no field"},
		{write(t, "t", "a}"), nil, "a brace that names no field"},
		{write(t, "t", "{}"), nil, "a brace that names no field"},
		{write(t, "t", "{a\n}"), nil, "a brace that names no field"},
		{write(t, "t", "{a{b}"), nil, "a brace that names no field"},
		{write(t, "t", "{a}{c}"), []string{"a", "b"}, `the field "c"`},
	} {
		if _, err := NewTemplate(c.template, c.fields); !errors.Is(err, ErrTemplate) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %q: %v; want %q", c.template, c.fields, err, c.want)
		}
	}
	if _, err := NewTemplate("vicuna", nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "neither alpaca, chat nor none") {
		t.Errorf("%v", err)
	}
	if _, err := NewTemplate(write(t, "t", "\xff{a}"), nil); !errors.Is(err, ErrFormat) {
		t.Errorf("%v", err)
	}
}
