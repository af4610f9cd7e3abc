package cambium_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cambium-kernels/cambium"
	"github.com/cambium-kernels/cambium/kernels"
)

func TestOpen(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name     string
		ctx      context.Context //nolint:containedctx // a table
		config   cambium.Config
		err      error
		fallback bool
	}{
		{"auto", context.Background(), cambium.Config{}, nil, true},
		{"auto by name", context.Background(), cambium.Config{Backend: "auto", Workers: 3}, nil, true},
		{"cpu", context.Background(), cambium.Config{Backend: "cpu"}, nil, false},
		{"cpu, strict", context.Background(), cambium.Config{Backend: "cpu", Strict: true}, nil, false},
		{"cuda", context.Background(), cambium.Config{Backend: "cuda"}, kernels.ErrUnsupported, false},
		{"strict", context.Background(), cambium.Config{Strict: true}, kernels.ErrUnsupported, false},
		{"unknown", context.Background(), cambium.Config{Backend: "tpu"}, kernels.ErrUnsupported, false},
		{"device", context.Background(), cambium.Config{Device: -1}, kernels.ErrShape, false},
		{"workers", context.Background(), cambium.Config{Workers: -1}, kernels.ErrShape, false},
		{"context", ended, cambium.Config{}, context.Canceled, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := cambium.Open(c.ctx, c.config)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			t.Cleanup(func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
			info := b.Info()
			if got := errors.Is(info.Fallback, kernels.ErrUnsupported); got != c.fallback {
				t.Errorf("fallback %v, want one: %v", info.Fallback, c.fallback)
			}
			if c.config.Workers != 0 && info.Workers != c.config.Workers {
				t.Errorf("%d workers, want %d", info.Workers, c.config.Workers)
			}
		})
	}
}

func TestBackends(t *testing.T) {
	defaults := 0
	for _, c := range cambium.Backends() {
		if c.Default {
			defaults++
		}
		if c.Usable == (c.Reason != "") {
			t.Errorf("%s: usable %v with reason %q", c.Name, c.Usable, c.Reason)
		}
	}
	if defaults != 1 {
		t.Errorf("%d defaults, want 1", defaults)
	}
}

func TestOpenWithoutContext(t *testing.T) {
	var none context.Context
	if _, err := cambium.Open(none, cambium.Config{}); !errors.Is(err, kernels.ErrShape) {
		t.Errorf("a nil context: %v", err)
	}
}
