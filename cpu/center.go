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

// columnBlocks lists the column blocks of a batch; i0 is not used.
func columnBlocks(x []kernels.Matrix) []tileRef {
	var list []tileRef
	for item, m := range x {
		for j := 0; j < m.Cols; j += meanCols {
			list = append(list, tileRef{item: item, j0: j})
		}
	}
	return list
}

// columnMeans writes the means of columns [j0, j0+len(mean)) of m: those of the
// differences to the first row, added to the first row. A constant column gives
// its constant, exactly.
func columnMeans(ws *workspace, mean []float64, m kernels.Matrix, j0 int) {
	if m.Rows == 0 {
		clear(mean)
		return
	}
	first := grow(&ws.vector[0], len(mean))
	line := grow(&ws.vector[1], len(mean))
	loadRow(first, m, 0, j0)
	clear(mean)
	for i := 1; i < m.Rows; i++ {
		loadRow(line, m, i, j0)
		for k, v := range line {
			mean[k] += v - first[k]
		}
	}
	n := float64(m.Rows)
	for k, v := range first {
		mean[k] = v + mean[k]/n
	}
}

// means computes the column means of a batch, a column block a tile.
func (b *Backend) means(ctx context.Context, op kernels.Op, x []kernels.Matrix, mean [][]float64) error {
	list := columnBlocks(x)
	return b.tiles(ctx, op, kernels.Options{}, len(list), func(ws *workspace, i int) {
		t := list[i]
		block := mean[t.item][t.j0:min(t.j0+meanCols, x[t.item].Cols)]
		columnMeans(ws, block, x[t.item], t.j0)
	})
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
	for item := range stats {
		if stats[item].SquaredNorm == nil {
			continue
		}
		if dst[item].Cols == 0 {
			clear(stats[item].SquaredNorm)
			continue
		}
		per, n := strips(dst[item].Rows, dst[item].Cols)
		for s := range n {
			norms = append(norms, tileRef{item: item, i0: s * per, j0: min((s+1)*per, dst[item].Rows)})
		}
	}
	total := len(columns) + len(norms)
	err := b.tiles(ctx, kernels.OpCenter, progressUpTo(o, total), len(columns), func(ws *workspace, i int) {
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
	return b.tiles(ctx, kernels.OpCenter, progressFrom(o, len(columns), total), len(norms), func(ws *workspace, i int) {
		t := norms[i]
		rowNorms(ws, stats[t.item].SquaredNorm, dst[t.item], t.i0, t.j0)
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

// rowNorms writes the squared norms of rows [from, to).
func rowNorms(ws *workspace, norm []float64, m kernels.Matrix, from, to int) {
	line := grow(&ws.vector[0], m.Cols)
	for i := from; i < to; i++ {
		loadRow(line, m, i, 0)
		norm[i] = sumSquares(line)
	}
}

// sumSquares returns Σ v². It sums in blocks, so that its error stays that of
// short sums.
func sumSquares(v []float64) float64 { return inner(v, v) }

// inner returns Σ a·b in blocks of blockTerms.
func inner(a, b []float64) float64 {
	total := 0.0
	for len(a) > 0 {
		n := min(len(a), blockTerms)
		s := 0.0
		q := b[:n]
		for k, v := range a[:n] {
			s += v * q[k]
		}
		total += s
		a, b = a[n:], b[n:]
	}
	return total
}

// progressUpTo reports a first phase of a longer operation.
func progressUpTo(o kernels.Options, total int) kernels.Options { return progressFrom(o, 0, total) }

// progressFrom reports a phase that starts after done tiles of total.
func progressFrom(o kernels.Options, done, total int) kernels.Options {
	if report := o.Progress; report != nil {
		o.Progress = func(n, _ int) { report(done+n, total) }
	}
	return o
}
