package text

import (
	"fmt"

	"github.com/cambium-kernels/cambium/weights"
)

func readIDs(f *weights.NPY, vocabulary int) ([][]int32, error) {
	for a := range f.Tensors() { // the one
		if len(a.Shape) != 2 || a.Elements() == 0 {
			return nil, fmt.Errorf("shape %v; sequences by tokens are needed, one of each at least: %w", a.Shape, ErrFormat)
		}
		if a.DType != weights.I64 && a.DType != weights.I32 {
			return nil, fmt.Errorf("ids of type %s; int64 is needed, with numpy ids.astype(\"int64\"): %w", a.DType, ErrFormat)
		}
		if a.Elements() > maxTokens {
			return nil, fmt.Errorf("%d ids; %d are the limit: %w", a.Elements(), maxTokens, ErrFormat)
		}
		wide := make([]int64, a.Elements())
		if err := a.Int64s(wide); err != nil {
			return nil, err
		}
		length := a.Shape[1]
		ids := make([]int32, len(wide))
		for i, id := range wide {
			if id < 0 || id >= int64(vocabulary) {
				return nil, fmt.Errorf("sequence %d, token %d: id %d, the vocabulary has %d: %w", i/length, i%length, id, vocabulary, ErrFormat)
			}
			ids[i] = int32(id) //nolint:gosec // below vocabulary, which a table of int32 ids has
		}
		return split(ids, a.Shape[0], length), nil
	}
	return nil, nil
}

// split cuts ids into sequences of length each.
func split(ids []int32, seqs, length int) [][]int32 {
	sequences := make([][]int32, seqs)
	for i := range sequences {
		sequences[i] = ids[i*length : (i+1)*length : (i+1)*length]
	}
	return sequences
}
