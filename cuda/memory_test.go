//go:build cuda && cgo && linux

package cuda

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/cuda/fakecuda"
	"github.com/cambium-kernels/cambium/kernels"
)

// TestHalving gives the device ever less memory: the work is cut, down to a
// tile, and the bits stay those of the whole. What does not fit then is
// kernels.ErrMemory, and nothing stays in use.
func TestHalving(t *testing.T) {
	fake(t)
	for i, w := range workloads(t) {
		t.Run(w.name, func(t *testing.T) {
			fakecuda.Reset()
			b := openFake(t, Options{}, small)
			if err := w.run(b, kernels.Options{}); err != nil {
				t.Fatal(err)
			}
			want, peak := w.result(), b.Info().Memory.Peak
			launches := launched(fakecuda.Log())
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			cut, refused := false, false
			for limit := peak; limit > 128; limit -= limit / 7 {
				for _, byDriver := range []bool{false, true} {
					w := workloads(t)[i]
					fakecuda.Reset()
					o := Options{MemoryLimit: limit}
					if byDriver {
						o = Options{}
						fakecuda.Configure(fakecuda.Settings{Count: 1, Major: 9, Memory: limit})
					}
					b := openFake(t, o, small)
					err := w.run(b, kernels.Options{})
					switch {
					case err == nil:
						if !slices.Equal(w.result(), want) {
							t.Fatalf("%d of %d bytes: other bits", limit, peak)
						}
						cut = cut || launched(fakecuda.Log()) > launches
					case errors.Is(err, kernels.ErrMemory):
						refused = true
					default:
						t.Fatalf("%d of %d bytes: %v", limit, peak, err)
					}
					m := b.Info().Memory
					if m.InUse != 0 || m.Peak > m.Limit || m.Limit != limit {
						t.Fatalf("%d of %d bytes: %+v", limit, peak, m)
					}
					if err := b.Close(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if !refused || !cut && w.name != "Alloc, Copy" && w.name != "On a stream" {
				t.Errorf("cut %v, refused %v", cut, refused)
			}
		})
	}
}

// TestGramParts cuts larger Gram matrices into many parts, in both storages and
// with old content that counts.
func TestGramParts(t *testing.T) {
	fake(t)
	const n, terms = 530, 8
	for _, dt := range []kernels.DType{kernels.Float32, kernels.BFloat16} {
		for _, out := range []kernels.Storage{kernels.Full, kernels.PackedLower} {
			r := rand.New(rand.NewPCG(7, 8))
			x, _ := hostBits(t, r, kernels.Float16, n, terms)
			dst := hostMatrix(dt, n, n)
			if out == kernels.PackedLower {
				dst = hostMatrix(dt, 1, n*(n+1)/2)
			}
			run := func(limit uint64) ([]byte, int) {
				t.Helper()
				data := hostRow(dst, chunk{0, 0, 1, dst.Rows * dst.Cols}, 0)
				for i := range data { // small numbers of either type
					data[i] = 0
					if i%4 == 3 {
						data[i] = 0x40
					}
				}
				fakecuda.Reset()
				b := openFake(t, Options{MemoryLimit: limit}, small)
				defer b.Close()
				if err := b.Gram(background, list(dst), list(x), 1, 2, out, kernels.Options{}); err != nil {
					t.Fatalf("%s, storage %d, %d bytes: %v", dt, out, limit, err)
				}
				return slices.Clone(data), launched(fakecuda.Log())
			}
			want, _ := run(0)
			for _, limit := range []uint64{900 << 10, 400 << 10, 150 << 10, 100 << 10, 72 << 10} {
				if got, parts := run(limit); !slices.Equal(got, want) || limit < 200<<10 && parts < 5 {
					t.Errorf("%s, storage %d, %d bytes: %d parts, or other bits", dt, out, limit, parts)
				}
			}
		}
	}
}

// TestNotCut refuses what a device cannot hold and cannot be cut.
func TestNotCut(t *testing.T) {
	fake(t)
	b := openFake(t, Options{MemoryLimit: 100 << 10}, small)
	defer b.Close()
	x := hostMatrix(kernels.Float32, 150, 200) // 120 kB
	buf, err := b.Alloc(background, kernels.Float32, 150, 150)
	if err != nil {
		t.Fatal(err)
	}
	narrow := hostMatrix(kernels.Float32, 2000, 30)
	for name, err := range map[string]error{
		"Gram, result on the device": b.Gram(background, list(buf.Matrix()), list(x), 1, 0, kernels.Full, kernels.Options{}),
		"Center, one tile":           b.Center(background, list(hostMatrix(kernels.Float32, 2000, 30)), list(narrow), nil, kernels.Options{}),
		"Convert, one row":           b.Convert(background, hostMatrix(kernels.Float16, 1, 60000), hostMatrix(kernels.Float32, 1, 60000)),
		"Rotation, one pair":         b.Rotation(background, make([]kernels.RotationValue, 1), list(x), list(x), kernels.Options{}),
	} {
		if !errors.Is(err, kernels.ErrMemory) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long, err := kernels.Foreign(b.where, 1<<20, kernels.Float16, 1, 1<<32, 1<<32, nil)
	if err != nil {
		t.Fatal(err)
	}
	one := hostMatrix(kernels.Float32, 1, 1)
	if err := b.Matmul(background, list(one), list(long), list(long), kernels.NT, 1, 0, kernels.Options{}); !errors.Is(err, kernels.ErrUnsupported) {
		t.Errorf("2^32 terms: %v", err)
	}
}

// launched counts the launches of a log.
func launched(log []string) int {
	n := 0
	for _, call := range log {
		if strings.HasPrefix(call, "cuLaunchKernel") {
			n++
		}
	}
	return n
}

// TestArena checks that memory is used again, that the driver gets it back when
// it runs short, and that both limits hold.
func TestArena(t *testing.T) {
	fake(t)
	fakecuda.Configure(fakecuda.Settings{Count: 1, Major: 8, Memory: 1 << 20})
	b := openFake(t, Options{MemoryLimit: 600 << 10}, usual)
	alloc := func(bytes int) kernels.Buffer {
		t.Helper()
		buf, err := b.Alloc(background, kernels.Float32, 1, bytes/4)
		if err != nil {
			t.Fatal(err)
		}
		return buf
	}
	free := func(buf kernels.Buffer) {
		t.Helper()
		for range 2 { // the second does nothing
			if err := buf.Free(); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := func(call string) int {
		n := 0
		for _, c := range fakecuda.Log() {
			if c == call {
				n++
			}
		}
		return n
	}
	first := alloc(100 << 10)
	address := first.Matrix().Address()
	if m := b.Info().Memory; m.InUse != 100<<10 || m.Limit != 600<<10 {
		t.Errorf("%+v", m)
	}
	free(first)
	second := alloc(90 << 10) // a little less: the same memory
	if second.Matrix().Address() != address || count("cuMemAlloc") != 1 {
		t.Errorf("%d allocations, address %#x after %#x", count("cuMemAlloc"), second.Matrix().Address(), address)
	}
	third := alloc(10 << 10) // far less: not that of a large one
	free(second)
	fourth := alloc(580 << 10) // only with what the first had
	if count("cuMemFree") != 1 {
		t.Errorf("%d blocks went back to the driver, want 1", count("cuMemFree"))
	}
	if _, err := b.Alloc(background, kernels.Float32, 1, 4096); !errors.Is(err, kernels.ErrMemory) {
		t.Errorf("beyond the limit: %v", err)
	}
	free(third)
	if m := b.Info().Memory; m.InUse != 580<<10 || m.Peak != 590<<10 {
		t.Errorf("%+v", m)
	}
	if err := b.Close(); err != nil { // with a buffer alive
		t.Fatal(err)
	}
	free(fourth)
	if held := fakecuda.Held(); len(held) > 0 {
		t.Errorf("after Close the driver holds %v", held)
	}
}

// TestEvents checks that events are used again, and that an operation whose
// operands are all on the device waits for no copies.
func TestEvents(t *testing.T) {
	fake(t)
	b := openFake(t, Options{}, usual)
	defer b.Close()
	h := hostMatrix(kernels.Float32, 20, 20)
	x, d := onDevice(t, b, h), onDevice(t, b, h)
	half := hostMatrix(kernels.Float16, 20, 20)
	count := func(call string, from int) (n int) {
		for _, c := range fakecuda.Log()[from:] {
			if c == call {
				n++
			}
		}
		return n
	}
	before := 0
	for i := range 10 {
		if err := b.Convert(background, half, x); err != nil {
			t.Fatal(err)
		}
		if now := count("cuEventCreate", 0); i > 0 && now != before {
			t.Fatalf("%d events after %d conversions, %d before", now, i+1, before)
		} else {
			before = now
		}
	}
	from := fakecuda.Calls()
	if err := b.Convert(background, d, x); err != nil {
		t.Fatal(err)
	}
	if n := count("cuStreamWaitEvent", from); n != 0 {
		t.Errorf("%d streams waited although nothing was copied", n)
	}
}

// TestOverlap checks that the operands of a piece are under way before the
// results of the piece before it are waited for.
func TestOverlap(t *testing.T) {
	fake(t)
	b := openFake(t, Options{}, tuning{slot: 1 << 20, strip: 4 << 10, exact: true})
	defer b.Close()
	r := rand.New(rand.NewPCG(3, 4))
	x, _ := hostFloats(t, r, 96, 32, 32)
	d, _ := hostFloats(t, r, 96, 32, 32)
	h, _ := hostBits(t, r, kernels.Float16, 96, 32)
	_ = d
	from := fakecuda.Calls()
	if err := b.Convert(background, h, x); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, call := range fakecuda.Log()[from:] {
		switch call {
		case "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuLaunchKernel convert":
			order = append(order, strings.TrimPrefix(call, "cu"))
		}
	}
	up, kernel, down := "MemcpyHtoDAsync", "LaunchKernel convert", "MemcpyDtoHAsync"
	want := []string{up, kernel, up, kernel, down, up, kernel, down, down}
	if !slices.Equal(order, want) {
		t.Errorf("calls %v, want %v", order, want)
	}
}
