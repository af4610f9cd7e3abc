package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

// touched returns the bytes of a view, as offsets from base.
func touched(m Matrix, base uintptr) map[uintptr]bool {
	set := map[uintptr]bool{}
	for r := range m.Rows {
		for b := range m.Cols * m.DType.Size() {
			set[m.Address()-base+uintptr(r*m.Stride*m.DType.Size()+b)] = true
		}
	}
	return set
}

func intersect(a, b map[uintptr]bool) bool {
	for k := range a {
		if b[k] {
			return true
		}
	}
	return false
}

// randomView returns a view of random type, place, size and stride on size bytes
// of device memory at base.
func randomView(r *rand.Rand, base uintptr, size int) Matrix {
	dt := DType(r.IntN(len(dtypeNames)))
	n := size / dt.Size()
	for {
		rows, cols := r.IntN(8), r.IntN(12)
		stride, at := cols+r.IntN(30), r.IntN(n)
		if rows == 0 || cols == 0 || at+(rows-1)*stride+cols <= n {
			return must(Foreign(cuda0, base+uintptr(at*dt.Size()), dt, rows, cols, stride, nil))
		}
	}
}

// TestOverlapIsExact compares with sets of bytes.
func TestOverlapIsExact(t *testing.T) {
	const base, size = uintptr(cudaAddress), 512
	r := seeded(t, 2)
	var hits, interleaved int
	for range 20_000 {
		a, b := randomView(r, base, size), randomView(r, base, size)
		want := intersect(touched(a, base), touched(b, base))
		args := []operands{oneDst("a", a), one("b", b)}
		if _, _, found := findOverlap(args, false); found != want {
			t.Fatalf("%+v and %+v: overlap %v, want %v", a, b, found, want)
		}
		if !a.Empty() && !b.Empty() && (overlap(a, b) != want || overlap(b, a) != want) {
			t.Fatalf("%+v and %+v: overlap is not %v both ways", a, b, want)
		}
		aLo, aHi := a.byteRange()
		bLo, bHi := b.byteRange()
		if want {
			hits++
		} else if aLo < bHi && bLo < aHi {
			interleaved++
		}
	}
	if hits < 2000 || interleaved < 200 {
		t.Errorf("%d overlaps and %d interleaved views: too few to mean anything", hits, interleaved)
	}
}

func TestOverlapOfOneRowWithAnyStride(t *testing.T) {
	gap := must(Foreign(cuda0, cudaAddress, Float32, 2, 4, 16, nil))
	within := must(Foreign(cuda0, cudaAddress+32, Float32, 1, 4, math.MaxInt/8, nil))
	if overlap(gap, within) || overlap(within, gap) {
		t.Error("a row in the gap between two rows is taken for an overlap")
	}
}

// TestOverlapOfBatches compares whole argument lists with sets of bytes.
func TestOverlapOfBatches(t *testing.T) {
	const base, size = uintptr(cudaAddress), 4096
	r := seeded(t, 3)
	found := 0
	for range 3000 {
		args := []operands{manyDst("d", nil), many("x", nil), many("y", nil)}
		var all []map[uintptr]bool
		var dst []bool
		for p := range args {
			for range r.IntN(4) {
				m := randomView(r, base+uintptr(r.IntN(8)*512), 512)
				args[p].list = append(args[p].list, m)
				all, dst = append(all, touched(m, base)), append(dst, args[p].dst)
			}
		}
		want := false
		for i := range all {
			for j := range i {
				want = want || (dst[i] || dst[j]) && intersect(all[i], all[j])
			}
		}
		a, b, got := findOverlap(args, false)
		if got != want {
			t.Fatalf("%+v: overlap %v, want %v", args, got, want)
		}
		if !got {
			continue
		}
		found++
		if !a.arg.dst && !b.arg.dst || !intersect(touched(a.matrix(), base), touched(b.matrix(), base)) {
			t.Fatalf("%s and %s are named, wrongly", a.arg.label(a.index), b.arg.label(b.index))
		}
	}
	if found < 300 || found > 2700 {
		t.Errorf("%d of 3000 overlap: one side is hardly tested", found)
	}
}

func TestOverlapInPlace(t *testing.T) {
	m := must(Of(make([]float32, 64), 4, 8, 16))
	half := must(m.View(0, 0, 4, 4))
	low := must(m.View(1, 0, 3, 8))
	row := must(m.View(0, 0, 1, 8))
	rowStrided := row
	rowStrided.Stride = 8
	bits := m
	bits.DType, bits.Rows = Float64, 1
	same := must(Foreign(cuda0, m.Address(), Float32, 4, 8, 16, nil))
	other := must(Of(make([]float32, 64), 4, 8, 16))
	for _, c := range []struct {
		name   string
		dst, x []Matrix
		want   bool
	}{
		{"the same view", []Matrix{m}, []Matrix{m}, false},
		{"the same row by another stride", []Matrix{row}, []Matrix{rowStrided}, false},
		{"apart", []Matrix{m}, []Matrix{other}, false},
		{"same number on another device", []Matrix{m}, []Matrix{same}, false},
		{"fewer cols", []Matrix{m}, []Matrix{half}, true},
		{"shifted", []Matrix{must(m.View(0, 0, 3, 8))}, []Matrix{low}, true},
		{"another type", []Matrix{row}, []Matrix{bits}, true},
		{"another item's source", []Matrix{other, m}, []Matrix{m, other}, true},
		{"own source, which is also another item's", []Matrix{m, other}, []Matrix{m, m}, true},
		{"two destinations", []Matrix{m, m}, []Matrix{m, m}, true},
	} {
		args := []operands{manyDst("dst", c.dst), many("x", c.x)}
		if _, _, got := findOverlap(args, true); got != c.want {
			t.Errorf("%s: overlap %v, want %v", c.name, got, c.want)
		}
		if _, _, got := findOverlap(args, false); !got && c.name != "apart" && c.name != "same number on another device" {
			t.Errorf("%s: no overlap found where in place is not allowed", c.name)
		}
	}
}

// TestOverlapOfColumnBlocks checks that a long batch of interleaved views, one
// matrix cut into columns, is found disjoint, and one shifted block is not.
func TestOverlapOfColumnBlocks(t *testing.T) {
	m := must(Of(make([]float32, 100*64), 100, 64, 64))
	var blocks []Matrix
	for c := range 32 {
		blocks = append(blocks, must(m.View(0, 2*c, 100, 2)))
	}
	if a, b, found := findOverlap([]operands{manyDst("dst", blocks)}, false); found {
		t.Errorf("%s overlaps %s", a.arg.label(a.index), b.arg.label(b.index))
	}
	blocks[17] = must(m.View(99, 33, 1, 2)) // touches blocks 16 and 17 in the last row alone
	a, b, found := findOverlap([]operands{manyDst("dst", blocks)}, false)
	if !found || a.index != 16 && b.index != 16 {
		t.Errorf("got %v (%d, %d), want an overlap with block 16", found, a.index, b.index)
	}
}

// TestOverlapOfLongColumnBlocks checks views of equal strides whose rows nobody
// could visit one by one.
func TestOverlapOfLongColumnBlocks(t *testing.T) {
	const stride = 1024
	rows := math.MaxInt/8/stride - 8
	block := func(row, col, rows, cols int) Matrix {
		return must(Foreign(cuda0, cudaAddress+uintptr(4*(row*stride+col)), Float32, rows, cols, stride, nil))
	}
	for _, c := range []struct {
		name string
		a, b Matrix
		want bool
	}{
		{"side by side", block(0, 0, rows, 4), block(0, 4, rows, 4), false},
		{"one column shared", block(0, 0, rows, 4), block(0, 3, rows, 4), true},
		{"side by side, rows apart", block(0, 0, rows, 4), block(5, 4, rows, 4), false},
		{"shared, rows apart", block(0, 2, rows, 4), block(5, 0, rows, 3), true},
		{"into the next row", block(0, 0, rows, 4), block(0, 1020, rows, 5), true},
		{"up to the next row", block(0, 0, rows, 4), block(0, 1020, rows, 4), false},
		{"into a row that is not there", block(0, 0, 3, 4), block(2, 1020, rows, 5), false},
		{"after the last row", block(0, 0, 3, 4), block(3, 0, rows, 4), false},
		{"the last row", block(0, 0, 3, 4), block(2, 3, rows, 4), true},
	} {
		if overlap(c.a, c.b) != c.want || overlap(c.b, c.a) != c.want {
			t.Errorf("%s: overlap %v and %v, want %v", c.name, overlap(c.a, c.b), overlap(c.b, c.a), c.want)
		}
	}
}

// TestOverlapOfEqualStrides compares all small views of one stride with sets of
// bytes.
func TestOverlapOfEqualStrides(t *testing.T) {
	const base, stride = uintptr(cudaAddress), 5
	var views []Matrix
	var bytes []map[uintptr]bool
	for at := range uintptr(12) {
		for rows := 1; rows <= 3; rows++ {
			for cols := 1; cols <= stride; cols++ {
				m := must(Foreign(cuda0, base+4*at, Float32, rows, cols, stride, nil))
				views, bytes = append(views, m), append(bytes, touched(m, base))
			}
		}
	}
	for i, a := range views {
		for j, b := range views {
			if got, want := overlap(a, b), intersect(bytes[i], bytes[j]); got != want {
				t.Fatalf("%d x %d at %#x and %d x %d at %#x: overlap %v, want %v", a.Rows, a.Cols, a.Address(), b.Rows, b.Cols, b.Address(), got, want)
			}
		}
	}
}
