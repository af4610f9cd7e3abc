package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/model"
	"github.com/cambium-kernels/cambium/model/demo"
	"github.com/cambium-kernels/cambium/weights"
)

// demoTokensOf returns the first n tokens of the demonstration's text, by the tokenizer's reference.
func demoTokensOf(t *testing.T, n int) []int64 {
	t.Helper()
	f, err := weights.Open(filepath.Join("..", "..", "model", "demo", "testdata", "reference.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := f.Tensor("tokens")
	if err != nil {
		t.Fatal(err)
	}
	out := make([]int64, x.Elements())
	if err := x.Int64s(out); err != nil {
		t.Fatal(err)
	}
	return out[:n]
}

// decodeJSON reads what a command printed, and refuses keys that its report does not have.
func decodeJSON(t *testing.T, report any, args ...string) {
	t.Helper()
	code, out, talk := invoke(t.Context(), append(args, "--json", "--quiet")...)
	if code != exitDone || talk != "" {
		t.Fatalf("%v: exit code %d, stderr %q", args, code, talk)
	}
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(report); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
}

// plain is a table without its padding.
func plain(table string) string { return strings.Join(strings.Fields(table), " ") }

var goldenModels = filepath.Join("..", "..", "model", "testdata")

func TestModelInfo(t *testing.T) {
	var r infoReport
	decodeJSON(t, &r, "model", "info")
	if r.Model != "demo" || r.Blocks != 12 || r.Width != 96 || r.Parameters != 1268064 || r.Heads != 4 || r.KVHeads != 2 || r.HeadDim != 24 ||
		r.Inner != 256 || r.Vocabulary != 512 || !r.Tied || !r.Causal || len(r.Layers) != 12 || r.Layers[3].RoPE != "default" || r.Path != "" ||
		len(r.Tensors) != 9 || r.Tensors[2].Role != "queries" || r.Tensors[2].DType != "bf16" {
		t.Errorf("%+v", r)
	}
	// Two norms, four maps of attention, three of the MLP; two bytes each.
	if want := int64(2 * (2*96 + 2*96*96 + 2*48*96 + 3*256*96)); r.BlockBytes != want {
		t.Errorf("%d bytes a block, want %d", r.BlockBytes, want)
	}
	_, out, _ := invoke(t.Context(), "model", "info", filepath.Join(goldenModels, "gemma3"))
	for _, line := range []string{"gemma3_text", "RMSNorm, weight + 1", "block 0 rotary positions, default; a window of 5", "24 x 16", "norm behind MLP", "3, 16 wide"} {
		if !strings.Contains(plain(out), line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
	_, out, _ = invoke(t.Context(), "model", "info", filepath.Join(goldenModels, "bert"))
	if !strings.Contains(out, "both directions") || !strings.Contains(plain(out), "blocks 0-2 no rotary positions") || !strings.Contains(plain(out), "norm LayerNorm parameters") && !strings.Contains(plain(out), "norm LayerNorm vocabulary") {
		t.Errorf("bert:\n%s", out)
	}
}

// A hub id is found in the local cache, and what is refused is refused by name.
func TestModelNames(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("HF_HUB_CACHE", cache)
	dir := filepath.Join(cache, "models--org--name", "snapshots", "abc")
	refs := filepath.Join(cache, "models--org--name", "refs")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(refs, 0o700), os.WriteFile(filepath.Join(refs, "main"), []byte("abc"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config.json", "model.safetensors"} {
		data, err := os.ReadFile(filepath.Join(goldenModels, "qwen3", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var r infoReport
	decodeJSON(t, &r, "model", "info", "org/name")
	if r.Type != "qwen3" || r.Path != dir || r.Model != "org/name" {
		t.Errorf("%+v", r)
	}
	_, out, _ := invoke(t.Context(), "model", "info", "org/name")
	if !strings.Contains(plain(out), "folder "+dir) {
		t.Errorf("no folder in\n%s", out)
	}
	config, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for change, mentions := range map[string]string{
		`"rope_type": "default"`: "",
		`"model_type": "qwen3"`:  `"model_type": "mixtral"`,
	} {
		text := strings.Replace(string(config), change, mentions, 1)
		if mentions == "" {
			text = strings.Replace(string(config), change, `"rope_type": "spiral"`, 1)
			mentions = "spiral"
		} else {
			mentions = "mixture of experts"
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"info", "org/name"}, {"perplexity", "org/name", "--ids", "x.npy"}} {
			code, _, talk := invoke(t.Context(), append([]string{"model"}, args...)...)
			if code != exitFailed || !strings.Contains(talk, mentions) || !strings.Contains(talk, "dump.py") || strings.Count(talk, "\n") != 1 {
				t.Errorf("%s: exit code %d, %q", mentions, code, talk)
			}
		}
	}
}

func TestModelStates(t *testing.T) {
	ids := writeNPY(t, "ids.npy", "<i8", demoTokensOf(t, 3*40), 3, 40)
	file := filepath.Join(t.TempDir(), "states.safetensors")
	var r statesReport
	decodeJSON(t, &r, "model", "states", "--ids", ids, "-o", file)
	if r.Blocks != 12 || r.Sequences != 3 || r.Tokens != 120 || r.Width != 96 || r.File != file || r.Backend == "" {
		t.Errorf("%+v", r)
	}
	d, err := model.OpenDump(file)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if len(d.Blocks()) != 12 || d.Blocks()[11].Normed || !slices.Equal(d.Sequences(), []int32{0, 40, 80, 120}) || d.Model != "demo" || d.Type != "llama" {
		t.Errorf("%+v, %v", d.Blocks(), d.Sequences())
	}
	// A text in two sequences is the same as each alone: the second begins anew.
	second := filepath.Join(t.TempDir(), "second.safetensors")
	var alone statesReport
	decodeJSON(t, &alone, "model", "states", "demo", "--ids", writeNPY(t, "second.npy", "<i8", demoTokensOf(t, 80)[40:], 1, 40), "-o", second)
	state := func(path, name string) []float32 {
		f, err := weights.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		x, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float32, x.Elements())
		if err := x.Float32s(out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, name := range []string{"hidden_states.0", "hidden_states.7", "hidden_states.12"} {
		whole := state(file, name)
		if !slices.Equal(whole[40*96:80*96], state(second, name)) {
			t.Errorf("%s differs", name)
		}
	}
	_, out, _ := invoke(t.Context(), "model", "states", "--ids", ids, "-o", file)
	if !strings.Contains(out, "13 states of 3 sequences of 40 tokens, 96 wide") {
		t.Errorf("%q", out)
	}
}

// perplexityOf is the loss of the library on the same tokens.
func perplexityOf(t *testing.T, tokens []int64, skip ...int) float64 {
	t.Helper()
	m, err := demo.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	seq := make([]int32, len(tokens))
	for i, id := range tokens {
		seq[i] = int32(id)
	}
	b, done, err := openBackend(t.Context(), &common{Backend: "cpu"}, &terminal{out: io.Discard, talk: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	p, err := m.Perplexity(t.Context(), b, []model.Batch{{Tokens: [][]int32{seq}}}, model.Options{Drop: model.Drop{Blocks: skip}})
	if err != nil {
		t.Fatal(err)
	}
	return p.Loss
}

func TestModelPerplexity(t *testing.T) {
	tokens := demoTokensOf(t, 60)
	ids := writeNPY(t, "ids.npy", "<i8", tokens, 1, 60)
	for list, skip := range map[string][]int{"": {}, "3,7": {3, 7}, "11,2-4,3": {2, 3, 4, 11}} {
		args := []string{"model", "perplexity", "--ids", ids}
		if list != "" {
			args = append(args, "--skip-blocks", list)
		}
		var r perplexityReport
		decodeJSON(t, &r, args...)
		want := perplexityOf(t, tokens, skip...)
		if math.Abs(r.Loss-want) > 1e-9 || math.Abs(math.Log(r.Perplexity)-r.Loss) > 1e-9 || r.Tokens != 59 || r.Sequences != 1 || !slices.Equal(r.Skipped, skip) {
			t.Errorf("without %q: %+v, want a loss of %v", list, r, want)
		}
	}
	_, out, talk := invoke(t.Context(), "model", "perplexity", "demo", "--ids", ids)
	if !strings.HasPrefix(out, "perplexity ") || !strings.Contains(out, "59 tokens of 1 sequences") || !strings.Contains(talk, "backend cpu") {
		t.Errorf("%q, %q", out, talk)
	}
}

// taskFile writes a task whose right choices are what the text says, and one of
// other tokens.
func taskFile(t *testing.T, extra ...string) string {
	t.Helper()
	tokens := demoTokensOf(t, 200)
	var b strings.Builder
	for q := range 4 {
		at := 40 * q
		ctx, _ := json.Marshal(tokens[at : at+30])
		right, _ := json.Marshal(tokens[at+30 : at+36])
		fmt.Fprintf(&b, `{"context_ids": %s, "choice_ids": [[400, 401, 402, 403], %s], "answer": 1}`+"\n\n", ctx, right)
	}
	path := filepath.Join(t.TempDir(), "task.jsonl")
	if err := os.WriteFile(path, []byte(b.String()+strings.Join(extra, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestModelScore(t *testing.T) {
	path := taskFile(t, `{"context_ids": [5], "choice_ids": [[7], [8, 9]]}`)
	var r scoreReport
	decodeJSON(t, &r, "model", "score", "demo", path)
	if len(r.Questions) != 5 || r.Answered != 4 || r.Accuracy == nil || r.Normalized == nil || *r.Normalized != 1 || r.Length != "tokens" || r.Type != "llama" {
		t.Errorf("%+v", r)
	}
	for i, q := range r.Questions {
		if n := len(q.LogLikelihood); n != 2 || (q.Answer == nil) != (i == 4) {
			t.Fatalf("question %d: %+v", i, q)
		}
		length := []float64{4, 6}
		if i == 4 {
			length = []float64{1, 2}
		}
		for k := range q.LogLikelihood {
			if math.Abs(q.Normalized[k]-q.LogLikelihood[k]/length[k]) > 1e-12 || q.LogLikelihood[k] >= 0 {
				t.Errorf("question %d, choice %d: %+v", i, k, q)
			}
		}
	}
	_, out, _ := invoke(t.Context(), "model", "score", "demo", path)
	if strings.Count(out, "right") != 4 || !strings.Contains(out, "normalised by length 1.0000, of 4 questions") || !strings.Contains(out, "nats a token") {
		t.Errorf("%s", out)
	}
	_, out, _ = invoke(t.Context(), "model", "score", "demo", taskFile(t, `{"context_ids": [5], "choice_ids": [[7], [8]], "answer": 0}`, `{"context_ids": [5], "choice_ids": [[7], [8]], "answer": 1}`))
	if !strings.Contains(out, "the answer is ") || !strings.Contains(out, "of 6 questions") {
		t.Errorf("%s", out)
	}
}

// Sums and sums by length may choose differently.
func TestScoreCounts(t *testing.T) {
	zero, one := 0, 1
	r := newScore([]taskLine{{Answer: &zero}, {Answer: &one}, {}}, [][]float64{{-4, -3}, {-2, -3}, {-1, -9}}, [][]int{{4, 1}, {1, 4}, {1, 1}})
	if r.Answered != 2 || *r.Accuracy != 0 || *r.Normalized != 1 || r.Questions[0].Chosen != 0 || r.Questions[1].Chosen != 1 || r.Questions[2].Chosen != 0 {
		t.Errorf("%+v", r)
	}
	if r := newScore([]taskLine{{}}, [][]float64{{-1}}, [][]int{{1}}); r.Accuracy != nil || r.Normalized != nil {
		t.Errorf("%+v", r)
	}
}

// words is a tokenizer with a token per letter, and one at the start.
type words struct{ fails bool }

func (w words) Encode(text string, addSpecial bool) (ids []int32, err error) {
	if w.fails && len(text) > 1 {
		return nil, errors.New("no words")
	}
	if addSpecial {
		ids = append(ids, 1)
	}
	for _, r := range text {
		if r != '~' { // which has no token
			ids = append(ids, r)
		}
	}
	return ids, nil
}

func TestEncodeQuestion(t *testing.T) {
	q, err := encodeQuestion(words{}, taskLine{Context: "ab", Choices: []string{"c", "dé"}})
	if err != nil || !slices.Equal(q.Context, []int32{1, 'a', 'b'}) || len(q.Choices) != 2 || !slices.Equal(q.Choices[1], []int32{'d', 'é'}) {
		t.Errorf("%+v, %v", q, err)
	}
	if _, err := encodeQuestion(words{}, taskLine{Context: "ab", Choices: []string{"c", "~"}}); err == nil || !strings.Contains(err.Error(), "choice 1 adds no token") {
		t.Errorf("an empty choice: %v", err)
	}
	if _, err := encodeQuestion(words{true}, taskLine{Context: "ab"}); err == nil {
		t.Error("no error for the context")
	}
	if _, err := encodeQuestion(words{true}, taskLine{Context: "a", Choices: []string{"b"}}); err == nil {
		t.Error("no error for a choice")
	}
}

func TestModelErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ids := writeNPY(t, "ids.npy", "<i8", []int64{1, 2, 3, 4}, 2, 2)
	big := writeNPY(t, "big.npy", "<i8", []int64{1, 512}, 1, 2)
	negative := writeNPY(t, "negative.npy", "<i8", []int64{1, -2}, 1, 2)
	flat := writeNPY(t, "flat.npy", "<i8", []int64{1, 2}, 2)
	floats := writeNPY(t, "floats.npy", "<f8", []float64{1, 2}, 1, 2)
	two := writeArrays(t, "two.safetensors", weights.Int64s("a", []int64{1}, 1, 1), weights.Int64s("b", []int64{1}, 1, 1))
	out := filepath.Join(dir, "out.safetensors")
	t.Setenv("HF_HUB_CACHE", dir)
	for _, c := range []struct {
		args string
		code int
		text string
	}{
		{"model", exitUsage, "expected one of"},
		{"model states --ids " + ids, exitUsage, "--output"},
		{"model perplexity --ids x --text y", exitUsage, "give one of them"},
		{"model perplexity --seqs 0", exitUsage, "--seqs 0"},
		{"model states -o x --len=-1", exitUsage, "--len -1"},
		{"model perplexity --seqs 65536 --len 65536", exitUsage, "2^31"},
		{"model perplexity --skip-blocks x", exitUsage, `"x" is no list`},
		{"model perplexity --skip-blocks 5-3", exitUsage, "no list"},
		{"model perplexity --skip-blocks 0-99999", exitUsage, "no list"},
		{"model info org/none", exitFailed, "hf download org/none"},
		{"model info " + dir, exitFailed, "config.json"},
		{"model info " + ids, exitFailed, "is a file"},
		{"model states none -o " + out, exitFailed, "hf download none"},
		{"model score none x", exitFailed, "hf download none"},
		{"model perplexity --backend cuda", exitFailed, "backend cuda: "},
		{"model perplexity --skip-blocks 12 --ids " + ids, exitFailed, "block 12"},
		{"model perplexity --ids " + big, exitFailed, "token 1 has the id 512"},
		{"model perplexity --ids " + negative, exitFailed, "token 1 is -2"},
		{"model perplexity --ids " + flat, exitFailed, "want sequences x tokens"},
		{"model perplexity --ids " + floats, exitFailed, "integer"},
		{"model perplexity --ids " + two, exitFailed, "2 arrays"},
		{"model perplexity --ids " + filepath.Join(dir, "none.npy"), exitFailed, "none.npy"},
		{"model perplexity --text " + filepath.Join(dir, "none.txt"), exitFailed, "none.txt"},
		{"model perplexity " + filepath.Join(goldenModels, "llama"), exitFailed, "give --text FILE or --ids"},
		{"model perplexity " + filepath.Join(goldenModels, "bert") + " --ids " + ids, exitFailed, "no language-model head"},
		{"model states --memory 1k --ids " + ids + " -o " + out, exitFailed, "give fewer --seqs"},
		{"model states --ids " + big + " -o " + out, exitFailed, "id 512"},
		{"model states --ids " + ids + " -o " + filepath.Join(dir, "none", "x"), exitFailed, "none"},
		{"model states --ids " + filepath.Join(dir, "none.npy") + " -o " + out, exitFailed, "none.npy"},
		{"model score demo " + filepath.Join(dir, "none"), exitFailed, "none"},
		{"model score demo " + write("empty", "\n \n"), exitFailed, "no question"},
		{"model score demo " + write("json", "{}\nnot json"), exitFailed, "line 1: want context"},
		{"model score demo " + write("json2", "\nnot json"), exitFailed, "line 2: "},
		{"model score demo " + write("mixed", `{"context":"a","choice_ids":[[1]]}`), exitFailed, "want context"},
		{"model score demo " + write("both", `{"context":"a","context_ids":[1],"choices":["b"]}`), exitFailed, "want context"},
		{"model score demo " + write("answer", `{"context_ids":[1],"choice_ids":[[1]],"answer":1}`), exitFailed, "counted from 0"},
		{"model score demo " + write("negative", `{"context_ids":[1],"choice_ids":[[1]],"answer":-1}`), exitFailed, "counted from 0"},
		{"model score demo " + write("foreign", `{"context_ids":[1],"choice_ids":[[512]]}`), exitFailed, "id 512"},
		{"model score demo " + write("long", strings.Repeat(" ", maxTaskLine+1)), exitFailed, "too long"},
	} {
		code, out, talk := invoke(t.Context(), strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(talk, c.text) || out != "" && c.code == exitFailed {
			t.Errorf("%s: exit code %d, stderr %q, stdout %q", c.args, code, talk, out)
		}
		last := strings.TrimPrefix(talk, "backend")
		if i := strings.Index(last, "cambium: "); c.code == exitFailed && (i < 0 || strings.Count(last[i:], "\n") != 1) {
			t.Errorf("%s: %q", c.args, talk)
		}
	}
}

// A long pass is announced; a short one is not.
func TestSayForward(t *testing.T) {
	m, err := loadModel("demo")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	b, done, err := openBackend(t.Context(), &common{Backend: "cpu"}, &terminal{out: io.Discard, talk: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	var talk strings.Builder
	if err := sayForward(t.Context(), &terminal{talk: &talk}, b, m, 1); err != nil || talk.Len() > 0 {
		t.Errorf("one token: %q, %v", talk.String(), err)
	}
	if err := sayForward(t.Context(), &terminal{talk: &talk}, b, m, 1<<30); err != nil || !strings.Contains(talk.String(), "for 1073741824 tokens, 384.0 GiB of memory") {
		t.Errorf("2^30 tokens: %q, %v", talk.String(), err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sayForward(ended, &terminal{talk: &talk}, b, m, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestBlockList(t *testing.T) {
	for text, want := range map[string][]int{"": nil, "3": {3}, "7,3": {3, 7}, "0-2, 2": {0, 1, 2}} {
		if got, err := blockList(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{",", "1,", "-1", "a", "1-", "2-1", "1-2-3", "4097"} {
		if got, err := blockList(text); err == nil {
			t.Errorf("%q is accepted as %v", text, got)
		}
	}
}

// Text goes through the model's own tokenizer. transformers gives 2.1330 nats a
// token for the demonstration's text.
func TestModelPerplexityOfText(t *testing.T) {
	code, out, talk := invoke(t.Context(), "model", "perplexity", "demo", "--seqs", "8", "--json", "--quiet")
	var r struct {
		Loss float64 `json:"loss"`
	}
	if err := json.Unmarshal([]byte(out), &r); code != exitDone || err != nil || math.Abs(r.Loss-2.1330) > 5e-4 {
		t.Errorf("exit code %d, %v, %v: %s%s", code, r, err, out, talk)
	}
}
