// Package cpu is the CPU backend of the contract in package kernels, in Go
// without cgo.
//
// The generic tier runs everywhere. It reads operands of any type as float64,
// sums in float64 and rounds each result once to its destination's type, so its
// float32 results are at least as exact as the contract's float32 bound and
// usually correctly rounded. Work is cut into tiles whose shape depends on the
// problem alone; which worker computes a tile does not change a bit.
package cpu

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"

	"github.com/cambium-kernels/cambium/kernels"
)

// TierVariable names the environment variable that chooses a tier where Options
// do not.
const TierVariable = "CAMBIUM_CPU_TIER"

// Options configure a backend. The zero value is the usual choice.
type Options struct {
	Workers int    // goroutines that work on one operation; 0: GOMAXPROCS
	Tier    string // name from Tiers; "": $CAMBIUM_CPU_TIER, else the fastest usable one
	// MemoryLimit is how many bytes buffers and the scratch of running operations
	// may take together; 0: the machine's memory. What would exceed it fails with
	// kernels.ErrMemory. Not counted are operands that the caller made, a fixed
	// workspace of less than 2 MiB per worker, and lists of tiles and items, which
	// are small beside what they list. On 32-bit machines 1 GiB is the most.
	MemoryLimit uint64
}

// MaxWorkers is the most goroutines that a backend may have.
const MaxWorkers = 1024

// Backend computes on the CPU. It is safe for concurrent use.
type Backend struct {
	tier tier
	pool *pool
	mem  memory

	mu      sync.RWMutex // guards closed against running, so that Close waits for all
	closed  bool
	running sync.WaitGroup
	done    chan struct{} // closed when the pool has ended
}

var _ kernels.Backend = (*Backend)(nil)

// New returns a backend and starts its workers; Close ends them. Errors:
// kernels.ErrShape for a bad number, kernels.ErrUnsupported for a tier that is
// unknown or that this CPU lacks.
func New(o Options) (*Backend, error) {
	if o.Workers < 0 || o.Workers > MaxWorkers {
		return nil, fmt.Errorf("cpu: New: %d workers, want 0 (one per processor) to %d: %w", o.Workers, MaxWorkers, kernels.ErrShape)
	}
	name := o.Tier
	if name == "" {
		name = os.Getenv(TierVariable)
	}
	t, err := chooseTier(name)
	if err != nil {
		return nil, fmt.Errorf("cpu: New: %w", err)
	}
	workers := o.Workers
	if workers == 0 {
		workers = min(runtime.GOMAXPROCS(0), MaxWorkers)
	}
	b := &Backend{tier: t, pool: newPool(workers), done: make(chan struct{})}
	b.mem.limit = o.MemoryLimit
	if b.mem.limit == 0 {
		b.mem.limit = physicalMemory()
	}
	return b, nil
}

// Info implements kernels.Backend.
func (b *Backend) Info() kernels.Info {
	return kernels.Info{
		Name:        "cpu/" + b.tier.name,
		Workers:     b.pool.workers,
		Fingerprint: fingerprint(b.tier.name),
		Memory:      b.mem.info(),
	}
}

// Close implements kernels.Backend.
func (b *Backend) Close() error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.mu.Unlock()
	if first {
		b.running.Wait()
		b.pool.stop()
		close(b.done)
	}
	<-b.done
	return nil
}

// begin announces a running operation, unless its arguments are wrong, the
// backend is closed or the context is done; end must follow a nil error.
func (b *Backend) begin(ctx context.Context, op kernels.Op, arguments error) error {
	if arguments != nil {
		return arguments
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return fmt.Errorf("cpu: %s: backend: %w", op, kernels.ErrClosed)
	}
	if ctx == nil {
		return fmt.Errorf("cpu: %s: the context is nil (pass context.Background()): %w", op, kernels.ErrShape)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cpu: %s: %w", op, err)
	}
	b.running.Add(1)
	return nil
}

func (b *Backend) end() { b.running.Done() }

// tiles runs tile(ws, i) for i in [0, n) on the workers; see [pool.run].
func (b *Backend) tiles(ctx context.Context, op kernels.Op, o kernels.Options, n int, tile func(ws *workspace, i int)) error {
	if err := b.pool.run(ctx, n, o.Progress, tile); err != nil {
		return fmt.Errorf("cpu: %s: %w", op, err)
	}
	return nil
}
