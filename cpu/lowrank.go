package cpu

import (
	"context"

	"github.com/cambium-kernels/cambium/kernels"
)

// LowRank implements kernels.Backend.
func (b *Backend) LowRank(ctx context.Context, w, bs, as []kernels.Matrix, scale []float32, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpLowRank, kernels.CheckLowRank(kernels.Device{}, w, bs, as, scale, o)); err != nil {
		return err
	}
	defer b.end()
	var list []tileRef
	for item, m := range w {
		if scale[item] != 0 {
			list = allTiles(list, item, m.Rows, m.Cols)
		}
	}
	return b.tiles(ctx, kernels.OpLowRank, o, len(list), func(ws *workspace, i int) {
		t := list[i]
		d := w[t.item]
		ni, nj := min(tileRows, d.Rows-t.i0), min(tileCols, d.Cols-t.j0)
		c := b.tier.product(ws, operand{m: bs[t.item]}, operand{m: as[t.item], trans: true}, t.i0, ni, t.j0, nj)
		s := float64(scale[t.item])
		for r := range ni {
			addUpdate(ws, d, t.i0+r, t.j0, c[r*tileCols:r*tileCols+nj], s)
		}
	})
}

// addUpdate adds s·update to part of row i of w. Elements whose update is zero
// keep their bits: −0 stays −0, a NaN its payload.
func addUpdate(ws *workspace, w kernels.Matrix, i, j int, update []float64, s float64) {
	old := grow(&ws.vector[0], len(update))
	loadRow(old, w, i, j)
	for from := 0; from < len(update); {
		to := from
		for to < len(update) && s*update[to] == 0 {
			to++
		}
		from = to // skipped: nothing to add
		for to < len(update) && s*update[to] != 0 {
			old[to] += s * update[to]
			to++
		}
		if to > from {
			storeRow(w, i, j+from, old[from:to])
		}
		from = to
	}
}
