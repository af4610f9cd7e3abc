package cuda

import (
	"errors"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// TestClasses checks what becomes of each error code, before and after a backend
// serves.
func TestClasses(t *testing.T) {
	for _, c := range []struct {
		code            int
		opening, served error
	}{
		{2, kernels.ErrMemory, kernels.ErrMemory},
		// No device, or a driver that cannot serve.
		{3, kernels.ErrUnsupported, kernels.ErrLost},
		{35, kernels.ErrUnsupported, kernels.ErrLost},
		{100, kernels.ErrUnsupported, kernels.ErrLost},
		{209, kernels.ErrUnsupported, kernels.ErrLost},
		{222, kernels.ErrUnsupported, kernels.ErrLost},
		{303, kernels.ErrUnsupported, kernels.ErrLost},
		{803, kernels.ErrUnsupported, kernels.ErrLost},
		// Those after which the driver's documentation wants a new process.
		{214, kernels.ErrLost, kernels.ErrLost},
		{226, kernels.ErrLost, kernels.ErrLost},
		{700, kernels.ErrLost, kernels.ErrLost},
		{702, kernels.ErrLost, kernels.ErrLost},
		{710, kernels.ErrLost, kernels.ErrLost},
		{714, kernels.ErrLost, kernels.ErrLost},
		{715, kernels.ErrLost, kernels.ErrLost},
		{716, kernels.ErrLost, kernels.ErrLost},
		{717, kernels.ErrLost, kernels.ErrLost},
		{718, kernels.ErrLost, kernels.ErrLost},
		{719, kernels.ErrLost, kernels.ErrLost},
		{721, kernels.ErrLost, kernels.ErrLost},
		{810, kernels.ErrLost, kernels.ErrLost},
		{911, kernels.ErrLost, kernels.ErrLost},
		// Mistakes of ours, and codes that nobody knows.
		{1, kernels.ErrLost, kernels.ErrLost},
		{400, kernels.ErrLost, kernels.ErrLost},
		{999, kernels.ErrLost, kernels.ErrLost},
		{12345, kernels.ErrLost, kernels.ErrLost},
		{-1, kernels.ErrLost, kernels.ErrLost},
	} {
		e := &driverError{call: "cuX", code: c.code, log: "its words"}
		if !errors.Is(e, c.served) {
			t.Errorf("%d while serving: not %v", c.code, c.served)
		}
		if err := unavailable(e); !errors.Is(err, c.opening) || c.opening == kernels.ErrUnsupported && errors.Is(err, kernels.ErrLost) {
			t.Errorf("%d while opening: %v, want %v", c.code, err, c.opening)
		}
		if c.code == noLibrary {
			if e.Error() != "no NVIDIA driver: its words" {
				t.Errorf("%d: %q", c.code, e.Error())
			}
			continue
		}
		known := codes[c.code].name
		if known == "" {
			known = "unknown"
		}
		if text := e.Error(); !strings.HasPrefix(text, "cuX: ") || !strings.Contains(text, known) || !strings.HasSuffix(text, "its words") {
			t.Errorf("%d: %q", c.code, text)
		}
	}
	release := &driverError{call: "cuMemFree", code: 2, release: true}
	if !errors.Is(release, kernels.ErrLost) || errors.Is(release, kernels.ErrMemory) {
		t.Error("a call that frees cannot fail for want of memory")
	}
	if other := errors.New("x"); unavailable(other) != other {
		t.Error("an error of another kind was changed")
	}
}

func TestMissing(t *testing.T) {
	missing := Missing()
	if len(missing)+len(computed) != len(kernels.Ops()) {
		t.Errorf("%d missing and %d computed of %d operations", len(missing), len(computed), len(kernels.Ops()))
	}
	for _, op := range missing {
		if err := notComputed(op); !errors.Is(err, kernels.ErrUnsupported) || !strings.Contains(err.Error(), op.String()) {
			t.Errorf("%v", err)
		}
	}
}

// TestRules checks the table of products: every class is served, and only small
// or float32 ones without tensor cores, with a reason.
func TestRules(t *testing.T) {
	half, brain, single := kernels.Float16, kernels.BFloat16, kernels.Float32
	for _, c := range []struct {
		form       kernels.Form
		a, b       kernels.DType
		rows, cols int
		kernel     string
	}{
		{kernels.NT, brain, brain, 33, 33, "product_nt_bf16_128x128x32_sm80"},
		{kernels.TN, brain, brain, 4096, 33, "product_tn_bf16_128x128x32_sm80"},
		{kernels.NN, half, half, 33, 4096, "product_nn_f16_128x128x32_sm80"},
		{kernels.NT, half, half, 32, 4096, "product_any_32x32x32"},
		{kernels.NT, brain, half, 4096, 4096, "product_any_128x128x16"},
		{kernels.TN, single, single, 33, 33, "product_any_128x128x16"},
		{kernels.NN, single, brain, 500, 1, "product_any_32x32x32"},
	} {
		r := productRule(c.form, c.a, c.b, c.rows, c.cols)
		if r.kernel != c.kernel {
			t.Errorf("%+v: %s", c, r.kernel)
		}
		if tensor := strings.HasSuffix(r.kernel, "_sm80"); tensor != (r.because == "") || !strings.Contains(r.kernel, map[int]string{32: "32x32x32", 128: "128x128x"}[r.tile]) {
			t.Errorf("%+v", r)
		}
	}
	if r := productRule(7, half, half, 1, 1); r.kernel != "" {
		t.Errorf("an unknown form has kernel %s", r.kernel)
	}
}
