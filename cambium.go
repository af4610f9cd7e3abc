// Package cambium opens the compute backend that a program should use.
//
// The kernels themselves are defined in package kernels and computed by packages
// cpu and cuda; this package chooses between backends and says why.
package cambium

import (
	"context"
	"errors"
	"fmt"

	"github.com/cambium-kernels/cambium/cpu"
	"github.com/cambium-kernels/cambium/cuda"
	"github.com/cambium-kernels/cambium/kernels"
)

// Config says which backend to open. The zero value chooses by itself.
type Config struct {
	Backend string // "auto" (or empty), "cpu" or "cuda"
	Device  int    // index of the CUDA device
	Memory  uint64 // limit in bytes; 0: what the device has
	Strict  bool   // an error instead of any fallback to the CPU, also when a device fails later
	Workers int    // goroutines of the CPU backend; 0: GOMAXPROCS
}

// Open returns a backend. The caller closes it.
//
// "auto" chooses a CUDA device only if the CUDA backend computes every operation
// of the contract, so that what it returns is always a whole backend; otherwise
// it chooses the CPU, and Info().Fallback says why. "cuda" takes the device with
// the operations that it has; the others return kernels.ErrUnsupported. A device
// that fails while it serves is replaced by the CPU as [kernels.WithFallback]
// describes. With Strict there is no fallback of either kind.
//
// Errors: kernels.ErrShape for a bad number, kernels.ErrUnsupported for a
// backend that does not exist or cannot serve, and those of [cuda.Open].
func Open(ctx context.Context, c Config) (kernels.Backend, error) {
	b, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("cambium: Open: %w", err)
	}
	return b, nil
}

func open(ctx context.Context, c Config) (kernels.Backend, error) {
	if ctx == nil {
		return nil, fmt.Errorf("the context is nil (pass context.Background()): %w", kernels.ErrShape)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.Device < 0 {
		return nil, fmt.Errorf("device %d is negative: %w", c.Device, kernels.ErrShape)
	}
	switch c.Backend {
	case "cpu":
		return openCPU(c)
	case "cuda":
		b, err := openCUDA(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("backend %w (choose auto or cpu)", err)
		}
		return b, nil
	case "", "auto":
		b, reason := openWhole(ctx, c)
		if reason == nil {
			return b, nil
		}
		if c.Strict {
			return nil, fmt.Errorf("strict, and no device (choose backend cpu): %w", reason)
		}
		b, err := openCPU(c)
		if err != nil {
			return nil, err
		}
		return because{b, reason}, nil
	default:
		return nil, fmt.Errorf("backend %q is none of auto, cpu, cuda: %w", c.Backend, kernels.ErrUnsupported)
	}
}

func openCPU(c Config) (kernels.Backend, error) {
	return cpu.New(cpu.Options{Workers: c.Workers, MemoryLimit: c.Memory})
}

// openCUDA opens the device, with the CPU to fall back on unless c is strict.
func openCUDA(ctx context.Context, c Config) (kernels.Backend, error) {
	device, err := cuda.Open(ctx, cuda.Options{Device: c.Device, MemoryLimit: c.Memory})
	if err != nil || c.Strict {
		return device, err
	}
	host, err := openCPU(c)
	if err != nil {
		return nil, errors.Join(err, device.Close())
	}
	return kernels.WithFallback(device, host), nil
}

// openWhole opens the device if its backend has every operation.
func openWhole(ctx context.Context, c Config) (kernels.Backend, error) {
	list, err := cuda.Devices()
	if err != nil {
		return nil, err
	}
	if c.Device >= len(list) {
		return nil, fmt.Errorf("device %d of %d: %w", c.Device, len(list), kernels.ErrUnsupported)
	}
	if missing := cuda.Missing(); len(missing) > 0 {
		return nil, fmt.Errorf("%s: %s: %w", list[c.Device], incomplete(missing), kernels.ErrUnsupported)
	}
	return openCUDA(ctx, c)
}

// incomplete says what keeps a backend from being chosen.
func incomplete(missing []kernels.Op) string {
	return fmt.Sprintf("the CUDA backend lacks %d operations, %s the first of them (backend cuda uses those it has)", len(missing), missing[0])
}

// because is a backend that serves in place of another one.
type because struct {
	kernels.Backend
	reason error
}

// Info implements kernels.Backend.
func (b because) Info() kernels.Info {
	info := b.Backend.Info()
	info.Fallback = errors.Join(info.Fallback, b.reason)
	return info
}

// Backends describes every backend and tier of this build, usable or not.
func Backends() []Candidate {
	var out []Candidate
	devices, chosen := cudaCandidates()
	for _, t := range cpu.Tiers() {
		c := Candidate{Name: "cpu/" + t.Name, Usable: t.Usable, Reason: t.Reason}
		c.Default = t.Usable && !chosen
		chosen = chosen || t.Usable
		out = append(out, c)
	}
	return append(out, devices...)
}

// cudaCandidates describes the CUDA devices, or why there are none, and says
// whether one of them is what Open takes.
func cudaCandidates() (out []Candidate, chosen bool) {
	list, err := cuda.Devices()
	if err != nil {
		return []Candidate{{Name: "cuda", Reason: err.Error()}}, false
	}
	for _, d := range list {
		c := Candidate{Name: d.String(), Usable: d.Major >= cuda.OldestMajor}
		if !c.Usable {
			c.Reason = fmt.Sprintf("the kernels need compute capability %d.0 or later", cuda.OldestMajor)
		} else if missing := cuda.Missing(); len(missing) > 0 {
			c.Note = "not chosen by itself: " + incomplete(missing)
		} else {
			c.Default = !chosen && d.Index == 0
			chosen = chosen || c.Default
		}
		out = append(out, c)
	}
	return out, chosen
}

// Candidate is a backend, or one tier of it.
type Candidate struct {
	Name    string
	Usable  bool
	Default bool   // what Open takes if it is not told otherwise
	Reason  string // why it is not usable
	Note    string // what to know about one that is
}
