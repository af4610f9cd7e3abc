//go:build cuda && cgo && linux

package cuda

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"gorgonia.org/cu"

	"github.com/cambium-kernels/cambium/kernels"
)

// grain is what sizes are rounded up to: the driver aligns to 256 bytes, and
// blocks of few sizes are found again.
const grain = 512

// A block is device memory from the driver.
type block struct {
	ptr  cu.DevicePtr
	size uint64
}

// An arena hands out device memory and accounts for it. Blocks that come back
// are kept for the next taker, because cuMemFree waits for the whole device;
// they are returned to the driver when memory runs short. Except for giveBack
// and info, methods are called on the worker.
type arena struct {
	limit uint64
	exact bool // sizes as asked for, and nothing kept: tests see every overrun

	mu          sync.Mutex
	inUse, peak uint64  // held by live buffers and running operations
	held        uint64  // bytes that the driver has given
	returned    []block // given back by Free; queued work may still use them
	cached      []block // free

	given map[cu.DevicePtr]uint64 // every block of the driver's, with its size
}

func (a *arena) info() kernels.Memory {
	a.mu.Lock()
	defer a.mu.Unlock()
	return kernels.Memory{Limit: a.limit, InUse: a.inUse, Peak: a.peak}
}

// take returns a block of at least n bytes, n > 0. Errors: kernels.ErrMemory,
// or what the driver reports.
func (a *arena) take(n uint64) (block, error) {
	if n > math.MaxInt64-grain {
		return block{}, fmt.Errorf("%d bytes: %w", n, kernels.ErrMemory)
	}
	if !a.exact {
		n = (n + grain - 1) / grain * grain
	}
	b, ok := a.reuse(n)
	if !ok {
		if err := a.makeRoom(n); err != nil {
			return block{}, err
		}
		ptr, err := cu.MemAlloc(int64(n)) // below MaxInt64, see above
		if errors.Is(check("cuMemAlloc", err), kernels.ErrMemory) && len(a.cached) > 0 {
			if err := a.trim(); err != nil {
				return block{}, err
			}
			ptr, err = cu.MemAlloc(int64(n))
		}
		if err := check("cuMemAlloc", err); err != nil {
			return block{}, fmt.Errorf("%d bytes with %d held: %w", n, a.held, err)
		}
		b = block{ptr, n}
		a.held += n
		a.given[ptr] = n
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inUse += b.size
	a.peak = max(a.peak, a.inUse)
	return b, nil
}

// reuse returns the smallest cached block of n bytes or somewhat more.
func (a *arena) reuse(n uint64) (block, bool) {
	best := -1
	for i, b := range a.cached {
		if b.size >= n && b.size <= n+n/4 && (best < 0 || b.size < a.cached[best].size) {
			best = i
		}
	}
	if best < 0 {
		return block{}, false
	}
	b := a.cached[best]
	a.cached = slices.Delete(a.cached, best, best+1)
	return b, true
}

// makeRoom keeps the limit: it returns cached blocks to the driver if n more
// bytes would exceed it.
func (a *arena) makeRoom(n uint64) error {
	if n <= a.limit && a.held <= a.limit-n {
		return nil
	}
	if err := a.trim(); err != nil {
		return err
	}
	if n > a.limit || a.held > a.limit-n {
		return fmt.Errorf("%d bytes with %d of %d held: %w", n, a.held, a.limit, kernels.ErrMemory)
	}
	return nil
}

// trim returns the cached blocks to the driver.
func (a *arena) trim() error {
	for len(a.cached) > 0 {
		last := len(a.cached) - 1
		b := a.cached[last]
		a.cached = a.cached[:last]
		if err := a.drop(b.ptr); err != nil {
			return err
		}
	}
	return nil
}

// drop returns a block to the driver.
func (a *arena) drop(ptr cu.DevicePtr) error {
	a.held -= a.given[ptr]
	delete(a.given, ptr)
	return checkRelease("cuMemFree", cu.MemFree(ptr))
}

// reset returns every block to the driver, those of live buffers too.
func (a *arena) reset() error {
	a.cached = nil
	for ptr := range a.given {
		if err := a.drop(ptr); err != nil {
			return err
		}
	}
	return nil
}

// account takes blocks out of what is in use.
func (a *arena) account(blocks ...block) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range blocks {
		a.inUse -= b.size
	}
}

// giveBack frees a block. Any goroutine may call it; the worker collects it with
// collect.
func (a *arena) giveBack(b block) {
	a.account(b)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.returned = append(a.returned, b)
}

// collect returns the blocks given back since the last call.
func (a *arena) collect() []block {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.returned
	a.returned = nil
	return list
}

// keep takes blocks that nothing uses any more. They no longer count as in use.
func (a *arena) keep(blocks []block) error {
	a.cached = append(a.cached, blocks...)
	if a.exact {
		return a.trim()
	}
	return nil
}
