package model

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// heads are the cases whose reference has logits.
func heads(t *testing.T) (out []*golden) {
	t.Helper()
	for _, name := range goldens {
		if name != "bert" && name != "vit" {
			out = append(out, openGolden(t, name))
		}
	}
	return out
}

// referenceLogs are the log-probabilities of the reference, sequence by sequence.
func (g *golden) referenceLogs(t *testing.T) []float64 {
	t.Helper()
	x, err := g.ref.Tensor("log_probs")
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, x.Elements())
	if err := x.Float64s(out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLogits(t *testing.T) {
	b := backend(t)
	for _, g := range heads(t) {
		s, err := g.Run(t.Context(), b, []Batch{g.batch}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		first, err := s.Matrix(0).View(0, 0, 12, 16)
		if err != nil {
			t.Fatal(err)
		}
		got, err := g.Logits(t.Context(), b, first, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if e := rowError(got, tensor(t, g.ref, "logits"), 40); !(e <= tolerance) {
			t.Errorf("%s: row-relative error of the logits %.2g", g.config.Type, e)
		}
		s.Free()
	}
}

func TestPerplexity(t *testing.T) {
	b := backend(t)
	for _, g := range heads(t) {
		want := 0.0
		logs := g.referenceLogs(t)
		for _, l := range logs {
			want -= l / float64(len(logs))
		}
		p, err := g.Perplexity(t.Context(), b, []Batch{{Tokens: g.batch.Tokens[:1]}, {Tokens: g.batch.Tokens[1:]}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(p.Loss - want); !(d <= 1e-5*want) || p.Tokens != len(logs) || math.Abs(math.Log(p.Value())-p.Loss) > 1e-12 {
			t.Errorf("%s: %+v, the reference has %v", g.config.Type, p, want)
		}
		// A hidden token is neither foreseen nor foreseen from.
		if g.config.Type == "llama" {
			mask := [][]bool{slices.Repeat([]bool{true}, 12), slices.Repeat([]bool{true}, 12)}
			mask[0][11], mask[1][0] = false, false
			p, err := g.Perplexity(t.Context(), b, []Batch{{Tokens: g.batch.Tokens, Mask: mask}}, Options{})
			if err != nil || p.Tokens != 20 {
				t.Errorf("with a mask: %+v, %v", p, err)
			}
		}
	}
}

func TestScore(t *testing.T) {
	b := backend(t)
	g := openGolden(t, "gemma2")
	logs := g.referenceLogs(t)
	x, y := g.batch.Tokens[0], g.batch.Tokens[1]
	questions := []Question{
		{Context: x[:7], Choices: [][]int32{x[7:12], x[7:9], {x[7]}}},
		{Context: y[:1], Choices: [][]int32{y[1:]}},
	}
	sum := func(v []float64) (s float64) {
		for _, l := range v {
			s += l
		}
		return s
	}
	// Log-probability j of a sequence is that of its token j + 1.
	want := [][]float64{{sum(logs[6:11]), sum(logs[6:8]), logs[6]}, {sum(logs[11:])}}
	got, err := g.Score(t.Context(), b, questions, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for q := range want {
		for c := range want[q] {
			if d := math.Abs(got[q][c] - want[q][c]); !(d < 1e-4) {
				t.Errorf("question %d, choice %d: %v, want %v", q, c, got[q][c], want[q][c])
			}
		}
	}
	// More rows than a batch has: the same numbers.
	many := slices.Repeat(questions, 2*scoreRows/40)
	all, err := g.Score(t.Context(), b, many, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if !slices.Equal(all[i], got[i%2]) {
			t.Fatalf("question %d: %v, want %v", i, all[i], got[i%2])
		}
	}
}

func TestHeadErrors(t *testing.T) {
	b := backend(t)
	bert, llama := openGolden(t, "bert"), openGolden(t, "llama")
	without := func(g *golden, names ...string) *edited {
		e := edit(t, g.source)
		for _, n := range names {
			delete(e.names, n)
		}
		return e
	}
	loss := func(src Source) error {
		m, err := New(src)
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Perplexity(t.Context(), b, []Batch{llama.batch}, Options{})
		if _, other := m.Score(t.Context(), b, nil, Options{}); (err == nil) != (other == nil) {
			t.Errorf("%v and %v", err, other)
		}
		return err
	}
	for what, c := range map[string]struct {
		src      Source
		sentinel error
		mentions string
	}{
		"an encoder":       {bert.source, ErrUnsupported, "bert"},
		"no norm":          {without(llama, "model.norm.weight"), ErrTensors, "final norm model.norm"},
		"no head":          {without(llama, "lm_head.weight"), ErrTensors, "lm_head"},
		"two heads":        {edit(t, llama.source).set(t, map[string]any{"tie_word_embeddings": true}), ErrConfig, "which one counts"},
		"tied":             {without(llama, "lm_head.weight").set(t, map[string]any{"tie_word_embeddings": true}), nil, ""},
		"tied and stored":  {tiedAndStored(t, "llama_llama3"), nil, ""},
		"the same in bits": {tiedAndStored(t, "mistral").set(t, map[string]any{"tie_word_embeddings": true}), nil, ""},
	} {
		err := loss(c.src)
		if !errors.Is(err, c.sentinel) || err != nil && !strings.Contains(err.Error(), c.mentions) {
			t.Errorf("%s: %v", what, err)
		}
	}
	x, _ := hostMatrix(kernels.Float32, 2, 16)
	narrow, _ := hostMatrix(kernels.Float32, 2, 15)
	calls := map[string]func() error{
		"narrow logits": func() error { _, err := llama.Logits(t.Context(), b, narrow, Options{}); return err },
		"narrow states": func() error { _, err := llama.LogProbs(t.Context(), b, narrow, nil, nil, Options{}); return err },
		"fewer targets": func() error { _, err := llama.LogProbs(t.Context(), b, x, []int32{0}, nil, Options{}); return err },
		"target": func() error {
			_, err := llama.LogProbs(t.Context(), b, x, []int32{0}, []int32{40}, Options{})
			return err
		},
		"negative target": func() error {
			_, err := llama.LogProbs(t.Context(), b, x, []int32{0}, []int32{-1}, Options{})
			return err
		},
		"row": func() error {
			_, err := llama.LogProbs(t.Context(), b, x, []int32{2}, []int32{0}, Options{})
			return err
		},
		"negative row": func() error {
			_, err := llama.LogProbs(t.Context(), b, x, []int32{-1}, []int32{0}, Options{})
			return err
		},
		"single tokens": func() error {
			_, err := llama.Perplexity(t.Context(), b, []Batch{{Tokens: [][]int32{{1}}}}, Options{})
			return err
		},
		"no context": func() error {
			_, err := llama.Score(t.Context(), b, []Question{{Choices: [][]int32{{1}}}}, Options{})
			return err
		},
		"no choices": func() error {
			_, err := llama.Score(t.Context(), b, []Question{{Context: []int32{1}}}, Options{})
			return err
		},
		"an empty choice": func() error {
			_, err := llama.Score(t.Context(), b, []Question{{[]int32{1}, [][]int32{{}}}}, Options{})
			return err
		},
		"a foreign choice": func() error {
			_, err := llama.Score(t.Context(), b, []Question{{[]int32{1}, [][]int32{{99}}}}, Options{})
			return err
		},
	}
	for what, call := range calls {
		if err := call(); !errors.Is(err, ErrInput) || !strings.HasPrefix(err.Error(), "model: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if logs, err := llama.LogProbs(t.Context(), b, x, nil, nil, Options{}); err != nil || logs != nil {
		t.Errorf("no targets: %v, %v", logs, err)
	}
	if _, err := bert.FinalNorm(t.Context(), b, x, Options{}); !errors.Is(err, ErrTensors) {
		t.Errorf("final norm of bert: %v", err)
	}
}

// tiedAndStored is a case with the embedding under the head's name too.
func tiedAndStored(t *testing.T, name string) *edited {
	t.Helper()
	e := edit(t, openGolden(t, name).source)
	e.names["lm_head.weight"] = "model.embed_tokens.weight"
	return e
}

// The final norm is what output_hidden_states has as its last entry.
func TestFinalNorm(t *testing.T) {
	b := backend(t)
	for _, name := range []string{"llama", "gemma2", "gpt2"} {
		g := openGolden(t, name)
		s, err := g.Run(t.Context(), b, []Batch{g.batch}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		buf, err := g.FinalNorm(t.Context(), b, s.Matrix(0), Options{})
		if err != nil {
			t.Fatal(err)
		}
		// Normed states times the head are the logits.
		w, err := hostMatrix(kernels.Float32, 40, 16)
		if err != nil {
			t.Fatal(err)
		}
		head, err := g.headOf(t.Context())
		if err == nil {
			err = head.Rows(w, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, _ := hostMatrix(kernels.Float32, 24, 40)
		if err := b.Matmul(t.Context(), []kernels.Matrix{got}, []kernels.Matrix{buf.Matrix()}, []kernels.Matrix{w}, kernels.NT, 1, 0, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		logits := values(t, got)[:12*40]
		g.capLogits(logits)
		if e := rowError(logits, tensor(t, g.ref, "logits"), 40); !(e <= tolerance) {
			t.Errorf("%s: row-relative error %.2g", name, e)
		}
		buf.Free()
		s.Free()
	}
}

// However the head is cut, the log-probabilities are those of the whole.
func TestSoftSum(t *testing.T) {
	logits := []float32{3, -2, 88, 5, 88.5, -300, 0.25}
	for target := range logits {
		want := 0.0
		for _, v := range logits {
			want += math.Exp(float64(v - logits[target]))
		}
		want = -math.Log(want)
		for cut := range logits {
			s := softSum{top: math.Inf(-1)}
			s.add(logits[:cut], target)
			s.add(logits[cut:], target-cut)
			if got := s.logProb(); math.Abs(got-want) > 1e-12*math.Abs(want)+1e-12 {
				t.Errorf("target %d, cut at %d: %v, want %v", target, cut, got, want)
			}
		}
	}
	s := softSum{top: math.Inf(-1)}
	s.add([]float32{1, float32(math.NaN()), 2}, 0)
	if !math.IsNaN(s.logProb()) {
		t.Errorf("NaN becomes %v", s.logProb())
	}
}

// The head in parts: as many rows and columns at a time as fit, all of them once.
func TestHeadParts(t *testing.T) {
	b := backend(t)
	m, err := Open("demo")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const rows = headLogits/512 + 5
	x, err := hostMatrix(kernels.Float32, rows, 96)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := kernels.Floats[float32](x)
	for i := range data {
		data[i] = float32(i%97) - 48
	}
	seen, parts := make([]int, rows), 0
	steps := 0
	o := Options{Progress: func(done, total int) { steps, _ = steps+1, total }}
	err = m.logits(t.Context(), b, x, o, func(part []float32, row, col, width int) {
		parts++
		for i := range len(part) / width {
			seen[row+i] += width
		}
		if len(part) > headLogits || col != 0 {
			t.Errorf("%d logits at a time, column %d", len(part), col)
		}
	})
	if err != nil || parts != 2 || steps != 1 {
		t.Errorf("%d parts, %d steps, %v", parts, steps, err)
	}
	for i, n := range seen {
		if n != 512 {
			t.Fatalf("row %d was given %d logits", i, n)
		}
	}
}

// Weights in blocks of GGUF's formats are expanded by the backend.
func TestQuantized(t *testing.T) {
	b := backend(t)
	plain, err := Open("demo")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	f32 := asFloat32{plain.Source()}
	m, err := New(packed{f32})
	if err != nil {
		t.Fatal(err)
	}
	batch := Batch{Tokens: [][]int32{{5, 80, 300, 41, 511, 0, 77, 200, 8, 19}}}
	var got [2][]float32
	for i, m := range []*Model{plain, m} {
		s, err := m.Run(t.Context(), b, []Batch{batch}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got[i] = values(t, s.Matrix(0))
		s.Free()
	}
	if e := rowError(got[1], got[0], 96); !(e < 0.1) || e == 0 {
		t.Errorf("8-bit weights: row-relative error %v", e)
	}
	p, err := plain.Perplexity(t.Context(), b, []Batch{batch}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	q, err := m.Perplexity(t.Context(), b, []Batch{batch}, Options{})
	if err != nil || math.Abs(p.Loss-q.Loss) > 0.05 || p.Loss == q.Loss {
		t.Errorf("losses %v and %v, %v", p.Loss, q.Loss, err)
	}
	every(t, "quantized", func(b kernels.Backend) error {
		s, err := m.Run(t.Context(), b, []Batch{batch}, Options{})
		if err != nil {
			return err
		}
		return s.Free()
	})
}

// asFloat32 is a source whose tensors are read as float32.
type asFloat32 struct{ Source }

func (s asFloat32) Tensor(name string) (Tensor, error) {
	x, err := s.Source.(*arraySource).Arrays.Tensor(name)
	if err != nil {
		return nil, err
	}
	return &stored{x, kernels.Float32}, nil
}

// Failures of the backend and of reading come out of the head as well.
func TestEveryHeadFailure(t *testing.T) {
	for _, name := range []string{"llama", "gpt2"} {
		g := openGolden(t, name)
		every(t, name, func(b kernels.Backend) error {
			_, err := g.Perplexity(t.Context(), b, []Batch{g.batch}, Options{})
			return err
		})
		every(t, name, func(b kernels.Backend) error {
			_, err := g.Score(t.Context(), b, []Question{{g.batch.Tokens[0], g.batch.Tokens[:1]}}, Options{})
			return err
		})
		x, _ := hostMatrix(kernels.Float32, 2, 16)
		every(t, name, func(b kernels.Backend) error {
			buf, err := g.FinalNorm(t.Context(), b, x, Options{})
			if err != nil {
				return err
			}
			return buf.Free()
		})
		for n := 0; ; n++ {
			left := 1 << 30
			src := Source(broken{g.source, &left})
			if name == "llama" {
				src = broken{tiedAndStored(t, "llama_llama3"), &left}
			}
			m, err := New(src)
			if err != nil {
				t.Fatal(err)
			}
			left = n
			if _, err := m.Logits(t.Context(), backend(t), x, Options{}); err == nil {
				if n < 3 {
					t.Errorf("%s: %d readings", name, n)
				}
				break
			} else if !errors.Is(err, errFails) {
				t.Errorf("%s, reading %d fails: %v", name, n, err)
			}
		}
	}
}
