package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// tensorOver returns a tensor over bytes that start at offset.
func tensorOver(b []byte, t DType, offset int64, shape ...int) *Tensor {
	count := 1
	for _, d := range shape {
		count *= d
	}
	return &Tensor{Name: "x", DType: t, Shape: shape, source: bytes.NewReader(b), offset: offset, count: count}
}

// swapped returns b with the bytes of each part turned around.
func swapped(b []byte, part int) []byte {
	b = bytes.Clone(b)
	for i := 0; i+part <= len(b); i += part {
		slices.Reverse(b[i : i+part])
	}
	return b
}

// part is what byte order applies to: a component of a complex number.
func part(t DType) int {
	if t == C64 || t == C128 {
		return t.Size() / 2
	}
	return t.Size()
}

var allTypes = []DType{Bool, U8, U16, U32, U64, I8, I16, I32, I64, F8E4M3, F8E5M2, F16, BF16, F32, F64, C64, C128, F8E8M0, F8E4M3FNUZ, F8E5M2FNUZ}

func TestDTypes(t *testing.T) {
	sizes := map[DType]int{
		Invalid: 0, Bool: 1, U8: 1, I8: 1, F8E4M3: 1, F8E5M2: 1, U16: 2, I16: 2, F16: 2, BF16: 2,
		U32: 4, I32: 4, F32: 4, U64: 8, I64: 8, F64: 8, C64: 8, C128: 16, F8E8M0: 1, F8E4M3FNUZ: 1, F8E5M2FNUZ: 1, F8E5M2FNUZ + 1: 0, 255: 0,
	}
	for dtype, size := range sizes {
		if dtype.Size() != size {
			t.Errorf("%s: %d bytes, want %d", dtype, dtype.Size(), size)
		}
	}
	names := "invalid BOOL U8 U16 U32 U64 I8 I16 I32 I64 F8_E4M3 F8_E5M2 F16 BF16 F32 F64 C64 C128 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ DType(21) DType(255)"
	var got []string
	for dtype := Invalid; dtype <= F8E5M2FNUZ+1; dtype++ {
		got = append(got, dtype.String())
	}
	got = append(got, DType(255).String())
	if s := strings.Join(got, " "); s != names {
		t.Errorf("names %s, want %s", s, names)
	}
	for _, dtype := range allTypes {
		name := dtype.String()
		float := slices.Contains([]string{"F16", "BF16", "F32", "F64"}, name)
		integer := name == "BOOL" || name[0] == 'U' || name[0] == 'I'
		if dtype.Float() != float || dtype.integer() != integer {
			t.Errorf("%s: Float %v, integer %v; want %v, %v", dtype, dtype.Float(), dtype.integer(), float, integer)
		}
	}
	if Invalid.integer() || Invalid.Float() {
		t.Error("the invalid type is a number")
	}
}

// TestValues reads known bytes of every type in both byte orders.
func TestValues(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		dtype  DType
		hex    string // little endian
		floats []float64
		ints   []int64 // nil if the type is none of the integers
	}{
		{Bool, "0001", []float64{0, 1}, []int64{0, 1}},
		{U8, "0080ff", []float64{0, 128, 255}, []int64{0, 128, 255}},
		{I8, "007f80ff", []float64{0, 127, -128, -1}, []int64{0, 127, -128, -1}},
		{U16, "01020080ffff", []float64{513, 32768, 65535}, []int64{513, 32768, 65535}},
		{I16, "01020080ffff", []float64{513, -32768, -1}, []int64{513, -32768, -1}},
		{U32, "0102030400000080ffffffff", []float64{67305985, 1 << 31, 1<<32 - 1}, []int64{67305985, 1 << 31, 1<<32 - 1}},
		{I32, "0102030400000080ffffffff", []float64{67305985, -1 << 31, -1}, []int64{67305985, -1 << 31, -1}},
		{U64, "0102030405060000ffffffffffffff7f", []float64{6618611909121, 1 << 63}, []int64{6618611909121, math.MaxInt64}},
		{I64, "01020304050600000000000000000080ffffffffffffffff", []float64{6618611909121, -1 << 63, -1}, []int64{6618611909121, math.MinInt64, -1}},
		{F16, "003c00c001000004ff7b007c00fc017e0080ff03", []float64{1, -2, 0x1p-24, 0x1p-14, 65504, inf, -inf, nan, math.Copysign(0, -1), 0x3ffp-24}, nil},
		{BF16, "803f20c001007f7f807f80ffc17f", []float64{1, -2.5, 0x1p-133, 0xffp120, inf, -inf, nan}, nil},
		{F32, "0000803f00001cc101000000ffff7f7f0000807f0000c07f", []float64{1, -9.75, 0x1p-149, math.MaxFloat32, inf, nan}, nil},
		{F64, "000000000000f03f0100000000000000000000000000f0ff", []float64{1, 0x1p-1074, -inf}, nil},
	} {
		var little []byte
		if _, err := fmt.Sscanf(c.hex, "%x", &little); err != nil {
			t.Fatal(err)
		}
		for _, big := range []bool{false, true} {
			file := little
			if big {
				file = swapped(little, part(c.dtype))
			}
			x := tensorOver(append([]byte("xyz"), file...), c.dtype, 3, len(c.floats))
			x.big = big
			f64, f32 := make([]float64, len(c.floats)), make([]float32, len(c.floats))
			if err := errors.Join(x.Float64s(f64), x.Float32s(f32)); err != nil {
				t.Fatal(err)
			}
			for i, want := range c.floats {
				if math.Float64bits(f64[i]) != math.Float64bits(want) && !(math.IsNaN(f64[i]) && math.IsNaN(want)) {
					t.Errorf("%s big=%v: element %d is %g, want %g", c.dtype, big, i, f64[i], want)
				}
				if w := float32(want); math.Float32bits(f32[i]) != math.Float32bits(w) && !(f32[i] != f32[i] && w != w) {
					t.Errorf("%s big=%v: element %d is %g as float32, want %g", c.dtype, big, i, f32[i], w)
				}
			}
			ints := make([]int64, len(c.floats))
			err := x.Int64s(ints)
			if c.ints == nil && !errors.Is(err, ErrUnsupported) || c.ints != nil && (err != nil || !slices.Equal(ints, c.ints)) {
				t.Errorf("%s big=%v: Int64s %d, %v; want %d", c.dtype, big, ints, err, c.ints)
			}
			raw := make([]byte, len(little))
			if err := x.ReadBytes(raw, 0); err != nil || !bytes.Equal(raw, little) {
				t.Errorf("%s big=%v: ReadBytes %x, %v; want %x", c.dtype, big, raw, err, little)
			}
			bits := make([]uint16, len(c.floats))
			err = x.Bits16(bits)
			if c.dtype.Size() != 2 {
				if !errors.Is(err, ErrUnsupported) {
					t.Errorf("%s: Bits16: %v", c.dtype, err)
				}
				continue
			}
			for i := range bits {
				if want := binary.LittleEndian.Uint16(little[2*i:]); err != nil || bits[i] != want {
					t.Errorf("%s big=%v: Bits16 of element %d is %#x, %v; want %#x", c.dtype, big, i, bits[i], err, want)
				}
			}
		}
	}
}

// TestTypesWithoutNumbers: the bytes of complex numbers and 8-bit floats are
// read, numbers are not made of them.
func TestTypesWithoutNumbers(t *testing.T) {
	b := make([]byte, 64)
	for i := range b {
		b[i] = byte(i + 1)
	}
	for _, dtype := range []DType{C64, C128, F8E4M3, F8E5M2, F8E8M0, F8E4M3FNUZ, F8E5M2FNUZ, Invalid} {
		x := tensorOver(b, dtype, 0, 2)
		for name, err := range map[string]error{
			"Float64s": x.Float64s(make([]float64, 2)),
			"Float32s": x.Float32s(make([]float32, 2)),
			"Int64s":   x.Int64s(make([]int64, 2)),
			"Bits16":   x.Bits16(make([]uint16, 2)),
		} {
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), dtype.String()) {
				t.Errorf("%s: %s: %v; want ErrUnsupported naming the type", dtype, name, err)
			}
		}
		if dtype == Invalid {
			continue
		}
		for _, big := range []bool{false, true} {
			x.big = big
			want := b[:2*dtype.Size()]
			if big {
				want = swapped(want, part(dtype))
			}
			got := make([]byte, len(want))
			if err := x.ReadBytes(got, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s big=%v: %x, %v; want %x", dtype, big, got, err, want)
			}
		}
	}
	if err := tensorOver(b, Invalid, 0, 2).ReadBytes(nil, 0); !errors.Is(err, ErrShape) {
		t.Errorf("bytes of an invalid type: %v", err)
	}
}

// TestIntegersRoundOnce: by way of float64 the first of each pair would become
// a tie and be rounded down.
func TestIntegersRoundOnce(t *testing.T) {
	for dtype, v := range map[DType]uint64{U64: 1<<63 + 1<<39 + 1, I64: 1<<54 + 1<<30 + 1} {
		b := binary.LittleEndian.AppendUint64(nil, v)
		var got [1]float32
		if err := tensorOver(b, dtype, 0, 1).Float32s(got[:]); err != nil {
			t.Fatal(err)
		}
		want := float32(1<<54 + 1<<31)
		if dtype == U64 {
			want = 1<<63 + 1<<40
		}
		if got[0] != want {
			t.Errorf("%s: %d as float32 is %.0f, nearest is %.0f", dtype, v, got[0], want)
		}
	}
}

func TestUint64BeyondInt64(t *testing.T) {
	b := binary.LittleEndian.AppendUint64(make([]byte, 8), 1<<63)
	err := tensorOver(b, U64, 0, 2).Int64s(make([]int64, 2))
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "element 1, 9223372036854775808,") {
		t.Errorf("error %v; want ErrUnsupported naming element and value", err)
	}
	// The same bytes are no fault in a signed type.
	got := make([]int64, 2)
	if err := tensorOver(b, I64, 0, 2).Int64s(got); err != nil || got[1] != math.MinInt64 {
		t.Errorf("I64: %d, %v", got, err)
	}
}

// TestHalf compares all 65,536 numbers with the definition.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		exponent, fraction := h>>10&31, float64(h&1023)
		want := math.Ldexp(1024+fraction, exponent-25)
		switch {
		case exponent == 0:
			want = math.Ldexp(fraction, -24)
		case exponent == 31 && fraction == 0:
			want = math.Inf(1)
		case exponent == 31:
			want = math.NaN()
		}
		if h >= 1<<15 {
			want = -want
		}
		got := halfToFloat32(uint16(h))
		if math.IsNaN(want) {
			if bits := math.Float32bits(got); got == got || bits>>13&1023 != uint32(h&1023) || bits>>31 != uint32(h)>>15 {
				t.Fatalf("half %#04x becomes %#08x: sign or payload of the NaN is lost", h, bits)
			}
		} else if float64(got) != want || math.Signbit(float64(got)) != (h >= 1<<15) {
			t.Fatalf("half %#04x becomes %g, want %g", h, got, want)
		}
	}
}

// TestFloat32Bits: not one bit of an F32 changes, a signalling NaN's neither.
func TestFloat32Bits(t *testing.T) {
	want := []uint32{0x7fa00001, 0xffc12345, 0x80000000, 0x00000001, 0x7f7fffff}
	var b []byte
	for _, v := range want {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	got := make([]float32, len(want))
	if err := tensorOver(b, F32, 0, len(want)).Float32s(got); err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if math.Float32bits(v) != want[i] {
			t.Errorf("element %d: bits %#x, want %#x", i, math.Float32bits(v), want[i])
		}
	}
}

// toFortran returns row-major elements of the given size in column-major order.
func toFortran(b []byte, size int, shape []int) []byte {
	out := make([]byte, 0, len(b))
	index := make([]int, len(shape))
	for range len(b) / max(size, 1) {
		at := 0
		for k, d := range shape {
			at = at*d + index[k]
		}
		out = append(out, b[at*size:][:size]...)
		for k := range index { // the first index runs fastest
			if index[k]++; index[k] < shape[k] {
				break
			}
			index[k] = 0
		}
	}
	return out
}

// random returns n random bytes.
func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestRanges reads ranges of tensors of every type, order and rank.
func TestRanges(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	shapes := [][]int{{}, {1}, {7}, {1, 1}, {3, 5}, {5, 3}, {1, 9}, {9, 1}, {4, 0}, {0, 4}, {2, 3, 4}, {4, 1, 3}, {2, 3, 2, 5}, {70, 3, 41}}
	for _, dtype := range allTypes {
		for _, shape := range shapes {
			size := dtype.Size()
			x := tensorOver(nil, dtype, int64(rng.IntN(9)), shape...)
			rows := random(rng, x.count*size)
			for variant := range 4 {
				x.fortran, x.big = variant&1 != 0, variant&2 != 0
				file := rows
				if x.fortran {
					file = toFortran(file, size, shape)
				}
				if x.big {
					file = swapped(file, part(dtype))
				}
				x.source = bytes.NewReader(slices.Concat(make([]byte, x.offset), file))
				for n := range 12 {
					lo := rng.IntN(x.count + 1)
					hi := lo + rng.IntN(x.count-lo+1)
					if n == 0 {
						lo, hi = 0, x.count
					}
					got := make([]byte, (hi-lo)*size)
					if err := x.ReadBytes(got, int64(lo*size)); err != nil {
						t.Fatalf("%s %v fortran=%v: elements %d to %d: %v", dtype, shape, x.fortran, lo, hi, err)
					}
					if !bytes.Equal(got, rows[lo*size:hi*size]) {
						t.Fatalf("%s %v fortran=%v big=%v: elements %d to %d are wrong", dtype, shape, x.fortran, x.big, lo, hi)
					}
				}
			}
		}
	}
}

// TestConversionOrders: tensors longer than a buffer and larger than a panel
// give the same numbers in either order.
func TestConversionOrders(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, shape := range [][]int{
		{chunkBytes/2 - 1},
		{chunkBytes / 2},
		{chunkBytes/2 + 1},
		{3, chunkBytes / 2},
		{panelBytes, 3},
		{3, panelBytes},
		{panelBytes / 4, 19},
		{panelBytes/16 + 1, 33},
		{301, 17, 37},
		{9000, 2, 11},
	} {
		x := tensorOver(nil, U16, 0, shape...)
		rows := random(rng, 2*x.count)
		want := make([]uint16, x.count)
		decodeBits16(want, rows)
		for _, fortran := range []bool{false, true} {
			x.fortran, x.source = fortran, bytes.NewReader(rows)
			if fortran {
				x.source = bytes.NewReader(toFortran(rows, 2, shape))
			}
			bits, f32, f64, ints := make([]uint16, x.count), make([]float32, x.count), make([]float64, x.count), make([]int64, x.count)
			if err := errors.Join(x.Bits16(bits), x.Float32s(f32), x.Float64s(f64), x.Int64s(ints)); err != nil {
				t.Fatal(err)
			}
			for i, v := range want {
				if bits[i] != v || f32[i] != float32(v) || f64[i] != float64(v) || ints[i] != int64(v) {
					t.Fatalf("%v fortran=%v: element %d is %d, %g, %g, %d; want %d", shape, fortran, i, bits[i], f32[i], f64[i], ints[i], v)
				}
			}
			// A part that begins and ends inside rows and spans panels.
			lo, n := x.count/3+1, x.count/2
			part := make([]byte, 2*n)
			if err := x.ReadBytes(part, int64(2*lo)); err != nil || !bytes.Equal(part, rows[2*lo:2*(lo+n)]) {
				t.Fatalf("%v fortran=%v: %d elements from %d on are wrong: %v", shape, fortran, n, lo, err)
			}
		}
	}
}

// counting counts the calls and bytes of reading.
type counting struct {
	io.ReaderAt
	calls, bytes int
}

func (c *counting) ReadAt(b []byte, offset int64) (int, error) {
	c.calls++
	c.bytes += len(b)
	return c.ReaderAt.ReadAt(b, offset)
}

// TestFortranReadsInRuns: each byte once, few calls, whatever the shape; the
// rows of a part only, unless they lie so close that one read is cheaper.
func TestFortranReadsInRuns(t *testing.T) {
	for _, shape := range [][]int{{4, 100_000}, {100_000, 4}, {512, 1000}, {4, 300, 400}, {panelBytes, 5}} {
		x := tensorOver(nil, F32, 0, shape...)
		source := &counting{ReaderAt: bytes.NewReader(make([]byte, x.Bytes()))}
		x.fortran, x.source = true, source
		if err := x.Float32s(make([]float32, x.count)); err != nil {
			t.Fatal(err)
		}
		if most := 2 + int(x.Bytes())/(panelBytes/panelColumns/2); source.bytes != int(x.Bytes()) || source.calls > most {
			t.Errorf("%v: %d bytes in %d reads, want %d bytes in %d at most", shape, source.bytes, source.calls, x.Bytes(), most)
		}
	}
	// One row. A gap of skipBytes between its elements is read along with them,
	// a longer one is not.
	const columns, near = 100, skipBytes/4 + 1
	for _, c := range []struct{ rows, calls, bytes int }{
		{near, 2, 4 * (columns*near - 2*(near-1))}, // two panels, each to its last column's element
		{near + 1, columns, 4 * columns},
	} {
		x := tensorOver(nil, F32, 0, c.rows, columns)
		source := &counting{ReaderAt: bytes.NewReader(make([]byte, x.Bytes()))}
		x.fortran, x.source = true, source
		if err := x.ReadBytes(make([]byte, 4*columns), 0); err != nil {
			t.Fatal(err)
		}
		if source.calls != c.calls || source.bytes != c.bytes {
			t.Errorf("one of %d rows: %d bytes in %d reads, want %d in %d", c.rows, source.bytes, source.calls, c.bytes, c.calls)
		}
	}
}

// TestReadsInChunks: a row-major tensor is read in as few calls as chunks, and
// memory is for one of them.
func TestReadsInChunks(t *testing.T) {
	for n, calls := range map[int]int{0: 0, 1: 1, chunkBytes / 2: 2, chunkBytes/2 + 1: 3, 1 << 20: 1 << 22 / chunkBytes} {
		x := tensorOver(nil, F32, 0, n)
		source := &counting{ReaderAt: bytes.NewReader(make([]byte, 4*n))}
		x.source = source
		dst := make([]float32, n)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := x.Float32s(dst)
		runtime.ReadMemStats(&after)
		if err != nil || source.calls != calls || source.bytes != 4*n {
			t.Errorf("%d elements: %d bytes in %d reads, %v; want %d in %d", n, source.bytes, source.calls, err, 4*n, calls)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(min(4*n, chunkBytes)+1<<14) {
			t.Errorf("%d elements: %d bytes allocated", n, got)
		}
	}
}

func TestRequestsOutside(t *testing.T) {
	x := tensorOver(make([]byte, 24), F32, 0, 2, 3)
	if x.Elements() != 6 || x.Bytes() != 24 {
		t.Errorf("%d elements of %d bytes", x.Elements(), x.Bytes())
	}
	for _, fortran := range []bool{false, true} {
		x.fortran = fortran
		for _, c := range []struct {
			length int
			offset int64
			ok     bool
		}{
			{24, 0, true},
			{0, 0, true},
			{0, 24, true},
			{4, 20, true},
			{28, 0, false},
			{4, 24, false},
			{8, 20, false},
			{0, 28, false},
			{4, -4, false},
			{4, 2, false},
			{3, 0, false},
			{4, math.MaxInt64 - 3, false},
			{4, math.MinInt64, false},
		} {
			err := x.ReadBytes(make([]byte, c.length), c.offset)
			if c.ok && err != nil || !c.ok && !errors.Is(err, ErrShape) {
				t.Errorf("fortran=%v: %d bytes at %d: %v", fortran, c.length, c.offset, err)
			}
		}
	}
	for _, n := range []int{0, 5, 7} {
		for name, err := range map[string]error{
			"Float64s": x.Float64s(make([]float64, n)),
			"Float32s": x.Float32s(make([]float32, n)),
			"Bits16":   tensorOver(nil, F16, 0, 2, 3).Bits16(make([]uint16, n)),
			"Int64s":   tensorOver(nil, I8, 0, 2, 3).Int64s(make([]int64, n)),
		} {
			if !errors.Is(err, ErrShape) || !strings.Contains(err.Error(), fmt.Sprintf("%d elements wanted, the tensor has 6", n)) {
				t.Errorf("%s of %d elements: %v", name, n, err)
			}
		}
	}
}

// TestTruncated: a file that shrank after it was opened.
func TestTruncated(t *testing.T) {
	for _, fortran := range []bool{false, true} {
		for length := range 24 {
			x := tensorOver(make([]byte, 10+length), F32, 10, 2, 3)
			x.fortran = fortran
			for name, err := range map[string]error{
				"Float32s":  x.Float32s(make([]float32, 6)),
				"ReadBytes": x.ReadBytes(make([]byte, 24), 0),
			} {
				want := fmt.Sprintf("the file ends at byte %d, %d more were expected", 10+length, 24-length)
				if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), `weights: "x": `) {
					t.Fatalf("fortran=%v, %d of 24 bytes: %s: %v; want %q", fortran, length, name, err, want)
				}
			}
		}
	}
	// A column of its own that is cut short.
	x := tensorOver(make([]byte, 4*(3*5000)-1), F32, 0, 5000, 3)
	x.fortran = true
	if err := x.ReadBytes(make([]byte, 12), 4*3*4999); !errors.Is(err, ErrFormat) {
		t.Errorf("last row of a file cut by one byte: %v", err)
	}
}

// silent returns less than asked and no error, which io.ReaderAt forbids.
type silent struct{}

func (silent) ReadAt(b []byte, _ int64) (int, error) { return len(b) / 2, nil }

// atEnd says so in words of its own.
type atEnd struct{}

func (atEnd) ReadAt([]byte, int64) (int, error) { return 0, fmt.Errorf("no more: %w", io.EOF) }

var errDisk = errors.New("disk on fire")

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

func TestTensorReadErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, make([]byte, 24), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		source io.ReaderAt
		want   error
	}{{silent{}, ErrFormat}, {atEnd{}, ErrFormat}, {broken{}, errDisk}, {&source{file: f}, ErrClosed}} {
		for _, fortran := range []bool{false, true} {
			x := tensorOver(nil, F32, 0, 2, 3)
			x.source, x.fortran = c.source, fortran
			for name, err := range map[string]error{
				"Float64s":  x.Float64s(make([]float64, 6)),
				"ReadBytes": x.ReadBytes(make([]byte, 24), 0),
			} {
				if !errors.Is(err, c.want) {
					t.Errorf("%s from %T: %v; want %v", name, c.source, err, c.want)
				}
			}
		}
	}
}

// BenchmarkRead measures conversion of a file in the page cache; bytes are those
// of the file.
func BenchmarkRead(b *testing.B) {
	const rows, columns = 4096, 2048
	path := filepath.Join(b.TempDir(), "x")
	if err := os.WriteFile(path, make([]byte, 8*rows*columns), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	f32, f64, raw := make([]float32, rows*columns), make([]float64, rows*columns), make([]byte, 4*rows*columns)
	for _, c := range []struct {
		name string
		x    Tensor
		read func(x *Tensor) error
	}{
		{"F32/float32", Tensor{DType: F32}, func(x *Tensor) error { return x.Float32s(f32) }},
		{"F32/float64", Tensor{DType: F32}, func(x *Tensor) error { return x.Float64s(f64) }},
		{"F32/bytes", Tensor{DType: F32}, func(x *Tensor) error { return x.ReadBytes(raw, 0) }},
		{"F16/float32", Tensor{DType: F16}, func(x *Tensor) error { return x.Float32s(f32) }},
		{"BF16/float32", Tensor{DType: BF16}, func(x *Tensor) error { return x.Float32s(f32) }},
		{"F64/float32", Tensor{DType: F64}, func(x *Tensor) error { return x.Float32s(f32) }},
		{"F32-big/float32", Tensor{DType: F32, big: true}, func(x *Tensor) error { return x.Float32s(f32) }},
		{"F32-fortran/float32", Tensor{DType: F32, fortran: true}, func(x *Tensor) error { return x.Float32s(f32) }},
		{"F16-fortran/float32", Tensor{DType: F16, fortran: true}, func(x *Tensor) error { return x.Float32s(f32) }},
		{"F32-fortran/bytes", Tensor{DType: F32, fortran: true}, func(x *Tensor) error { return x.ReadBytes(raw, 0) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.x.Shape, c.x.count, c.x.source = []int{rows, columns}, rows*columns, f
			b.SetBytes(c.x.Bytes())
			for b.Loop() {
				if err := c.read(&c.x); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
