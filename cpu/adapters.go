package cpu

import (
	"context"

	"github.com/cambium-kernels/cambium/kernels"
)

// tokenRows is how many tokens of a segment one tile takes.
const tokenRows = 32

// ApplyAdapters implements kernels.Backend. A tile is a run of tokens of one
// segment: x·Aᵀ first, into scratch, then its product with Bᵀ block by block.
func (b *Backend) ApplyAdapters(ctx context.Context, y, x kernels.Matrix, segments, ids []int32, set []kernels.Adapter, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpApplyAdapters, kernels.CheckApplyAdapters(kernels.Device{}, y, x, segments, ids, set, o)); err != nil {
		return err
	}
	defer b.end()
	type run struct{ from, to, id int }
	var list []run
	for s, id := range ids {
		if id < 0 || set[id].Scale == 0 || y.Cols == 0 {
			continue
		}
		for t := int(segments[s]); t < int(segments[s+1]); t += tokenRows {
			list = append(list, run{t, min(t+tokenRows, int(segments[s+1])), int(id)})
		}
	}
	s := b.scratch(kernels.OpApplyAdapters)
	defer s.release()
	rank := 0
	for _, r := range list {
		rank = max(rank, set[r.id].A.Rows)
	}
	if err := s.perWorker(b, tokenRows*rank); err != nil {
		return err
	}
	return b.tiles(ctx, kernels.OpApplyAdapters, o, len(list), func(ws *workspace, i int) {
		r := list[i]
		b.applyRun(ws, y, x, r.from, r.to, set[r.id])
	})
}

func (b *Backend) applyRun(ws *workspace, y, x kernels.Matrix, from, to int, ad kernels.Adapter) {
	n, rank := to-from, ad.A.Rows
	low := grow(&ws.vector[3], n*rank) // x·Aᵀ, n x rank
	for j := 0; j < rank; j += tileCols {
		nj := min(tileCols, rank-j)
		c := b.tier.product(ws, operand{m: x}, operand{m: ad.A}, from, n, j, nj)
		for t := range n {
			copy(low[t*rank+j:t*rank+j+nj], c[t*tileCols:])
		}
	}
	m, err := kernels.Of(low, n, rank, rank)
	if err != nil {
		ws.fail(err)
		return
	}
	for j := 0; j < y.Cols; j += tileCols {
		nj := min(tileCols, y.Cols-j)
		c := b.tier.product(ws, operand{m: m}, operand{m: ad.B}, 0, n, j, nj)
		for t := range n {
			addUpdate(ws, y, from+t, j, c[t*tileCols:t*tileCols+nj], float64(ad.Scale))
		}
	}
}
