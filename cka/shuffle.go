package cka

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/cambium-kernels/cambium/kernels"
)

// shuffler returns what gives the k-th permutation: entry i is the row that
// comes to place i. It depends on the seed and k alone.
func shuffler(n int, p Permutations) (func(k int) []int32, error) {
	if n > math.MaxInt32 {
		return nil, fmt.Errorf("%d rows: %w", n, kernels.ErrMemory)
	}
	blocks, classes, err := blocksOf(n, p.Groups)
	if err != nil {
		return nil, err
	}
	return func(k int) []int32 {
		random := rand.New(rand.NewPCG(p.Seed, uint64(k))) //nolint:gosec // k >= 0
		order := make([]int32, n)
		for _, class := range classes {
			to := slices.Clone(class)
			random.Shuffle(len(to), func(a, b int) { to[a], to[b] = to[b], to[a] })
			for c, from := range class {
				for r, row := range blocks[from] {
					order[row] = blocks[to[c]][r]
				}
			}
		}
		return order
	}, nil
}

// blocksOf lists the rows of each group, groups in order of their first row, and
// the groups of equal size together.
func blocksOf(n int, groups []int64) (blocks [][]int32, classes [][]int, err error) {
	if groups != nil && len(groups) != n {
		return nil, nil, fmt.Errorf("%d groups for %d rows, want one a row: %w", len(groups), n, kernels.ErrShape)
	}
	index := map[int64]int{}
	for row := range n {
		group := int64(row)
		if groups != nil {
			group = groups[row]
		}
		k, seen := index[group]
		if !seen {
			k = len(blocks)
			index[group] = k
			blocks = append(blocks, nil)
		}
		blocks[k] = append(blocks[k], int32(row))
	}
	bySize := map[int]int{}
	exchangeable := n < 2 && groups == nil
	for k, rows := range blocks {
		c, seen := bySize[len(rows)]
		if !seen {
			c = len(classes)
			bySize[len(rows)] = c
			classes = append(classes, nil)
		}
		classes[c] = append(classes[c], k)
		exchangeable = exchangeable || seen
	}
	if !exchangeable {
		return nil, nil, fmt.Errorf("%d groups, no two of the same size: nothing can change places: %w", len(blocks), kernels.ErrShape)
	}
	return blocks, classes, nil
}
