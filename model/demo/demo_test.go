package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/cpu"
	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/model"
	"github.com/cambium-kernels/cambium/weights"
)

// The files are those that README.md speaks of.
func TestDigests(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"model.safetensors": tensors, "config.json": config, "tokenizer.json": Tokenizer(), "text.txt": []byte(Text())} {
		sum := sha256.Sum256(data)
		if !strings.Contains(string(readme), hex.EncodeToString(sum[:])) {
			t.Errorf("%s has the digest %x", name, sum)
		}
	}
	if !json.Valid(Tokenizer()) || len(Text()) < 24000 {
		t.Errorf("%d bytes of text", len(Text()))
	}
}

func read(t *testing.T, f *weights.File, name string) []float32 {
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

// The model says what transformers says of the text.
func TestReference(t *testing.T) {
	ref, err := weights.Open("testdata/reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer ref.Close()
	m, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var ids []int32
	for _, v := range read(t, ref, "tokens")[:2*128] {
		ids = append(ids, int32(v))
	}
	batch := model.Batch{Tokens: slices.Collect(slices.Chunk(ids, 128))}
	check := func(_ context.Context, at model.At, x kernels.Matrix) error {
		i := at.Block
		if at.Point == model.BlockOutput {
			i++
		}
		if i%6 != 0 {
			return nil
		}
		got, err := kernels.Floats[float32](x)
		if err != nil {
			return err
		}
		want := read(t, ref, fmt.Sprintf("hidden_states.%d", i))
		for row := range 8 { // every 16th of the first sequence
			var d, n float64
			for k := range 96 {
				w := float64(want[row*96+k])
				e := float64(got[16*row*96+k]) - w
				d, n = d+e*e, n+w*w
			}
			if e := math.Sqrt(d / n); !(e <= 1e-4) {
				t.Errorf("state %d, row %d: relative error %v", i, 16*row, e)
			}
		}
		return nil
	}
	// The points inside a block have other widths.
	hook := func(ctx context.Context, at model.At, x kernels.Matrix) error {
		if at.Point == model.BlockInput || at.Point == model.BlockOutput {
			return check(ctx, at, x)
		}
		return nil
	}
	s, err := m.Run(t.Context(), b, []model.Batch{batch}, model.Options{Hook: hook})
	if err != nil {
		t.Fatal(err)
	}
	s.Free()
	p, err := m.Perplexity(t.Context(), b, []model.Batch{batch}, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for _, l := range read(t, ref, "log_probs")[:2*127] {
		want -= float64(l) / (2 * 127)
	}
	if math.Abs(p.Loss-want) > 1e-5 || p.Tokens != 2*127 {
		t.Errorf("%+v, want a loss of %v", p, want)
	}
}
