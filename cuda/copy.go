//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"fmt"
	"sync"

	"gorgonia.org/cu"

	"github.com/cambium-kernels/cambium/kernels"
)

// buffer is device memory that the caller holds.
type buffer struct {
	m     kernels.Matrix
	arena *arena
	block block
	free  sync.Once
}

// Matrix implements kernels.Buffer.
func (b *buffer) Matrix() kernels.Matrix { return b.m }

// Free implements kernels.Buffer. After Close, which frees all memory, and on a
// lost device it only accounts.
func (b *buffer) Free() error {
	b.free.Do(func() {
		if b.block.size > 0 {
			b.arena.giveBack(b.block)
		}
	})
	return nil
}

// Alloc implements kernels.Backend.
func (b *backend) Alloc(ctx context.Context, dt kernels.DType, rows, cols int) (kernels.Buffer, error) {
	buf := &buffer{arena: &b.arena}
	err := b.call(ctx, kernels.OpAlloc, kernels.Options{}, kernels.CheckAlloc(dt, rows, cols), func(r *run) error {
		return r.fill(buf, dt, rows, cols)
	})
	if err != nil {
		return nil, err
	}
	return buf, nil
}

// fill allocates and zeroes a buffer.
func (r *run) fill(buf *buffer, dt kernels.DType, rows, cols int) error {
	stride := strideFor(dt, rows, cols)
	if rows > 0 && stride > maxBytes/dt.Size()/rows {
		return fmt.Errorf("%d x %d %s with rows of whole 16 bytes: %w", rows, cols, dt, kernels.ErrMemory)
	}
	f := &flight{run: r}
	r.flights = append(r.flights, f)
	size := rows * stride * dt.Size()
	ptr, err := f.alloc(size)
	if err != nil {
		return err
	}
	if size > 0 {
		if err := check("cuMemsetD8Async", cu.MemsetD8Async(ptr, 0, int64(size), r.stream)); err != nil {
			return err
		}
		if err := check("cuStreamSynchronize", r.stream.Synchronize()); err != nil {
			return err
		}
	}
	if buf.m, err = kernels.Foreign(r.where, uintptr(ptr), dt, rows, cols, stride, nil); err != nil {
		return err
	}
	if size > 0 {
		buf.block = f.blocks[0]
	}
	r.forget(f) // the buffer's from here on
	return nil
}

// maxBytes is the size of the largest matrix.
const maxBytes = 1<<63 - 1

// Copy implements kernels.Backend.
func (b *backend) Copy(ctx context.Context, dst, src kernels.Matrix) error {
	return b.call(ctx, kernels.OpCopy, kernels.Options{}, kernels.CheckCopy(b.where, dst, src), func(r *run) error {
		switch {
		case dst.Empty():
			return nil
		case onHost(dst) && onHost(src):
			for i := range src.Rows {
				c := chunk{i, 0, 1, src.Cols}
				copy(hostRow(dst, c, 0), hostRow(src, c, 0))
			}
			return nil
		case onHost(src):
			if err := r.engine.order(r.stream, r.engine.up); err != nil {
				return err
			}
			if err := r.engine.upload(r.ctx, viewOf(dst), src); err != nil {
				return err
			}
			return check("cuStreamSynchronize", r.engine.up.Synchronize())
		case onHost(dst):
			if err := r.engine.order(r.stream, r.engine.down); err != nil {
				return err
			}
			return r.engine.download(r.ctx, dst, viewOf(src))
		default:
			return r.all(convertPieces(r.strip, dst, src))
		}
	})
}

// Convert implements kernels.Backend.
func (b *backend) Convert(ctx context.Context, dst, src kernels.Matrix) error {
	return b.call(ctx, kernels.OpConvert, kernels.Options{}, kernels.CheckConvert(b.where, dst, src), func(r *run) error {
		return r.all(convertPieces(r.strip, dst, src))
	})
}

// convertPieces returns the pieces of a conversion: strips of rows if an operand
// is on the host.
func convertPieces(bytes int, dst, src kernels.Matrix) []piece {
	if dst.Empty() {
		return nil
	}
	var list []piece
	rows := dst.Rows
	if onHost(dst) || onHost(src) {
		rows = max(1, bytes/max(src.DType.Size(), dst.DType.Size())/dst.Cols)
	}
	for i := 0; i < dst.Rows; i += rows {
		n := min(rows, dst.Rows-i)
		list = append(list, convertPiece(strip(dst, i, n), strip(src, i, n)))
	}
	return list
}

// convertPiece converts whole matrices. A tile is one row.
func convertPiece(dst, src kernels.Matrix) piece {
	return piece{
		operands: []operand{target(dst, false), source(src)},
		launch: func(f *flight, v []view) error {
			d, s := v[0], v[1]
			const perBlock = 256 * 8 // elements
			return f.launch("convert", blocksFor((d.rows*d.cols+perBlock-1)/perBlock), pointer(d.ptr), pointer(s.ptr), integer(d.rows), integer(d.cols),
				integer(d.stride), integer(s.stride), uint64(d.dtype)|uint64(s.dtype)<<8)
		},
		halve: func() []piece {
			if dst.Rows < 2 {
				return nil
			}
			n := dst.Rows / 2
			return []piece{
				convertPiece(strip(dst, 0, n), strip(src, 0, n)),
				convertPiece(strip(dst, n, dst.Rows-n), strip(src, n, dst.Rows-n)),
			}
		},
	}
}

// strip returns rows [row, row+n) of a valid matrix.
func strip(m kernels.Matrix, row, n int) kernels.Matrix { return window(m, row, 0, n, m.Cols) }

// window returns a part of a valid matrix.
func window(m kernels.Matrix, row, col, rows, cols int) kernels.Matrix {
	v, err := m.View(row, col, rows, cols)
	if err != nil {
		return kernels.Matrix{} // cannot be: the matrix was checked and the part lies within it
	}
	return v
}
