//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cambium-kernels/cambium/kernels"
)

// backend computes on one device. It is safe for concurrent use; operations of
// several callers run one after another, as they would on the device.
type backend struct {
	tuning
	device Device
	where  kernels.Device
	image  image // the compiled kernels in use

	worker *worker
	arena  arena
	engine engine // the worker's alone

	lost atomic.Pointer[error] // why no driver call may be made any more

	mu      sync.RWMutex // guards closed against running, so that Close waits for all
	closed  bool
	running sync.WaitGroup
	ended   chan struct{} // closed when Close has finished
	failure error         // what Close met; read after ended
}

var _ kernels.Backend = (*backend)(nil)

// Info implements kernels.Backend.
func (b *backend) Info() kernels.Info {
	return kernels.Info{
		Name:        fmt.Sprintf("cuda/sm_%d%d", b.device.Major, b.device.Minor),
		Device:      b.where,
		Workers:     1,
		Fingerprint: fmt.Sprintf("cuda/sm_%d%d/%s/%s", b.device.Major, b.device.Minor, b.device.Name, b.image.fingerprint),
		Memory:      b.arena.info(),
	}
}

// Close implements kernels.Backend. Of a lost device nothing is given back: the
// driver does that when the process ends.
func (b *backend) Close() error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.mu.Unlock()
	if first {
		b.running.Wait()
		b.failure = b.worker.do(context.Background(), func() error {
			if b.lost.Load() != nil {
				return nil
			}
			return b.shut()
		})
		b.worker.stop()
		close(b.ended)
	}
	<-b.ended
	return b.failure
}

// enter announces a running operation unless the backend is closed, the context
// is done or the device is lost; b.running.Done must follow a nil error.
func (b *backend) enter(ctx context.Context, op kernels.Op) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return fmt.Errorf("cuda: %s: backend: %w", op, kernels.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cuda: %s: %w", op, err)
	}
	if lost := b.lost.Load(); lost != nil {
		return fmt.Errorf("cuda: %s: %w", op, *lost)
	}
	b.running.Add(1)
	return nil
}

// call runs an operation on the worker. arguments is what the check of the
// arguments found.
func (b *backend) call(ctx context.Context, op kernels.Op, o kernels.Options, arguments error, f func(r *run) error) error {
	if arguments != nil {
		return arguments
	}
	if err := b.enter(ctx, op); err != nil {
		return err
	}
	defer b.running.Done()
	err := b.worker.do(ctx, func() error { return b.execute(ctx, o, f) })
	if err != nil {
		return fmt.Errorf("cuda: %s: %w", op, err)
	}
	return nil
}

// execute is call's part on the worker.
func (b *backend) execute(ctx context.Context, o kernels.Options, f func(r *run) error) error {
	if lost := b.lost.Load(); lost != nil {
		return *lost // by a call that was here first
	}
	r := &run{backend: b, ctx: ctx, o: o, stream: b.engine.compute}
	err := r.prepare()
	if err == nil {
		err = f(r)
	}
	if err == nil {
		return nil
	}
	if !fatalError(err) {
		e := r.end()
		if e == nil {
			return err
		}
		err = e // the loss outweighs what led to it
	}
	b.lose(err)
	for _, g := range r.flights {
		b.arena.account(g.blocks...)
	}
	return err
}

// prepare takes back the memory of finished work and finds the stream.
func (r *run) prepare() error {
	if err := r.reclaim(false); err != nil {
		return err
	}
	if r.o.Stream == 0 {
		return r.engine.afterQueued()
	}
	s, err := streamOf(r.o.Stream)
	if err != nil {
		return err
	}
	r.stream = s
	return nil
}

// fatalError reports whether an error means that the device is lost.
func fatalError(err error) bool { return errors.Is(err, kernels.ErrLost) }

// lose notes the loss of the device.
func (b *backend) lose(cause error) {
	err := fmt.Errorf("%s was lost before (%s): start the program again to use it: %w", b.where, cause.Error(), kernels.ErrLost)
	b.lost.CompareAndSwap(nil, &err)
}
