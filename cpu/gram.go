package cpu

import (
	"context"

	"github.com/cambium-kernels/cambium/kernels"
)

// tileRef is one tile of one item of a batch.
type tileRef struct{ item, i0, j0 int }

// lowerTiles lists the tiles of an n x n result that touch its lower triangle,
// row by row.
func lowerTiles(list []tileRef, item, n int) []tileRef {
	for i := 0; i < n; i += tileRows {
		for j := 0; j <= i; j += tileCols {
			list = append(list, tileRef{item, i, j})
		}
	}
	return list
}

// lowerCount returns how many tiles lowerTiles lists.
func lowerCount(n int) int {
	t := (n + tileRows - 1) / tileRows
	return t * (t + 1) / 2
}

// allTiles lists the tiles of an m x n result, row by row. An empty result has
// none, however long its other side.
func allTiles(list []tileRef, item, m, n int) []tileRef {
	if n == 0 {
		return list
	}
	for i := 0; i < m; i += tileRows {
		for j := 0; j < n; j += tileCols {
			list = append(list, tileRef{item, i, j})
		}
	}
	return list
}

// Gram implements kernels.Backend. Each tile of the lower triangle is computed
// once and, in full storage, mirrored.
func (b *Backend) Gram(ctx context.Context, dst, x []kernels.Matrix, alpha, beta float64, out kernels.Storage, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpGram, kernels.CheckGram(kernels.Device{}, dst, x, alpha, beta, out, o)); err != nil {
		return err
	}
	defer b.end()
	var list []tileRef
	for item := range x {
		list = lowerTiles(list, item, x[item].Rows)
	}
	return b.tiles(ctx, kernels.OpGram, o, len(list), func(ws *workspace, i int) {
		t := list[i]
		src := x[t.item]
		ni, nj := min(tileRows, src.Rows-t.i0), min(tileCols, src.Rows-t.j0)
		c := b.scaledProduct(ws, operand{m: src}, operand{m: src}, t, ni, nj, alpha)
		storeLower(ws, dst[t.item], c, t, ni, nj, alpha, beta, out)
	})
}

// scaledProduct is product, but zero without reading the operands if alpha is 0.
func (b *Backend) scaledProduct(ws *workspace, p, q operand, t tileRef, ni, nj int, alpha float64) []float64 {
	if alpha == 0 {
		c := grow(&ws.tile[0], tileRows*tileCols)
		clear(c)
		return c
	}
	return b.tier.product(ws, p, q, t.i0, ni, t.j0, nj)
}

// storeLower writes the part of a tile on and below the diagonal, and mirrors
// it in full storage.
func storeLower(ws *workspace, dst kernels.Matrix, c []float64, t tileRef, ni, nj int, alpha, beta float64, out kernels.Storage) {
	old := grow(&ws.vector[0], tileCols)
	if alpha == 0 {
		alpha = 1 // c is zero already, and 0·0 would lose nothing but time
	}
	for r := range ni {
		i := t.i0 + r
		live := min(nj, i-t.j0+1)
		line := c[r*tileCols : r*tileCols+live]
		if out == kernels.PackedLower {
			accumulateRow(dst, 0, i*(i+1)/2+t.j0, line, alpha, beta, old)
			continue
		}
		accumulateRow(dst, i, t.j0, line, alpha, beta, old)
	}
	if out == kernels.PackedLower {
		return
	}
	column := grow(&ws.vector[1], tileRows)
	for s := range nj {
		j := t.j0 + s
		first := max(0, j+1-t.i0) // first row of the tile below the diagonal in this column
		if first >= ni {
			continue
		}
		for r := first; r < ni; r++ {
			column[r] = c[r*tileCols+s]
		}
		storeRow(dst, j, t.i0+first, column[first:ni])
	}
}
