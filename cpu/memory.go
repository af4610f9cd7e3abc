package cpu

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"sync"

	"github.com/cambium-kernels/cambium/kernels"
)

// memory accounts for what buffers and running operations hold.
type memory struct {
	limit uint64

	mu          sync.Mutex
	inUse, peak uint64
}

func (m *memory) info() kernels.Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return kernels.Memory{Limit: m.limit, InUse: m.inUse, Peak: m.peak}
}

// mostBytes caps the limit where it is beyond the address space: Go ends the
// program when it cannot get what it asks for. 64 TiB, or 1 GiB on 32 bits.
const mostBytes = 1 << (30 + 16*(^uint(0)>>63))

// take accounts for n bytes, or refuses.
func (m *memory) take(n uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if limit := min(m.limit, mostBytes); n > limit || m.inUse > limit-n {
		return fmt.Errorf("%d bytes with %d of %d in use (free buffers, raise the limit, or cut the problem): %w", n, m.inUse, m.limit, kernels.ErrMemory)
	}
	m.inUse += n
	m.peak = max(m.peak, m.inUse)
	return nil
}

func (m *memory) release(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inUse -= n
}

// scratch is what one operation holds besides its operands, from one goroutine.
type scratch struct {
	mem  *memory
	op   kernels.Op
	held uint64
}

// scratch starts the account of an operation; release must follow.
func (b *Backend) scratch(op kernels.Op) *scratch { return &scratch{mem: &b.mem, op: op} }

// reserve accounts for rows x cols float64. The product may be larger than an
// int: it is refused then.
func (s *scratch) reserve(rows, cols int) error {
	hi, n := bits.Mul64(uint64(rows), 8*uint64(cols)) //nolint:gosec // sizes are not negative
	if hi != 0 {
		n = math.MaxUint64
	}
	if err := s.mem.take(n); err != nil {
		return fmt.Errorf("cpu: %s: scratch: %w", s.op, err)
	}
	s.held += n
	return nil
}

// floats returns rows·cols zeros that are accounted for.
func (s *scratch) floats(rows, cols int) ([]float64, error) {
	if err := s.reserve(rows, cols); err != nil {
		return nil, err
	}
	return make([]float64, rows*cols), nil
}

// perWorker accounts for n float64 of each worker's workspace, unless they are
// few enough to be its own.
func (s *scratch) perWorker(b *Backend, n int) error {
	if n <= stripElems {
		return nil
	}
	return s.reserve(b.pool.workers, n)
}

// release gives everything back.
func (s *scratch) release() {
	s.mem.release(s.held)
	s.held = 0
}

// buffer is host memory. The garbage collector frees it after Free, once no
// view is left.
type buffer struct {
	mem  *memory
	size uint64

	mu sync.Mutex
	m  kernels.Matrix
}

// Matrix implements kernels.Buffer. After Free it is a view that every
// operation refuses.
func (b *buffer) Matrix() kernels.Matrix {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.m
}

// Free implements kernels.Buffer.
func (b *buffer) Free() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mem.release(b.size)
	b.size = 0
	b.m = kernels.Matrix{Rows: b.m.Rows, Cols: b.m.Cols, Stride: b.m.Stride, DType: b.m.DType} // without the memory
	return nil
}

// Alloc implements kernels.Backend.
func (b *Backend) Alloc(ctx context.Context, dt kernels.DType, rows, cols int) (kernels.Buffer, error) {
	if err := b.begin(ctx, kernels.OpAlloc, kernels.CheckAlloc(dt, rows, cols)); err != nil {
		return nil, err
	}
	defer b.end()
	n := rows * cols
	size := uint64(n) * uint64(dt.Size()) //nolint:gosec // checked: not negative
	if err := b.mem.take(size); err != nil {
		return nil, fmt.Errorf("cpu: Alloc: %w", err)
	}
	buf := &buffer{mem: &b.mem, size: size}
	var err error
	switch dt {
	case kernels.Float32:
		buf.m, err = kernels.Of(make([]float32, n), rows, cols, cols)
	case kernels.Float64:
		buf.m, err = kernels.Of(make([]float64, n), rows, cols, cols)
	default:
		buf.m, err = kernels.OfBits(dt, make([]uint16, n), rows, cols, cols)
	}
	if err != nil {
		b.mem.release(size)
		return nil, fmt.Errorf("cpu: Alloc: %w", err)
	}
	return buf, nil
}

// assumedMemory stands in where the machine's memory cannot be found out.
const assumedMemory = 4 << 30
