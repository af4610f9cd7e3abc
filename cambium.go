// Package cambium opens the compute backend that a program should use.
//
// The kernels themselves are defined in package kernels and computed by package
// cpu; this package chooses between backends and says why.
package cambium

import (
	"context"
	"errors"
	"fmt"

	"github.com/cambium-kernels/cambium/cpu"
	"github.com/cambium-kernels/cambium/kernels"
)

// Config says which backend to open. The zero value chooses by itself.
type Config struct {
	Backend string // "auto" (or empty), "cpu" or "cuda"
	Device  int    // index of the CUDA device
	Memory  uint64 // limit in bytes; 0: what the device has
	Strict  bool   // with "auto": an error instead of a fallback to the CPU
	Workers int    // goroutines of the CPU backend; 0: GOMAXPROCS
}

// errNoCUDA is why this build serves no CUDA device.
var errNoCUDA = fmt.Errorf("this build has no CUDA backend: %w", kernels.ErrUnsupported)

// Open returns a backend: a CUDA device if there is one, else the CPU. Where it
// falls back, Info().Fallback says why. The caller closes it. Errors:
// kernels.ErrShape for a bad number, kernels.ErrUnsupported for a backend that
// does not exist or cannot serve.
func Open(ctx context.Context, c Config) (kernels.Backend, error) {
	if ctx == nil {
		return nil, fmt.Errorf("cambium: Open: the context is nil (pass context.Background()): %w", kernels.ErrShape)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cambium: Open: %w", err)
	}
	if c.Device < 0 {
		return nil, fmt.Errorf("cambium: Open: device %d is negative: %w", c.Device, kernels.ErrShape)
	}
	switch c.Backend {
	case "cuda":
		return nil, fmt.Errorf("cambium: Open: backend cuda: %w (choose auto or cpu)", errNoCUDA)
	case "", "auto", "cpu":
	default:
		return nil, fmt.Errorf("cambium: Open: backend %q is none of auto, cpu, cuda: %w", c.Backend, kernels.ErrUnsupported)
	}
	auto := c.Backend != "cpu"
	if auto && c.Strict {
		return nil, fmt.Errorf("cambium: Open: strict, and no device: %w (choose backend cpu)", errNoCUDA)
	}
	b, err := cpu.New(cpu.Options{Workers: c.Workers, MemoryLimit: c.Memory})
	if err != nil {
		return nil, fmt.Errorf("cambium: Open: %w", err)
	}
	if auto {
		return because{b, errNoCUDA}, nil
	}
	return b, nil
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
	chosen := false
	for _, t := range cpu.Tiers() {
		c := Candidate{Name: "cpu/" + t.Name, Usable: t.Usable, Reason: t.Reason}
		c.Default = t.Usable && !chosen
		chosen = chosen || t.Usable
		out = append(out, c)
	}
	return append(out, Candidate{Name: "cuda", Reason: errNoCUDA.Error()})
}

// Candidate is a backend, or one tier of it.
type Candidate struct {
	Name    string
	Usable  bool
	Default bool   // what Open takes if it is not told otherwise
	Reason  string // why it is not usable
}
