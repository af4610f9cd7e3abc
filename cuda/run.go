//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"errors"
	"slices"
	"unsafe"

	"gorgonia.org/cu"

	"github.com/cambium-kernels/cambium/kernels"
)

// An operand is a matrix that a piece reads or writes, wherever it lives. One
// that it does neither with is not brought to the device.
type operand struct {
	m           kernels.Matrix
	read, write bool
}

// source is an operand that is read.
func source(m kernels.Matrix) operand { return operand{m: m, read: true} }

// target is an operand that is written, and read first if old is set.
func target(m kernels.Matrix, old bool) operand { return operand{m: m, read: old, write: true} }

func onHost(m kernels.Matrix) bool { return m.Device.Kind == kernels.Host }

// A piece is a part of an operation whose operands are on the device at the
// same time.
type piece struct {
	operands []operand
	// launch queues the kernels; v are the operands, in order.
	launch func(f *flight, v []view) error
	// finish, if not nil, runs when the kernels have finished, and the call waits
	// for that even on a caller's stream.
	finish func(f *flight) error
	// halve returns two pieces that do the same, or nil if this one is a single
	// tile. The kernels and the order of their sums must be those of the whole.
	halve func() []piece
}

// steps counts what progress reports: each matrix brought to the device, the
// kernels, each matrix brought back.
func (p *piece) steps() int {
	n := 1
	for _, o := range p.operands {
		if onHost(o.m) && o.read {
			n++
		}
		if onHost(o.m) && o.write {
			n++
		}
	}
	return n
}

func steps(list []piece) int {
	n := 0
	for i := range list {
		n += list[i].steps()
	}
	return n
}

// A run is one call of an operation, on the worker.
type run struct {
	*backend
	ctx    context.Context //nolint:containedctx // a run is the call
	o      kernels.Options
	stream cu.Stream // of the kernels: the backend's, or the caller's

	flights     []*flight // whose memory is not given back yet
	done, total int       // steps
}

// A flight is a piece whose operands are on the device.
type flight struct {
	*run
	piece  piece
	views  []view
	blocks []block
}

// alloc returns device memory for the time of the flight. n may be 0.
func (f *flight) alloc(n int) (cu.DevicePtr, error) {
	if n == 0 {
		return 0, nil
	}
	b, err := f.take(uint64(n)) //nolint:gosec // sizes are not negative
	if err != nil {
		return 0, err
	}
	f.blocks = append(f.blocks, b)
	return b.ptr, nil
}

// take returns a block, waiting for queued work if its memory is needed.
func (b *backend) take(n uint64) (block, error) {
	blk, err := b.arena.take(n)
	if errors.Is(err, kernels.ErrMemory) && len(b.engine.queued) > 0 {
		if err := b.reclaim(true); err != nil {
			return block{}, err
		}
		return b.arena.take(n)
	}
	return blk, err
}

// step reports progress and says whether to go on.
func (r *run) step() error {
	r.done++
	if r.o.Progress != nil {
		r.o.Progress(r.done, r.total)
	}
	return r.ctx.Err()
}

// all runs pieces in order: while one computes, the operands of the next are
// brought to the device. A piece that does not fit is halved.
func (r *run) all(list []piece) error {
	r.total += steps(list)
	var flying *flight
	land := func() error {
		f := flying
		flying = nil
		if f == nil {
			return nil
		}
		return r.land(f)
	}
	for len(list) > 0 {
		p, before := list[0], r.done
		f, err := r.start(p)
		if err == nil {
			list = list[1:]
			if err := land(); err != nil {
				return err
			}
			flying = f
			continue
		}
		if !errors.Is(err, kernels.ErrMemory) {
			return err
		}
		if e := r.withdraw(f); e != nil {
			return e
		}
		r.total += r.done - before // those steps are done again
		if flying != nil {         // its memory may be enough
			if err := land(); err != nil {
				return err
			}
			continue
		}
		var halves []piece
		if p.halve != nil {
			halves = p.halve()
		}
		if halves == nil {
			return err
		}
		r.total += steps(halves) - p.steps()
		list = slices.Concat(halves, list[1:])
	}
	return land()
}

// start brings the operands of a piece to the device and queues its kernels.
// The flight is never nil.
func (r *run) start(p piece) (*flight, error) {
	f := &flight{run: r, piece: p, views: make([]view, len(p.operands))}
	r.flights = append(r.flights, f)
	staged := false
	for i, o := range p.operands {
		f.views[i] = viewOf(o.m)
		if !onHost(o.m) {
			continue
		}
		v := &f.views[i]
		v.ptr = 0
		if !o.read && !o.write {
			continue
		}
		v.stride = strideFor(v.dtype, v.rows, v.cols)
		var err error
		if v.ptr, err = f.alloc(v.rows * v.stride * v.dtype.Size()); err != nil {
			return f, err
		}
	}
	for i, o := range p.operands {
		if !onHost(o.m) || !o.read {
			continue
		}
		if err := r.engine.upload(r.ctx, f.views[i], o.m); err != nil {
			return f, err
		}
		staged = true
		if err := r.step(); err != nil {
			return f, err
		}
	}
	if staged {
		if err := r.engine.order(r.engine.up, r.stream); err != nil {
			return f, err
		}
	}
	return f, p.launch(f, f.views)
}

// land waits for a piece's kernels and brings its results back. On a caller's
// stream it waits only if there are Go values to bring.
func (r *run) land(f *flight) error {
	ev, err := r.engine.record(r.stream)
	if err != nil {
		return err
	}
	if r.o.Stream != 0 && f.piece.finish == nil {
		r.arena.account(f.blocks...)
		r.engine.queued = append(r.engine.queued, queued{ev, f.blocks})
		r.forget(f)
		return r.step()
	}
	defer r.engine.done(ev)
	if err := check("cuEventSynchronize", ev.Synchronize()); err != nil {
		return err
	}
	if err := r.step(); err != nil {
		return err
	}
	for i, o := range f.piece.operands {
		if !onHost(o.m) || !o.write {
			continue
		}
		if err := r.engine.download(r.ctx, o.m, f.views[i]); err != nil {
			return err
		}
		if err := r.step(); err != nil {
			return err
		}
	}
	if f.piece.finish != nil {
		if err := f.piece.finish(f); err != nil {
			return err
		}
	}
	return r.release(f)
}

// release gives a flight's memory back; nothing on the device uses it.
func (r *run) release(f *flight) error {
	r.arena.account(f.blocks...)
	r.forget(f)
	return r.arena.keep(f.blocks)
}

func (r *run) forget(f *flight) {
	r.flights = slices.DeleteFunc(r.flights, func(g *flight) bool { return g == f })
}

// withdraw ends a flight whose kernels were not all queued.
func (r *run) withdraw(f *flight) error {
	if err := r.settle(); err != nil {
		return err
	}
	return r.release(f)
}

// settle waits for everything that the run has queued.
func (r *run) settle() error {
	if err := r.engine.drain(); err != nil {
		return err
	}
	if r.o.Stream == 0 {
		return nil
	}
	return check("cuStreamSynchronize", r.stream.Synchronize())
}

// end gives back what a run still holds after an error.
func (r *run) end() error {
	if err := r.settle(); err != nil {
		return err
	}
	for _, f := range slices.Clone(r.flights) {
		if err := r.release(f); err != nil {
			return err
		}
	}
	return nil
}

// asFloats is a view on 8-byte words, for the copies that matrices get.
func asFloats[T float64 | uint64](words []T) kernels.Matrix {
	m, err := kernels.Of(unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(words))), len(words)), 1, len(words), len(words))
	if err != nil {
		return kernels.Matrix{} // cannot be: the sizes are those of the slice
	}
	return m
}

// uploadTable brings words to the device before what the flight's stream does
// next.
func (f *flight) uploadTable(words []uint64) (cu.DevicePtr, error) {
	m := asFloats(words)
	v := viewOf(m)
	var err error
	if v.ptr, err = f.alloc(8 * len(words)); err != nil {
		return 0, err
	}
	if err := f.engine.upload(f.ctx, v, m); err != nil {
		return 0, err
	}
	return v.ptr, f.engine.order(f.engine.up, f.stream)
}

// downloadFloats brings values back when the flight's kernels have finished.
func (f *flight) downloadFloats(dst []float64, src cu.DevicePtr) error {
	m := asFloats(dst)
	v := viewOf(m)
	v.ptr = src
	return f.engine.download(f.ctx, m, v)
}
