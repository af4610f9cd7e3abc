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
	"strconv"
	"strings"
	"testing"
)

// golden are the npy files that testdata/npy.py makes with numpy.
var golden = []struct {
	name         string
	dtype        DType
	shape        []int
	big, fortran bool
	version      byte
}{
	{"f4", F32, []int{2, 3}, false, false, 1},
	{"f8_fortran", F64, []int{2, 3}, false, true, 1},
	{"i2_big", I16, []int{2, 2}, true, false, 1},
	{"f2_scalar", F16, []int{}, false, false, 1},
	{"b1", Bool, []int{5}, false, false, 1},
	{"c16", C128, []int{2}, false, false, 1},
	{"i8_empty", I64, []int{3, 0, 4}, false, false, 1},
	{"i1", I8, []int{1, 1, 3}, false, false, 1},
	{"u4_version2", U32, []int{4}, false, false, 2},
	{"u4_version3", U32, []int{4}, false, false, 3},
}

func TestNPYGolden(t *testing.T) {
	for _, g := range golden {
		path := filepath.Join("testdata", g.name+".npy")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := OpenNPY(path)
		if err != nil {
			t.Error(err)
			continue
		}
		x, err := f.Tensor(g.name)
		if err != nil || !slices.Equal(f.Names(), []string{g.name}) || f.Len() != 1 || !slices.Equal(slices.Collect(f.Tensors()), []*Tensor{x}) || f.Metadata() != nil {
			t.Fatalf("%s: names %q, metadata %v, %v", path, f.Names(), f.Metadata(), err)
		}
		if x.DType != g.dtype || !slices.Equal(x.Shape, g.shape) || x.big != g.big || x.fortran != g.fortran || data[6] != g.version {
			t.Errorf("%s: %s %v big=%v fortran=%v version %d; want %+v", path, x.DType, x.Shape, x.big, x.fortran, data[6], g)
		}
		if x.DType != C128 {
			got := make([]float64, x.Elements())
			if err := x.Float64s(got); err != nil {
				t.Error(err)
			}
			for i, v := range got {
				want := float64(i - 2)
				switch x.DType {
				case Bool:
					want = float64(i % 2)
				case U32:
					want = float64(i)
				default:
				}
				if v != want {
					t.Errorf("%s: element %d is %g, want %g", path, i, v, want)
				}
			}
		}
		raw := make([]byte, x.Bytes())
		if err := x.ReadBytes(raw, 0); err != nil {
			t.Error(err)
		}
		if x.DType == C128 && (math.Float64frombits(binary.LittleEndian.Uint64(raw)) != -2 || binary.LittleEndian.Uint64(raw[8:]) != 0) {
			t.Errorf("%s: %x is not -2+0i, -1+0i", path, raw)
		}
		if !g.big && !g.fortran && g.version == 1 {
			var w bytes.Buffer
			err := WriteNPYTo(&w, Bytes("", x.DType, raw, x.Shape...))
			if err != nil || !bytes.Equal(w.Bytes(), data) {
				t.Errorf("%s: written again it is %q, %v; numpy wrote %q", path, w.Bytes(), err, data)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err := x.ReadBytes(raw, 0); x.Elements() > 0 && !errors.Is(err, ErrClosed) {
			t.Errorf("%s: read after Close: %v", path, err)
		}
		if _, err := f.Tensor("other"); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), `"other", among 1`) {
			t.Errorf("%s: an array that is not there: %v", path, err)
		}
	}
}

// npyFile returns an npy file with the given header, padded to a multiple of 64.
func npyFile(version byte, header string, data int) []byte {
	b := []byte(npyMagic + string([]byte{version, 0}))
	length := 2
	if version > 1 {
		length = 4
	}
	header += strings.Repeat(" ", 63-(len(b)+length+len(header))%64) + "\n"
	if version > 1 {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	} else {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	}
	b = append(b, header...)
	for i := range data {
		b = append(b, byte(i*37+1))
	}
	return b
}

// dict is a header of numpy's form.
func dict(descr, fortran, shape string) string {
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }", descr, fortran, shape)
}

func TestNPYHeaderForms(t *testing.T) {
	many := "(" + strings.Repeat("1, ", 32) + ")"
	ones := slices.Repeat([]int{1}, 32)
	for _, c := range []struct {
		version      byte
		header       string
		dtype        DType
		big, fortran bool
		shape        []int
	}{
		{1, "{'descr':'<f4','fortran_order':False,'shape':(3,)}", F32, false, false, []int{3}},
		{1, "\t{ \"descr\" : \"<f4\" ,\n\"shape\" : ( 3 , 2 , ) , 'fortran_order' : True\f\r}\n ", F32, false, true, []int{3, 2}},
		{1, "{'shape': (3L, 4L), 'fortran_order': False, 'descr': '>i2'}", I16, true, false, []int{3, 4}},
		{2, "{'shape': (3L,), 'fortran_order': False, 'descr': '|b1'}", Bool, false, false, []int{3}},
		{3, dict("<c8", "True", "(2, 3)"), C64, false, true, []int{2, 3}},
		{1, dict("=u8", "False", "()"), U64, false, false, nil},
		{1, dict("u2", "False", "(2)"[:2]+",)"), U16, false, false, []int{2}},
		{1, dict(">u1", "False", "(0, 5)"), U8, false, false, []int{0, 5}},
		{1, dict(">c16", "True", many), C128, true, true, ones},
		{1, dict("|i1", "True", "()"), I8, false, true, nil},
		{1, dict("<f2", "False", "(7,)"), F16, false, false, []int{7}},
		{1, dict("<u4", "False", "(7,)"), U32, false, false, []int{7}},
		{1, dict("<i4", "False", "(7,)"), I32, false, false, []int{7}},
		{1, dict("<i8", "False", "(10, 20)"), I64, false, false, []int{10, 20}},
		{1, dict("<f8", "False", "(1,)"), F64, false, false, []int{1}},
	} {
		count := 1
		for _, d := range c.shape {
			count *= d
		}
		file := npyFile(c.version, c.header, count*c.dtype.Size())
		x, err := readNPY(bytes.NewReader(file), int64(len(file)), "x")
		if err != nil {
			t.Errorf("%s: %v", c.header, err)
			continue
		}
		if x.DType != c.dtype || x.big != c.big || x.fortran != c.fortran || !slices.Equal(x.Shape, c.shape) || x.count != count {
			t.Errorf("%s: %+v; want %+v", c.header, x, c)
		}
		if !checkNPY(t, file) {
			t.Errorf("%s: accepted and then refused", c.header)
		}
	}
}

// hostileNPY are files made to mislead a reader, each with what it must answer.
// The weaknesses named are those that files like these met elsewhere.
var hostileNPY = []struct {
	name string
	file []byte
	is   error
	says string
}{
	// llama.cpp CVE-2026-33298: elements × size wraps, megabytes are allocated for exabytes.
	{"elements wrap", npyFile(1, dict("<f4", "False", "(4294967296, 4294967296)"), 0), ErrFormat, "overflows 64 bits"},
	{"bytes wrap", npyFile(1, dict("<f8", "False", "(2305843009213693952,)"), 0), ErrFormat, "overflows 64 bits"},
	// llama.cpp CVE-2025-53630 and its bypass CVE-2026-27940: offset + size wraps into the file.
	{"end wraps", npyFile(1, dict("|u1", "False", "(18446744073709551488,)"), 0), ErrFormat, "overflows 64 bits"},
	// A zero that makes the product harmless while loops over the others are not.
	{"zero hides overflow", npyFile(1, dict("<f4", "False", "(0, 4294967296, 4294967296)"), 0), ErrFormat, "overflows 64 bits"},
	{"zero beside 2^63", npyFile(1, dict("<f4", "False", "(0, 9223372036854775808)"), 0), ErrUnsupported, "9223372036854775808 is too large"},
	{"dimension of 2^64", npyFile(1, dict("<f4", "False", "(18446744073709551616,)"), 0), ErrFormat, "a dimension from 0 to 2^64-1 expected"},
	// Ollama CVE-2026-7482: a shape that lies about the file lets memory be read.
	{"shape larger than the file", npyFile(1, dict("<f4", "False", "(1000, 1000)"), 16), ErrFormat, "ends at byte 4000128, the file at 144: truncated"},
	{"one byte short", npyFile(1, dict("<f4", "False", "(4,)"), 15), ErrFormat, "truncated"},
	// safetensors' audit of 2023: bytes that belong to nothing make a polyglot.
	{"bytes behind the array", npyFile(1, dict("<f4", "False", "(4,)"), 17), ErrFormat, "ends at byte 144, the file at 145: bytes after the array"},
	{"zip archive behind the array", append(npyFile(1, dict("<f4", "False", "(4,)"), 16), "PK\x05\x06"+strings.Repeat("\x00", 18)...), ErrFormat, "bytes after the array"},
	{"negative dimension", npyFile(1, dict("<f4", "False", "(-4, -1)"), 16), ErrFormat, `found "-4, -1),"`},
	// ggml#709 of January 2024: the number of dimensions was not checked.
	{"33 dimensions", npyFile(1, dict("<f4", "False", "("+strings.Repeat("1,", 33)+")"), 4), ErrUnsupported, "more than 32 dimensions"},
	{"30,000 dimensions", npyFile(1, dict("<f4", "False", "("+strings.Repeat("1,", 30_000)+")"), 4), ErrUnsupported, "more than 32 dimensions"},
	// ggml#709 again: a length from the file is allocated before it is compared.
	{"header of 4 GiB", []byte(npyMagic + "\x02\x00\xff\xff\xff\xff{}"), ErrFormat, "header of 4294967295 bytes in a file of 14"},
	{"header longer than the file", []byte(npyMagic + "\x01\x00\x10\x00{'descr': '<f4'"), ErrFormat, "header of 16 bytes in a file of 25"},
	{"header over the limit", npyFile(2, dict("<f4", "False", "(4,)")+strings.Repeat(" ", 1<<16), 16), ErrFormat, "the limit is 65536"},
	// numpy limits the header because Python's parser can be crashed by nesting.
	{"nested brackets", npyFile(1, dict("<f4", "False", strings.Repeat("(", 20_000)), 0), ErrFormat, "a dimension"},
	{"nested dictionaries", npyFile(1, strings.Repeat("{", 20_000), 0), ErrFormat, "a key in quotes"},
	// numpy CVE-2019-6446: object arrays are pickles and run code.
	{"object array", npyFile(1, dict("|O", "False", "(1,)"), 8), ErrUnsupported, "object arrays are pickles, which are not read: save as a plain numeric array"},
	{"object in a structure", npyFile(1, "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }", 8), ErrUnsupported, "structured arrays are not read"},
	{"subarray", npyFile(1, "{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,), }", 8), ErrUnsupported, "structured arrays are not read"},
	{"pickle instead", []byte("\x80\x04\x95\x1f\x00\x00\x00\x00"), ErrUnsupported, "this is a Python pickle"},
	{"npz instead", []byte("PK\x03\x04\x14\x00\x00\x00"), ErrUnsupported, "this is a zip archive"},
	{"empty npz instead", []byte("PK\x05\x06\x00\x00\x00\x00"), ErrUnsupported, "this is a zip archive"},
	// The header was once evaluated as Python.
	{"code as header", npyFile(1, "__import__('os').system('true')", 0), ErrFormat, "'{' expected"},
	{"code as shape", npyFile(1, dict("<f4", "False", "(1, *[2])"), 8), ErrFormat, `found "*[2])`},
	{"quotient as dimension", npyFile(1, dict("<f4", "False", "(4/1,)"), 16), ErrFormat, `',' expected, found "/1,)`},
	{"slice as dimension", npyFile(1, dict("<f4", "False", "(4:1,)"), 16), ErrFormat, `',' expected, found ":1,)`},
	{"expression as dimension", npyFile(1, dict("<f4", "False", "(2**2,)"), 16), ErrFormat, `',' expected, found "**2,)`},
	// Readers that disagree on which of two keys counts can be shown two arrays.
	{"key twice", npyFile(1, "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", 16), ErrFormat, `second "descr"`},
	{"text after the dictionary", npyFile(1, dict("<f4", "False", "(4,)")+" or {}", 16), ErrFormat, "nothing but white space"},
	{"escaped key", npyFile(1, `{'\x64escr': '<f4', 'fortran_order': False, 'shape': (4,), }`, 16), ErrFormat, "without escapes"},
	{"NUL in the padding", npyFile(1, dict("<f4", "False", "(4,)")+"\x00", 16), ErrFormat, `found "\x00`},
	{"NUL instead of the end", npyFile(1, strings.Replace(dict("<f4", "False", "(4,)"), "}", "\x00", 1), 16), ErrFormat, `a key in quotes expected, found "\x00`},
	// Sizes of element types are numbers from the file, too.
	{"void of 2 GiB", npyFile(1, dict("|V2147483648", "False", "(2,)"), 0), ErrUnsupported, "numpy has no name for it"},
	{"bfloat16 of ml_dtypes", npyFile(1, dict("<V2", "False", "(2,)"), 4), ErrUnsupported, "bfloat16 and 8-bit floats of ml_dtypes"},
	{"E5M2 of ml_dtypes", npyFile(1, dict("<f1", "False", "(2,)"), 2), ErrUnsupported, "bfloat16 and 8-bit floats of ml_dtypes"},
	{"bytes", npyFile(1, dict("|S3", "False", "(2,)"), 6), ErrUnsupported, "text is not read"},
	{"text", npyFile(1, dict("<U3", "False", "(2,)"), 24), ErrUnsupported, "text is not read"},
	{"old text", npyFile(1, dict("|a3", "False", "(2,)"), 6), ErrUnsupported, "text is not read"},
	{"dates", npyFile(1, dict("<M8[s]", "False", "(2,)"), 16), ErrUnsupported, "dates are not read"},
	{"durations", npyFile(1, dict("<m8[s]", "False", "(2,)"), 16), ErrUnsupported, "dates are not read"},
	{"long double", npyFile(1, dict("<f16", "False", "(2,)"), 32), ErrUnsupported, "differ between machines"},
	{"complex long double", npyFile(1, dict("<c32", "False", "(2,)"), 64), ErrUnsupported, "differ between machines"},
	{"int of 3 bytes", npyFile(1, dict("<i3", "False", "(2,)"), 6), ErrUnsupported, `element type "<i3"`},
	{"name of a type", npyFile(1, dict("float32", "False", "(2,)"), 8), ErrUnsupported, `element type "float32"`},
	{"no type", npyFile(1, dict("", "False", "(2,)"), 8), ErrUnsupported, `element type ""`},
	{"byte order alone", npyFile(1, dict("<", "False", "(2,)"), 8), ErrUnsupported, `element type "<"`},
	{"two byte orders", npyFile(1, dict("<>f4", "False", "(2,)"), 8), ErrUnsupported, `element type "<>f4"`},
	{"a type of 30,000 letters", npyFile(1, dict(strings.Repeat("f", 30_000), "False", "(2,)"), 8), ErrUnsupported, "element type"},
	{"version 0", npyFile(0, dict("<f4", "False", "(4,)"), 16), ErrUnsupported, "version 0.0"},
	{"version 4", npyFile(4, dict("<f4", "False", "(4,)"), 16), ErrUnsupported, "version 4.0"},
	{"version 1.1", append([]byte(npyMagic+"\x01\x01"), npyFile(1, dict("<f4", "False", "(4,)"), 16)[8:]...), ErrUnsupported, "version 1.1"},
	{"a number, not a tuple", npyFile(1, dict("<f4", "False", "(4)"), 16), ErrFormat, "',' expected, found \"), }"},
	{"a list", npyFile(1, dict("<f4", "False", "[4]"), 16), ErrFormat, "'(' expected"},
	{"a comma alone", npyFile(1, dict("<f4", "False", "(,)"), 4), ErrFormat, "a dimension"},
	{"two commas", npyFile(1, dict("<f4", "False", "(4,,)"), 16), ErrFormat, "a dimension"},
	{"no comma", npyFile(1, dict("<f4", "False", "(2 2)"), 16), ErrFormat, "','"},
	{"open tuple", npyFile(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2", 16), ErrFormat, "','"},
	{"a float", npyFile(1, dict("<f4", "False", "(4.0,)"), 16), ErrFormat, `found ".0,)`},
	{"leading zero", npyFile(1, dict("<f4", "False", "(04,)"), 16), ErrFormat, "a dimension"},
	{"two zeros", npyFile(1, dict("<f4", "False", "(00,)"), 0), ErrFormat, "a dimension"},
	{"underscore", npyFile(1, dict("<f4", "False", "(1_0,)"), 40), ErrFormat, `found "_0,)`},
	{"long of Python 2 in version 3", npyFile(3, dict("<f4", "False", "(4L,)"), 16), ErrFormat, `found "L,)`},
	{"two suffixes", npyFile(1, dict("<f4", "False", "(4LL,)"), 16), ErrFormat, `found "L,)`},
	{"order as a number", npyFile(1, dict("<f4", "0", "(4,)"), 16), ErrFormat, "True or False expected"},
	{"order as a string", npyFile(1, dict("<f4", "'False'", "(4,)"), 16), ErrFormat, "True or False expected"},
	{"order with a tail", npyFile(1, dict("<f4", "Falsehood", "(4,)"), 16), ErrFormat, `'}' expected, found "hood`},
	{"type without quotes", npyFile(1, strings.ReplaceAll(dict("<f4", "False", "(4,)"), "'<f4'", "<f4"), 16), ErrFormat, "an element type in quotes expected"},
	{"quotes that do not match", npyFile(1, strings.Replace(dict("<f4", "False", "(4,)"), "'", `"`, 1), 16), ErrFormat, "a string on one line"},
	{"key over two lines", npyFile(1, "{'de\nscr': '<f4'}", 16), ErrFormat, "a string on one line"},
	{"key without colon", npyFile(1, "{'descr', '<f4'}", 16), ErrFormat, "':' expected"},
	{"unknown key", npyFile(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'x': 1}", 16), ErrFormat, `unknown key "x"`},
	{"no descr", npyFile(1, "{'fortran_order': False, 'shape': (4,)}", 16), ErrFormat, `header has no "descr"`},
	{"no fortran_order", npyFile(1, "{'descr': '<f4', 'shape': (4,)}", 16), ErrFormat, `header has no "fortran_order"`},
	{"no shape", npyFile(1, "{'descr': '<f4', 'fortran_order': False}", 16), ErrFormat, `header has no "shape"`},
	{"no keys", npyFile(1, "{}", 16), ErrFormat, `header has no "descr"`},
	{"pairs without comma", npyFile(1, "{'descr': '<f4' 'shape': (4,)}", 16), ErrFormat, "'}' expected"},
	{"comma first", npyFile(1, "{,}", 16), ErrFormat, "a key in quotes"},
	{"no header", []byte(npyMagic + "\x01\x00\x00\x00"), ErrFormat, "header, byte 0: '{' expected, found its end"},
	{"no length", []byte(npyMagic + "\x01\x00\x00"), ErrFormat, "header length: the file ends after 1 of 2 bytes"},
	{"no length of 4 bytes", []byte(npyMagic + "\x02\x00\x00\x00\x00"), ErrFormat, "header length: the file ends after 3 of 4 bytes"},
	{"no version", []byte(npyMagic + "\x01"), ErrFormat, "magic and version: the file ends after 7 of 8 bytes"},
	{"HDF5 instead", []byte("\x89HDF\r\n\x1a\n"), ErrUnsupported, "this is an HDF5 file"},
	{"empty", nil, ErrFormat, "the file is empty"},
	{"no magic", []byte("\x93NUMPX\x01\x00"), ErrFormat, `begins with "\x93NUMPX\x01\x00"`},
}

func TestHostileNPY(t *testing.T) {
	dir := t.TempDir()
	for i, c := range hostileNPY {
		if checkNPY(t, c.file) {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.npy", i))
		if err := os.WriteFile(path, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenNPY(path)
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "weights: "+path+": ") {
			t.Errorf("%s: %v; want %q and %v", c.name, err, c.says, c.is)
		}
	}
}

func TestOpenNPYFails(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]error{filepath.Join(dir, "none.npy"): os.ErrNotExist, dir: ErrUnsupported} {
		for name, err := range map[string]error{"npy": second(OpenNPY(path)), "npz": second(OpenNPZ(path))} {
			if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "weights: ") {
				t.Errorf("%s of %s: %v; want %v", name, path, err, want)
			}
		}
	}
	// A fault of the disk is passed on as what it is.
	if _, err := readNPY(broken{}, 100, "x"); !errors.Is(err, errDisk) {
		t.Errorf("a broken disk: %v", err)
	}
}

func second[A any](_ A, err error) error { return err }

// bounded runs read and demands that it allocates no more than its promise for
// a file of size bytes, garbage included, and beyond that allowed bytes.
func bounded(t testing.TB, size int, allowed uint64, read func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, 2*uint64(size)+8<<20+allowed; got > most {
		t.Fatalf("%d bytes allocated for a file of %d, at most %d expected", got, size, most)
	}
}

// checkError demands one line that is not endless and a sentinel.
func checkError(t testing.TB, err error) {
	t.Helper()
	s := err.Error()
	if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) || len(s) > 1000 || strings.ContainsAny(s, "\n\x00") {
		t.Fatalf("error %q", s)
	}
}

// checkTensor demands what holds for every tensor of a file of size bytes, and
// that its bytes survive being written and read again.
func checkTensor(t testing.TB, x *Tensor, raw []byte) {
	t.Helper()
	var w bytes.Buffer
	if err := WriteNPYTo(&w, Bytes("", x.DType, raw, x.Shape...)); err != nil {
		t.Fatal(err)
	}
	y, err := readNPY(bytes.NewReader(w.Bytes()), int64(w.Len()), "y")
	if err != nil {
		t.Fatalf("written again: %v", err)
	}
	again := make([]byte, y.Bytes())
	if err := y.ReadBytes(again, 0); err != nil || !bytes.Equal(raw, again) || y.DType != x.DType || !slices.Equal(y.Shape, x.Shape) {
		t.Fatalf("written again: %s %v, %v; want %s %v", y.DType, y.Shape, err, x.DType, x.Shape)
	}
}

// checkNPY reads a file of any bytes: no panic, bounded memory, and, if it is
// accepted, a tensor that is exactly what the file holds.
func checkNPY(t testing.TB, file []byte) (accepted bool) {
	t.Helper()
	var x *Tensor
	var raw []byte
	var err error
	bounded(t, len(file), 0, func() {
		if x, err = readNPY(bytes.NewReader(file), int64(len(file)), "x"); err == nil {
			raw = make([]byte, x.Bytes())
			err = x.ReadBytes(raw, 0)
		}
	})
	if err != nil {
		if x != nil {
			t.Fatalf("accepted, but its bytes cannot be read: %v", err)
		}
		checkError(t, err)
		return false
	}
	count := 1
	for _, d := range x.Shape {
		if d < 0 {
			t.Fatalf("shape %v", x.Shape)
		}
		count *= d
	}
	if count != x.Elements() || x.offset < 10 || x.offset+x.Bytes() != int64(len(file)) || len(x.Shape) > 32 {
		t.Fatalf("%s %v, %d elements, offset %d in a file of %d bytes", x.DType, x.Shape, x.Elements(), x.offset, len(file))
	}
	if data := file[x.offset:]; !x.big && !x.fortran && !bytes.Equal(data, raw) || !sameBytes(data, raw) {
		t.Fatalf("bytes %x of a file with %x", raw, data)
	}
	checkTensor(t, x, raw)
	return true
}

// sameBytes reports whether b is a permutation of a.
func sameBytes(a, b []byte) bool {
	a, b = bytes.Clone(a), bytes.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return bytes.Equal(a, b)
}

// oddLiterals are put in place of each number.
var oddLiterals = []string{
	"", "-1", "0", "00", "1", "2", "3", "2147483647", "2147483648", "4294967295", "4294967296", "9223372036854775807",
	"9223372036854775808", "18446744073709551615", "18446744073709551616", "1e3", "0x10", "4.0", "nan", "None", "True", "'4'", "(4,)", "4L", "1_0", "+4", "4 4",
	strings.Repeat("9", 400),
}

// numbersIn returns where decimal numbers stand in text.
func numbersIn(text string) (spans [][2]int) {
	for i := 0; i < len(text); i++ {
		from := i
		for i < len(text) && '0' <= text[i] && text[i] <= '9' {
			i++
		}
		if i > from {
			spans = append(spans, [2]int{from, i})
		}
	}
	return spans
}

// TestMalformedNPY: every truncation, every flipped bit of the header, an odd
// literal in place of each number, odd header lengths.
func TestMalformedNPY(t *testing.T) {
	cases, accepted := 0, 0
	try := func(file []byte) bool {
		cases++
		ok := checkNPY(t, file)
		if ok {
			accepted++
		}
		return ok
	}
	for _, c := range []struct {
		version byte
		header  string
		size    int
	}{
		{1, dict("<f4", "False", "(3, 4)"), 48},
		{2, dict(">f8", "True", "(2L, 3L)"), 48},
		{3, dict("|u1", "True", "(2, 3, 1, 5)"), 30},
	} {
		file := npyFile(c.version, c.header, c.size)
		if !try(file) {
			t.Fatalf("%s is refused", c.header)
		}
		for n := range file {
			if try(file[:n]) {
				t.Errorf("%s: %d of %d bytes are accepted", c.header, n, len(file))
			}
		}
		for bit := range 8 * (len(file) - c.size) {
			flipped := bytes.Clone(file)
			flipped[bit/8] ^= 1 << (bit % 8)
			try(flipped)
		}
		for _, span := range numbersIn(c.header) {
			for _, odd := range oddLiterals {
				try(npyFile(c.version, c.header[:span[0]]+odd+c.header[span[1]:], c.size))
			}
		}
		for _, length := range []uint32{0, 1, 2, 9, 10, 63, 64, 127, 128, 0x7fff, 0x8000, 0xffff, 0x10000, 1<<31 - 1, 1 << 31, math.MaxUint32} {
			changed := bytes.Clone(file)
			if c.version == 1 {
				binary.LittleEndian.PutUint16(changed[8:], uint16(length))
			} else {
				binary.LittleEndian.PutUint32(changed[8:], length)
			}
			try(changed)
		}
	}
	if cases < 3000 || accepted < 10 || accepted > cases/2 {
		t.Errorf("%d of %d cases accepted: the set does not try what it should", accepted, cases)
	}
	t.Logf("%d cases, %d accepted", cases, accepted)
}

func TestNPYRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 500 {
		dtype := allTypes[rng.IntN(len(allTypes))]
		shape := make([]int, rng.IntN(5))
		count := 1
		for i := range shape {
			shape[i] = rng.IntN(6)
			count *= shape[i]
		}
		raw := random(rng, count*dtype.Size())
		var w bytes.Buffer
		err := WriteNPYTo(&w, Bytes("", dtype, raw, shape...))
		if dtype == BF16 || strings.HasPrefix(dtype.String(), "F8") {
			if !errors.Is(err, ErrUnsupported) || w.Len() > 0 || !strings.Contains(err.Error(), dtype.String()) {
				t.Fatalf("%s written: %v", dtype, err)
			}
			continue
		}
		if err != nil || (w.Len()-len(raw))%64 != 0 {
			t.Fatalf("%s %v: header of %d bytes, %v", dtype, shape, w.Len()-len(raw), err)
		}
		if !checkNPY(t, w.Bytes()) || !bytes.Equal(w.Bytes()[w.Len()-len(raw):], raw) {
			t.Fatalf("%s %v is not read as it was written", dtype, shape)
		}
	}
}

// TestNPYHeaderText compares with what numpy 2.4 writes for the longest shapes.
func TestNPYHeaderText(t *testing.T) {
	for _, c := range []struct {
		shape []int
		want  string
	}{
		{[]int{}, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }" + strings.Repeat(" ", 62) + "\n"},
		{[]int{12345}, "{'descr': '<f8', 'fortran_order': False, 'shape': (12345,), }" + strings.Repeat(" ", 56) + "\n"},
		{[]int{0, 1 << 30, 7}, "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1073741824, 7), }" + strings.Repeat(" ", 46) + "\n"},
		// The header would end at a multiple of 64 as it is: numpy adds 64 spaces.
		{
			[]int{0, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 100},
			"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 100), }" + strings.Repeat(" ", 84) + "\n",
		},
	} {
		header, _, err := npyHeaderOf(Bytes("", F64, nil, c.shape...))
		if err != nil || string(header[10:]) != c.want {
			t.Errorf("%v: %q, %v; want %q", c.shape, header[10:], err, c.want)
		}
	}
}

// full takes some bytes and then no more.
type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), f.room)
	f.room -= n
	if n < len(b) {
		return n, errDisk
	}
	return n, nil
}

// TestNPYLargest: a file may have 2⁶²-1 bytes of elements and no more.
func TestNPYLargest(t *testing.T) {
	if _, size, err := npyHeaderOf(Bytes("", U8, nil, 3, 715827883, 2147483647)); err != nil || size != 1<<62-1 {
		t.Errorf("2^62-1 bytes: %d, %v", size, err)
	}
	if _, _, err := npyHeaderOf(Bytes("", U8, nil, 1<<20, 1<<20, 1<<22)); !errors.Is(err, ErrShape) {
		t.Errorf("2^62 bytes: %v", err)
	}
}

func TestWriteNPYFails(t *testing.T) {
	data := make([]byte, 25)
	for _, c := range []struct {
		name string
		a    Array
		is   error
		says string
	}{
		{"too little", Bytes("", F32, data[:23], 2, 3), ErrShape, "1 bytes fewer than the 24"},
		{"too much", Bytes("", F32, data, 2, 3), ErrShape, "1 bytes more than its shape has"},
		{"none", Array{DType: F32, Shape: []int{2}}, ErrShape, "there are no data"},
		{"negative", Bytes("", F32, data[:24], -2, -3), ErrShape, "the shape [-2 -3] has a negative dimension"},
		{"overflow", Bytes("", F32, nil, math.MaxInt, math.MaxInt, math.MaxInt), ErrShape, "is too large"},
		{"overflow of the size", Bytes("", F64, nil, 1<<20, 1<<20, 1<<21), ErrShape, "is too large"},
		{"33 dimensions", Bytes("", F32, nil, make([]int, 33)...), ErrUnsupported, "33 dimensions"},
		{"invalid", Bytes("", Invalid, nil), ErrUnsupported, "invalid"},
		{"broken data", Array{"", F32, nil, func(io.Writer) error { return errDisk }}, errDisk, ""},
	} {
		path := filepath.Join(t.TempDir(), "x.npy")
		for name, err := range map[string]error{"writing npy: ": WriteNPYTo(io.Discard, c.a), "writing " + path + ": ": WriteNPY(path, c.a)} {
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "weights: "+name) {
				t.Errorf("%s: %v; want %q", c.name, err, c.says)
			}
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a file is there: %v", c.name, err)
		}
	}
	a := func() Array { return Float32s("", []float32{1, 2, 3}, 3) }
	for room := range 140 {
		if err := WriteNPYTo(&full{room}, a()); !errors.Is(err, errDisk) {
			t.Fatalf("room for %d of 140 bytes: %v", room, err)
		}
	}
	if err := WriteNPYTo(&full{140}, a()); err != nil {
		t.Errorf("room for all: %v", err)
	}
}

func TestWriteNPY(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.npy")
	for _, n := range []int{0, 1, 3 * chunkBytes} { // each replaces the one before
		data := make([]float64, n)
		for i := range data {
			data[i] = float64(i) / 3
		}
		if err := WriteNPY(path, Float64s("ignored", data, n)); err != nil {
			t.Fatal(err)
		}
		f, err := OpenNPY(path)
		if err != nil {
			t.Fatal(err)
		}
		x, err := f.Tensor("x")
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float64, n)
		if err := errors.Join(x.Float64s(got), f.Close()); err != nil || !slices.Equal(got, data) {
			t.Errorf("%d elements are not read as they were written: %v", n, err)
		}
	}
}

func FuzzNPYHeader(f *testing.F) {
	for _, s := range []string{dict("<f4", "False", "(3, 4)"), dict(">c16", "True", "(3L,)"), "{'shape':(),\"descr\":'|b1','fortran_order':True}", ""} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, text string, python2 bool) {
		d, err := parseNPYDict(text, python2)
		if err != nil {
			checkError(t, err)
			return
		}
		if len(d.shape) > maxNPYRank || len(d.shape) > len(text) || !strings.Contains(text, d.descr) {
			t.Fatalf("%q: %+v", text, d)
		}
		// What was understood, written as numpy writes it, is understood again.
		dims := make([]string, len(d.shape))
		for i, n := range d.shape {
			dims[i] = strconv.FormatUint(n, 10) + ","
		}
		fortran := map[bool]string{true: "True", false: "False"}[d.fortran]
		if strings.Contains(d.descr, "'") {
			return
		}
		again, err := parseNPYDict(dict(d.descr, fortran, "("+strings.Join(dims, " ")+")"), false)
		if err != nil || again.descr != d.descr || again.fortran != d.fortran || !slices.Equal(again.shape, d.shape) {
			t.Fatalf("%q: %+v, again %+v, %v", text, d, again, err)
		}
	})
}

func FuzzNPY(f *testing.F) {
	for _, c := range hostileNPY {
		if len(c.file) < 1000 {
			f.Add(c.file)
		}
	}
	f.Add(npyFile(1, dict("<f4", "False", "(3, 4)"), 48))
	f.Add(npyFile(2, dict(">f8", "True", "(2L, 3L)"), 48))
	f.Add(npyFile(3, dict("|u1", "True", "(2, 3, 1, 5)"), 30))
	f.Fuzz(func(t *testing.T, file []byte) { checkNPY(t, file) })
}
