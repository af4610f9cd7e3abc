package model

import (
	"context"
	"errors"

	"github.com/cambium-kernels/cambium/kernels"
)

// An arena hands out buffers of a backend and takes them back, so that a block
// is read into the memory that the one before it had.
type arena struct {
	b    kernels.Backend
	o    kernels.Options
	all  []kernels.Buffer
	free map[size][]kernels.Matrix
	held []kernels.Matrix // by the block that is loaded
}

type size struct {
	dt         kernels.DType
	rows, cols int
}

func newArena(b kernels.Backend, o kernels.Options) *arena {
	o.Progress = nil // of an operation; that of a pass counts blocks
	return &arena{b: b, o: o, free: map[size][]kernels.Matrix{}}
}

// get returns a buffer whose content is undefined.
func (a *arena) get(ctx context.Context, dt kernels.DType, rows, cols int) (kernels.Matrix, error) {
	key := size{dt, rows, cols}
	if list := a.free[key]; len(list) > 0 {
		a.free[key] = list[:len(list)-1]
		return list[len(list)-1], nil
	}
	buf, err := a.b.Alloc(ctx, dt, rows, cols)
	if err != nil {
		return kernels.Matrix{}, err
	}
	a.all = append(a.all, buf)
	return buf.Matrix(), nil
}

// put takes a buffer back.
func (a *arena) put(m kernels.Matrix) {
	key := size{m.DType, m.Rows, m.Cols}
	a.free[key] = append(a.free[key], m)
}

// release takes back what the block held.
func (a *arena) release() {
	for _, m := range a.held {
		a.put(m)
	}
	a.held = a.held[:0]
}

// close frees everything.
func (a *arena) close() error {
	var failed []error
	for _, buf := range a.all {
		failed = append(failed, buf.Free())
	}
	a.all, a.free, a.held = nil, nil, nil
	return errors.Join(failed...)
}

// load reads rows [from, from+rows) of a tensor into a buffer that the block
// holds.
func (a *arena) load(ctx context.Context, t Tensor, from, rows int) (kernels.Matrix, error) {
	_, cols := rowsOf(t)
	m, err := a.get(ctx, t.DType(), rows, cols)
	if err != nil {
		return kernels.Matrix{}, err
	}
	a.held = append(a.held, m)
	return m, a.fill(ctx, m, t, from)
}

// fill reads rows of a tensor into a matrix, wherever it is.
func (a *arena) fill(ctx context.Context, dst kernels.Matrix, t Tensor, from int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if q, ok := t.(QuantizedTensor); ok {
		view := kernels.Quantized{Cols: dst.Cols, Type: q.Quant()}
		blocks := make([]byte, dst.Rows*view.RowBytes())
		if err := q.Blocks(blocks, from); err != nil {
			return err
		}
		src, err := kernels.OfQuantized(q.Quant(), blocks, dst.Rows, dst.Cols)
		if err != nil {
			return err
		}
		return a.b.Dequantize(ctx, dst, src, nil, a.o)
	}
	if dst.Device == (kernels.Device{}) && dst.Stride == dst.Cols {
		return t.Rows(dst, from)
	}
	host, err := hostMatrix(dst.DType, dst.Rows, dst.Cols)
	if err != nil {
		return err
	}
	if err := t.Rows(host, from); err != nil {
		return err
	}
	return a.b.Copy(ctx, dst, host)
}
