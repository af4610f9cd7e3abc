//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/kernels/kerneltest"
)

// The tests of this file are those of dist/gpu: they run on whatever driver
// there is, and only when they are asked for. CI rehearses them on the fake one.

// device opens a backend for them.
func device(t *testing.T) *backend {
	t.Helper()
	if os.Getenv("CAMBIUM_GPU") == "" {
		t.Skip("CAMBIUM_GPU is not set")
	}
	b, err := open(background, Options{}, usual)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Logf("%s, %s, driver %s", b.device, b.Info().Fingerprint, os.Getenv(DriverVariable))
	return b
}

// A twin is one launch of a kernel of kernels/twins.cu.
type twin struct {
	Name   string
	Output []uint32
	floats bool // two NaN are equal
	sorted bool // the order of the output is the device's choice
}

// run32 launches a kernel of one block, or more, on inputs and returns its last
// buffer.
func (b *backend) run32(grid int, symbol string, buffers [][]uint32, result int, scalars map[int]uint64) ([]uint32, error) {
	var out []uint32
	err := b.call(background, kernels.OpConvert, kernels.Options{}, nil, func(r *run) error {
		return r.all([]piece{{launch: func(f *flight, _ []view) error {
			args, at := []uint64(nil), 0
			var from view
			for i := range len(buffers) + len(scalars) {
				if v, ok := scalars[i]; ok {
					args = append(args, v)
					continue
				}
				words := make([]uint64, (len(buffers[at])+1)/2)
				for k, v := range buffers[at] {
					words[k/2] |= uint64(v) << (32 * (k % 2))
				}
				ptr, err := f.uploadTable(words)
				if err != nil {
					return err
				}
				if at == result {
					from = viewOf(asFloats(words))
					from.ptr = ptr
				}
				args = append(args, pointer(ptr))
				at++
			}
			if err := f.launch(symbol, grid, args...); err != nil {
				return err
			}
			if err := f.engine.order(f.stream, f.engine.down); err != nil {
				return err
			}
			values := make([]uint64, from.cols)
			if err := f.engine.download(f.ctx, asFloats(values), from); err != nil {
				return err
			}
			for _, v := range values {
				out = append(out, uint32(v), uint32(v>>32))
			}
			return nil
		}}})
	})
	return out, err
}

// twins runs every kernel of the module on seeded small integers.
func twins(t *testing.T, b *backend) []twin {
	t.Helper()
	if err := b.worker.do(background, func() error {
		return b.loadModules(io.Discard, func(m string) bool { return m == twinsModule })
	}); err != nil {
		t.Fatal(err)
	}
	var out []twin
	r := rand.New(rand.NewPCG(11, 12))
	add := func(name string, grid int, buffers [][]uint32, result int, scalars map[int]uint64, floats, sorted bool) {
		got, err := b.run32(grid, name, buffers, result, scalars)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if sorted {
			slices.Sort(got)
		}
		out = append(out, twin{name, got, floats, sorted})
	}
	fill := func(n int, f func() uint32) []uint32 {
		list := make([]uint32, n)
		for i := range list {
			list[i] = f()
		}
		return list
	}
	for range 20 {
		for _, name := range []string{"twin_ldmatrix", "twin_ldmatrix_trans"} {
			for _, row := range []uint64{8, 16, 24, 32} {
				add(name, 1, [][]uint32{fill(512, r.Uint32), make([]uint32, 128)}, 1, map[int]uint64{2: row}, false, false)
			}
		}
		for _, name := range []string{"twin_mma_bf16", "twin_mma_f16"} {
			bits := kernels.Float64ToBFloat16
			if name == "twin_mma_f16" {
				bits = kernels.Float64ToFloat16
			}
			pair := func() uint32 {
				return uint32(bits(float64(r.IntN(33)-16))) | uint32(bits(float64(r.IntN(33)-16)))<<16
			}
			c := fill(128, func() uint32 { return math.Float32bits(float32(r.IntN(999) - 500)) })
			add(name, 1, [][]uint32{fill(128, pair), fill(64, pair), c}, 2, nil, true, false)
		}
		add("twin_cp_async", 1, [][]uint32{fill(128, r.Uint32), fill(32, func() uint32 { return uint32(r.IntN(17)) }), make([]uint32, 128)}, 2, nil, false, false)
		add("twin_ticket", 7, [][]uint32{{0, 0}, fill(28, r.Uint32), make([]uint32, 28), make([]uint32, 8)}, 3, nil, false, true)
		add("twin_ticket", 7, [][]uint32{{0, 0}, fill(28, r.Uint32), make([]uint32, 28), make([]uint32, 8)}, 2, nil, false, false)
	}
	const n = 1000
	values := make([]uint32, 2*n)
	for i := range n {
		v := math.Float64bits(math.Ldexp(r.NormFloat64(), r.IntN(60)-40))
		values[2*i], values[2*i+1] = uint32(v), uint32(v>>32)
	}
	for result := 1; result <= 3; result++ {
		add("twin_convert", 1, [][]uint32{values, make([]uint32, 65536), make([]uint32, n/2), make([]uint32, n)}, result, map[int]uint64{1: n}, result != 2, false)
	}
	slices.SortStableFunc(out, func(p, q twin) int { return strings.Compare(p.Name, q.Name) })
	return out
}

// TestDeviceTwins compares the instructions behind the kernels with what the
// emulation makes of them, which the file CAMBIUM_TWINS holds. With
// CAMBIUM_TWINS_WRITE it writes the file.
func TestDeviceTwins(t *testing.T) {
	got := twins(t, device(t))
	name := os.Getenv("CAMBIUM_TWINS")
	if name == "" {
		t.Skip("CAMBIUM_TWINS names no file to compare with")
	}
	if os.Getenv("CAMBIUM_TWINS_WRITE") != "" {
		data, err := json.Marshal(got)
		if err == nil {
			err = os.WriteFile(name, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var want []twin
	if err := json.Unmarshal(data, &want); err != nil || len(want) != len(got) {
		t.Fatalf("%d results in the file, %d here: %v", len(want), len(got), err)
	}
	nan := func(v uint32) bool { return v&0x7fffffff > 0x7f800000 }
	differ := 0
	for i, g := range got {
		for k, v := range g.Output {
			if w := want[i].Output[k]; v != w && (!g.floats || !nan(v) || !nan(w)) {
				t.Errorf("%s, launch %d, word %d: %#x here, %#x on the emulation", g.Name, i, k, v, w)
				differ++
				break
			}
		}
	}
	t.Logf("%d of %d launches differ", differ, len(got))
}

// TestDeviceConformance runs the contract's suite.
func TestDeviceConformance(t *testing.T) {
	device(t)
	kerneltest.Short(t, kerneltest.Target{Missing: Missing(), Weak: weak, Open: func(t testing.TB, _ int) kernels.Backend {
		b, err := Open(context.Background(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}})
}

// TestDeviceDeterminism runs each operation 100 times and compares all bits.
func TestDeviceDeterminism(t *testing.T) {
	b := device(t)
	for i, w := range workloads(t) {
		t.Run(w.name, func(t *testing.T) {
			var want []uint64
			for n := range 100 {
				w := workloads(t)[i]
				if err := w.run(b, kernels.Options{}); err != nil {
					t.Fatal(err)
				}
				if got := w.result(); n == 0 {
					want = got
				} else if !slices.Equal(got, want) {
					t.Fatalf("run %d gave other bits", n)
				}
			}
		})
	}
}

// TestDeviceMemory fills the device's memory for real and lets operations run in
// what is left of it.
func TestDeviceMemory(t *testing.T) {
	b := device(t)
	var held []kernels.Buffer
	for size := 1 << 30; size >= 1<<20; {
		buf, err := b.Alloc(background, kernels.Float32, 1, size/4)
		switch {
		case err == nil:
			held = append(held, buf)
		case errors.Is(err, kernels.ErrMemory):
			size /= 2
		default:
			t.Fatal(err)
		}
	}
	t.Logf("%d buffers, %d bytes", len(held), b.Info().Memory.InUse)
	for left := len(held) - 1; ; left-- { // with ever more memory given back
		refused := 0
		for _, w := range workloads(t) {
			if err := w.run(b, kernels.Options{}); errors.Is(err, kernels.ErrMemory) {
				refused++
			} else if err != nil {
				t.Fatalf("%s: %v", w.name, err)
			}
		}
		t.Logf("%d buffers held: %d operations refused", left+1, refused)
		if refused == 0 {
			return
		}
		if left < 0 {
			t.Fatal("operations are refused although the memory is free")
		}
		if err := held[left].Free(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeviceIllegal reads memory that is none, in a process of its own: the
// device is lost there, in the words of the contract, and serves here.
func TestDeviceIllegal(t *testing.T) {
	b := device(t)
	if os.Getenv("CAMBIUM_TEST_ILLEGAL") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestDeviceIllegal$", "-test.v")
		cmd.Env = append(os.Environ(), "CAMBIUM_TEST_ILLEGAL=1")
		out, err := cmd.CombinedOutput()
		t.Logf("the child:\n%s", out)
		if err != nil {
			t.Errorf("the child: %v", err)
		}
		for _, w := range workloads(t) {
			if err := w.run(b, kernels.Options{}); err != nil {
				t.Errorf("%s afterwards: %v", w.name, err)
			}
		}
		return
	}
	nowhere, err := kernels.Foreign(b.where, 1<<46, kernels.Float32, 1000, 1000, 1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	buf, err := b.Alloc(background, kernels.BFloat16, 1000, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Convert(background, buf.Matrix(), nowhere); !errors.Is(err, kernels.ErrLost) {
		t.Errorf("a read of memory that is none: %v", err)
	} else {
		t.Log(err)
	}
	for _, w := range workloads(t) {
		if err := w.run(b, kernels.Options{}); !errors.Is(err, kernels.ErrLost) {
			t.Errorf("%s on a lost device: %v", w.name, err)
		}
	}
}
