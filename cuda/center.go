//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"fmt"
	"math"
	"unsafe"

	"gorgonia.org/cu"

	"github.com/cambium-kernels/cambium/kernels"
)

// The tile of kernels/center.cu.
const (
	centerRows = 256
	centerCols = 64
)

// centerItem is CenterItem of kernels/center.cu.
type centerItem struct {
	dst, x                         uint64
	mean, squaredNorm              uint64
	columnSquares                  uint64
	columnParts, rowParts          uint64
	columnTickets, rowTickets      uint64
	rows, cols, strideDst, strideX int64
	typeDst, typeX                 uint32
	firstTile, _                   uint32
}

// centering is one item of Center, or some of its columns.
type centering struct {
	dst, x kernels.Matrix
	stats  kernels.RowStats
	// part: the columns are not all, so that norms are sums over several pieces.
	part bool
}

func (c *centering) strips() int { return max(1, (c.x.Rows+centerRows-1)/centerRows) }
func (c *centering) blocks() int { return max(1, (c.x.Cols+centerCols-1)/centerCols) }

// Center implements kernels.Backend: two launches for all matrices on the
// device. A tile is 64 columns.
func (b *backend) Center(ctx context.Context, dst, x []kernels.Matrix, stats []kernels.RowStats, o kernels.Options) error {
	arguments := kernels.CheckCenter(b.where, dst, x, stats, o)
	var list []centering
	for i := range dst {
		if arguments != nil {
			break
		}
		c := centering{dst: dst[i], x: x[i]}
		if stats != nil {
			c.stats = stats[i]
		}
		if x[i].Empty() { // it may have any number of rows or columns
			c.empty()
			continue
		}
		list = append(list, c)
	}
	return b.call(ctx, kernels.OpCenter, o, arguments, func(r *run) error { return r.all(centerPieces(r.strip, list)) })
}

// empty fills the statistics of a matrix without elements.
func (c *centering) empty() {
	for _, s := range [][]float64{c.stats.Mean, c.stats.SquaredNorm, c.stats.ColumnSquares} {
		clear(s)
	}
}

// centerPieces groups matrices: up to so many bytes from the host.
func centerPieces(bytes int, list []centering) []piece {
	var out []piece
	from, staged := 0, 0
	for i := range list {
		size := 0
		for _, m := range []kernels.Matrix{list[i].dst, list[i].x} {
			if onHost(m) {
				size += m.Rows * m.Cols * m.DType.Size()
			}
		}
		if staged > 0 && staged+size > bytes {
			out = append(out, centerPiece(list[from:i]))
			from, staged = i, 0
		}
		staged += size
	}
	if from < len(list) {
		out = append(out, centerPiece(list[from:]))
	}
	return out
}

func centerPiece(list []centering) piece {
	var results cu.DevicePtr
	values := centerResults(list)
	p := piece{
		launch: func(f *flight, v []view) (err error) {
			results, err = f.launchCenter(list, v, len(values))
			return err
		},
		halve: func() []piece { return halveCenter(list) },
	}
	wanted := false
	for i := range list {
		p.operands = append(p.operands, target(list[i].dst, false), source(list[i].x))
		s := &list[i].stats
		wanted = wanted || s.Mean != nil || s.SquaredNorm != nil || s.ColumnSquares != nil
	}
	if wanted {
		p.finish = func(f *flight) error {
			if err := f.downloadFloats(values, results); err != nil {
				return err
			}
			rest := values
			for i := range list {
				rest = list[i].store(rest)
			}
			return nil
		}
	}
	return p
}

// centerResults has room for the values that come back: for each item the
// means, the squares of the columns, and the norms of the rows, of which a part
// has one for each block of columns.
func centerResults(list []centering) []float64 {
	n := 0
	for i := range list {
		n += list[i].results()
	}
	return make([]float64, n)
}

func (c *centering) results() int {
	n := 2 * c.x.Cols
	if c.stats.SquaredNorm == nil {
		return n
	}
	if c.part {
		return n + (c.blocks()+1)*c.x.Rows
	}
	return n + c.x.Rows
}

// store takes an item's values from the front of the list.
func (c *centering) store(values []float64) []float64 {
	rows, cols := c.x.Rows, c.x.Cols
	copy(c.stats.Mean, values)
	copy(c.stats.ColumnSquares, values[cols:])
	if norm := c.stats.SquaredNorm; c.part && norm != nil {
		for b := range c.blocks() { // in the order in which the kernel would add them
			for i, v := range values[2*cols+(b+1)*rows:][:rows] {
				norm[i] += v
			}
		}
	} else {
		copy(norm, values[2*cols:])
	}
	return values[c.results():]
}

// launchCenter returns where the values will be; count is their number.
func (f *flight) launchCenter(list []centering, v []view, count int) (results cu.DevicePtr, err error) {
	parts, tickets, tiles := 0, 0, 0
	for i := range list {
		c := &list[i]
		parts += c.strips() * c.x.Cols
		if c.stats.SquaredNorm != nil && !c.part {
			parts += c.blocks() * c.x.Rows
		}
		tickets += c.blocks() + c.strips()
		tiles += c.blocks() * c.strips()
	}
	if tiles > math.MaxInt32 {
		return 0, fmt.Errorf("%d tiles of 256 x 64, a launch has 2^31 - 1 at most: %w", tiles, kernels.ErrMemory)
	}
	if results, err = f.alloc(8 * count); err != nil {
		return 0, err
	}
	scratch, err := f.alloc(8 * parts)
	if err != nil {
		return 0, err
	}
	ticket, err := f.alloc(4 * tickets)
	if err != nil {
		return 0, err
	}
	if err := check("cuMemsetD8Async", cu.MemsetD8Async(ticket, 0, int64(4*tickets), f.stream)); err != nil {
		return 0, err
	}
	items := make([]centerItem, len(list))
	value, first := results, 0
	take := func(from *cu.DevicePtr, n, size int) uint64 {
		p := *from
		*from += cu.DevicePtr(n * size)
		return pointer(p)
	}
	for i := range items {
		c, dst, x := &list[i], v[2*i], v[2*i+1]
		rows, cols := c.x.Rows, c.x.Cols
		it := centerItem{
			dst: pointer(dst.ptr), x: pointer(x.ptr), rows: int64(rows), cols: int64(cols), strideDst: int64(dst.stride), strideX: int64(x.stride),
			typeDst: uint32(dst.dtype), typeX: uint32(x.dtype), firstTile: uint32(first), // below 2^31, see above
		}
		it.mean = take(&value, cols, 8)
		squares := take(&value, cols, 8)
		if c.stats.ColumnSquares != nil {
			it.columnSquares = squares
		}
		it.columnParts = take(&scratch, c.strips()*cols, 8)
		it.columnTickets = take(&ticket, c.blocks(), 4)
		it.rowTickets = take(&ticket, c.strips(), 4)
		if c.stats.SquaredNorm != nil {
			it.squaredNorm = take(&value, rows, 8)
			from := &scratch
			if c.part {
				from = &value
			}
			it.rowParts = take(from, c.blocks()*rows, 8)
		}
		items[i] = it
		first += c.blocks() * c.strips()
	}
	table, err := f.uploadTable(unsafe.Slice((*uint64)(unsafe.Pointer(&items[0])), len(items)*int(unsafe.Sizeof(items[0]))/8))
	if err != nil {
		return 0, err
	}
	for _, k := range []string{"center_mean", "center_apply"} {
		if err := f.launch(k, tiles, pointer(table), integer(len(items))); err != nil {
			return 0, err
		}
	}
	return results, nil
}

// halveCenter cuts a batch, or the columns of a single matrix.
func halveCenter(list []centering) []piece {
	if n := len(list) / 2; n > 0 {
		return []piece{centerPiece(list[:n]), centerPiece(list[n:])}
	}
	c := list[0]
	half := (c.blocks() / 2) * centerCols
	if half == 0 {
		return nil
	}
	if !c.part {
		clear(c.stats.SquaredNorm)
	}
	columns := func(from, n int) centering {
		p := centering{
			dst: window(c.dst, 0, from, c.dst.Rows, n), x: window(c.x, 0, from, c.x.Rows, n), part: true,
			stats: kernels.RowStats{SquaredNorm: c.stats.SquaredNorm},
		}
		if c.stats.Mean != nil {
			p.stats.Mean = c.stats.Mean[from : from+n]
		}
		if c.stats.ColumnSquares != nil {
			p.stats.ColumnSquares = c.stats.ColumnSquares[from : from+n]
		}
		return p
	}
	return []piece{centerPiece([]centering{columns(0, half)}), centerPiece([]centering{columns(half, c.x.Cols-half)})}
}
