package model

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/weights"
)

// reshaped is a tensor that claims another shape.
type reshaped struct {
	Tensor
	shape []int
}

func (r reshaped) Shape() []int { return r.shape }

// turned is a source with one tensor's shape the other way round.
type turned struct {
	Source
	name string
}

func (s turned) Tensor(name string) (Tensor, error) {
	t, err := s.Source.Tensor(name)
	if name != s.name || err != nil {
		return t, err
	}
	shape := slices.Clone(t.Shape())
	slices.Reverse(shape)
	return reshaped{t, shape}, nil
}

// Every corruption of the tensors is refused, with the name in question.
func TestCorruptTensors(t *testing.T) {
	for _, name := range coreFamilies {
		g := openGolden(t, name)
		layer := g.prefix + strings.Replace(g.family.block, "%d", "1", 1)
		var slots []string
		for k := range slotCount {
			if n, ok := g.family.slots[k]; ok {
				slots = append(slots, layer+n+weightSuffix)
			}
		}
		corrupt := 0
		refused := func(what, mentions string, src Source) {
			t.Helper()
			corrupt++
			_, err := New(src)
			if !errors.Is(err, ErrTensors) || !strings.Contains(err.Error(), mentions) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		for _, slot := range slots {
			e := edit(t, g.source)
			delete(e.names, slot)
			refused("without "+slot, slot, e)
			e = edit(t, g.source)
			e.names[strings.Replace(slot, weightSuffix, "_old.weight", 1)] = slot
			delete(e.names, slot)
			refused("renamed "+slot, slot, e)
			e = edit(t, g.source)
			if bias := strings.Replace(slot, weightSuffix, biasSuffix, 1); e.names[bias] == "" {
				e.names[bias] = bias
				refused("with "+bias, bias, e)
			} else {
				delete(e.names, bias)
				refused("without "+bias, bias, e)
			}
			if tensor, err := g.source.Tensor(slot); err != nil {
				t.Fatal(err)
			} else if shape := tensor.Shape(); len(shape) == 2 && shape[0] != shape[1] {
				refused("turned "+slot, slot, turned{g.source, slot})
			}
		}
		for _, extra := range []string{
			layer + "self_attn.extra_norm.weight", layer + "pre_feedforward_layernorm_2.weight", layer + "mlp.experts.0.up_proj.weight",
			g.prefix + strings.Replace(g.family.block, "%d", "3", 1) + "anything.weight", "stray.weight",
		} {
			e := edit(t, g.source)
			e.names[extra] = slots[0]
			refused("with "+extra, extra, e)
		}
		// The first tensor of all, without which no prefix fits.
		e := edit(t, g.source)
		delete(e.names, g.prefix+g.family.embedding+weightSuffix)
		refused("without embedding", g.family.embedding, e)
		if corrupt < 30 {
			t.Errorf("%s: %d corruptions", name, corrupt)
		}
	}
}

// What does not matter to the states is passed over, under whatever prefix.
func TestIgnoredTensors(t *testing.T) {
	for _, c := range []struct{ name, from, to, extra string }{
		{"llama", "model.", "", "layers.1.self_attn.rotary_emb.inv_freq"},
		{"llama", "", "", "score.weight"},
		{"gpt2", "transformer.", "", "h.2.attn.bias"},
		{"gpt2", "", "", "transformer.h.0.attn.masked_bias"},
		{"bert", "", "bert.", "cls.predictions.bias"},
		{"bert", "", "", "embeddings.position_ids"},
		{"bert", "LayerNorm.weight", "LayerNorm.gamma", "pooler.dense.weight"},
		{"gemma3", "model.", "language_model.model.", "vision_tower.anything"},
		{"gemma3", "model.", "model.language_model.", "model.multi_modal_projector.anything"},
		{"vit", "", "vit.", "classifier.weight"},
	} {
		g := openGolden(t, c.name)
		e := edit(t, g.source)
		clear(e.names)
		for _, n := range g.source.Names() {
			to := n
			switch {
			case c.from == "":
				to = c.to + n
			case strings.HasPrefix(n, c.from):
				to = c.to + strings.TrimPrefix(n, c.from)
			case strings.HasSuffix(n, c.from):
				to = strings.NewReplacer(".weight", ".gamma", ".bias", ".beta").Replace(n)
			case strings.Contains(n, "LayerNorm.bias"):
				to = strings.Replace(n, ".bias", ".beta", 1)
			}
			e.names[to] = n
		}
		e.names[c.extra] = g.source.Names()[0]
		if strings.HasPrefix(c.to, "language_model.") {
			e.names["language_model.lm_head.weight"] = "model.embed_tokens.weight"
		}
		m, err := New(e)
		if err != nil {
			t.Errorf("%s with %s: %v", c.name, c.extra, err)
			continue
		}
		if m.Parameters() != g.Parameters() && !strings.HasPrefix(c.to, "language_model.") {
			t.Errorf("%s: %d parameters, %d before", c.name, m.Parameters(), g.Parameters())
		}
	}
	// The same tensor elsewhere has no place.
	for name, extra := range map[string]string{"llama": "layers.1.self_attn.rotary_emb.inv_freq", "gpt2": "transformer.h.1.mlp.attn.bias", "qwen3": "vision_tower.anything"} {
		g := openGolden(t, name)
		e := edit(t, g.source)
		e.names[extra] = g.source.Names()[0]
		if _, err := New(e); !errors.Is(err, ErrTensors) {
			t.Errorf("%s with %s: %v", name, extra, err)
		}
	}
}

func TestParameters(t *testing.T) {
	g := openGolden(t, "llama")
	// Embedding and head, two norms a block and the last one, four maps, three maps.
	want := int64(2*40*16 + 7*16 + 3*(2*16*24+2*16*12+3*16*24))
	if g.Parameters() != want {
		t.Errorf("%d parameters, want %d", g.Parameters(), want)
	}
	w := g.Weights(1)
	if len(w) != 9 || w[0].Name != "model.layers.1.input_layernorm.weight" || w[0].Role != "norm before attention" || g.Weights(3) != nil || g.Weights(-1) != nil {
		t.Errorf("%+v", w)
	}
	if i := slices.IndexFunc(w, func(w Weight) bool { return w.Role == "queries" }); i < 0 || !slices.Equal(w[i].Shape, []int{24, 16}) || w[i].DType != kernels.Float32 {
		t.Errorf("%+v", w)
	}
	if bert := openGolden(t, "bert").Weights(0); len(bert) != 16 || bert[1].Name != "encoder.layer.0.attention.output.LayerNorm.bias" || !strings.HasSuffix(bert[1].Role, ", bias") {
		t.Errorf("%+v", bert)
	}
	if c := g.Config(); c.Type != "llama" || c.Blocks != 3 || c.HeadDim != 6 || c.KVHeads != 2 || g.Source() == nil {
		t.Errorf("%+v", c)
	}
}

// Elements of a type that is packed in a way of its own are refused by name.
func TestForeignTypes(t *testing.T) {
	g := openGolden(t, "llama")
	dir := t.TempDir()
	var arrays []weights.Array
	for _, n := range g.source.Names() {
		x, err := g.source.(*arraySource).Arrays.Tensor(n)
		if err != nil {
			t.Fatal(err)
		}
		a := weights.Copy(x)
		if n == "model.layers.1.mlp.up_proj.weight" {
			a = weights.Bytes(n, weights.F8E4M3, make([]byte, x.Elements()), x.Shape...)
		}
		arrays = append(arrays, a)
	}
	if err := weights.Write(filepath.Join(dir, "model.safetensors"), arrays, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), g.source.Config(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir)
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "up_proj") || !strings.Contains(err.Error(), "F8_E4M3") {
		t.Errorf("fp8: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join("testdata", "golden.py")); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a file: %v", err)
	}
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "model: ") {
		t.Errorf("no config: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "config.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a folder for a config: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no weights: %v", err)
	}
	if err := weights.Write(filepath.Join(dir, "model.safetensors"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrConfig) || strings.Count(err.Error(), "model: ") != 1 {
		t.Errorf("empty config: %v", err)
	}
}

// Rows of a tensor are what a slice of it is, in the file's own type.
func TestStoredRows(t *testing.T) {
	for name, dt := range map[string]kernels.DType{"llama": kernels.Float32, "qwen2": kernels.BFloat16, "mistral": kernels.Float16, "gemma": kernels.Float32} {
		g := openGolden(t, name)
		x := g.embedding.weight
		if x.DType() != dt {
			t.Errorf("%s is read as %s, want %s", name, x.DType(), dt)
		}
		whole, _ := hostMatrix(dt, 40, 16)
		part, _ := hostMatrix(dt, 2, 16)
		if err := errors.Join(x.Rows(whole, 0), x.Rows(part, 5)); err != nil {
			t.Fatal(err)
		}
		want, _ := whole.View(5, 0, 2, 16)
		if !sameBits(part, want) {
			t.Errorf("%s: rows 5 and 6 differ", name)
		}
		if err := x.Rows(part, 39); !errors.Is(err, weights.ErrShape) {
			t.Errorf("%s: rows 39 and 40 of 40: %v", name, err)
		}
		wrong, _ := hostMatrix(kernels.Float16, 2, 16)
		if dt == kernels.Float16 {
			wrong, _ = hostMatrix(kernels.Float32, 2, 16)
		}
		if err := x.Rows(wrong, 0); !errors.Is(err, kernels.ErrUnsupported) && dt != kernels.BFloat16 {
			t.Errorf("%s into %s: %v", name, wrong.DType, err)
		}
	}
}

func TestFamilies(t *testing.T) {
	list := Families()
	for _, f := range []string{"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "bert", "phi3", "olmo2", "olmo3", "smollm3", "granite", "gpt2", "vit"} {
		if !slices.Contains(list, f) {
			t.Errorf("%s is missing", f)
		}
	}
	if !slices.IsSorted(list) || len(list) != len(families) {
		t.Errorf("%v", list)
	}
	for k := range maps.Keys(refusedTypes) {
		if families[k] != nil {
			t.Errorf("%s is run and refused", k)
		}
	}
}
