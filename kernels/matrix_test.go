package kernels

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// must returns the value of a constructor that cannot fail here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var sentinels = []error{ErrShape, ErrDevice, ErrAlias, ErrUnsupported, ErrMemory, ErrLost, ErrDegenerate, ErrClosed}

// wantError checks that err wraps want, no other sentinel, and contains text.
func wantError(t *testing.T, err, want error, text string) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Errorf("got %v, want no error", err)
		}
		return
	}
	for _, s := range sentinels {
		if errors.Is(err, s) != (s == want) {
			t.Errorf("got %v, want an error that wraps %q alone", err, want)
			return
		}
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("got %q, want it to say %q", err, text)
	}
	if strings.Count(err.Error(), "kernels:") > 1 {
		t.Errorf("%q names the package twice", err)
	}
}

const cudaAddress = 0x7f000000 // nothing reads it

var (
	cuda0 = Device{CUDA, 0}
	cuda1 = Device{CUDA, 1}
)

func TestOf(t *testing.T) {
	const most = math.MaxInt
	for _, c := range []struct {
		name                       string
		length, rows, cols, stride int
		want                       error
		says                       string
	}{
		{"dense", 12, 3, 4, 4, nil, ""},
		{"padded, last row short", 14, 3, 4, 5, nil, ""},
		{"one row, long stride", 4, 1, 4, 100, nil, ""},
		{"no rows", 0, 0, 4, 4, nil, ""},
		{"no cols", 0, 4, 0, 0, nil, ""},
		{"no rows, long stride", 0, 0, 4, most / 8, nil, ""},
		{"many empty rows", 0, most, 0, 0, nil, ""},
		{"one short", 13, 3, 4, 5, ErrShape, "Of: 3 x 4 f32 with stride 5 does not fit memory of 52 bytes"},
		{"no data", 0, 1, 1, 1, ErrShape, "does not fit memory of 0 bytes"},
		{"negative rows", 12, -1, 4, 4, ErrShape, "Of: size -1 x 4 is negative"},
		{"negative cols", 12, 3, -4, 4, ErrShape, "size 3 x -4 is negative"},
		{"stride below cols", 12, 3, 4, 3, ErrShape, "Of: stride 3 < cols 4"},
		{"negative stride", 12, 1, 4, -4, ErrShape, "stride -4 < cols 4"},
		{"rows overflow", 12, most, 4, 4, ErrShape, "does not fit"},
		{"rows by stride wraps to 0", 12, 1<<(intBits-6) + 1, 1, 64, ErrShape, "does not fit"},
		{"bytes overflow", 12, most/8 + 1, 1, 1, ErrShape, "does not fit"},
		{"last row overflows", 12, 2, most / 8, most / 8, ErrShape, "does not fit"},
		{"stride overflow", 12, 1, 4, most/8 + 1, ErrShape, "has more bytes than an address can count"},
		{"all overflow", 12, most, most, most, ErrShape, "more bytes than an address can count"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Of(make([]float32, c.length), c.rows, c.cols, c.stride)
			wantError(t, err, c.want, c.says)
			if c.want != nil {
				if m != (Matrix{}) {
					t.Errorf("got %+v with the error, want the zero Matrix", m)
				}
				return
			}
			if m.Rows != c.rows || m.Cols != c.cols || m.Stride != c.stride || m.DType != Float32 || m.Device != (Device{}) {
				t.Errorf("got %+v", m)
			}
		})
	}
}

const intBits = 32 << (^uint(0) >> 63)

func TestOfTypes(t *testing.T) {
	f32, f64, half := []float32{1, 2, 3}, []float64{1, 2, 3}, []uint16{1, 2, 3}
	for _, c := range []struct {
		name string
		m    Matrix
		dt   DType
		ptr  unsafe.Pointer
	}{
		{"f32", must(Of(f32, 1, 3, 3)), Float32, unsafe.Pointer(&f32[0])},
		{"f64", must(Of(f64, 1, 3, 3)), Float64, unsafe.Pointer(&f64[0])},
		{"f16", must(OfBits(Float16, half, 1, 3, 3)), Float16, unsafe.Pointer(&half[0])},
		{"bf16", must(OfBits(BFloat16, half, 1, 3, 3)), BFloat16, unsafe.Pointer(&half[0])},
	} {
		if c.m.DType != c.dt || c.m.Address() != uintptr(c.ptr) || c.m.Pointer() != c.ptr {
			t.Errorf("%s: got type %s at %#x, want %s at %p", c.name, c.m.DType, c.m.Address(), c.dt, c.ptr)
		}
	}
	for _, dt := range []DType{Float32, Float64, 4, 255} {
		m, err := OfBits(dt, half, 1, 3, 3)
		wantError(t, err, ErrUnsupported, "OfBits: type "+dt.String()+" is not a 16-bit type")
		if m != (Matrix{}) {
			t.Errorf("OfBits(%s): got %+v with the error", dt, m)
		}
	}
	_, err := OfBits(Float16, half, 2, 2, 2)
	wantError(t, err, ErrShape, "OfBits: 2 x 2 f16 with stride 2 does not fit memory of 6 bytes")
}

func TestForeign(t *testing.T) {
	const top = math.MaxUint &^ 0xff
	for _, c := range []struct {
		name               string
		dev                Device
		ptr                uintptr
		dt                 DType
		rows, cols, stride int
		want               error
		says               string
	}{
		{"device", cuda0, cudaAddress, Float32, 3, 4, 8, nil, ""},
		{"device, 2-byte aligned", cuda1, cudaAddress + 2, BFloat16, 3, 4, 8, nil, ""},
		{"empty, any address", cuda0, 7, Float64, 0, 4, 4, nil, ""},
		{"empty on the host, any address", Device{}, 3, Float64, 4, 0, 0, nil, ""},
		{"up to the end of the address space", cuda0, top, Float32, 1, 63, 63, nil, ""},
		{"nil", cuda0, 0, Float32, 1, 1, 1, ErrShape, "Foreign: 1 x 1 without memory"},
		{"nil on the host", Device{}, 0, Float32, 1, 1, 1, ErrShape, "1 x 1 without memory"},
		{"first page on the host", Device{}, 8, Float32, 1, 1, 1, ErrShape, "1 x 1 without memory"},
		{"misaligned f64", cuda0, cudaAddress + 4, Float64, 1, 1, 1, ErrShape, "aligned"},
		{"misaligned f16", cuda0, cudaAddress + 1, Float16, 1, 1, 1, ErrShape, "aligned"},
		{"wraps", cuda0, top, Float32, 1, 65, 65, ErrShape, "260 bytes of f32: misaligned or beyond the address space"},
		{"negative", cuda0, cudaAddress, Float32, -1, 1, 1, ErrShape, "Foreign: size -1 x 1 is negative"},
		{"stride", cuda0, cudaAddress, Float32, 2, 4, 3, ErrShape, "stride 3 < cols 4"},
		{"huge", cuda0, cudaAddress, Float32, math.MaxInt, math.MaxInt / 8, math.MaxInt / 8, ErrShape, "does not fit"},
		{"type", cuda0, cudaAddress, 9, 1, 1, 1, ErrUnsupported, "Foreign: dtype(9)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Foreign(c.dev, c.ptr, c.dt, c.rows, c.cols, c.stride, nil)
			wantError(t, err, c.want, c.says)
			switch {
			case c.want != nil && m != Matrix{}:
				t.Errorf("got %+v with the error", m)
			case c.want == nil && m.Empty() && m.Address() != 0:
				t.Errorf("empty matrix at %#x, want no address", m.Address())
			case c.want == nil && !m.Empty() && m.Address() != c.ptr:
				t.Errorf("at %#x, want %#x", m.Address(), c.ptr)
			}
		})
	}
}

// TestForeignKeepsAlive checks that a view, and a view on it, hold keep.
func TestForeignKeepsAlive(t *testing.T) {
	freed := make(chan struct{})
	view := func() Matrix {
		owner := &[4]float32{1, 2, 3, 4}
		runtime.AddCleanup(owner, func(c chan struct{}) { close(c) }, freed)
		m := must(Foreign(cuda0, cudaAddress, Float32, 2, 2, 2, owner))
		return must(m.View(1, 0, 1, 2))
	}()
	for range 3 {
		runtime.GC()
	}
	select {
	case <-freed:
		t.Fatal("the owner was collected although a view holds it")
	default:
	}
	if view.Cols != 2 {
		t.Errorf("view is %+v", view)
	}
	runtime.KeepAlive(view)
	view = Matrix{}
	runtime.GC()
	<-freed // hangs, and fails by the test's time limit, if the view were held elsewhere
}

func TestForeignHost(t *testing.T) {
	data := make([]float64, 6)
	m := must(Foreign(Device{}, uintptr(unsafe.Pointer(&data[0])), Float64, 2, 3, 3, data))
	s := must(Floats[float64](m))
	s[5] = 42
	if data[5] != 42 || len(s) != 6 {
		t.Errorf("writing through the view left %v, length %d", data, len(s))
	}
}

// TestTampering changes fields after construction: all that is not a view on
// the same memory must be refused.
func TestTampering(t *testing.T) {
	host := must(OfBits(Float16, make([]uint16, 64), 4, 8, 16)) // spans 56 of 64
	dev := must(Foreign(cuda0, cudaAddress, Float32, 4, 8, 16, nil))
	odd := must(must(Foreign(cuda0, cudaAddress, Float16, 4, 8, 16, nil)).View(0, 1, 4, 4))
	for _, c := range []struct {
		name string
		m    Matrix
		edit func(*Matrix)
		want error
		says string
	}{
		{"fewer rows", host, func(m *Matrix) { m.Rows = 2 }, nil, ""},
		{"fewer cols", host, func(m *Matrix) { m.Cols = 1 }, nil, ""},
		{"into the padding", host, func(m *Matrix) { m.Cols = 16 }, nil, ""},
		{"reshape", host, func(m *Matrix) { m.Rows, m.Cols, m.Stride = 1, 64, 64 }, nil, ""},
		{"same width", host, func(m *Matrix) { m.DType = BFloat16 }, nil, ""},
		{"empty elsewhere", host, func(m *Matrix) { m.Rows, m.Device = 0, cuda1 }, nil, ""},
		{"more rows", host, func(m *Matrix) { m.Rows = 5 }, ErrShape, "5 x 8 f16 with stride 16 does not fit memory of 128 bytes"},
		{"negative rows", host, func(m *Matrix) { m.Rows = -4 }, ErrShape, "negative"},
		{"most rows", host, func(m *Matrix) { m.Rows = math.MaxInt }, ErrShape, "does not fit"},
		{"more cols", host, func(m *Matrix) { m.Cols = 17 }, ErrShape, "stride 16 < cols 17"},
		{"longer stride", host, func(m *Matrix) { m.Stride = 19 }, ErrShape, "does not fit"},
		{"shorter stride", host, func(m *Matrix) { m.Stride = 7 }, ErrShape, "stride 7 < cols 8"},
		{"wider type", host, func(m *Matrix) { m.DType = Float32 }, ErrShape, "does not fit"},
		{"unknown type", host, func(m *Matrix) { m.DType = 4 }, ErrUnsupported, "dtype(4)"},
		{"host memory as device memory", host, func(m *Matrix) { m.Device = cuda0 }, ErrDevice, "device cuda:0 for memory on host"},
		{"device memory as host memory", dev, func(m *Matrix) { m.Device = Device{} }, ErrDevice, "device host for memory on cuda:0"},
		{"another device", dev, func(m *Matrix) { m.Device = cuda1 }, ErrDevice, "device cuda:1 for memory on cuda:0"},
		{"device: beyond what was vouched for", dev, func(m *Matrix) { m.Cols = 9 }, ErrShape, "4 x 9 f32 with stride 16 does not fit memory of 224 bytes"},
		{"misaligned", odd, func(m *Matrix) { m.DType, m.Rows, m.Cols = Float64, 1, 1 }, ErrShape, "is not aligned for f64"},
		{"zero value with a size", Matrix{}, func(m *Matrix) { m.Rows, m.Cols, m.Stride = 1, 1, 1 }, ErrShape, "memory of 0 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.m
			c.edit(&m)
			wantError(t, m.Validate(), c.want, c.says)
			_, viewErr := m.View(0, 0, 0, 0)
			wantError(t, viewErr, c.want, c.says)
			if m.Device == (Device{}) && m.DType.Size() == 2 {
				_, err := Bits(m)
				wantError(t, err, c.want, c.says)
			}
		})
	}
	if err := (Matrix{}).Validate(); err != nil {
		t.Errorf("the zero Matrix: %v", err)
	}
}

func TestView(t *testing.T) {
	data := make([]float32, 4*7)
	for i := range data {
		data[i] = float32(i)
	}
	m := must(Of(data, 4, 5, 7))
	d := must(Foreign(cuda0, cudaAddress, Float16, 4, 5, 7, nil))
	for row := range 5 {
		for col := range 6 {
			for rows := range 5 - row {
				for cols := range 6 - col {
					v, err := m.View(row, col, rows, cols)
					w, errDevice := d.View(row, col, rows, cols)
					if err != nil || errDevice != nil {
						t.Fatalf("%d x %d at (%d, %d): %v, %v", rows, cols, row, col, err, errDevice)
					}
					s, err := Floats[float32](v)
					if err != nil {
						t.Fatal(err)
					}
					if rows == 0 || cols == 0 {
						if len(s) != 0 || !v.Empty() || !w.Empty() || w.Address() != d.Address() {
							t.Fatalf("empty view %+v with %d elements", v, len(s))
						}
						continue
					}
					if want := cudaAddress + uintptr(2*(row*7+col)); w.Address() != want || w.Device != cuda0 {
						t.Fatalf("device view at %#x on %s, want %#x", w.Address(), w.Device, want)
					}
					if len(s) != (rows-1)*7+cols || s[0] != float32(row*7+col) || s[len(s)-1] != float32((row+rows-1)*7+col+cols-1) {
						t.Fatalf("%d x %d at (%d, %d) spans %v", rows, cols, row, col, s)
					}
				}
			}
		}
	}
	const most = math.MaxInt
	for _, c := range [][4]int{
		{-1, 0, 1, 1},
		{0, -1, 1, 1},
		{0, 0, -1, 1},
		{0, 0, 1, -1},
		{4, 0, 1, 1},
		{0, 5, 1, 1},
		{0, 0, 5, 1},
		{0, 0, 1, 6},
		{5, 0, 0, 0},
		{0, 6, 0, 0},
		{most, 0, most, 1},
		{0, most, 1, most},
		{1, 1, most, most},
	} {
		v, err := m.View(c[0], c[1], c[2], c[3])
		wantError(t, err, ErrShape, "View: ")
		if v != (Matrix{}) {
			t.Errorf("View(%v) gives %+v with the error", c, v)
		}
	}
	_, err := m.View(2, 3, 3, 1)
	wantError(t, err, ErrShape, "kernels: View: 3 x 1 at (2, 3) of 4 x 5")
}

func TestViewOfViewKeepsItsMemory(t *testing.T) {
	m := must(must(Of(make([]float64, 100), 10, 10, 10)).View(5, 5, 3, 3))
	m.Rows = 6
	wantError(t, m.Validate(), ErrShape, "6 x 3 f64 with stride 10 does not fit memory of 360 bytes")
	m.Rows = 5
	if s := must(Floats[float64](m)); len(s) != 43 {
		t.Errorf("5 x 3 with stride 10 spans %d elements, want 43", len(s))
	}
}

func TestFloatsAndBits(t *testing.T) {
	f32, f64, half := make([]float32, 5), make([]float64, 5), []uint16{1, 2, 3, 4, 5}
	m32, m64 := must(Of(f32, 2, 2, 3)), must(Of(f64, 2, 2, 3))
	mh, dev := must(OfBits(Float16, half, 2, 2, 3)), must(Foreign(cuda0, cudaAddress, Float32, 2, 2, 3, nil))
	if dev.Pointer() != nil {
		t.Errorf("device memory has the host pointer %p", dev.Pointer())
	}
	devHalf := must(Foreign(cuda0, cudaAddress, Float16, 2, 2, 3, nil))

	must(Floats[float32](m32))[4] = 8
	must(Floats[float64](m64))[4] = 9
	if f32[4] != 8 || f64[4] != 9 {
		t.Errorf("Floats does not share memory: %v, %v", f32, f64)
	}
	if got := must(Bits(mh)); !slices.Equal(got, half) {
		t.Errorf("Bits gives %v, want %v", got, half)
	}
	broken := m32
	broken.Rows = 3
	for _, c := range []struct {
		err  func() error
		want error
		says string
	}{
		{func() error { _, err := Floats[float64](m32); return err }, ErrUnsupported, "Floats: matrix is f32, not f64"},
		{func() error { _, err := Floats[float32](m64); return err }, ErrUnsupported, "Floats: matrix is f64, not f32"},
		{func() error { _, err := Floats[float32](mh); return err }, ErrUnsupported, "Floats: matrix is f16, not f32"},
		{func() error { _, err := Bits(m32); return err }, ErrUnsupported, "Bits: matrix is f32, not a 16-bit type"},
		{func() error { _, err := Floats[float32](dev); return err }, ErrDevice, "Floats: matrix is on cuda:0"},
		{func() error { _, err := Bits(devHalf); return err }, ErrDevice, "Bits: matrix is on cuda:0"},
		{func() error { _, err := Floats[float32](broken); return err }, ErrShape, "Floats: 3 x 2 f32"},
	} {
		wantError(t, c.err(), c.want, c.says)
	}
	if s, err := Floats[float32](Matrix{}); err != nil || len(s) != 0 {
		t.Errorf("Floats of the zero Matrix: %v, %v", s, err)
	}
}

// FuzzView compares constructor, view and tampered view with arithmetic that
// cannot overflow.
func FuzzView(f *testing.F) {
	f.Add(100, 10, 10, 10, 2, 3, 4, 5, 10)
	f.Add(1, math.MaxInt, 0, 0, 1, 0, 1, 0, math.MinInt)
	f.Add(64, 1, 8, math.MaxInt/8, 0, 8, 1, 0, math.MaxInt)
	f.Add(0, 3, -1, 4, -1, math.MinInt, math.MaxInt, 1, 3)
	f.Fuzz(func(t *testing.T, length, rows, cols, stride, row, col, vRows, vCols, tampered int) {
		length &= 1<<12 - 1
		data := make([]float32, length)
		fits := func(length, rows, cols, stride int) bool {
			if rows < 0 || cols < 0 || stride < cols || stride > math.MaxInt/8 {
				return false
			}
			return rows == 0 || cols == 0 || cols <= length && (rows == 1 || (length-cols)/stride >= rows-1)
		}
		m, err := Of(data, rows, cols, stride)
		if (err == nil) != fits(length, rows, cols, stride) {
			t.Fatalf("Of(%d floats, %d, %d, %d): %v", length, rows, cols, stride, err)
		}
		if err != nil {
			wantError(t, err, ErrShape, "kernels: Of: ")
			return
		}
		within := func(at, n, most int) bool { return at >= 0 && n >= 0 && at <= most && n <= most-at }
		v, err := m.View(row, col, vRows, vCols)
		if (err == nil) != (within(row, vRows, rows) && within(col, vCols, cols)) {
			t.Fatalf("View(%d, %d, %d, %d) of %d x %d: %v", row, col, vRows, vCols, rows, cols, err)
		}
		if err != nil {
			wantError(t, err, ErrShape, "kernels: View: ")
			return
		}
		s := must(Floats[float32](v))
		if v.Empty() {
			if len(s) != 0 {
				t.Fatalf("empty view with %d elements", len(s))
			}
			return
		}
		first := row*stride + col
		if want := data[first : first+(vRows-1)*stride+vCols]; &s[0] != &want[0] || len(s) != len(want) {
			t.Fatalf("the view spans %d elements, want %d from %d on", len(s), len(want), first)
		}
		for _, edit := range []func(*Matrix){
			func(m *Matrix) { m.Rows = tampered },
			func(m *Matrix) { m.Cols = tampered },
			func(m *Matrix) { m.Stride = tampered },
		} {
			e := v
			edit(&e)
			if err := e.Validate(); (err == nil) != fits(length-first, e.Rows, e.Cols, e.Stride) {
				t.Fatalf("%d x %d with stride %d, %d elements: %v", e.Rows, e.Cols, e.Stride, length-first, err)
			}
		}
	})
}
