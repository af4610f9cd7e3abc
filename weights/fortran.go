package weights

import "fmt"

// Column-major tensors. With R rows, the first dimension, element (r, c) of
// column c is number r·(count/R) + c in row-major order and c·R + r in the file,
// for two dimensions; with more, the columns of the file are numbered with the
// second index fastest and those in row-major order with the last. Both sides
// are walked in panels, a few columns by many rows, that fit into the cache:
// the file is read in long runs and the result is written in whole lines.

const (
	// panelBytes is what a panel may hold, a half of a second-level cache.
	panelBytes = 1 << 18
	// panelColumns fill a cache line of 4-byte elements where a row of the panel
	// is written.
	panelColumns = 16
	// skipBytes: a gap in the file that is shorter is read with its surroundings.
	skipBytes = 1 << 12
)

// A panel is a block of a column-major tensor in memory.
type panel struct {
	bytes   []byte // little endian, column by column
	row     int    // number of the first row
	rows    int    // of each column
	stride  int    // elements from one column to the next in bytes, >= rows
	columns []int  // row-major number of each column's element of row 0
}

// panels calls use with the blocks that cover rows from to to-1, each element
// once. The panel is valid during the call.
func (t *Tensor) panels(from, to int, use func(p panel)) error {
	size, rows := t.DType.Size(), t.Shape[0]
	columns := t.count / rows
	n := to - from
	stride := n
	if (rows - n) <= skipBytes/size {
		stride = rows
	}
	width := min(columns, max(panelColumns, panelBytes/size/stride))
	if height := max(1, panelBytes/size/width); height < n {
		n, stride = height, height
	}
	buf := make([]byte, width*stride*size)
	numbers := make([]int, width)
	order := newColumnOrder(t.Shape)
	for c := 0; c < columns; c += width {
		width := min(width, columns-c)
		for j := range width {
			numbers[j] = order.next()
		}
		for row := from; row < to; row += n {
			p := panel{row: row, rows: min(n, to-row), stride: stride, columns: numbers[:width]}
			if err := t.readPanel(&p, buf, c); err != nil {
				return fmt.Errorf("weights: %s: %w", quote([]byte(t.Name)), err)
			}
			use(p)
		}
	}
	return nil
}

// readPanel reads the panel whose first column is number c of the file: at once
// if the columns are adjacent in buf as in the file.
func (t *Tensor) readPanel(p *panel, buf []byte, c int) error {
	size, rows := t.DType.Size(), t.Shape[0]
	p.bytes = buf[:((len(p.columns)-1)*p.stride+p.rows)*size]
	at := t.offset + (int64(c)*int64(rows)+int64(p.row))*int64(size)
	if p.stride == rows {
		if err := readFull(t.source, p.bytes, at); err != nil {
			return err
		}
	} else {
		for j := range p.columns {
			column := p.bytes[j*p.stride*size:][:p.rows*size]
			if err := readFull(t.source, column, at+int64(j)*int64(rows)*int64(size)); err != nil {
				return err
			}
		}
	}
	t.littleEndian(p.bytes)
	return nil
}

// gather reads all elements into row-major order.
func gather[T any](t *Tensor, dst []T, decode func(dst []T, b []byte)) error {
	step := t.count / t.Shape[0]
	var numbers []T
	return t.panels(0, t.Shape[0], func(p panel) {
		n := len(p.bytes) / t.DType.Size()
		if len(numbers) < n {
			numbers = make([]T, n)
		}
		decode(numbers[:n], p.bytes)
		for r := range p.rows {
			row := dst[(p.row+r)*step:][:step]
			for j, c := range p.columns {
				row[c] = numbers[j*p.stride+r]
			}
		}
	})
}

// gatherBytes reads the bytes of elements from number first on in row-major order.
func (t *Tensor) gatherBytes(dst []byte, first int) error {
	size, step := t.DType.Size(), t.count/t.Shape[0]
	n := len(dst) / size
	if n == 0 {
		return nil
	}
	return t.panels(first/step, (first+n-1)/step+1, func(p panel) {
		for r := range p.rows {
			row := (p.row+r)*step - first
			for j, c := range p.columns {
				if at := row + c; at >= 0 && at < n {
					copy(dst[at*size:][:size], p.bytes[(j*p.stride+r)*size:])
				}
			}
		}
	})
}

// A columnOrder enumerates the columns of a shape as the file has them, second
// index fastest.
type columnOrder struct {
	shape, index, weight []int // of all dimensions but the first
	at                   int   // row-major number of the next column
}

func newColumnOrder(shape []int) *columnOrder {
	o := &columnOrder{shape: shape[1:], index: make([]int, len(shape)-1), weight: make([]int, len(shape)-1)}
	weight := 1
	for k := len(o.shape) - 1; k >= 0; k-- {
		o.weight[k] = weight
		weight *= o.shape[k]
	}
	return o
}

func (o *columnOrder) next() int {
	at := o.at
	for k := range o.index {
		o.index[k]++
		o.at += o.weight[k]
		if o.index[k] < o.shape[k] {
			break
		}
		o.index[k] = 0
		o.at -= o.shape[k] * o.weight[k]
	}
	return at
}
