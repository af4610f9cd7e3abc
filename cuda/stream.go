//go:build cuda && cgo && linux

package cuda

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"gorgonia.org/cu"

	"github.com/cambium-kernels/cambium/kernels"
)

// engine is what a backend holds of the driver. Only the worker touches it.
type engine struct {
	device  cu.Device
	context bool // the primary context is retained

	up, compute, down cu.Stream // copies to the device, kernels, copies from it
	upSlots           [2]slot
	downSlots         [2]slot

	modules []cu.Module
	kernels map[string]*kernel

	queued []queued // work on callers' streams that may not have finished, oldest first
	idle   []cu.Event
}

// queued is work on a caller's stream, and the memory it uses.
type queued struct {
	event  cu.Event
	blocks []block
}

// eventFlags: a thread that waits sleeps, and nothing is timed.
const eventFlags = cu.BlockingSyncEvent | cu.DisableTiming

// event returns an event; done takes it back.
func (e *engine) event() (cu.Event, error) {
	if n := len(e.idle); n > 0 {
		ev := e.idle[n-1]
		e.idle = e.idle[:n-1]
		return ev, nil
	}
	ev, err := cu.MakeEvent(eventFlags)
	return ev, check("cuEventCreate", err)
}

func (e *engine) done(ev cu.Event) { e.idle = append(e.idle, ev) }

// record returns an event that happens when the stream's work so far is done.
func (e *engine) record(s cu.Stream) (cu.Event, error) {
	ev, err := e.event()
	if err != nil {
		return ev, err
	}
	if err := check("cuEventRecord", ev.Record(s)); err != nil {
		e.done(ev)
		return cu.Event{}, err
	}
	return ev, nil
}

// after lets a stream's further work wait for an event.
func after(s cu.Stream, ev cu.Event) error { return check("cuStreamWaitEvent", s.Wait(ev, 0)) }

// order lets the work that s gets from now on wait for all that earlier has.
func (e *engine) order(earlier, s cu.Stream) error {
	ev, err := e.record(earlier)
	if err != nil {
		return err
	}
	defer e.done(ev) // a wait once queued does not need the event
	return after(s, ev)
}

// strangerCodes are the driver's answers to a stream that is not one of the
// current context: the caller's mistake, and no sign of a lost device.
var strangerCodes = []int{1, 201, 400, 709}

// streamOf returns the stream behind a caller's handle.
func streamOf(handle uintptr) (cu.Stream, error) {
	s := *(*cu.Stream)(unsafe.Pointer(&handle)) // cu.Stream is the driver's handle
	_, err := s.Flags()
	err = check("cuStreamGetFlags", err)
	var d *driverError
	if errors.As(err, &d) && slices.Contains(strangerCodes, d.code) {
		return s, fmt.Errorf("stream %#x is none of this device (%s): %w", handle, d.Error(), kernels.ErrDevice)
	}
	return s, err
}

// reclaim takes back the memory of queued work that has finished; with wait, it
// lets all of it finish first.
func (b *backend) reclaim(wait bool) error {
	e := &b.engine
	if returned := b.arena.collect(); len(e.queued) == 0 {
		if err := b.arena.keep(returned); err != nil {
			return err
		}
	} else { // the last one is taken back after all others
		last := &e.queued[len(e.queued)-1]
		last.blocks = append(last.blocks, returned...)
	}
	for len(e.queued) > 0 {
		q := e.queued[0]
		var err error
		if wait {
			err = check("cuEventSynchronize", q.event.Synchronize())
		} else {
			err = check("cuEventQuery", q.event.Query())
		}
		var d *driverError
		if errors.As(err, &d) && d.class() == notReady {
			return nil
		}
		if err != nil {
			return err
		}
		e.queued = e.queued[1:]
		e.done(q.event)
		if err := b.arena.keep(q.blocks); err != nil {
			return err
		}
	}
	return nil
}

// afterQueued lets the backend's own streams wait for callers' streams, so that
// a call on stream 0 comes after the calls queued before it.
func (e *engine) afterQueued() error {
	for _, q := range e.queued {
		for _, s := range []cu.Stream{e.up, e.compute} {
			if err := after(s, q.event); err != nil {
				return err
			}
		}
	}
	return nil
}

// drain waits for the backend's own streams.
func (e *engine) drain() error {
	for _, s := range []cu.Stream{e.up, e.compute, e.down} {
		if s == (cu.Stream{}) {
			continue // Open did not get that far
		}
		if err := check("cuStreamSynchronize", s.Synchronize()); err != nil {
			return err
		}
	}
	return nil
}
