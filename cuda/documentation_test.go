//go:build cuda && cgo && linux

package cuda

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/cuda/fakecuda"
	"github.com/cambium-kernels/cambium/kernels"
)

// TestCalls compares the table of driver calls in docs/cuda.md with those that
// the fake driver logs and with those that driver.go makes.
func TestCalls(t *testing.T) {
	fake(t)
	seen := make(map[string]string)
	// A device that gets PTX, and one that gets machine code.
	for _, major := range []int{9, 10} {
		fakecuda.Configure(fakecuda.Settings{Count: 1, Major: major, Memory: 1 << 30})
		b := openFake(t, Options{}, small)
		for _, w := range workloads(t) {
			if err := w.run(b, kernels.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		queueOne(t, b)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	own, err := os.ReadFile("driver.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range fakecuda.Log() {
		call, _, _ = strings.Cut(call, " ") // without the kernel
		switch {
		case call == "cuInit":
			seen[call] = "shim.c"
		case regexp.MustCompile(`\b` + call + `\(`).Match(own):
			seen[call] = "driver.go"
		default:
			seen[call] = "cu"
		}
	}
	seen["cuInit"] = "shim.c" // logged by the first test of the process
	documented := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `(cu[A-Z]\\w+)` \\| (\\S+) \\|").FindAllStringSubmatch(document(t), -1) {
		documented[row[1]] = row[2]
	}
	if !maps.Equal(seen, documented) {
		t.Errorf("called:     %v\ndocumented: %v", seen, documented)
	}
	for _, call := range regexp.MustCompile(`\bcu[A-Z]\w+\(`).FindAllString(string(own), -1) {
		if call = strings.TrimSuffix(call, "("); documented[call] != "driver.go" && documented[call] != "" {
			t.Errorf("%s is called by driver.go and documented as %s", call, documented[call])
		}
	}
}

// queueOne queues a call on a caller's stream.
func queueOne(t *testing.T, b *backend) {
	t.Helper()
	zero, _ := kernels.Of(make([]float32, 100), 10, 10, 10)
	x, d := onDevice(t, b, zero), onDevice(t, b, zero)
	if err := b.Gram(background, list(d), list(x), 1, 0, kernels.Full, kernels.Options{Stream: fakecuda.Stream()}); err != nil {
		t.Fatal(err)
	}
	if err := b.Convert(background, zero, d); err != nil {
		t.Fatal(err)
	}
}

func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/cuda.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocumentation compares the table of kernels in docs/cuda.md with the rules.
func TestDocumentation(t *testing.T) {
	var want []string
	for _, r := range productRules {
		op, most, types := "Matmul", "any", map[typeClass]string{anyTypes: "any", bothFloat16: "f16", bothBFloat16: "bf16"}[r.types]
		if r.form == kernels.NT {
			op = "Gram, Matmul"
		}
		if r.most > 0 {
			most = fmt.Sprintf("≤ %d", r.most)
		}
		want = append(want, strings.Join(strings.Fields(fmt.Sprintf("| %s | %s | %s | %s | `%s` | %s |", op, r.form, types, most, r.kernel, r.because)), " "))
	}
	_, rest, _ := strings.Cut(document(t), "productRules -->\n")
	rows, _, _ := strings.Cut(rest, "<!-- rules: end")
	if got := strings.Split(strings.TrimSpace(rows), "\n"); !slices.Equal(got, want) {
		t.Errorf("documented:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDispatch checks that the kernels launched are those of the rules.
func TestDispatch(t *testing.T) {
	fake(t)
	b := openFake(t, Options{}, usual)
	defer b.Close()
	for _, form := range []kernels.Form{kernels.NT, kernels.TN, kernels.NN} {
		for _, dt := range []kernels.DType{kernels.Float32, kernels.Float16, kernels.BFloat16} {
			for _, n := range []int{32, 33} {
				x, d := hostMatrix(dt, n, n), hostMatrix(kernels.Float32, n, n)
				from := fakecuda.Calls()
				if err := b.Matmul(background, list(d), list(x), list(x), form, 1, 0, kernels.Options{}); err != nil {
					t.Fatal(err)
				}
				want := "cuLaunchKernel " + productRule(form, dt, dt, n, n).kernel
				if log := fakecuda.Log()[from:]; !slices.Contains(log, want) || launched(log) != 1 {
					t.Errorf("%s %s %d: %v, want %s alone", form, dt, n, log, want)
				}
			}
		}
	}
	// A batch is one launch for each kernel.
	var xs, ds []kernels.Matrix
	for i := range 12 {
		xs, ds = append(xs, hostMatrix(kernels.BFloat16, 20+2*i, 8)), append(ds, hostMatrix(kernels.Float32, 20+2*i, 20+2*i))
	}
	from := fakecuda.Calls()
	if err := b.Gram(background, ds, xs, 1, 0, kernels.Full, kernels.Options{}); err != nil {
		t.Fatal(err)
	}
	if n := launched(fakecuda.Log()[from:]); n != 2 {
		t.Errorf("%d launches for two kernels", n)
	}
}
