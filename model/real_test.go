package model

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/weights"
)

// Models that people use, against states that testdata/real.py wrote into their
// folders.
func TestRealModels(t *testing.T) {
	folders := filepath.SplitList(os.Getenv("CAMBIUM_MODELS"))
	if len(folders) == 0 {
		t.Skip("CAMBIUM_MODELS names folders of models, with the states that testdata/real.py writes")
	}
	b := backend(t)
	for _, dir := range folders {
		m, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		ref, err := weights.Open(filepath.Join(dir, "reference.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		defer ref.Close()
		ids, err := ref.Tensor("input_ids")
		if err != nil {
			t.Fatal(err)
		}
		batch := Batch{Tokens: tokensOf(t, ids)}
		worst := 0.0
		o := Options{Hook: func(_ context.Context, at At, x kernels.Matrix) error {
			i := at.Block
			switch at.Point {
			case BlockOutput:
				i++
			case BlockInput:
				if i > 0 {
					return nil
				}
			default:
				return nil
			}
			e := rowError(values(t, x), tensor(t, ref, fmt.Sprintf("hidden_states.%d", i)), x.Cols)
			if worst = max(worst, e); !(e <= tolerance) {
				t.Errorf("%s, state %d: row-relative error %.2g", dir, i, e)
			}
			return nil
		}}
		s, err := m.Run(t.Context(), b, []Batch{batch}, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %s, %d blocks: row-relative error %.1e", dir, m.config.Type, m.config.Blocks, worst)
		x := s.Matrix(0)
		if logs, err := ref.Tensor("log_probs"); err == nil {
			want := make([]float64, logs.Elements())
			if err := logs.Float64s(want); err != nil {
				t.Fatal(err)
			}
			var rows, targets []int32
			for i, seq := range batch.Tokens {
				for k, id := range seq[1:] {
					rows, targets = append(rows, s.Sequences(0)[i]+int32(k)), append(targets, id)
				}
			}
			got, err := m.LogProbs(t.Context(), b, x, rows, targets, Options{})
			if err != nil {
				t.Fatal(err)
			}
			sum, ref := 0.0, 0.0
			for i := range want {
				sum, ref = sum-got[i]/float64(len(want)), ref-want[i]/float64(len(want))
				if math.Abs(got[i]-want[i]) > 1e-3 {
					t.Errorf("%s: log-probability %d is %v, want %v", dir, i, got[i], want[i])
				}
			}
			t.Logf("%s: loss %.6f, the reference %.6f", dir, sum, ref)
		}
		s.Free()
	}
}
