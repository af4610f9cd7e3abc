//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/cuda/fakecuda"
	"github.com/cambium-kernels/cambium/kernels"
)

// A workload is a call with its data; result is what it computed, bit by bit.
type workload struct {
	name   string
	run    func(b kernels.Backend, o kernels.Options) error
	result func() []uint64
}

var background = context.Background()

func hostFloats(t testing.TB, r *rand.Rand, rows, cols, stride int) (kernels.Matrix, []float32) {
	t.Helper()
	data := make([]float32, rows*stride)
	for i := range data {
		data[i] = float32(r.IntN(17) - 8)
	}
	m, err := kernels.Of(data, rows, cols, stride)
	if err != nil {
		t.Fatal(err)
	}
	return m, data
}

func hostBits(t testing.TB, r *rand.Rand, dt kernels.DType, rows, cols int) (kernels.Matrix, []uint16) {
	t.Helper()
	data := make([]uint16, rows*cols)
	for i := range data {
		data[i] = kernels.Float64ToFloat16(float64(r.IntN(17) - 8))
		if dt == kernels.BFloat16 {
			data[i] = kernels.Float64ToBFloat16(float64(r.IntN(17) - 8))
		}
	}
	m, err := kernels.OfBits(dt, data, rows, cols, cols)
	if err != nil {
		t.Fatal(err)
	}
	return m, data
}

func words32(data []float32) func() []uint64 {
	return func() []uint64 {
		out := make([]uint64, len(data))
		for i, v := range data {
			out[i] = uint64(math.Float32bits(v))
		}
		return out
	}
}

func words16(data []uint16) func() []uint64 {
	return func() []uint64 {
		out := make([]uint64, len(data))
		for i, v := range data {
			out[i] = uint64(v)
		}
		return out
	}
}

func list(m ...kernels.Matrix) []kernels.Matrix { return m }

// workloads returns a call of every operation that reaches the device, on fresh
// data. Results are sums of integers, exact in any order.
func workloads(t testing.TB) []workload {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	var out []workload

	x, _ := hostFloats(t, r, 40, 30, 33)
	back, backData := hostFloats(t, r, 40, 30, 30)
	out = append(out, workload{"Alloc, Copy", func(b kernels.Backend, _ kernels.Options) error {
		buf, err := b.Alloc(background, kernels.Float32, 40, 30)
		if err != nil {
			return err
		}
		other, err := b.Alloc(background, kernels.Float32, 40, 30)
		if err == nil {
			err = b.Copy(background, buf.Matrix(), x)
		}
		if err == nil {
			err = b.Copy(background, other.Matrix(), buf.Matrix())
		}
		if err == nil {
			err = b.Copy(background, back, other.Matrix())
		}
		for _, p := range []kernels.Buffer{buf, other} {
			if p != nil && err == nil {
				err = p.Free()
			} else if p != nil {
				_ = p.Free()
			}
		}
		return err
	}, words32(backData)})

	queuedX, _ := hostFloats(t, r, 60, 20, 20)
	queuedD, queuedData := hostFloats(t, r, 60, 60, 60)
	out = append(out, workload{"On a stream", func(b kernels.Backend, _ kernels.Options) error {
		if !fakecuda.Open() {
			return nil // its stream comes from the fake driver
		}
		var held []kernels.Buffer
		defer func() {
			for _, buf := range held {
				_ = buf.Free()
			}
		}()
		var m []kernels.Matrix
		for _, size := range [][2]int{{60, 20}, {60, 60}, {60, 60}} {
			buf, err := b.Alloc(background, kernels.Float32, size[0], size[1])
			if err != nil {
				return err
			}
			held, m = append(held, buf), append(m, buf.Matrix())
		}
		if err := b.Copy(background, m[0], queuedX); err != nil {
			return err
		}
		on := kernels.Options{Stream: fakecuda.Stream()}
		for _, d := range m[1:] {
			if err := b.Gram(background, list(d), list(m[0]), 1, 0, kernels.Full, on); err != nil {
				return err
			}
		}
		if err := held[1].Free(); err != nil { // while it is queued
			return err
		}
		return b.Copy(background, queuedD, m[2])
	}, words32(queuedData)})

	half, halfData := hostBits(t, r, kernels.BFloat16, 40, 30)
	out = append(out, workload{"Convert", func(b kernels.Backend, _ kernels.Options) error {
		return b.Convert(background, half, x)
	}, words16(halfData)})

	// alpha and beta that read the old content; items enough for several pieces
	var xs, ds []kernels.Matrix
	var data [][]float32
	for i := range 3 {
		n := 150 + 10*i
		m, _ := hostFloats(t, r, n, 20, 20)
		d, values := hostFloats(t, r, n, n, n+3)
		xs, ds, data = append(xs, m), append(ds, d), append(data, values)
	}
	all := func() []uint64 {
		var out []uint64
		for _, d := range data {
			out = append(out, words32(d)()...)
		}
		return out
	}
	old := slices.Clone(data)
	for i := range old {
		old[i] = slices.Clone(data[i])
	}
	out = append(out, workload{"Gram", func(b kernels.Backend, o kernels.Options) error {
		for i := range old {
			copy(data[i], old[i])
		}
		return b.Gram(background, ds, xs, 2, -1, kernels.Full, o)
	}, all})

	packed, packedData := hostBits(t, r, kernels.Float16, 1, 150*151/2)
	hx, _ := hostBits(t, r, kernels.Float16, 150, 40)
	packedOld := slices.Clone(packedData)
	out = append(out, workload{"Gram packed", func(b kernels.Backend, o kernels.Options) error {
		copy(packedData, packedOld)
		return b.Gram(background, list(packed), list(hx), 1, 0.5, kernels.PackedLower, o)
	}, words16(packedData)})

	wide, wideData := hostFloats(t, r, 70, 300, 301)
	cx, _ := hostFloats(t, r, 70, 300, 300)
	stats := kernels.RowStats{Mean: make([]float64, 300), SquaredNorm: make([]float64, 70), ColumnSquares: make([]float64, 300)}
	out = append(out, workload{"Center", func(b kernels.Backend, o kernels.Options) error {
		return b.Center(background, list(wide, back), list(cx, x), []kernels.RowStats{stats, {}}, o)
	}, func() []uint64 {
		out := append(words32(wideData)(), words32(backData)()...)
		for _, s := range [][]float64{stats.Mean, stats.SquaredNorm, stats.ColumnSquares} {
			for _, v := range s {
				out = append(out, math.Float64bits(v))
			}
		}
		return out
	}})

	for form := range kernels.Form(3) {
		const m, n, k = 150, 140, 20
		shapeA, shapeB := [2]int{m, k}, [2]int{k, n}
		if form == kernels.TN {
			shapeA = [2]int{k, m}
		}
		if form == kernels.NT {
			shapeB = [2]int{n, k}
		}
		a, _ := hostFloats(t, r, shapeA[0], shapeA[1], shapeA[1]+1)
		c, _ := hostFloats(t, r, shapeB[0], shapeB[1], shapeB[1])
		d, values := hostFloats(t, r, m, n, n)
		out = append(out, workload{fmt.Sprintf("Matmul %s", form), func(b kernels.Backend, o kernels.Options) error {
			return b.Matmul(background, list(d), list(a), list(c), form, 1, 0, o)
		}, words32(values)})
	}

	values := make([]kernels.RotationValue, 3)
	var ws []kernels.Matrix
	for i := range 3 {
		w, _ := hostFloats(t, r, 50, 33*(i+1), 33*(i+1))
		ws = append(ws, w)
	}
	out = append(out, workload{"Rotation", func(b kernels.Backend, o kernels.Options) error {
		clear(values)
		return b.Rotation(background, values, ws, []kernels.Matrix{ws[0], ws[1], ws[2]}, o)
	}, func() []uint64 {
		var out []uint64
		for _, v := range values {
			for _, f := range []float64{v.Dot, v.Norm0, v.NormT, v.Distance} {
				out = append(out, math.Float64bits(f))
			}
		}
		return out
	}})
	return out
}
