//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"unsafe"

	"gorgonia.org/cu"

	"github.com/cambium-kernels/cambium/kernels"
)

// A slot is a pinned host buffer through which host operands pass. Two of them
// for each direction let the CPU fill or empty one while the device copies the
// other.
type slot struct {
	mem   unsafe.Pointer
	size  int
	event cu.Event // the last copy has finished
	busy  bool     // a copy may be under way
}

func (s *slot) open(size int) error {
	var err error
	s.size = size
	if s.mem, err = hostAlloc(size); err != nil {
		return err
	}
	s.event, err = cu.MakeEvent(eventFlags)
	return check("cuEventCreate", err)
}

// close gives back what open got.
func (s *slot) close() error {
	if s.event != (cu.Event{}) {
		if err := checkRelease("cuEventDestroy", cu.DestroyEvent(&s.event)); err != nil {
			return err
		}
	}
	if s.mem == nil {
		return nil
	}
	mem := s.mem
	s.mem = nil
	return checkRelease("cuMemFreeHost", cu.MemFreeHost(mem))
}

// wait returns when the slot's copy has finished.
func (s *slot) wait() error {
	if !s.busy {
		return nil
	}
	s.busy = false
	return check("cuEventSynchronize", s.event.Synchronize())
}

// A view is a matrix on the device: element (i, j) lies i·stride + j elements
// after ptr.
type view struct {
	ptr        cu.DevicePtr
	rows, cols int
	stride     int
	dtype      kernels.DType
}

func viewOf(m kernels.Matrix) view {
	return view{cu.DevicePtr(m.Address()), m.Rows, m.Cols, m.Stride, m.DType}
}

// strideFor returns the stride of matrices that the backend lays out itself,
// staged ones and buffers alike, so that both give the same bits: rows begin at
// multiples of 16 bytes, which is what vector loads need.
func strideFor(dt kernels.DType, rows, cols int) int {
	per := 16 / dt.Size()
	if rows <= 1 {
		return cols
	}
	return (cols + per - 1) / per * per
}

// chunk is a rectangle of a matrix that fits a slot.
type chunk struct{ row, col, rows, cols int }

// chunks cuts a matrix into pieces of a slot of so many bytes: whole rows, or
// parts of a row that is longer.
func chunks(m kernels.Matrix, slotBytes int) []chunk {
	if m.Empty() {
		return nil
	}
	fits := slotBytes / m.DType.Size()
	cols := min(m.Cols, fits)
	rows := 1
	if cols == m.Cols {
		rows = max(1, fits/cols)
	}
	var list []chunk
	for i := 0; i < m.Rows; i += rows {
		for j := 0; j < m.Cols; j += cols {
			list = append(list, chunk{i, j, min(rows, m.Rows-i), min(cols, m.Cols-j)})
		}
	}
	return list
}

// hostRow returns the bytes of a row of a chunk in host memory.
func hostRow(m kernels.Matrix, c chunk, row int) []byte {
	size := m.DType.Size()
	at := ((c.row+row)*m.Stride + c.col) * size
	return unsafe.Slice((*byte)(unsafe.Add(m.Pointer(), at)), c.cols*size)
}

// slotRow returns the bytes of a row of a chunk in the slot, where rows follow
// each other without padding.
func (s *slot) slotRow(m kernels.Matrix, c chunk, row int) []byte {
	width := c.cols * m.DType.Size()
	return unsafe.Slice((*byte)(unsafe.Add(s.mem, row*width)), width)
}

// copyChunk queues the copy of a chunk between a slot and the device.
func copyChunk(s *slot, v view, c chunk, toDevice bool, stream cu.Stream) error {
	size := v.dtype.Size()
	width := c.cols * size
	at := v.ptr + cu.DevicePtr((c.row*v.stride+c.col)*size)
	switch {
	case c.rows > 1 && c.cols != v.stride:
		return copyRows(toDevice, at, v.stride*size, s.mem, width, c.rows, stream)
	case toDevice:
		return check("cuMemcpyHtoDAsync", cu.MemcpyHtoDAsync(at, s.mem, int64(width*c.rows), stream))
	default:
		return check("cuMemcpyDtoHAsync", cu.MemcpyDtoHAsync(s.mem, at, int64(width*c.rows), stream))
	}
}

// upload queues the copy of a host matrix to the device on stream up. It
// returns when the host's memory has been read, or after the chunk at which ctx
// ends.
func (e *engine) upload(ctx context.Context, v view, m kernels.Matrix) error {
	for i, c := range chunks(m, e.upSlots[0].size) {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := &e.upSlots[i%len(e.upSlots)]
		if err := s.wait(); err != nil {
			return err
		}
		for r := range c.rows {
			copy(s.slotRow(m, c, r), hostRow(m, c, r))
		}
		if err := copyChunk(s, v, c, true, e.up); err != nil {
			return err
		}
		if err := check("cuEventRecord", s.event.Record(e.up)); err != nil {
			return err
		}
		s.busy = true
	}
	return nil
}

// download copies a matrix from the device to the host, after the work that
// stream down waits for. It returns when the host's memory has been written, or
// after the chunk at which ctx ends.
func (e *engine) download(ctx context.Context, m kernels.Matrix, v view) error {
	list := chunks(m, e.downSlots[0].size)
	finish := func(i int) error {
		s := &e.downSlots[i%len(e.downSlots)]
		if err := s.wait(); err != nil {
			return err
		}
		for r := range list[i].rows {
			copy(hostRow(m, list[i], r), s.slotRow(m, list[i], r))
		}
		return nil
	}
	for i, c := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i >= len(e.downSlots) {
			if err := finish(i - len(e.downSlots)); err != nil {
				return err
			}
		}
		s := &e.downSlots[i%len(e.downSlots)]
		if err := copyChunk(s, v, c, false, e.down); err != nil {
			return err
		}
		if err := check("cuEventRecord", s.event.Record(e.down)); err != nil {
			return err
		}
		s.busy = true
	}
	for i := max(0, len(list)-len(e.downSlots)); i < len(list); i++ {
		if err := finish(i); err != nil {
			return err
		}
	}
	return nil
}
