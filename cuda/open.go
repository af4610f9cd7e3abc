//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"errors"
	"fmt"

	"gorgonia.org/cu"

	"github.com/cambium-kernels/cambium/kernels"
)

// Open returns a backend on a CUDA device. The caller closes it. Errors:
// kernels.ErrUnsupported if there is no driver, no such device, or one that the
// kernels do not run on; kernels.ErrMemory; kernels.ErrLost if the device fails.
func Open(ctx context.Context, o Options) (kernels.Backend, error) {
	b, err := open(ctx, o, usual)
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	return b, nil
}

// Devices lists the CUDA devices, those too old for the kernels among them.
// Errors: kernels.ErrUnsupported if there is no driver or no device.
func Devices() ([]Device, error) {
	w := newWorker()
	defer w.stop()
	var list []Device
	err := w.do(context.Background(), func() error {
		n, err := countDevices()
		for i := 0; err == nil && i < n; i++ {
			var d Device
			if _, d, err = findDevice(i); err == nil {
				list = append(list, d)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", unavailable(err))
	}
	return list, nil
}

// tuning are sizes that tests make small.
type tuning struct {
	slot  int  // bytes of a pinned buffer
	strip int  // bytes of host operands that are brought to the device at a time
	exact bool // see arena
}

// usual: a slot is large enough that a copy reaches the bus's rate, and small
// enough to stay in the CPU's last cache; copies overlap kernels from the second
// strip on.
var usual = tuning{slot: 4 << 20, strip: 64 << 20}

// open is Open with a choice of sizes.
func open(ctx context.Context, o Options, tune tuning) (*backend, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.Device < 0 {
		return nil, fmt.Errorf("device %d is negative: %w", o.Device, kernels.ErrShape)
	}
	b := &backend{tuning: tune, worker: newWorker(), ended: make(chan struct{})}
	b.arena.exact, b.arena.given = tune.exact, make(map[cu.DevicePtr]uint64)
	err := b.worker.do(ctx, func() error {
		err := b.start(o)
		if err != nil && !fatalError(unavailable(err)) {
			if e := b.shut(); e != nil {
				err = e
			}
		}
		return err
	})
	if err != nil {
		b.worker.stop()
		return nil, unavailable(err)
	}
	return b, nil
}

// countDevices loads the driver and counts its devices, at least one.
func countDevices() (int, error) {
	if err := loadDriver(); err != nil {
		return 0, err
	}
	n, err := cu.NumDevices()
	if err != nil {
		return 0, check("cuDeviceGetCount", err)
	}
	if n == 0 {
		return 0, &driverError{call: "cuDeviceGetCount", code: 100, log: "the driver has no device"}
	}
	return n, nil
}

// findDevice describes a device.
func findDevice(index int) (cu.Device, Device, error) {
	d := Device{Index: index}
	device, err := cu.GetDevice(index)
	if err != nil {
		return 0, d, check("cuDeviceGet", err)
	}
	if d.Name, err = device.Name(); err != nil {
		return 0, d, check("cuDeviceGetName", err)
	}
	bytes, err := device.TotalMem()
	if err != nil {
		return 0, d, check("cuDeviceTotalMem", err)
	}
	d.Memory = uint64(bytes) //nolint:gosec // a size
	for _, a := range []struct {
		value     *int
		attribute cu.DeviceAttribute
	}{{&d.Major, cu.ComputeCapabilityMajor}, {&d.Minor, cu.ComputeCapabilityMinor}} {
		if *a.value, err = device.Attribute(a.attribute); err != nil {
			return 0, d, check("cuDeviceGetAttribute", err)
		}
	}
	return device, d, nil
}

// start acquires everything that a backend holds of the driver. After an error
// shut gives back what was acquired.
func (b *backend) start(o Options) error {
	n, err := countDevices()
	if err != nil {
		return err
	}
	if o.Device >= n {
		return fmt.Errorf("device %d of %d: %w", o.Device, n, kernels.ErrUnsupported)
	}
	e := &b.engine
	if e.device, b.device, err = findDevice(o.Device); err != nil {
		return err
	}
	if b.device.Major < OldestMajor {
		return fmt.Errorf("%s: the kernels need compute capability %d.0 or later: %w", b.device, OldestMajor, kernels.ErrUnsupported)
	}
	b.where = kernels.Device{Kind: kernels.CUDA, Index: o.Device}
	b.arena.limit = b.device.Memory
	if o.MemoryLimit != 0 {
		b.arena.limit = min(b.arena.limit, o.MemoryLimit)
	}
	context, err := e.device.RetainPrimaryCtx()
	if err != nil {
		return check("cuDevicePrimaryCtxRetain", err)
	}
	e.context = true
	if err := check("cuCtxSetCurrent", cu.SetCurrentContext(context)); err != nil {
		return err
	}
	for _, s := range []*cu.Stream{&e.up, &e.compute, &e.down} {
		if *s, err = cu.MakeStream(cu.NonBlocking); err != nil {
			return check("cuStreamCreate", err)
		}
	}
	for i := range e.upSlots {
		for _, s := range []*slot{&e.upSlots[i], &e.downSlots[i]} {
			if err := s.open(b.slot); err != nil {
				return err
			}
		}
	}
	return b.loadKernels()
}

// shut gives everything back, after the work in progress.
func (b *backend) shut() error {
	e := &b.engine
	if !e.context {
		return nil
	}
	for _, f := range []func() error{
		func() error { return b.reclaim(true) },
		e.drain,
		b.arena.reset,
		e.unload,
		e.closeSlots,
		e.closeStreams,
		func() error { return checkRelease("cuCtxSetCurrent", cu.SetCurrentContext(cu.CUContext{})) },
		func() error { return checkRelease("cuDevicePrimaryCtxRelease", e.device.ReleasePrimaryCtx()) },
	} {
		if err := f(); err != nil { // whatever it is, the device is lost: no further calls
			var d *driverError
			if errors.As(err, &d) {
				d.release = true
			}
			b.lose(err)
			return err
		}
	}
	return nil
}

func (e *engine) closeSlots() error {
	for i := range e.upSlots {
		for _, s := range []*slot{&e.upSlots[i], &e.downSlots[i]} {
			if err := s.close(); err != nil {
				return err
			}
		}
	}
	for i := range e.idle {
		if err := checkRelease("cuEventDestroy", cu.DestroyEvent(&e.idle[i])); err != nil {
			return err
		}
	}
	e.idle = nil
	return nil
}

func (e *engine) closeStreams() error {
	for _, s := range []*cu.Stream{&e.up, &e.compute, &e.down} {
		if *s == (cu.Stream{}) {
			continue
		}
		if err := checkRelease("cuStreamDestroy", s.Destroy()); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) unload() error {
	for _, m := range e.modules {
		if err := checkRelease("cuModuleUnload", m.Unload()); err != nil {
			return err
		}
	}
	e.modules, e.kernels = nil, nil
	return nil
}
