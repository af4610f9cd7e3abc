package kerneltest_test

import (
	"context"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cambium-kernels/cambium/cpu"
	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/kernels/kerneltest"
)

// faultVariable tells the test's own child process which fault to plant.
const faultVariable = "CAMBIUM_KERNELTEST_FAULT"

// faults are what a broken backend may do, with the group that must notice.
var faults = []struct{ name, group string }{
	{"none", "Gram"},
	{"gram element", "Gram"},
	{"gram mirror", "Gram"},
	{"gram padding", "Gram"},
	{"gram reads dst", "Gram"},
	{"gram reads x", "Gram"},
	{"gram zeros", "Gram"},
	{"matmul tail", "Matmul"},
	{"matmul rounds twice", "Matmul"},
	{"center mean", "Center"},
	{"hsic swapped", "HSIC"},
	{"hsic diagonal", "HSICMatrix"},
	{"rbf diagonal", "RBF"},
	{"rotation cancels", "Rotation"},
	{"lowrank rewrites", "LowRank"},
	{"adapters touch", "ApplyAdapters"},
	{"svd sign", "SVD"},
	{"norm element", "LayerOps"},
	{"dequantize nibble", "LayerOps"},
	{"panics", "Arguments"},
	{"touches before it checks", "Arguments"},
	{"skips zeros", "Propagation"},
	{"changes from run to run", "Determinism"},
	{"ignores the context", "Cancellation"},
	{"reports twice", "Cancellation"},
	{"serves when closed", "Lifecycle"},
	{"copies numbers", "Memory"},
	{"truncates", "Convert"},
	{"lacks what it should have", "RBF"},
	{"has what it says is missing", "Missing"},
	{"touches what it says is missing", "Missing"},
}

// TestSuiteNotices runs the suite against one broken backend after another, each
// in a process of its own: it must fail, and pass without a fault.
func TestSuiteNotices(t *testing.T) {
	if testing.Short() {
		faults = faults[:4]
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestFaulty$/^"+f.group+"$", "-test.timeout=5m")
			cmd.Env = append(os.Environ(), faultVariable+"="+f.name)
			out, err := cmd.CombinedOutput()
			switch failed := strings.Contains(string(out), "--- FAIL: TestFaulty/"+f.group); {
			case f.name == "none" && err != nil:
				t.Errorf("the suite fails a sound backend: %v\n%s", err, out)
			case f.name != "none" && (err == nil || !failed):
				t.Errorf("group %s did not notice (%v)\n%s", f.group, err, out)
			}
		})
	}
}

// TestFaulty is the child: it does nothing unless a fault is named.
func TestFaulty(t *testing.T) {
	name := os.Getenv(faultVariable)
	if name == "" {
		return
	}
	var missing []kernels.Op
	if strings.HasSuffix(name, "missing") {
		missing = []kernels.Op{kernels.OpRBF}
	}
	kerneltest.Short(t, kerneltest.Target{OneRounding: true, Missing: missing, Open: func(t testing.TB, workers int) kernels.Backend {
		b, err := cpu.New(cpu.Options{Workers: workers, Tier: "generic"})
		if err != nil {
			t.Fatal(err)
		}
		return &faulty{Backend: b, fault: name}
	}})
}

// faulty is a sound backend with one fault.
type faulty struct {
	kernels.Backend
	fault string
	calls atomic.Int64
}

// floats returns the elements of a float32 matrix, or nil.
func floats(m kernels.Matrix) []float32 {
	data, err := kernels.Floats[float32](m)
	if err != nil {
		return nil
	}
	return data
}

// nudge changes one element by a few times what float32 sums may lose.
func nudge(m kernels.Matrix) {
	if data := floats(m); len(data) > 0 {
		i := (m.Rows-1)*m.Stride + m.Cols/2
		data[i] += float32(math.Max(1e-3, 1e-4*math.Abs(float64(data[i]))))
	}
}

func (f *faulty) Gram(ctx context.Context, dst, x []kernels.Matrix, alpha, beta float64, out kernels.Storage, o kernels.Options) error {
	switch {
	case f.fault == "gram reads dst" && beta == 0:
		beta = 1e-30
	case f.fault == "gram reads x" && alpha == 0:
		alpha = 1e-300
	case f.fault == "ignores the context":
		ctx = context.WithoutCancel(ctx)
	case f.fault == "reports twice" && o.Progress != nil:
		report := o.Progress
		o.Progress = func(done, total int) { report(done, total); report(done, total) }
	}
	err := f.Backend.Gram(ctx, dst, x, alpha, beta, out, o)
	if err != nil {
		return err
	}
	for i, d := range dst {
		data := floats(d)
		if len(data) == 0 {
			continue
		}
		switch f.fault {
		case "gram element":
			nudge(d)
		case "gram mirror":
			if out == kernels.Full && d.Rows > 1 {
				data[1] = math.Nextafter32(data[1], 2*data[1]+1)
			}
		case "gram padding":
			if d.Rows > 1 && d.Stride > d.Cols {
				data[d.Cols] = 0
			}
		case "gram zeros":
			if i == 0 && d.Rows > 1 && d.Stride == d.Cols {
				clear(data)
			}
		case "changes from run to run":
			if f.calls.Add(1)%2 == 0 {
				data[0] = math.Nextafter32(data[0], 0)
			}
		}
	}
	return nil
}

func (f *faulty) Matmul(ctx context.Context, dst, a, b []kernels.Matrix, form kernels.Form, alpha, beta float64, o kernels.Options) error {
	switch f.fault {
	case "panics":
		for i := range b {
			_ = a[i].Rows
		}
	case "touches before it checks":
		if len(dst) > 0 && dst[0].Validate() == nil {
			nudge(dst[0])
		}
	case "matmul tail":
		if len(dst) == 1 && dst[0].Cols == 9 && form == kernels.NN {
			return nil
		}
	case "skips zeros":
		if len(a) == 1 && allZero(floats(a[0])) && len(dst) == 1 {
			clear(floats(dst[0]))
			return nil
		}
	}
	err := f.Backend.Matmul(ctx, dst, a, b, form, alpha, beta, o)
	if err == nil && f.fault == "matmul rounds twice" {
		for _, d := range dst {
			for i, v := range floats(d) {
				if i%d.Stride < d.Cols {
					floats(d)[i] = kernels.BFloat16ToFloat32(kernels.Float32ToBFloat16(v))
				}
			}
		}
	}
	return err
}

func allZero(v []float32) bool {
	return len(v) > 0 && !slices.ContainsFunc(v, func(x float32) bool { return x != 0 && x == x })
}

func (f *faulty) Center(ctx context.Context, dst, x []kernels.Matrix, stats []kernels.RowStats, o kernels.Options) error {
	err := f.Backend.Center(ctx, dst, x, stats, o)
	if err == nil && f.fault == "center mean" {
		for _, s := range stats {
			for i := range s.Mean {
				s.Mean[i] = float64(float32(s.Mean[i]))
			}
		}
	}
	return err
}

func (f *faulty) HSIC(ctx context.Context, dst []kernels.HSICValue, x, y []kernels.Matrix, e kernels.Estimator, o kernels.Options) error {
	err := f.Backend.HSIC(ctx, dst, x, y, e, o)
	if f.fault == "hsic swapped" {
		for i, v := range dst {
			dst[i].XX, dst[i].YY = v.YY, v.XX
		}
	}
	return err
}

func (f *faulty) HSICMatrix(ctx context.Context, dst kernels.HSICTable, x, y []kernels.Matrix, k kernels.Kernel, e kernels.Estimator, o kernels.Options) error {
	if f.fault == "hsic diagonal" {
		e = kernels.Biased // the diagonal counts
	}
	return f.Backend.HSICMatrix(ctx, dst, x, y, k, e, o)
}

func (f *faulty) RBF(ctx context.Context, dst, x []kernels.Matrix, b kernels.Bandwidth, used []float64, o kernels.Options) error {
	err := f.Backend.RBF(ctx, dst, x, b, used, o)
	if err == nil && (f.fault == "lacks what it should have" || f.fault == "touches what it says is missing") {
		return kernels.ErrUnsupported // after the result was written
	}
	if err == nil && f.fault == "rbf diagonal" {
		for _, d := range dst {
			if data := floats(d); len(data) > 0 {
				data[0] = math.Nextafter32(1, 0)
			}
		}
	}
	return err
}

func (f *faulty) Rotation(ctx context.Context, dst []kernels.RotationValue, w0, wt []kernels.Matrix, o kernels.Options) error {
	err := f.Backend.Rotation(ctx, dst, w0, wt, o)
	if f.fault == "rotation cancels" {
		for i, v := range dst {
			dst[i].Distance = 1 - v.Dot/(v.Norm0*v.NormT)
		}
	}
	return err
}

func (f *faulty) LowRank(ctx context.Context, w, b, a []kernels.Matrix, scale []float32, o kernels.Options) error {
	err := f.Backend.LowRank(ctx, w, b, a, scale, o)
	if err == nil && f.fault == "lowrank rewrites" {
		for _, m := range w {
			for r := range m.Rows {
				for c := range m.Cols {
					if data := floats(m); data != nil {
						data[r*m.Stride+c] += 0
					}
				}
			}
		}
	}
	return err
}

func (f *faulty) ApplyAdapters(ctx context.Context, y, x kernels.Matrix, segments, ids []int32, set []kernels.Adapter, o kernels.Options) error {
	err := f.Backend.ApplyAdapters(ctx, y, x, segments, ids, set, o)
	if err == nil && f.fault == "adapters touch" && len(ids) > 0 && ids[len(ids)-1] == -1 {
		nudge(y)
	}
	return err
}

func (f *faulty) SVD(ctx context.Context, u, s, v, w []kernels.Matrix, p kernels.SVDParams, o kernels.Options) error {
	err := f.Backend.SVD(ctx, u, s, v, w, p, o)
	if err == nil && f.fault == "svd sign" {
		for _, m := range []kernels.Matrix{u[0], v[0]} {
			for r := range m.Rows {
				if data := floats(m); len(data) > 0 {
					data[r*m.Stride] *= -1
				}
			}
		}
	}
	return err
}

func (f *faulty) Norm(ctx context.Context, dst, x kernels.Matrix, p kernels.NormParams, alpha, beta float64, o kernels.Options) error {
	err := f.Backend.Norm(ctx, dst, x, p, alpha, beta, o)
	if err == nil && f.fault == "norm element" {
		nudge(dst)
	}
	return err
}

func (f *faulty) Dequantize(ctx context.Context, dst kernels.Matrix, src kernels.Quantized, ids []int32, o kernels.Options) error {
	err := f.Backend.Dequantize(ctx, dst, src, ids, o)
	if err == nil && f.fault == "dequantize nibble" && src.Type == kernels.Q3_K {
		nudge(dst)
	}
	return err
}

func (f *faulty) Convert(ctx context.Context, dst, src kernels.Matrix) error {
	err := f.Backend.Convert(ctx, dst, src)
	if err == nil && f.fault == "truncates" && dst.DType == kernels.BFloat16 && src.DType == kernels.Float32 {
		in, out := floats(src), first(kernels.Bits(dst))
		for r := range dst.Rows {
			for c := range dst.Cols {
				out[r*dst.Stride+c] = uint16(math.Float32bits(in[r*src.Stride+c]) >> 16)
			}
		}
	}
	return err
}

func first[T any](v T, _ error) T { return v }

func (f *faulty) Copy(ctx context.Context, dst, src kernels.Matrix) error {
	err := f.Backend.Copy(ctx, dst, src)
	if err == nil && f.fault == "copies numbers" {
		for i, v := range floats(dst) {
			if v != v && i%dst.Stride < dst.Cols {
				floats(dst)[i] = float32(math.NaN())
			}
		}
	}
	return err
}

func (f *faulty) Close() error {
	if f.fault == "serves when closed" {
		return nil
	}
	return f.Backend.Close()
}
