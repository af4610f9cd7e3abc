package weights

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

func TestNPZGolden(t *testing.T) {
	for name, shape := range map[string][]int{"stored": {2, 3}, "deflated": {20, 30}} {
		f, err := OpenNPZ(filepath.Join("testdata", name+".npz"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.Names(), []string{"x", "y"}) || f.Len() != 2 || f.Metadata() != nil {
			t.Errorf("%s: names %q", name, f.Names())
		}
		x, err := f.Tensor("x")
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, 6)
		if err := x.Float32s(got); err != nil || !slices.Equal(got, []float32{-2, -1, 0, 1, 2, 3}) {
			t.Errorf("%s: x is %g, %v", name, got, err)
		}
		y, err := f.Tensor("y")
		if err != nil {
			t.Fatal(err)
		}
		all := make([]float64, y.Elements())
		if err := y.Float64s(all); err != nil || !slices.Equal(y.Shape, shape) {
			t.Errorf("%s: y has shape %v, want %v: %v", name, y.Shape, shape, err)
		}
		for i, v := range all {
			if want := float64(i - 2); name == "stored" && v != want || name == "deflated" && v != 0 {
				t.Errorf("%s: element %d of y is %g", name, i, v)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err := x.Float32s(got); !errors.Is(err, ErrClosed) { // in memory or not
			t.Errorf("%s: read after Close: %v", name, err)
		}
		if err := f.Close(); err == nil {
			t.Errorf("%s: closed twice", name)
		}
	}
}

// item is an entry of an archive, with what its headers say about it.
type item struct {
	zip.FileHeader
	content []byte // before compression
	raw     []byte // in place of the compressed content, if not nil
}

func stored(name string, content []byte) item {
	return item{FileHeader: zip.FileHeader{Name: name, Method: zip.Store}, content: content}
}

func deflated(name string, content []byte) item {
	return item{FileHeader: zip.FileHeader{Name: name, Method: zip.Deflate}, content: content}
}

func archiveOf(items ...item) []byte { return archiveWith(nil, items...) }

// archiveWith writes an archive with headers that change may have falsified,
// after the true sizes and sum were put there.
func archiveWith(change func(h *zip.FileHeader), items ...item) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, it := range items {
		raw := it.content
		if it.Method == zip.Deflate {
			raw = deflatedBytes(it.content)
		}
		if it.raw != nil {
			raw = it.raw
		}
		h := it.FileHeader
		h.CRC32, h.CompressedSize64, h.UncompressedSize64 = crc32.ChecksumIEEE(it.content), uint64(len(raw)), uint64(len(it.content))
		if change != nil {
			change(&h)
		}
		w, _ := z.CreateRaw(&h)
		w.Write(raw)
	}
	z.Close()
	return b.Bytes()
}

// checkNPZ reads a file of any bytes: no panic, bounded memory, and arrays that
// survive. read is how many of its arrays could be read.
func checkNPZ(t testing.TB, file []byte) (accepted bool, read int) {
	t.Helper()
	var tensors []*Tensor
	var err error
	bounded(t, len(file), 0, func() {
		tensors, err = readNPZ(bytes.NewReader(file), int64(len(file)), new(atomic.Bool))
	})
	if err != nil {
		checkError(t, err)
		return false, 0
	}
	names := map[string]bool{}
	stored := uint64(0)
	for _, x := range tensors {
		e := x.source.(*npzEntry)
		if names[x.Name] || x.offset+x.Bytes() != int64(e.file.UncompressedSize64) {
			t.Fatalf("%q: %s %v at %d of %d bytes", x.Name, x.DType, x.Shape, x.offset, e.file.UncompressedSize64)
		}
		names[x.Name] = true
		if stored += e.file.CompressedSize64; stored > uint64(len(file)) {
			t.Fatalf("arrays of %d bytes and more in a file of %d", stored, len(file))
		}
		raw := make([]byte, min(x.Bytes(), 1<<20)/16*16)
		if x.Bytes() <= 1<<20 {
			raw = make([]byte, x.Bytes())
		}
		// Whatever it claims, memory is for what is there: deflate makes 1032 bytes of one at most.
		honest := uint64(0)
		if e.stored == nil {
			honest = min(e.file.UncompressedSize64, maxDeflateRatio*e.file.CompressedSize64) + zipChunk
		}
		bounded(t, len(file), honest, func() { err = x.ReadBytes(raw, 0) })
		if err != nil {
			checkError(t, err)
			continue
		}
		read++
		if int64(len(raw)) == x.Bytes() {
			checkTensor(t, x, raw)
		}
	}
	return true, read
}

// patched returns a copy with bytes replaced at the nth place where old stands,
// counted from 0.
func patched(t testing.TB, file []byte, old string, nth int, put string) []byte {
	t.Helper()
	file = bytes.Clone(file)
	at := -1
	for range nth + 1 {
		next := bytes.Index(file[at+1:], []byte(old))
		if next < 0 {
			t.Fatalf("%q is not there %d times", old, nth+1)
		}
		at += 1 + next
	}
	copy(file[at:], put)
	return file
}

const (
	directory = "PK\x01\x02" // signature of a directory record
	endRecord = "PK\x05\x06"
)

// le returns n little-endian bytes of v.
func le(v uint64, n int) string { return string(binary.LittleEndian.AppendUint64(nil, v)[:n]) }

func TestHostileNPZ(t *testing.T) {
	array := npyFile(1, dict("<f4", "False", "(3, 4)"), 48)
	zeros := func(claim uint64, size int) []byte {
		return npyFile(1, dict("|u1", "False", fmt.Sprintf("(%d,)", claim)), size)
	}
	two := archiveOf(stored("a.npy", array), stored("b.npy", array))
	claim := func(n uint64) func(h *zip.FileHeader) { return func(h *zip.FileHeader) { h.UncompressedSize64 = n } }
	flags := func(n uint16) func(h *zip.FileHeader) { return func(h *zip.FileHeader) { h.Flags |= n } }
	// The second record of the directory is 46 + 5 bytes; 42 bytes into a record is the offset of its entry.
	overlapping := bytes.Clone(two)
	second := bytes.LastIndex(overlapping, []byte(directory))
	copy(overlapping[second+42:], le(0, 4))

	for _, c := range []struct {
		name string
		file []byte
		is   error
		says string
	}{
		// A zip bomb of one layer: gigabytes of zeros that were never there.
		{"claims what deflate cannot", archiveWith(claim(128+1<<40), deflated("a.npy", zeros(1<<40, 0))), ErrFormat, "which deflate cannot"},
		// The array's header lies about the entry, as in Ollama CVE-2026-7482.
		{"shape larger than the entry", archiveOf(stored("a.npy", zeros(1000, 10))), ErrFormat, "ends at byte 1128, the file at 138: truncated"},
		{"shape larger than the deflated entry", archiveOf(deflated("a.npy", zeros(1<<40, 10))), ErrFormat, "truncated"},
		{"shape smaller than the entry", archiveOf(deflated("a.npy", zeros(10, 1000))), ErrFormat, "bytes after the array"},
		// D. Fifield, A better zip bomb, 2019: entries that share their bytes.
		{"overlapping entries", overlapping, ErrFormat, "overlap"},
		// Whoever reads the first and whoever reads the last of two entries see different files.
		{"a name twice", archiveOf(stored("a.npy", array), stored("a.npy", array)), ErrFormat, "second array of this name"},
		{"a name of 5,000 bytes", archiveOf(stored(strings.Repeat("n", 5000)+".npy", array)), ErrFormat, "a name of more than 4096 bytes"},
		{"encrypted", archiveWith(flags(1), stored("a.npy", array)), ErrUnsupported, `"a.npy": encrypted`},
		{"strongly encrypted", archiveWith(flags(1<<6), stored("a.npy", array)), ErrUnsupported, "encrypted"},
		{"masked headers", archiveWith(flags(1<<13), stored("a.npy", array)), ErrUnsupported, "encrypted"},
		{"LZMA", archiveWith(func(h *zip.FileHeader) { h.Method = 14 }, stored("a.npy", array)), ErrUnsupported, "compression method 14"},
		{"bzip2", archiveWith(func(h *zip.FileHeader) { h.Method = 12 }, stored("a.npy", array)), ErrUnsupported, "compression method 12"},
		// nullifAI, 2025: pickles in containers that a scanner does not look into.
		{"PyTorch checkpoint", archiveOf(stored("archive/data.pkl", []byte("\x80\x02.")), stored("archive/data/0", array)), ErrUnsupported, `this is a PyTorch checkpoint, whose "archive/data.pkl" is a pickle`},
		{"PyTorch checkpoint with an array", archiveOf(stored("a.npy", array), stored("data.pkl", []byte("\x80\x02."))), ErrUnsupported, "weights_only=True"},
		{"no arrays", archiveOf(stored("word/document.xml", []byte("<x/>"))), ErrUnsupported, "a zip archive of 1 entries, none of them an array"},
		{"object array", archiveOf(stored("a.npy", npyFile(1, dict("|O", "False", "(1,)"), 8))), ErrUnsupported, `"a.npy": element type "|O": object arrays are pickles`},
		{"archive in an archive", archiveOf(stored("a.npy", two)), ErrFormat, `"a.npy": begins with "PK\x03\x04`},
		{"stored sizes differ", archiveWith(claim(200), stored("a.npy", array)), ErrFormat, "stored 200 bytes as 176"},
		{"deflated header cut", archiveWith(claim(5), deflated("a.npy", array[:5])), ErrFormat, "the file ends after 5 of 8 bytes"},
		{"deflated header short of its claim", archiveWith(claim(176), deflated("a.npy", array[:5])), ErrFormat, "the file ends after 0 of 8 bytes"},
		{"nothing behind the header", archiveWith(claim(176), deflated("a.npy", array[:128])), ErrFormat, "header: the file ends after"},
		{"deflated header damaged", archiveOf(item{FileHeader: zip.FileHeader{Name: "a.npy", Method: zip.Deflate}, content: array, raw: []byte("\xff\xff\xff\xff")}), ErrFormat, "corrupt"},
		{"entry behind the end", patched(t, two, directory, 1, string(two[second:second+42])+le(1<<31, 4)), ErrFormat, ""},
		{"entry in the middle of another", patched(t, two, directory, 1, string(two[second:second+42])+le(7, 4)), ErrFormat, "not a valid zip file"},
		{"content to the end and beyond", archiveWith(func(h *zip.FileHeader) { h.CompressedSize64, h.UncompressedSize64 = 400, 400 }, stored("a.npy", array)), ErrFormat, "400 bytes at 35 in a file of"},
		{"content of 2^63 bytes", archiveWith(func(h *zip.FileHeader) { h.CompressedSize64, h.UncompressedSize64 = 1<<63, 1<<63 }, stored("a.npy", array)), ErrFormat, "9223372036854775808 bytes at 35"},
		{"content of 2^64-1 bytes", archiveWith(func(h *zip.FileHeader) { h.CompressedSize64, h.UncompressedSize64 = math.MaxUint64, math.MaxUint64 }, stored("a.npy", array)), ErrFormat, "18446744073709551615 bytes at 35"},
		// A file that is two at once is what the audit of safetensors warned of.
		{"archive behind something else", append([]byte("#!/bin/sh\n"), two...), ErrFormat, `begins with "#!/bin/s"`},
		{"npy instead", array, ErrUnsupported, "this is a NumPy array: give it a name that ends in .npy"},
		{"pickle instead", []byte("\x80\x04\x95\x1f\x00\x00"), ErrUnsupported, "this is a Python pickle"},
		{"no directory", archiveOf(stored("a.npy", array))[:100], ErrFormat, "not a valid zip file"},
		{"no directory but its end", append(bytes.Clone(two[:second]), two[len(two)-22:]...), ErrFormat, ""},
		{"directory of 65,535 records", patched(t, two, endRecord, 0, endRecord+"\x00\x00\x00\x00\xff\xff\xff\xff"), ErrFormat, ""},
		{"directory at 4 GiB", patched(t, two, endRecord, 0, string(two[len(two)-22:len(two)-6])+"\xfe\xff\xff\xff"), ErrFormat, ""},
		{"empty", nil, ErrFormat, "the file is empty"},
		{"magic alone", []byte("PK\x03\x04"), ErrFormat, "not a valid zip file"},
	} {
		if ok, _ := checkNPZ(t, c.file); ok {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		path := filepath.Join(t.TempDir(), "x.npz")
		if err := os.WriteFile(path, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenNPZ(path)
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "weights: "+path+": ") {
			t.Errorf("%s: %v; want %q and %v", c.name, err, c.says, c.is)
		}
	}
}

// TestNPZContentLies: archives that open, because nothing was inflated yet, and
// whose arrays are then refused.
func TestNPZContentLies(t *testing.T) {
	array := npyFile(1, dict("<f4", "False", "(300, 4)"), 4800)
	sum := func(v uint32) func(h *zip.FileHeader) { return func(h *zip.FileHeader) { h.CRC32 = v } }
	true32 := crc32.ChecksumIEEE(array)
	more := deflated("a.npy", append(bytes.Clone(array), make([]byte, 1<<22)...))
	claim := func(h *zip.FileHeader) { h.UncompressedSize64, h.CRC32 = uint64(len(array)), true32 }
	long := npyFile(1, dict("<f4", "False", "(50000, 4)"), 800_000) // the first part of it is inflated
	cut := deflated("a.npy", long)
	cut.raw = deflatedBytes(long)
	cut.raw = cut.raw[:len(cut.raw)*3/4]
	for _, c := range []struct {
		name string
		file []byte
		says string
	}{
		{"stored, wrong sum", archiveWith(sum(true32^1), stored("a.npy", array)), "checksum"},
		{"deflated, wrong sum", archiveWith(sum(true32^1<<31), deflated("a.npy", array)), "checksum"},
		// archive/zip takes 0 for a sum that is not known.
		{"stored, sum 0", archiveWith(sum(0), stored("a.npy", array)), "checksum"},
		{"deflated, sum 0", archiveWith(sum(0), deflated("a.npy", array)), "checksum"},
		// Inflating to the end would need 4 MiB that nobody announced.
		{"inflates to more than it says", archiveWith(claim, more), "not a valid zip file"},
		{"inflates to less than it says", archiveWith(claim, deflated("a.npy", array[:500])), "unexpected EOF"},
		{"deflated content cut", archiveOf(cut), "unexpected EOF"},
	} {
		accepted, read := checkNPZ(t, c.file)
		if !accepted || read != 0 {
			t.Errorf("%s: accepted %v, %d arrays read", c.name, accepted, read)
			continue
		}
		tensors, err := readNPZ(bytes.NewReader(c.file), int64(len(c.file)), new(atomic.Bool))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // an error is not taken for success the second time
			err = tensors[0].Float32s(make([]float32, tensors[0].Elements()))
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), `weights: "a": `) {
				t.Errorf("%s: %v; want %q", c.name, err, c.says)
			}
		}
	}
}

// TestNPZErrorsAreOneLine: a name from the file does not break the message that
// has it. The fuzz target found one that did.
func TestNPZErrorsAreOneLine(t *testing.T) {
	array := npyFile(1, dict("<f4", "False", "(3, 4)"), 48)
	name := "line\none\x00" + strings.Repeat("n", 3000)
	file := archiveWith(func(h *zip.FileHeader) { h.CRC32++ }, stored(name+".npy", array), deflated(name+"2.npy", array))
	if accepted, read := checkNPZ(t, file); !accepted || read != 0 { // looks at the errors
		t.Errorf("accepted %v, %d arrays read", accepted, read)
	}
}

func deflatedBytes(b []byte) []byte {
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, flate.BestCompression)
	w.Write(b)
	w.Close()
	return packed.Bytes()
}

// TestNPZHarmless: what looks bad and is not, because names are keys here and
// the directory alone is believed.
func TestNPZHarmless(t *testing.T) {
	array := npyFile(1, dict("<f4", "False", "(3, 4)"), 48)
	names := []string{"../../etc/passwd", "/etc/passwd", `C:\x`, "a/b", "", ".npy", "\xff\xfe", "x\x00y", "a.npz", strings.Repeat("n", maxName)}
	var items []item
	for _, name := range names {
		items = append(items, stored(name+".npy", array))
	}
	items = append(items, stored("README", []byte("not an array")), stored("folder/", nil), stored("A.NPY", array))
	file := archiveOf(items...)
	check := func(what string) {
		t.Helper()
		tensors, err := readNPZ(bytes.NewReader(file), int64(len(file)), new(atomic.Bool))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		var got []string
		for _, x := range tensors {
			got = append(got, x.Name)
			if err := x.ReadBytes(make([]byte, 48), 0); err != nil {
				t.Errorf("%s: %q: %v", what, x.Name, err)
			}
		}
		if !slices.Equal(got, names) {
			t.Errorf("%s: names %q, want %q", what, got, names)
		}
	}
	check("plain")
	t.Setenv("GODEBUG", "zipinsecurepath=0") // archive/zip then reports names like the first
	check("zipinsecurepath=0")

	// The local header has another name: the directory's counts.
	file = patched(t, archiveOf(stored("a.npy", array)), "a.npy", 0, "b")
	names = []string{"a"}
	check("local name")
	if accepted, _ := checkNPZ(t, []byte(endRecord+strings.Repeat("\x00", 18))); !accepted {
		t.Error("an archive of no arrays is refused")
	}
}

// TestNPZManyEntries: memory for the directory is bounded like that for the
// arrays. The first archive has 200,000 records of one entry, the others as many
// entries as there are, tiny but honest.
func TestNPZManyEntries(t *testing.T) {
	array := npyFile(1, dict("|u1", "False", "()"), 1)
	one := archiveOf(stored("a.npy", array))
	at := bytes.Index(one, []byte(directory))
	record := string(one[at : len(one)-22])
	file := append(bytes.Clone(one[:at]), strings.Repeat(record, 200_000)...)
	end := bytes.Clone(one[len(one)-22:])
	binary.LittleEndian.PutUint32(end[12:], uint32(len(file)-at))
	binary.LittleEndian.PutUint16(end[8:], 200_000&0xffff)
	binary.LittleEndian.PutUint16(end[10:], 200_000&0xffff)
	file = append(file, end...)
	if accepted, _ := checkNPZ(t, file); accepted {
		t.Error("200,000 records of one entry are accepted")
	}
	_, err := readNPZ(bytes.NewReader(file), int64(len(file)), new(atomic.Bool))
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "the directory is larger") {
		t.Errorf("200,000 records of one entry: %v", err)
	}
	for n, want := range map[int]bool{8_000: true, 100_000: false} {
		items := make([]item, n)
		for i := range items {
			items[i] = stored(fmt.Sprintf("%d.npy", i), array)
		}
		file := archiveOf(items...)
		var tensors []*Tensor
		bounded(t, len(file), 0, func() {
			tensors, err = readNPZ(bytes.NewReader(file), int64(len(file)), new(atomic.Bool))
		})
		if want && (err != nil || len(tensors) != n) || !want && !errors.Is(err, ErrFormat) {
			t.Errorf("%d arrays of one byte: %d read, %v", n, len(tensors), err)
		}
	}
}

// TestNPZChunks reads a deflated array larger than a chunk, in parts, from
// several goroutines, and inflates it once.
func TestNPZChunks(t *testing.T) {
	const n = 2*zipChunk + 12345
	array := npyFile(1, dict("|u1", "False", fmt.Sprintf("(%d,)", n)), n)
	file := archiveOf(deflated("a.npy", array))
	source := &counting{ReaderAt: bytes.NewReader(file)}
	closed := new(atomic.Bool)
	tensors, err := readNPZ(source, int64(len(file)), closed)
	if err != nil {
		t.Fatal(err)
	}
	x, want := tensors[0], array[128:]
	if source.bytes >= len(file)+sniffBytes+1<<17 {
		t.Errorf("opening read %d bytes of %d", source.bytes, len(file))
	}
	var wait sync.WaitGroup
	for seed := range uint64(4) {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 11))
			for range 50 {
				lo := rng.IntN(n + 1)
				got := make([]byte, rng.IntN(n-lo+1))
				if err := x.ReadBytes(got, int64(lo)); err != nil || !bytes.Equal(got, want[lo:lo+len(got)]) {
					t.Errorf("bytes %d to %d are wrong: %v", lo, lo+len(got), err)
					return
				}
			}
		})
	}
	wait.Wait()
	calls := source.calls
	e := x.source.(*npzEntry)
	b := make([]byte, 10)
	for _, c := range []struct {
		offset int64
		n      int
		err    error
	}{{0, 10, nil}, {zipChunk - 5, 10, nil}, {n + 118, 10, nil}, {n + 119, 9, io.EOF}, {n + 128, 0, io.EOF}, {3 * zipChunk, 0, io.EOF}, {4 * zipChunk, 0, io.EOF}} {
		if k, err := e.ReadAt(b, c.offset); k != c.n || !errors.Is(err, c.err) || !bytes.Equal(b[:k], array[min(c.offset, n+128):][:k]) {
			t.Errorf("ReadAt at %d: %d, %v; want %d, %v", c.offset, k, err, c.n, c.err)
		}
	}
	if source.calls != calls {
		t.Error("inflated again")
	}
	closed.Store(true)
	if err := x.ReadBytes(b, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("read after it was closed: %v", err)
	}
}

// failing fails from a number of calls on.
type failing struct {
	io.ReaderAt
	good int
}

func (f *failing) ReadAt(b []byte, offset int64) (int, error) {
	if f.good--; f.good < 0 {
		return 0, errDisk
	}
	return f.ReaderAt.ReadAt(b, offset)
}

// TestNPZDiskFails lets each call of reading fail in turn: the error is the
// disk's, whichever it was, and a later attempt can succeed.
func TestNPZDiskFails(t *testing.T) {
	array := npyFile(1, dict("<f4", "False", "(3, 4)"), 48)
	var written bytes.Buffer // has a descriptor behind each entry
	if err := WriteNPZTo(&written, []Array{Float32s("a", make([]float32, 12), 12)}); err != nil {
		t.Fatal(err)
	}
	for _, file := range [][]byte{archiveOf(stored("a.npy", array), deflated("b.npy", array)), written.Bytes()} {
		calls := 0
		for ; ; calls++ {
			err := readTwice(t, &failing{bytes.NewReader(file), calls}, len(file))
			if err == nil {
				break
			}
			if !errors.Is(err, errDisk) || errors.Is(err, ErrFormat) {
				t.Fatalf("call %d failed: %v", calls, err)
			}
		}
		if calls < 8 {
			t.Errorf("%d calls only", calls)
		}
	}
}

// readTwice reads all arrays and returns the first error; it demands that the
// array can be read when the disk has recovered.
func readTwice(t *testing.T, r *failing, size int) error {
	tensors, err := readNPZ(r, int64(size), new(atomic.Bool))
	if err != nil {
		return err
	}
	for _, x := range tensors {
		if err := x.Float32s(make([]float32, 12)); err != nil {
			r.good = math.MaxInt
			if again := x.Float32s(make([]float32, 12)); again != nil {
				t.Errorf("after the disk recovered: %v", again)
			}
			return err
		}
	}
	return nil
}

// TestZipErrors: the errors of zip and flate mean a malformed file, however they
// are wrapped, and others stay what they are.
func TestZipErrors(t *testing.T) {
	for _, cause := range []error{zip.ErrFormat, zip.ErrChecksum, io.EOF, io.ErrUnexpectedEOF, flate.CorruptInputError(7)} {
		if err := zipError(fmt.Errorf("in the middle: %w", cause)); !errors.Is(err, ErrFormat) || !errors.Is(err, cause) {
			t.Errorf("%v: %v", cause, err)
		}
	}
	for _, cause := range []error{errDisk, ErrUnsupported, ErrClosed, ErrFormat} {
		if err := zipError(cause); err != cause {
			t.Errorf("%v: %v", cause, err)
		}
	}
	for _, cause := range []error{io.EOF, io.ErrUnexpectedEOF} {
		r := io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(fmt.Errorf("no more: %w", cause)))
		if err := readPart(r, make([]byte, 3), "magic"); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "after 2 of 3") {
			t.Errorf("%v wrapped: %v", cause, err)
		}
	}
}

// TestMalformedNPZ: every truncation and every flipped bit of two archives made
// by numpy, and odd numbers at every place in their headers.
func TestMalformedNPZ(t *testing.T) {
	cases, accepted := 0, 0
	try := func(file []byte) (ok bool, read int) {
		cases++
		if ok, read = checkNPZ(t, file); ok {
			accepted++
		}
		return ok, read
	}
	for _, name := range []string{"stored", "deflated"} {
		file, err := os.ReadFile(filepath.Join("testdata", name+".npz"))
		if err != nil {
			t.Fatal(err)
		}
		tensors, err := readNPZ(bytes.NewReader(file), int64(len(file)), new(atomic.Bool))
		if err != nil {
			t.Fatal(err)
		}
		content := make([]bool, len(file)) // whether a byte is of some array
		for _, x := range tensors {
			e := x.source.(*npzEntry)
			for i := e.start; i < e.end; i++ {
				content[i] = true
			}
		}
		for n := range file {
			if ok, _ := try(file[:n]); ok {
				t.Errorf("%s: %d of %d bytes are accepted", name, n, len(file))
			}
		}
		for bit := range 8 * len(file) {
			flipped := bytes.Clone(file)
			flipped[bit/8] ^= 1 << (bit % 8)
			ok, read := try(flipped)
			// The padding bits at the end of a deflated stream mean nothing; all else is under the checksum.
			if content[bit/8] && ok && read == len(tensors) && name == "stored" {
				t.Errorf("%s: bit %d of the content flipped, and nobody noticed", name, bit)
			}
		}
		for at := range file {
			if content[at] {
				continue
			}
			for _, size := range []int{2, 4, 8} {
				for _, v := range []uint64{0, 1, 8, 0x7fff, math.MaxUint16, math.MaxInt32, math.MaxUint32, math.MaxInt64, math.MaxUint64, uint64(len(file)), uint64(len(file)) - 1} {
					if at+size <= len(file) {
						changed := bytes.Clone(file)
						copy(changed[at:], le(v, size))
						try(changed)
					}
				}
			}
		}
	}
	if cases < 3000 || accepted < 100 || accepted > cases*3/4 {
		t.Errorf("%d of %d cases accepted: the set does not try what it should", accepted, cases)
	}
	t.Logf("%d cases, %d accepted", cases, accepted)
}

func TestNPZRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 13))
	for range 50 {
		var arrays []Array
		var raws [][]byte
		for i := range rng.IntN(6) {
			dtype := []DType{Bool, U16, I64, F16, F32, F64, C128}[rng.IntN(7)]
			shape := make([]int, rng.IntN(4))
			count := 1
			for k := range shape {
				shape[k] = rng.IntN(5)
				count *= shape[k]
			}
			raws = append(raws, random(rng, count*dtype.Size()))
			arrays = append(arrays, Bytes(fmt.Sprintf("层/%d", i), dtype, raws[i], shape...))
		}
		path := filepath.Join(t.TempDir(), "x.npz")
		var w, again bytes.Buffer
		if err := errors.Join(WriteNPZTo(&w, arrays), WriteNPZTo(&again, arrays), WriteNPZ(path, arrays)); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(w.Bytes(), again.Bytes()) || !bytes.Equal(w.Bytes(), file) {
			t.Fatalf("the bytes are not the same each time: %v", err)
		}
		z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range z.File {
			if first := time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC); !entry.Modified.Equal(first) || entry.Method != zip.Store {
				t.Fatalf("%q is of %s, method %d", entry.Name, entry.Modified, entry.Method)
			}
		}
		if accepted, read := checkNPZ(t, file); !accepted || read != len(arrays) {
			t.Fatalf("accepted %v, %d of %d arrays read", accepted, read, len(arrays))
		}
		f, err := OpenNPZ(path)
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for x := range f.Tensors() {
			got := make([]byte, x.Bytes())
			if err := x.ReadBytes(got, 0); err != nil || !bytes.Equal(got, raws[i]) ||
				x.Name != arrays[i].Name || x.DType != arrays[i].DType || !slices.Equal(x.Shape, arrays[i].Shape) {
				t.Errorf("array %d is %q %s %v, %v; want %q %s %v", i, x.Name, x.DType, x.Shape, err, arrays[i].Name, arrays[i].DType, arrays[i].Shape)
			}
			i++
		}
		if err := f.Close(); err != nil || i != len(arrays) {
			t.Errorf("%d arrays of %d, %v", i, len(arrays), err)
		}
	}
}

func TestWriteNPZFails(t *testing.T) {
	good := Float32s("good", []float32{1, 2}, 2)
	for _, c := range []struct {
		name string
		a    Array
		is   error
		says string
	}{
		{"a name twice", good, ErrShape, `two arrays are called "good"`},
		{"a long name", Float32s(strings.Repeat("n", maxName+1), nil, 0), ErrShape, "a name is UTF-8 of 4096 bytes at most"},
		{"a name of no text", Float32s("\xff", nil, 0), ErrShape, `array "\xff": a name is UTF-8`},
		{"a shape that lies", Float32s("bad", []float32{1, 2}, 3), ErrShape, `array "bad": 4 bytes fewer than the 12`},
		{"no type of numpy's", Bits16("bad", BF16, []uint16{1}, 1), ErrUnsupported, `array "bad": numpy has no type BF16`},
	} {
		path := filepath.Join(t.TempDir(), "x.npz")
		for prefix, err := range map[string]error{"writing npz: ": WriteNPZTo(io.Discard, []Array{good, c.a}), "writing " + path + ": ": WriteNPZ(path, []Array{good, c.a})} {
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "weights: "+prefix) {
				t.Errorf("%s: %v; want %q", c.name, err, c.says)
			}
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a file is there: %v", c.name, err)
		}
	}
	long := []Array{Float32s(strings.Repeat("n", maxName), nil, 0)}
	if err := WriteNPZTo(io.Discard, long); err != nil {
		t.Errorf("a name of %d bytes: %v", maxName, err)
	}
	var w bytes.Buffer
	if err := WriteNPZTo(&w, []Array{good}); err != nil {
		t.Fatal(err)
	}
	for room := range w.Len() {
		if err := WriteNPZTo(&full{room}, []Array{good}); !errors.Is(err, errDisk) {
			t.Fatalf("room for %d of %d bytes: %v", room, w.Len(), err)
		}
	}
}

func FuzzNPZ(f *testing.F) {
	array := npyFile(1, dict("<f4", "False", "(3, 4)"), 48)
	f.Add(archiveOf(stored("a.npy", array)))
	f.Add(archiveOf(deflated("a.npy", array), stored("b.npy", array)))
	f.Add(archiveOf(stored("archive/data.pkl", []byte("\x80\x02."))))
	f.Add(archiveWith(func(h *zip.FileHeader) { h.UncompressedSize64 = 1 << 40 }, deflated("a.npy", array)))
	for _, name := range []string{"stored", "deflated"} {
		file, err := os.ReadFile(filepath.Join("testdata", name+".npz"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) { checkNPZ(t, file) })
}
