package kerneltest

import (
	"errors"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

func testMemory(s *suite, t *testing.T) {
	t.Run("alloc", func(t *testing.T) {
		before := s.b.Info().Memory.InUse
		var all []kernels.Buffer
		for _, dt := range dtypes {
			for _, p := range [][2]int{{0, 0}, {0, 5}, {1, 1}, {7, 33}, {129, 1}} {
				buf, err := s.b.Alloc(background(), dt, p[0], p[1])
				if err != nil {
					t.Fatalf("%s %v: %v", dt, p, err)
				}
				m := buf.Matrix()
				if m.Rows != p[0] || m.Cols != p[1] || m.DType != dt || m.Device != s.info.Device || m.Validate() != nil {
					t.Fatalf("buffer %+v for %s %v", m, dt, p)
				}
				back := random(t, dt, p[0], p[1], layouts[1], func() float64 { return 1 })
				s.do(t, s.b.Copy(background(), back.m, m), kernels.Float32)
				for _, v := range back.floats() {
					if v != 0 {
						t.Fatalf("%s %v is not zeroed: %v", dt, p, v)
					}
				}
				all = append(all, buf)
			}
		}
		if got := s.b.Info().Memory; got.InUse <= before || got.Peak < got.InUse {
			t.Errorf("memory %+v after allocations, in use before: %d", got, before)
		}
		for range 2 { // a second Free does nothing
			for _, buf := range all {
				if err := buf.Free(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := s.b.Info().Memory.InUse; got != before {
			t.Errorf("%d bytes in use after Free, %d before", got, before)
		}
	})
	t.Run("too much", func(t *testing.T) {
		for _, p := range [][2]int{{math.MaxInt, math.MaxInt}, {math.MaxInt / 8, 1}, {1 << 20, math.MaxInt >> 20}} {
			if _, err := s.b.Alloc(background(), kernels.Float64, p[0], p[1]); !errors.Is(err, kernels.ErrMemory) {
				t.Errorf("%v: %v, want out of memory", p, err)
			}
		}
	})
	t.Run("copy", func(t *testing.T) {
		r := s.rng(t)
		for _, dt := range dtypes {
			src := random(t, dt, 37, 91, layouts[2], gaussian(r))
			for i := range 20 { // any bits, NaN payloads too
				src.setBits(src.index(i, 3*i), r.Uint64())
			}
			src.setBits(src.index(36, 90), src.sentinel())
			buf, err := s.b.Alloc(background(), dt, 37, 91)
			if err != nil {
				t.Fatal(err)
			}
			dst := newGuarded(t, dt, 37, 91, 95, 3)
			s.do(t, s.b.Copy(background(), buf.Matrix(), src.m), kernels.Float32)
			s.do(t, s.b.Copy(background(), dst.m, buf.Matrix()), kernels.Float32)
			dst.intact(t, "copy")
			for i := range 37 {
				for j := range 91 {
					if a, b := src.bits(src.index(i, j)), dst.bits(dst.index(i, j)); a != b {
						t.Fatalf("%s (%d, %d): %#x became %#x", dt, i, j, a, b)
					}
				}
			}
			if err := buf.Free(); err != nil {
				t.Fatal(err)
			}
		}
	})
	if !s.has(kernels.OpMatmul) {
		return
	}
	t.Run("buffers as operands", func(t *testing.T) {
		r := s.rng(t)
		x := random(t, kernels.Float32, 70, 40, layouts[1], gaussian(r))
		buf, err := s.b.Alloc(background(), kernels.Float32, 70, 40)
		if err != nil {
			t.Fatal(err)
		}
		s.do(t, s.b.Copy(background(), buf.Matrix(), x.m), kernels.Float32)
		fromHost := newGuarded(t, kernels.Float32, 70, 70, 70, 0)
		fromBuffer := newGuarded(t, kernels.Float32, 70, 70, 70, 0)
		s.do(t, s.b.Matmul(background(), matrices([]*guarded{fromHost}), []kernels.Matrix{x.m}, []kernels.Matrix{x.m}, kernels.NT, 1, 0, kernels.Options{}), kernels.Float32)
		s.do(t, s.b.Matmul(background(), matrices([]*guarded{fromBuffer}), []kernels.Matrix{buf.Matrix()}, []kernels.Matrix{x.m}, kernels.NT, 1, 0, kernels.Options{}), kernels.Float32)
		fromBuffer.unchanged(t, "product of a buffer against that of the host", fromHost.snapshot())
		if err := buf.Free(); err != nil {
			t.Fatal(err)
		}
	})
}
