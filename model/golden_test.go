package model

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/cpu"
	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/weights"
)

// goldens are the folders that testdata/golden.py writes, with what each is for.
var goldens = []string{
	"bert", "gemma", "gemma2", "gemma3", "gpt2", "granite", "llama", "llama_dynamic", "llama_linear", "llama_llama3", "llama_yarn",
	"mistral", "olmo2", "olmo3", "phi3", "phi3_long", "phi3_longrope", "qwen2", "qwen3", "smollm3", "vit",
}

// corrupted are the cases of which there are variants.
var corrupted = append([]string{"phi3", "olmo2", "olmo3", "smollm3", "granite", "gpt2"}, coreFamilies...)

var coreFamilies = []string{"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "bert"}

// tolerance is on the row-relative error of a state against the reference in float32.
const tolerance = 1e-4

func backend(t testing.TB) kernels.Backend {
	t.Helper()
	b, err := cpu.New(cpu.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// golden is a case's folder: a model and what the reference makes of its input.
type golden struct {
	*Model
	batch Batch
	ref   *weights.File
}

func openGolden(t testing.TB, name string) *golden {
	t.Helper()
	m, err := Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := weights.Open(filepath.Join("testdata", name, "reference.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(); ref.Close() })
	g := &golden{Model: m, ref: ref}
	if ids, err := ref.Tensor("input_ids"); err == nil {
		g.batch.Tokens = tokensOf(t, ids)
		return g
	}
	pixels := tensor(t, ref, "pixel_values")
	for n := len(pixels) / 2; len(pixels) > 0; pixels = pixels[n:] {
		g.batch.Images = append(g.batch.Images, pixels[:n])
	}
	return g
}

func tokensOf(t testing.TB, ids *weights.Tensor) (out [][]int32) {
	t.Helper()
	flat := make([]int64, ids.Elements())
	if err := ids.Int64s(flat); err != nil {
		t.Fatal(err)
	}
	for row := range slices.Chunk(flat, ids.Shape[1]) {
		seq := make([]int32, len(row))
		for i, id := range row {
			seq[i] = int32(id)
		}
		out = append(out, seq)
	}
	return out
}

// tensor reads a tensor as float32.
func tensor(t testing.TB, f *weights.File, name string) []float32 {
	t.Helper()
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

// values copies a matrix on the host.
func values(t testing.TB, m kernels.Matrix) []float32 {
	t.Helper()
	data, err := kernels.Floats[float32](m)
	if err != nil {
		t.Fatal(err)
	}
	if m.Stride != m.Cols {
		t.Fatalf("stride %d of %d columns", m.Stride, m.Cols)
	}
	return slices.Clone(data)
}

// rowError returns the largest of |got − want| / |want| over rows.
func rowError(got, want []float32, width int) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	worst := 0.0
	for at := 0; at < len(want); at += width {
		var d, n float64
		for i := at; i < at+width; i++ {
			e := float64(got[i]) - float64(want[i])
			d += e * e
			n += float64(want[i]) * float64(want[i])
		}
		e := math.Sqrt(d / n)
		if !(e <= worst) { // NaN too
			worst = e
		}
	}
	return worst
}

func TestGolden(t *testing.T) {
	b := backend(t)
	for _, name := range goldens {
		t.Run(name, func(t *testing.T) {
			g := openGolden(t, name)
			var states [][]float32
			o := Options{Hook: func(_ context.Context, at At, x kernels.Matrix) error {
				if at.Point == BlockInput {
					states = append(states, values(t, x))
				}
				return nil
			}}
			s, err := g.Run(t.Context(), b, []Batch{g.batch}, o)
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, values(t, s.Matrix(0)))
			if len(states) != 4 {
				t.Fatalf("%d states", len(states))
			}
			worst := 0.0
			for i, got := range states {
				e := rowError(got, tensor(t, g.ref, fmt.Sprintf("hidden_states.%d", i)), g.config.Width)
				if !(e <= tolerance) {
					t.Errorf("state %d: row-relative error %.2g", i, e)
				}
				worst = max(worst, e)
			}
			t.Logf("row-relative error %.1e", worst)
			if err := s.Free(); err != nil {
				t.Error(err)
			}
			if n := b.Info().Memory.InUse; n != 0 {
				t.Errorf("%d bytes are still in use", n)
			}
		})
	}
}

// edited is a source with another configuration, and tensors renamed, taken away
// or given another one's place.
type edited struct {
	Source
	config []byte
	names  map[string]string // by what they are called here
}

func edit(t testing.TB, src Source) *edited {
	t.Helper()
	e := &edited{Source: src, config: src.Config(), names: map[string]string{}}
	for _, n := range src.Names() {
		e.names[n] = n
	}
	return e
}

func (e *edited) Config() []byte  { return e.config }
func (e *edited) Names() []string { return slices.Collect(maps.Keys(e.names)) }
func (e *edited) Tensor(name string) (Tensor, error) {
	return e.Source.Tensor(e.names[name])
}

// set changes the configuration.
func (e *edited) set(t testing.TB, change map[string]any, without ...string) *edited {
	t.Helper()
	var values map[string]any
	if err := json.Unmarshal(e.config, &values); err != nil {
		t.Fatal(err)
	}
	maps.Copy(values, change)
	for _, k := range without {
		delete(values, k)
	}
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	e.config = text
	return e
}

// variant is a corruption of a configuration and what the reference makes of it.
type variant struct {
	Name      string
	Set       map[string]json.RawMessage
	Delete    []string
	Reference string // in variants.safetensors, or "base"
	Error     string
}

// mustRun are corruptions that change the numbers and nothing else: to refuse
// them would be no answer.
var mustRun = map[string][]string{
	"llama": {
		"hidden_act relu", "hidden_act gelu", "hidden_act gelu_new", "eps", "theta", "linear", "dynamic", "llama3", "yarn", "yarn betas",
		"yarn scales", "yarn whole", "yarn attention", "longrope", "longrope long", "old theta", "old linear", "old yarn",
		"heads 2 of double", "tied", "positions", "harmless", "without rms_norm_eps", "as mistral",
	},
	"mistral": {"window 2", "window 3", "window None", "window 100", "theta", "without sliding_window", "harmless"},
	"qwen2":   {"window 2", "no use of windows, no kinds", "windows from 0", "all full", "all sliding", "old theta", "harmless"},
	"qwen3":   {"window 3", "windows from 0", "all sliding", "yarn", "eps", "harmless"},
	"gemma":   {"hidden_act gelu", "hidden_act relu", "theta", "eps", "harmless"},
	"gemma2":  {"window 2", "soft cap 1.0", "soft cap None", "score scale", "all full", "without layer_types", "logit cap", "harmless"},
	"gemma3":  {"window 3", "nested rope", "nested yarn", "half nested rope", "old local", "pattern", "score scale", "harmless"},
	"phi3":    {"hidden_act relu", "window 3", "window None", "theta", "longrope", "harmless"},
	"olmo2":   {"hidden_act gelu", "theta", "yarn", "harmless"},
	"olmo3":   {"window 3", "nested yarn", "all full", "harmless"},
	"smollm3": {"rotary blocks", "interval", "theta", "harmless"},
	"granite": {"residual", "embedding", "score factor", "logits", "harmless"},
	"gpt2":    {"activation_function relu", "eps", "unscaled scores", "scores by block", "harmless"},
	"bert":    {"hidden_act relu", "eps", "hidden_act gelu_new", "harmless"},
}

// Every corruption of a configuration is refused or gives the reference's numbers.
func TestCorruptConfigs(t *testing.T) {
	b := backend(t)
	for _, name := range corrupted {
		t.Run(name, func(t *testing.T) {
			g := openGolden(t, name)
			text, err := os.ReadFile(filepath.Join("testdata", name, "variants.json"))
			if err != nil {
				t.Fatal(err)
			}
			var list []variant
			if err := json.Unmarshal(text, &list); err != nil {
				t.Fatal(err)
			}
			ref, err := weights.Open(filepath.Join("testdata", name, "variants.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer ref.Close()
			ran, refused := 0, 0
			for _, v := range list {
				change := map[string]any{}
				for k, raw := range v.Set {
					change[k] = raw
				}
				m, err := New(edit(t, g.source).set(t, change, v.Delete...))
				if err != nil {
					refused++
					if slices.Contains(mustRun[name], v.Name) {
						t.Errorf("%s: refused: %v", v.Name, err)
					}
					continue
				}
				ran++
				s, err := m.Run(t.Context(), b, []Batch{g.batch}, Options{})
				if err != nil {
					t.Errorf("%s: %v", v.Name, err)
					continue
				}
				n := len(g.batch.Tokens[0]) * m.config.Width
				got := values(t, s.Matrix(0))[:n]
				var want []float32
				switch v.Reference {
				case "":
					t.Errorf("%s: it runs; the reference says %s", v.Name, v.Error)
					continue
				case "base":
					want = tensor(t, g.ref, "hidden_states.3")[:n]
				default:
					want = tensor(t, ref, v.Reference)
				}
				if e := rowError(got, want, m.config.Width); !(e <= tolerance) {
					t.Errorf("%s: silently different: row-relative error %.2g", v.Name, e)
				}
			}
			t.Logf("%d of %d run, %d are refused", ran, len(list), refused)
			if len(list) < 30 || refused < 10 {
				t.Errorf("%d corruptions, %d refused", len(list), refused)
			}
		})
	}
}
