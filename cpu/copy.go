package cpu

import (
	"context"

	"github.com/cambium-kernels/cambium/kernels"
)

// stripElems is how many elements a tile of a memory-bound operation has, about:
// a multiple of blockTerms, so that a long row may be summed in such pieces, and
// of the blocks of quantised formats.
const stripElems = 160 * blockTerms

// strips cuts the rows of a matrix into strips of about stripElems elements.
func strips(rows, cols int) (perStrip, n int) {
	if rows == 0 || cols == 0 {
		return 1, 0
	}
	perStrip = max(1, stripElems/cols)
	return perStrip, (rows + perStrip - 1) / perStrip
}

// eachRow calls f for every row of a rows x cols problem, strips of rows in
// parallel. f uses as many vectors of the workspace, cols long, as lines says.
func (b *Backend) eachRow(ctx context.Context, op kernels.Op, o kernels.Options, rows, cols, lines int, f func(ws *workspace, i int)) error {
	s := b.scratch(op)
	defer s.release()
	if cols > stripElems && rows > 0 {
		if err := s.reserve(b.pool.workers*lines, cols); err != nil {
			return err
		}
	}
	per, n := strips(rows, cols)
	return b.tiles(ctx, op, o, n, func(ws *workspace, s int) {
		for i := s * per; i < min(rows, (s+1)*per); i++ {
			f(ws, i)
		}
	})
}

// piece is part of a matrix: elements [j, j+n) of rows [i0, i1).
type piece struct{ i0, i1, j, n int }

// pieces cuts a matrix into pieces of about stripElems elements: strips of
// rows, and long rows into parts.
type pieces struct{ rows, cols, perStrip, parts, count int }

func piecesOf(rows, cols int) pieces {
	per, n := strips(rows, cols)
	parts := max(1, (cols+stripElems-1)/stripElems)
	return pieces{rows, cols, per, parts, n * parts}
}

// at returns piece s, in the order of the elements.
func (p pieces) at(s int) piece {
	i, j := s/p.parts*p.perStrip, s%p.parts*stripElems
	return piece{i, min(p.rows, i+p.perStrip), j, min(stripElems, p.cols-j)}
}

// eachPiece calls f for elements [j, j+n) of row i until all of a rows x cols
// problem is done, pieces in parallel. n is at most stripElems.
func (b *Backend) eachPiece(ctx context.Context, op kernels.Op, o kernels.Options, rows, cols int, f func(ws *workspace, i, j, n int)) error {
	list := piecesOf(rows, cols)
	return b.tiles(ctx, op, o, list.count, func(ws *workspace, s int) {
		p := list.at(s)
		for i := p.i0; i < p.i1; i++ {
			f(ws, i, p.j, p.n)
		}
	})
}

// Copy implements kernels.Backend.
func (b *Backend) Copy(ctx context.Context, dst, src kernels.Matrix) error {
	if err := b.begin(ctx, kernels.OpCopy, kernels.CheckCopy(kernels.Device{}, dst, src)); err != nil {
		return err
	}
	defer b.end()
	return b.eachPiece(ctx, kernels.OpCopy, kernels.Options{}, dst.Rows, dst.Cols, func(_ *workspace, i, j, n int) {
		copyBits(dst, i, src, i, j, n)
	})
}

// copyBits copies elements [j, j+n) of row from of src to row to of dst; types
// are equal.
func copyBits(dst kernels.Matrix, to int, src kernels.Matrix, from, j, n int) {
	switch dst.DType.Size() {
	case 2:
		copy(row[uint16](dst, to, j, n), row[uint16](src, from, j, n))
	case 4:
		copy(row[float32](dst, to, j, n), row[float32](src, from, j, n))
	case 8:
		copy(row[float64](dst, to, j, n), row[float64](src, from, j, n))
	}
}

// Convert implements kernels.Backend.
func (b *Backend) Convert(ctx context.Context, dst, src kernels.Matrix) error {
	if err := b.begin(ctx, kernels.OpConvert, kernels.CheckConvert(kernels.Device{}, dst, src)); err != nil {
		return err
	}
	defer b.end()
	return b.eachPiece(ctx, kernels.OpConvert, kernels.Options{}, dst.Rows, dst.Cols, func(ws *workspace, i, j, n int) {
		if dst.DType == src.DType {
			copyBits(dst, i, src, i, j, n)
			return
		}
		line := grow(&ws.vector[0], n)
		loadRow(line, src, i, j)
		storeRow(dst, i, j, line)
	})
}
