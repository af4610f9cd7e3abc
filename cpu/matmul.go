package cpu

import (
	"context"

	"github.com/cambium-kernels/cambium/kernels"
)

// formOperands returns the two sides of a product a·bᵀ in the given form.
func formOperands(a, b kernels.Matrix, form kernels.Form) (p, q operand) {
	return operand{m: a, trans: form == kernels.TN}, operand{m: b, trans: form != kernels.NT}
}

// Matmul implements kernels.Backend.
func (b *Backend) Matmul(ctx context.Context, dst, x, y []kernels.Matrix, form kernels.Form, alpha, beta float64, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpMatmul, kernels.CheckMatmul(kernels.Device{}, dst, x, y, form, alpha, beta, o)); err != nil {
		return err
	}
	defer b.end()
	var list []tileRef
	for item := range dst {
		list = allTiles(list, item, dst[item].Rows, dst[item].Cols)
	}
	return b.tiles(ctx, kernels.OpMatmul, o, len(list), func(ws *workspace, i int) {
		t := list[i]
		d := dst[t.item]
		ni, nj := min(tileRows, d.Rows-t.i0), min(tileCols, d.Cols-t.j0)
		p, q := formOperands(x[t.item], y[t.item], form)
		c := b.scaledProduct(ws, p, q, t, ni, nj, alpha)
		storeTile(ws, d, c, t, ni, nj, alpha, beta)
	})
}

// storeTile writes alpha·c + beta·dst.
func storeTile(ws *workspace, dst kernels.Matrix, c []float64, t tileRef, ni, nj int, alpha, beta float64) {
	old := grow(&ws.vector[0], tileCols)
	if alpha == 0 {
		alpha = 1 // c is zero already
	}
	for r := range ni {
		accumulateRow(dst, t.i0+r, t.j0, c[r*tileCols:r*tileCols+nj], alpha, beta, old)
	}
}
