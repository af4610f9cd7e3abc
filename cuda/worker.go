//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"runtime"
)

// A worker is a goroutine that keeps its OS thread: a context of the driver is
// current on a thread, not in a goroutine. It runs one function after another.
type worker struct {
	calls chan func()
	ended chan struct{}
}

func newWorker() *worker {
	w := &worker{calls: make(chan func()), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and so does what is current on it
		for f := range w.calls {
			f()
		}
	}()
	return w
}

// do runs f on the worker and returns its error, or the context's if that ends
// before the worker is free.
func (w *worker) do(ctx context.Context, f func() error) error {
	result := make(chan error, 1)
	select {
	case w.calls <- func() { result <- f() }:
		return <-result
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends the worker. No do may be in progress.
func (w *worker) stop() {
	close(w.calls)
	<-w.ended
}
