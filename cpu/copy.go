package cpu

import (
	"context"

	"github.com/cambium-kernels/cambium/kernels"
)

// stripElems is how many elements a tile of a memory-bound operation has.
const stripElems = 1 << 15

// strips cuts the rows of a matrix into strips of about stripElems elements.
func strips(rows, cols int) (perStrip, n int) {
	if rows == 0 || cols == 0 {
		return 1, 0
	}
	perStrip = max(1, stripElems/cols)
	return perStrip, (rows + perStrip - 1) / perStrip
}

// eachRow calls f for every row of a rows x cols problem, strips of rows in
// parallel.
func (b *Backend) eachRow(ctx context.Context, op kernels.Op, o kernels.Options, rows, cols int, f func(ws *workspace, i int)) error {
	per, n := strips(rows, cols)
	return b.tiles(ctx, op, o, n, func(ws *workspace, s int) {
		for i := s * per; i < min(rows, (s+1)*per); i++ {
			f(ws, i)
		}
	})
}

// Copy implements kernels.Backend.
func (b *Backend) Copy(ctx context.Context, dst, src kernels.Matrix) error {
	if err := b.begin(ctx, kernels.OpCopy, kernels.CheckCopy(kernels.Device{}, dst, src)); err != nil {
		return err
	}
	defer b.end()
	return b.eachRow(ctx, kernels.OpCopy, kernels.Options{}, dst.Rows, dst.Cols, func(_ *workspace, i int) {
		copyRow(dst, src, i)
	})
}

// copyRow copies the bits of one row.
func copyRow(dst, src kernels.Matrix, i int) { copyBits(dst, i, src, i) }

// copyBits copies row j of src to row i of dst; types and widths are equal.
func copyBits(dst kernels.Matrix, i int, src kernels.Matrix, j int) {
	switch n := dst.Cols; dst.DType.Size() {
	case 2:
		copy(row[uint16](dst, i, 0, n), row[uint16](src, j, 0, n))
	case 4:
		copy(row[float32](dst, i, 0, n), row[float32](src, j, 0, n))
	case 8:
		copy(row[float64](dst, i, 0, n), row[float64](src, j, 0, n))
	}
}

// Convert implements kernels.Backend.
func (b *Backend) Convert(ctx context.Context, dst, src kernels.Matrix) error {
	if err := b.begin(ctx, kernels.OpConvert, kernels.CheckConvert(kernels.Device{}, dst, src)); err != nil {
		return err
	}
	defer b.end()
	return b.eachRow(ctx, kernels.OpConvert, kernels.Options{}, dst.Rows, dst.Cols, func(ws *workspace, i int) {
		if dst.DType == src.DType {
			copyRow(dst, src, i)
			return
		}
		line := grow(&ws.vector[0], dst.Cols)
		loadRow(line, src, i, 0)
		storeRow(dst, i, 0, line)
	})
}
