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

// reserve accounts for n bytes, or refuses.
func (m *memory) reserve(op kernels.Op, n uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > m.limit || m.inUse > m.limit-n {
		return fmt.Errorf("cpu: %s: %d bytes with %d of %d in use: %w", op, n, m.inUse, m.limit, kernels.ErrMemory)
	}
	m.inUse += n
	m.peak = max(m.peak, m.inUse)
	return nil
}

// reserveFloats accounts for rows x cols float64 of scratch; release gives them
// back. The product may be larger than an int: it is refused then.
func (m *memory) reserveFloats(op kernels.Op, rows, cols int) (release func(), err error) {
	hi, n := bits.Mul64(uint64(rows), 8*uint64(cols)) //nolint:gosec // sizes are not negative
	if hi != 0 {
		n = math.MaxUint64
	}
	if err := m.reserve(op, n); err != nil {
		return nil, err
	}
	return func() { m.release(n) }, nil
}

func (m *memory) release(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inUse -= n
}

// buffer is host memory; the garbage collector frees it once no view is left.
type buffer struct {
	m    kernels.Matrix
	free sync.Once
	mem  *memory
	size uint64
}

// Matrix implements kernels.Buffer.
func (b *buffer) Matrix() kernels.Matrix { return b.m }

// Free implements kernels.Buffer.
func (b *buffer) Free() error {
	b.free.Do(func() { b.mem.release(b.size) })
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
	if err := b.mem.reserve(kernels.OpAlloc, size); err != nil {
		return nil, err
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
