package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// inMemory is a file for source.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// openBytes is Open for bytes.
func openBytes(b []byte) (*File, error) {
	s, err := readShard(&source{file: inMemory{bytes.NewReader(b)}, path: "test", size: int64(len(b))})
	if err != nil {
		return nil, err
	}
	return newFile([]shard{s})
}

// file puts a file together from a header and so many bytes of data.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range data {
		b = append(b, byte(i))
	}
	return b
}

// bytesOf is Write into memory.
func bytesOf(t testing.TB, arrays []Array, metadata map[string]string) []byte {
	t.Helper()
	ordered, head, err := layout(arrays, metadata)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := writeAll(&out, head, ordered); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// checkInvariants fails unless everything that an open file says about itself
// hangs together, all of it can be read, and writing it gives an equal file.
func checkInvariants(t testing.TB, f *File) {
	t.Helper()
	names := f.Names()
	if len(names) != f.Len() {
		t.Fatalf("%d names of %d tensors", len(names), f.Len())
	}
	var arrays []Array
	var total int64
	for x := range f.Tensors() {
		if x.Name != names[len(arrays)] {
			t.Fatalf("tensor %d is %q, by its name %q", len(arrays), x.Name, names[len(arrays)])
		}
		n := 1
		for _, d := range x.Shape {
			if d < 0 {
				t.Fatalf("shape %d", x.Shape)
			}
			n *= d
		}
		if n != x.Elements() || x.Bytes() != int64(n)*int64(x.DType.Size()) || x.DType.Size() == 0 || len(x.Shape) > maxRank || len(x.Name) > maxName {
			t.Fatalf("%+v", x)
		}
		same, err := f.Tensor(x.Name)
		if err != nil || same.offset != x.offset || same.DType != x.DType || !slices.Equal(same.Shape, x.Shape) {
			t.Fatalf("%+v by its name is %+v, %v", x, same, err)
		}
		if err := x.ReadBytes(make([]byte, x.Bytes()), 0); err != nil {
			t.Fatal(err)
		}
		total += x.Bytes()
		arrays = append(arrays, Copy(x))
	}
	var data int64
	for i := range f.shards {
		data += f.shards[i].file.size - f.shards[i].data
	}
	if total != data {
		t.Fatalf("the tensors have %d bytes, the files %d", total, data)
	}
	again, err := openBytes(bytesOf(t, arrays, f.Metadata()))
	if err != nil {
		t.Fatalf("written again: %v", err)
	}
	if !maps.Equal(again.Metadata(), f.Metadata()) || (again.Metadata() == nil) != (f.Metadata() == nil) {
		t.Fatalf("metadata %q, written again %q", f.Metadata(), again.Metadata())
	}
	for x := range f.Tensors() {
		y, err := again.Tensor(x.Name)
		if err != nil || y.DType != x.DType || !slices.Equal(y.Shape, x.Shape) {
			t.Fatalf("%+v, written again %+v, %v", x, y, err)
		}
		if !bytes.Equal(all(t, x), all(t, y)) {
			t.Fatalf("%q: other bytes when written again", x.Name)
		}
	}
}

func all(t testing.TB, x *Tensor) []byte {
	t.Helper()
	b := make([]byte, x.Bytes())
	if err := x.ReadBytes(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// checkRefusal fails unless err is one of this package's refusals in one line of
// bounded length.
func checkRefusal(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) {
		t.Fatalf("neither ErrFormat nor ErrUnsupported: %v", err)
	}
	if text := err.Error(); len(text) > 800 || strings.ContainsAny(text, "\n\x1b\x00") {
		t.Fatalf("not one short line: %q", text)
	}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	metadata := map[string]string{"format": "pt", "\"\\/\b\f\n\r\t\x01\x1f\x7f é\u2028𝄞": "", "a": "\u0000"}
	arrays := []Array{
		Float32s("b", []float32{1, -2, float32(math.Inf(1)), math.Float32frombits(0x7fc12345)}, 2, 2),
		Float64s("z \"\\\n\x01é𝄞", []float64{math.Pi}),
		Bits16("h", BF16, []uint16{1, 2, 0xffff}, 3, 1),
		Int64s("i", []int64{math.MinInt64, -1, 7}, 3),
		Bytes("flags", Bool, []byte{1, 0}, 2),
		Bytes("empty", U8, nil, 5, 0, 3),
		Bytes("", I8, []byte{0x80}, 1, 1, 1, 1, 1, 1, 1, 1),
		Bytes("complex", C64, []byte("abcdefgh"), 1),
	}
	if err := Write(path, arrays, metadata); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	checkInvariants(t, f)
	if !maps.Equal(f.Metadata(), metadata) {
		t.Errorf("metadata %q", f.Metadata())
	}
	// The larger elements first, then by name.
	want := []string{"i", "z \"\\\n\x01é𝄞", "complex", "b", "h", "", "empty", "flags"}
	if got := f.Names(); !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	b, err := f.Tensor("b")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 4)
	if err := b.Float32s(got); err != nil || got[1] != -2 || math.Float32bits(got[3]) != 0x7fc12345 {
		t.Errorf("b is %v, %v", got, err)
	}
	i, _ := f.Tensor("i")
	ints := make([]int64, 3)
	if err := i.Int64s(ints); err != nil || !slices.Equal(ints, []int64{math.MinInt64, -1, 7}) {
		t.Errorf("i is %v, %v", ints, err)
	}
	h, _ := f.Tensor("h")
	halves := make([]uint16, 3)
	if err := h.Bits16(halves); err != nil || !slices.Equal(halves, []uint16{1, 2, 0xffff}) || !slices.Equal(h.Shape, []int{3, 1}) {
		t.Errorf("h is %v, shape %v, %v", halves, h.Shape, err)
	}
	z, _ := f.Tensor("z \"\\\n\x01é𝄞")
	doubles := make([]float64, 1)
	if err := z.Float64s(doubles); err != nil || doubles[0] != math.Pi || len(z.Shape) != 0 {
		t.Errorf("z is %v, %v", doubles, err)
	}

	// A file that Write made is copied to the same bytes, onto itself too, while
	// it is being read.
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var copies []Array
	for x := range f.Tensors() {
		copies = append(copies, Copy(x))
	}
	slices.Reverse(copies)
	if err := Write(path, copies, f.Metadata()); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("%v, copied to other bytes:\n%q\n%q", err, before, after)
	}
}

// TestWriteGolden holds the bytes against those of the reference implementation,
// which wrote these (safetensors 0.8.0 for Python).
func TestWriteGolden(t *testing.T) {
	got := bytesOf(t, []Array{
		Bytes("bo", Bool, []byte{1, 0}, 2),
		Float32s("b", []float32{1, 2, 3, 4}, 2, 2),
		Float64s("z\"\n\x01é", []float64{1}),
		Int64s("i", []int64{-1}, 1),
		Bits16("h", F16, []uint16{1, 2, 3}, 3),
	}, map[string]string{"format": "pt"})
	want := "@\x01\x00\x00\x00\x00\x00\x00" + `{"__metadata__":{"format":"pt"},"i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},` +
		`"z\"\n\u0001` + "é" + `":{"dtype":"F64","shape":[],"data_offsets":[8,16]},"b":{"dtype":"F32","shape":[2,2],"data_offsets":[16,32]},` +
		`"h":{"dtype":"F16","shape":[3],"data_offsets":[32,38]},"bo":{"dtype":"BOOL","shape":[2],"data_offsets":[38,40]}} ` +
		"\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80@\x01\x00\x02\x00\x03\x00\x01\x00"
	if string(got) != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	for metadata, want := range map[string]string{"nil": "{}      ", "empty": `{"__metadata__":{}}     `} {
		m := map[string]map[string]string{"empty": {}}[metadata]
		if got := bytesOf(t, nil, m); string(got[8:]) != want || got[0] != byte(len(want)) {
			t.Errorf("no tensors, %s metadata: %q", metadata, got)
		}
	}
}

// TestTypeOrder is the reference's order of all types.
func TestTypeOrder(t *testing.T) {
	var arrays []Array
	for k := range dtypes {
		if d := DType(k); d != Invalid && d != C128 {
			arrays = append(arrays, Bytes(d.String(), d, make([]byte, 2*d.Size()), 2))
		}
	}
	f, err := openBytes(bytesOf(t, arrays, nil))
	if err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, f)
	want := "U64 I64 F64 C64 F32 U32 I32 BF16 F16 U16 I16 F8_E5M2FNUZ F8_E4M3FNUZ F8_E8M0 F8_E4M3 F8_E5M2 I8 U8 BOOL"
	if got := strings.Join(f.Names(), " "); got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	for x := range f.Tensors() {
		if x.DType.String() != x.Name || x.offset%int64(x.DType.Size()) != 0 {
			t.Errorf("%s has type %s, at byte %d", x.Name, x.DType, x.offset)
		}
	}
}

// TestRoundTripRandom writes random tensors of random types in random order.
func TestRoundTripRandom(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var arrays []Array
		data := map[string][]byte{}
		for k := range rng.IntN(12) {
			shape, n := make([]int, rng.IntN(5)), 1
			for i := range shape {
				shape[i] = rng.IntN(6)
				n *= shape[i]
			}
			d := safetensorsTypes[rng.IntN(len(safetensorsTypes))]
			name := fmt.Sprintf("%d%c", k, rune(rng.IntN(0xd000)))
			data[name] = make([]byte, n*d.Size())
			for i := range data[name] {
				data[name][i] = byte(rng.Uint32())
			}
			arrays = append(arrays, Bytes(name, d, data[name], shape...))
		}
		b := bytesOf(t, arrays, nil)
		f, err := openBytes(b)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkInvariants(t, f)
		for name, want := range data {
			x, err := f.Tensor(name)
			if err != nil || !bytes.Equal(all(t, x), want) {
				t.Fatalf("seed %d, %q: %v", seed, name, err)
			}
		}
		rng.Shuffle(len(arrays), func(i, j int) { arrays[i], arrays[j] = arrays[j], arrays[i] })
		if !bytes.Equal(bytesOf(t, arrays, nil), b) {
			t.Fatalf("seed %d: the order of the arguments shows", seed)
		}
	}
}

// TestStreams: arrays larger than one chunk, at its edges.
func TestStreams(t *testing.T) {
	for _, n := range []int{0, 1, chunkBytes/8 - 1, chunkBytes / 8, chunkBytes/8 + 1, chunkBytes/4 + 1, chunkBytes + 1} {
		f32, f64, i64, u16 := make([]float32, n), make([]float64, n), make([]int64, n), make([]uint16, n)
		for i := range n {
			f32[i], f64[i], i64[i], u16[i] = float32(i), float64(-i), int64(3*i), uint16(i)
		}
		f, err := openBytes(bytesOf(t, []Array{Float32s("a", f32, n), Float64s("b", f64, n), Int64s("c", i64, n), Bits16("d", U16, u16, n)}, nil))
		if err != nil {
			t.Fatal(err)
		}
		checkInvariants(t, f)
		for i, name := range []string{"a", "b", "c", "d"} {
			x, _ := f.Tensor(name)
			got := make([]float64, n)
			if err := x.Float64s(got); err != nil {
				t.Fatal(err)
			}
			for k, v := range got {
				if want := [...]float64{float64(k), float64(-k), float64(3 * k), float64(uint16(k))}[i]; v != want {
					t.Fatalf("%d elements: %s[%d] is %v, want %v", n, name, k, v, want)
				}
			}
		}
	}
}

// TestStreamMemory: a chunk at most, and no more than the elements.
func TestStreamMemory(t *testing.T) {
	for n, most := range map[int]uint64{1: 1 << 10, 10 * chunkBytes: chunkBytes + 1<<10} {
		a := Float64s("a", make([]float64, n), n)
		if used := allocated(func() { _ = a.Data(io.Discard) }); used > most {
			t.Errorf("%d elements: %d bytes allocated", n, used)
		}
	}
}

// TestStreamWritesNothingEmpty: not for an array without elements, nor after the
// last full chunk.
func TestStreamWritesNothingEmpty(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 1, chunkBytes / 8: 1, chunkBytes / 4: 2} {
		writes := 0
		err := Float64s("a", make([]float64, n), n).Data(writerFunc(func(b []byte) (int, error) {
			if len(b) == 0 {
				t.Errorf("%d elements: an empty write", n)
			}
			writes++
			return len(b), nil
		}))
		if err != nil || writes != want {
			t.Errorf("%d elements: %d writes, want %d: %v", n, writes, want, err)
		}
	}
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestWriteRefuses(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a.safetensors")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	mine := errors.New("mine")
	ok := Float32s("ok", []float32{1}, 1)
	for _, c := range []struct {
		arrays   []Array
		metadata map[string]string
		want     error
		says     string
	}{
		{[]Array{Float32s("a", []float32{1, 2}, 3)}, nil, ErrShape, `"a": 4 bytes fewer than the 12`},
		{[]Array{Float32s("a", []float32{1, 2}, 1)}, nil, ErrShape, `"a": 4 bytes more`},
		{[]Array{Float32s("a", []float32{1}, -1)}, nil, ErrShape, "negative"},
		{[]Array{Bytes("a", U8, nil, math.MaxInt, math.MaxInt)}, nil, ErrShape, "too large"},
		{[]Array{Bytes("a", C128, make([]byte, 16), 1)}, nil, ErrUnsupported, "C128"},
		{[]Array{Bytes("a", Invalid, nil, 0)}, nil, ErrUnsupported, "invalid"},
		{[]Array{Bytes("a", DType(99), nil, 0)}, nil, ErrUnsupported, "DType(99)"},
		{[]Array{ok, Float64s("ok", []float64{1}, 1)}, nil, ErrShape, `two tensors are called "ok"`},
		{[]Array{Float32s("__metadata__", []float32{1}, 1)}, nil, ErrShape, "reserved"},
		{[]Array{Float32s("a\xff", []float32{1}, 1)}, nil, ErrShape, "UTF-8"},
		{[]Array{Bytes(strings.Repeat("n", 4097), U8, nil, 0)}, nil, ErrShape, "4096"},
		{[]Array{Bytes("a", U8, make([]byte, 1), 1, 1, 1, 1, 1, 1, 1, 1, 1)}, nil, ErrShape, "9 dimensions, 8 at most"},
		{[]Array{{Name: "a", DType: U8}}, nil, ErrShape, "no data"},
		{[]Array{{Name: "a", DType: U8, Data: func(io.Writer) error { return mine }}}, nil, mine, `"a"`},
		{[]Array{ok}, map[string]string{"k": "\xff"}, ErrShape, "UTF-8"},
		{[]Array{ok}, map[string]string{"\xff": ""}, ErrShape, "UTF-8"},
		{[]Array{ok}, map[string]string{"k": strings.Repeat("v", maxHeader-64)}, ErrShape, "header of"},
		{make([]Array, maxTensors+1), nil, ErrShape, "1000001 tensors"},
	} {
		if testing.Short() && c.says == "header of" {
			continue // 100 MB
		}
		err := Write(path, c.arrays, c.metadata)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "weights: writing "+path+": ") {
			t.Errorf("want %v with %q, got %v", c.want, c.says, err)
		}
	}
	if math.MaxInt > math.MaxInt32 {
		// As much as there can be in a file whose header is as long as it can be.
		most := uint64(math.MaxInt64 - maxHeader - 8)
		for more, refused := range []bool{false, true} {
			if _, _, err := layout([]Array{Bytes("a", U8, nil, int(most)+more)}, nil); (err != nil) != refused {
				t.Errorf("2^63-100000009 and %d bytes: %v", more, err)
			}
		}
		big := Bytes("a", U8, nil, 1<<31-1, 1<<31-1)
		for k := range 3 {
			list := make([]Array, k+1)
			for i := range list {
				list[i] = big
				list[i].Name = strings.Repeat("n", i)
			}
			if _, _, err := layout(list, nil); (err != nil) != (k == 2) || err != nil && !errors.Is(err, ErrShape) {
				t.Errorf("%d tensors of 2^62 bytes: %v", k+1, err)
			}
		}
	}
	if b, err := os.ReadFile(path); string(b) != "old" || err != nil {
		t.Errorf("the old file holds %q, %v", b, err)
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if err := Write(filepath.Join(folder, "no", "such"), []Array{ok}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// failingWriter takes so many bytes.
type failingWriter struct{ left int }

var errFull = errors.New("full")

func (w *failingWriter) Write(b []byte) (int, error) {
	if len(b) > w.left {
		return w.left, errFull
	}
	w.left -= len(b)
	return len(b), nil
}

// TestWriteErrorsArePassedOn: wherever the disk is full, and whatever kind of
// array is being written.
func TestWriteErrorsArePassedOn(t *testing.T) {
	const n = chunkBytes + 1
	source, err := openBytes(bytesOf(t, []Array{Bytes("copy", U8, make([]byte, n), n)}, nil))
	if err != nil {
		t.Fatal(err)
	}
	x, _ := source.Tensor("copy")
	ordered, head, err := layout([]Array{Copy(x), Float32s("f", make([]float32, n), n), Bytes("b", I8, make([]byte, n), n)},
		map[string]string{"long": strings.Repeat("v", 2*chunkBytes)})
	if err != nil {
		t.Fatal(err)
	}
	total := len(head) + 6*n
	for limit := 0; limit <= total; limit += 19_997 {
		if err := writeAll(&failingWriter{limit}, head, ordered); !errors.Is(err, errFull) {
			t.Fatalf("full after %d of %d bytes: %v", limit, total, err)
		}
	}
	if err := writeAll(&failingWriter{total - 1}, head, ordered); !errors.Is(err, errFull) {
		t.Errorf("full before the last byte: %v", err)
	}
	if err := writeAll(&failingWriter{total}, head, ordered); err != nil {
		t.Error(err)
	}
}

// TestCopyReadError: what cannot be read is not written.
func TestCopyReadError(t *testing.T) {
	folder := t.TempDir()
	from, to := filepath.Join(folder, "from"), filepath.Join(folder, "to")
	if err := Write(from, []Array{Bytes("a", U8, make([]byte, 3*chunkBytes), 3, chunkBytes)}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(from, chunkBytes+100); err != nil {
		t.Fatal(err)
	}
	a, _ := f.Tensor("a")
	err = Write(to, []Array{Copy(a)}, nil)
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "from ends at byte 65636; it had") {
		t.Errorf("truncated while it was open: %v", err)
	}
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a file: %v", err)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := Write(path, []Array{Float32s("a", []float32{1}, 1), Float32s("b", []float32{2}, 1)}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if f.Metadata() != nil {
		t.Errorf("metadata %q", f.Metadata())
	}
	for _, name := range []string{"", "A", "aa", "c", "\x1b[2J"} {
		x, err := f.Tensor(name)
		if x != nil || !errors.Is(err, ErrMissing) || !strings.HasPrefix(err.Error(), "weights: "+path) || strings.Contains(err.Error(), "\x1b") || !strings.HasSuffix(err.Error(), ", among 2") {
			t.Errorf("%q: %v, %v", name, x, err)
		}
	}
	for x := range f.Tensors() {
		if x.Name != "a" {
			t.Errorf("went on to %s", x.Name)
		}
		break
	}
	a, _ := f.Tensor("a")
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Float32s(make([]float32, 1)); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "a.safetensors") {
		t.Errorf("reading a closed file: %v", err)
	}
	if err := f.Close(); !errors.Is(err, fs.ErrClosed) || !strings.Contains(err.Error(), path) {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := Open(path + "x"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path+"x") {
		t.Errorf("no file: %v", err)
	}
}

// brokenFile fails to read.
type brokenFile struct {
	from   int64
	err    error // errBroken if nil
	closed int
}

var errBroken = errors.New("input/output error")

func (b *brokenFile) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= b.from {
		return 0, cmp.Or(b.err, errBroken)
	}
	return copy(p, file(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}`, 8)[offset:]), nil
}

func (b *brokenFile) Close() error {
	b.closed++
	return nil
}

// TestReadErrors: an error of the system is passed on and the file closed; it is
// no malformed file.
func TestReadErrors(t *testing.T) {
	for _, from := range []int64{0, 8} {
		b := &brokenFile{from: from}
		_, err := readShard(&source{file: b, path: "some/file", size: 69})
		if !errors.Is(err, errBroken) || errors.Is(err, ErrFormat) || !strings.HasPrefix(err.Error(), "some/file: ") {
			t.Errorf("reading fails from byte %d on: %v", from, err)
		}
		if b.closed != 1 {
			t.Errorf("closed %d times", b.closed)
		}
	}
	b := &brokenFile{from: 9}
	s, err := readShard(&source{file: b, path: "some/file", size: 69})
	if err != nil || b.closed != 0 {
		t.Fatalf("%v, closed %d times", err, b.closed)
	}
	f, err := newFile([]shard{s})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := f.Tensor("a")
	if err := a.Float64s(make([]float64, 8)); !errors.Is(err, errBroken) {
		t.Errorf("reading elements: %v", err)
	}
	// An end that the system has more to say about is an end all the same.
	b.err = fmt.Errorf("network file: %w", io.EOF)
	if err := a.Float64s(make([]float64, 8)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "file ends at byte 61") {
		t.Errorf("reading beyond the end: %v", err)
	}
}
