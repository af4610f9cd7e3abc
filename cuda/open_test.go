//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/cuda/fakecuda"
	"github.com/cambium-kernels/cambium/kernels"
)

// TestNoDriver opens in processes of their own, because the driver is loaded
// once: without a driver, with a library that is none, with one that cannot
// start.
func TestNoDriver(t *testing.T) {
	fake(t)
	if what := os.Getenv("CAMBIUM_TEST_NO_DRIVER"); what != "" {
		s := fakecuda.Default
		if what == "803" {
			s.Init = 803
		}
		fakecuda.Configure(s)
		report(t)
		return
	}
	for _, c := range []struct{ what, library, want string }{
		{"no library", "/nowhere/libcuda.so.1", "no NVIDIA driver: /nowhere/libcuda.so.1: cannot open shared object file"},
		{"no driver", "libm.so.6", "cuInit: CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND (302): libm.so.6 has no cuInit"},
		{"803", os.Getenv(DriverVariable), "cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)"},
	} {
		t.Run(c.what, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestNoDriver$|^TestReport$")
			cmd.Env = append(os.Environ(), DriverVariable+"="+c.library, "CAMBIUM_TEST_NO_DRIVER="+c.what, "CAMBIUM_REQUIRE=")
			out, err := cmd.CombinedOutput()
			text := string(out)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if n := strings.Count(text, "cuda: "+c.want); n < 2 {
				t.Errorf("Open and Devices say why %d times:\n%s", n, text)
			}
			if !strings.Contains(text, kernels.ErrUnsupported.Error()) {
				t.Errorf("not unsupported:\n%s", text)
			}
		})
	}
}

// TestReport is the child of TestNoDriver where the fake driver is not loaded.
func TestReport(t *testing.T) {
	if os.Getenv("CAMBIUM_TEST_NO_DRIVER") != "" && !fakecuda.Open() {
		report(t)
	}
}

// report prints the errors of Open and Devices.
func report(t *testing.T) {
	_, err := Open(background, Options{})
	os.Stdout.WriteString(err.Error() + "\n")
	if !errors.Is(err, kernels.ErrUnsupported) {
		t.Error("not unsupported")
	}
	_, err = Devices()
	os.Stdout.WriteString(err.Error() + "\n")
	if !errors.Is(err, kernels.ErrUnsupported) {
		t.Error("not unsupported")
	}
}

func TestOpen(t *testing.T) {
	fake(t)
	ended, cancel := context.WithCancel(background)
	cancel()
	for _, c := range []struct {
		name     string
		ctx      context.Context //nolint:containedctx // a table
		options  Options
		settings fakecuda.Settings
		fail     string // the call that fails, with code
		code     int
		want     error
		says     string
	}{
		{name: "no device", settings: fakecuda.Settings{Count: 0}, want: kernels.ErrUnsupported, says: "no device"},
		{name: "old device", settings: fakecuda.Settings{Count: 1, Major: 7, Minor: 5, Memory: 1 << 30}, want: kernels.ErrUnsupported, says: "sm_75"},
		{name: "device 1 of 1", options: Options{Device: 1}, settings: fakecuda.Default, want: kernels.ErrUnsupported, says: "device 1 of 1"},
		{name: "negative device", options: Options{Device: -1}, settings: fakecuda.Default, want: kernels.ErrShape, says: "-1"},
		{name: "context", ctx: ended, settings: fakecuda.Default, want: context.Canceled},
		{name: "code too new", settings: fakecuda.Default, fail: "cuModuleLoadDataEx", code: 222, want: kernels.ErrUnsupported, says: "UNSUPPORTED_PTX_VERSION"},
		{name: "missing kernel", settings: fakecuda.Default, fail: "cuModuleGetFunction", code: 500, want: kernels.ErrUnsupported, says: "NOT_FOUND"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fakecuda.Reset()
			fakecuda.Configure(c.settings)
			if c.fail != "" {
				fakecuda.Fail(callOf(t, c.fail), c.code, false)
			}
			ctx := c.ctx
			if ctx == nil {
				ctx = background
			}
			b, err := Open(ctx, c.options)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || b != nil {
				t.Fatalf("%v, %v, want %v that says %q", b, err, c.want, c.says)
			}
			if held := fakecuda.Held(); len(held) > 0 {
				t.Errorf("the driver holds %v", held)
			}
		})
	}
}

// callOf returns which call of Open is the first of a function.
func callOf(t *testing.T, name string) int {
	t.Helper()
	from := fakecuda.Calls()
	b, err := Open(background, Options{})
	if err != nil {
		t.Fatal(err)
	}
	log := fakecuda.Log()[from:]
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for i, call := range log {
		if call == name {
			return i + 1
		}
	}
	t.Fatalf("Open does not call %s", name)
	return 0
}

// TestImages checks which code each device gets, and that the fingerprint tells
// them apart.
func TestImages(t *testing.T) {
	fake(t)
	seen := make(map[string]bool)
	for _, c := range []struct {
		major, minor int
		suffix       string
	}{
		{8, 0, "sm_80.cubin"},
		{8, 6, "sm_80.cubin"},
		{8, 9, "sm_80.cubin"},
		{9, 0, "sm_90a.cubin"},
		{9, 1, "compute_80.ptx"},
		{10, 0, "compute_80.ptx"},
		{12, 0, "compute_80.ptx"},
	} {
		fakecuda.Reset()
		fakecuda.Configure(fakecuda.Settings{Count: 2, Major: c.major, Minor: c.minor, Memory: 1 << 30})
		b := openFake(t, Options{Device: 1}, usual)
		info := b.Info()
		if b.image.suffix != c.suffix || seen[info.Fingerprint] || !strings.Contains(info.Fingerprint, c.suffix) {
			t.Errorf("%d.%d: image %s, fingerprint %s", c.major, c.minor, b.image.suffix, info.Fingerprint)
		}
		seen[info.Fingerprint] = true
		if info.Device != (kernels.Device{Kind: kernels.CUDA, Index: 1}) || !strings.HasPrefix(info.Name, "cuda/sm_") {
			t.Errorf("%+v", info)
		}
		if c.suffix == "compute_80.ptx" && !strings.HasSuffix(info.Fingerprint, "/driver 12090") {
			t.Errorf("%s: compiled by the driver, whose version is missing", info.Fingerprint)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	devices, err := Devices()
	if err != nil || len(devices) != 2 || devices[1].String() != "cuda:1 Emulated GPU (sm_120)" || devices[0].Memory != 1<<30 {
		t.Errorf("%v, %v", devices, err)
	}
}
