package cpu

import (
	"context"

	"github.com/cambium-kernels/cambium/kernels"
)

// meanCols is how many columns one tile of a column sum covers: a cache line of
// every type, and more.
const meanCols = 64

// columnBlock is how many rows a column sum adds up in one chain: the error
// stays that of a short sum.
const columnBlock = 64

// lookRows is how many rows of a column block pass between two looks at the
// context.
const lookRows = 1024

// columnBlocks lists the column blocks of a batch; i0 is not used. Without rows
// there is nothing to sum.
func columnBlocks(x []kernels.Matrix) []tileRef {
	n := 0
	for _, m := range x {
		if m.Rows > 0 {
			n += (m.Cols + meanCols - 1) / meanCols
		}
	}
	list := make([]tileRef, 0, n)
	for item, m := range x {
		for j := 0; j < m.Cols && m.Rows > 0; j += meanCols {
			list = append(list, tileRef{item: item, j0: j})
		}
	}
	return list
}

// Center implements kernels.Backend. A tile is a block of columns: means,
// differences and column sums need nothing from other columns. Row norms follow
// in a second pass over dst.
func (b *Backend) Center(ctx context.Context, dst, x []kernels.Matrix, stats []kernels.RowStats, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpCenter, kernels.CheckCenter(kernels.Device{}, dst, x, stats, o)); err != nil {
		return err
	}
	defer b.end()
	columns := columnBlocks(x)
	var norms []tileRef // strips of rows whose norms are wanted
	for item, st := range stats {
		if dst[item].Empty() {
			clear(st.Mean)
			clear(st.SquaredNorm)
			clear(st.ColumnSquares)
		}
		if st.SquaredNorm == nil {
			continue
		}
		per, n := strips(dst[item].Rows, dst[item].Cols)
		for s := range n {
			norms = append(norms, tileRef{item: item, i0: s * per, j0: min((s+1)*per, dst[item].Rows)})
		}
	}
	run := phases{o: o, total: len(columns) + len(norms)}
	err := b.tiles(ctx, kernels.OpCenter, run.next(len(columns)), len(columns), func(ws *workspace, i int) {
		t := columns[i]
		var st kernels.RowStats
		if stats != nil {
			st = stats[t.item]
		}
		centerColumns(ws, dst[t.item], x[t.item], t.j0, st)
	})
	if err != nil || len(norms) == 0 {
		return err
	}
	return b.tiles(ctx, kernels.OpCenter, run.next(len(norms)), len(norms), func(ws *workspace, i int) {
		t := norms[i]
		for r := t.i0; r < t.j0; r++ {
			stats[t.item].SquaredNorm[r] = operand{m: dst[t.item]}.rowSquares(ws, r)
		}
	})
}

// centerColumns centres one block of columns.
func centerColumns(ws *workspace, dst, x kernels.Matrix, j0 int, st kernels.RowStats) {
	n := min(meanCols, x.Cols-j0)
	mean := grow(&ws.vector[2], n)
	columnMeans(ws, mean, x, j0)
	if st.Mean != nil {
		copy(st.Mean[j0:], mean)
	}
	line, part := grow(&ws.vector[1], n), grow(&ws.vector[3], n)
	clear(part)
	var squares []float64
	if st.ColumnSquares != nil {
		squares = st.ColumnSquares[j0 : j0+n]
		clear(squares)
	}
	for i := range x.Rows {
		if i%lookRows == 0 && ws.stopped() {
			return
		}
		loadRow(line, x, i, j0)
		for k, v := range mean {
			line[k] -= v
		}
		storeRow(dst, i, j0, line)
		if squares != nil {
			loadRow(line, dst, i, j0) // as stored
			for k, v := range line {
				part[k] += v * v
			}
			if i%columnBlock == columnBlock-1 || i == x.Rows-1 {
				for k, v := range part {
					squares[k] += v
				}
				clear(part)
			}
		}
	}
}
