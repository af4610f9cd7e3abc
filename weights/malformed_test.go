package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// sample is the file that the malformed ones are made from: three tensors, one
// of them empty, and metadata with an escape.
func sample() []byte {
	header := `{"__metadata__":{"format":"pt","n\u006fte":"\ud834\udd1e"},` +
		`"model.a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},` +
		`"model.b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},` +
		`"empty":{"dtype":"I64","shape":[7,0,2],"data_offsets":[32,32]},` +
		`"scalar":{"dtype":"U8","shape":[],"data_offsets":[32,33]}}    `
	return file(header, 33)
}

// literals stand in for each number in turn.
var literals = []string{
	"", "-1", "-0", "+1", "00", "01", "1.0", "1e0", "1E1", ".5", "1.", "0x10", "1_000", "null", "true", `"4"`, "[]", "{}", "[1]",
	"NaN", "Infinity", "1e999", "2147483647", "2147483648", "4294967295", "4294967296", "9007199254740993",
	"9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", strings.Repeat("9", 400),
	"4611686018427387904", "1 2", "1,2", "\u0661", "1\x00",
}

// malformed calls each with every malformed file.
func malformed(each func(what string, b []byte)) {
	whole := sample()
	n := int(binary.LittleEndian.Uint64(whole))
	header := string(whole[8 : 8+n])
	for i := range whole {
		each(fmt.Sprintf("truncated to %d bytes", i), whole[:i:i])
	}
	for i := 8; i < 8+n; i++ {
		for bit := range 8 {
			b := append([]byte(nil), whole...)
			b[i] ^= 1 << bit
			each(fmt.Sprintf("bit %d of byte %d flipped", bit, i), b)
		}
	}
	for _, at := range regexp.MustCompile(`[0-9]+`).FindAllStringIndex(header, -1) {
		for _, literal := range literals {
			each(fmt.Sprintf("%q at byte %d of the header", literal, at[0]), file(header[:at[0]]+literal+header[at[1]:], 33))
		}
	}
	for _, length := range []uint64{
		0, 1, uint64(n - 1), uint64(n + 1), uint64(n + 33), uint64(n + 34), maxHeader, maxHeader + 1, 1<<31 - 1, 1 << 31, 1 << 32, 1<<32 + uint64(n),
		math.MaxInt64, 1 << 63, math.MaxUint64, math.MaxUint64 - 7, math.MaxUint64 - 8,
	} {
		b := append([]byte(nil), whole...)
		binary.LittleEndian.PutUint64(b, length)
		each(fmt.Sprintf("header length %d", length), b)
	}
	for _, r := range []string{`"`, `:`, `,`, `{`, `}`, `[`, `]`, "F32", "dtype", "shape", "data_offsets", "model.b", "__metadata__", "\\u006f", "pt"} {
		for i := range len(header) {
			if strings.HasPrefix(header[i:], r) {
				each(fmt.Sprintf("without %s at %d", r, i), file(header[:i]+header[i+len(r):], 33))
				each(fmt.Sprintf("with two of %s at %d", r, i), file(header[:i]+r+header[i:], 33))
			}
		}
	}
}

// TestMalformed: no panic, no more memory than twice the file and 8 MiB, one
// line that says why; or else a file of which everything can be read. Whatever
// is shorter than it should be is refused.
func TestMalformed(t *testing.T) {
	cases, accepted := 0, 0
	malformed(func(what string, b []byte) {
		cases++
		var f *File
		var err error
		if used := allocated(func() { f, err = openBytes(b) }); used > budget(len(b)) {
			t.Fatalf("%s: %d bytes allocated for a file of %d", what, used, len(b))
		}
		defer func() {
			if t.Failed() {
				t.Logf("the case: %s", what)
			}
		}()
		if err != nil {
			checkRefusal(t, err)
			return
		}
		accepted++
		checkInvariants(t, f)
		if strings.HasPrefix(what, "truncated") || strings.HasPrefix(what, "header length") {
			t.Fatalf("%s, and accepted", what)
		}
	})
	t.Logf("%d cases, %d accepted", cases, accepted)
	if cases < 3000 {
		t.Errorf("%d cases, 3000 wanted", cases)
	}
	// The format has no checksum, so that a name or a text with a flipped bit is as
	// good as before. Refusing all would be as wrong as accepting all.
	if accepted < cases/20 || accepted > cases/2 {
		t.Errorf("%d of %d accepted", accepted, cases)
	}
}

func budget(size int) uint64 { return 2*uint64(size) + 8<<20 }

// allocated returns the bytes that f allocates in all, garbage included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestMemory: files that are all description, of every kind that could be made
// to cost a multiple of itself.
func TestMemory(t *testing.T) {
	size := 16 << 20
	if testing.Short() {
		size = 1 << 20 // with as much less room
	}
	list := func(open, end string, item func(i int) string) func(int) string {
		return func(size int) string {
			var b strings.Builder
			b.WriteString(open)
			for i := 0; b.Len() < size; i++ {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(item(i))
			}
			b.WriteString(end)
			return b.String()
		}
	}
	inRecord := `{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":`
	for _, c := range []struct {
		what     string
		header   func(size int) string
		accepted bool
	}{
		{"tensors without names to speak of", list("{", "}", func(i int) string {
			return fmt.Sprintf(`"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
		}), true},
		{"the same name over and over", list("{", "}", func(int) string {
			return `"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`
		}), false},
		{"records without anything", list("{", "}", func(int) string { return `"":{}` }), false},
		{"escaped names", list("{", "}", func(i int) string {
			return fmt.Sprintf(`"\u%04x\u%04x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i>>12, i&0xfff)
		}), true},
		{"metadata", list(`{"__metadata__":{`, "}}", func(i int) string { return fmt.Sprintf(`"metadata.%x":""`, i) }), true},
		{"metadata of the same key", list(`{"__metadata__":{`, "}}", func(int) string { return `"":""` }), false},
		{"a long key twice", func(size int) string {
			key := `"` + strings.Repeat("\x7f", size/2) + `":""`
			return `{"__metadata__":{` + key + "," + key + "}}"
		}, false},
		{"one long text", func(size int) string { return `{"__metadata__":{"":"` + strings.Repeat(`\u0001`, size/6) + `"}}` }, true},
		{"a long name", func(size int) string { return `{"` + strings.Repeat(`\n`, size/2) + `":0}` }, false},
		{"many dimensions", list(`{"a":{"dtype":"U8","data_offsets":[0,0],"shape":[`, `]}}`, func(int) string { return "0" }), false},
		{"an unknown key with much in it", list(inRecord+"[", "]}}", func(int) string { return `{"":[0,"\n"]}` }), true},
		{"unknown keys", list(inRecord+"0,", "}}", func(i int) string { return fmt.Sprintf(`"%x":0`, i) }), true},
		{"a long number", func(size int) string { return inRecord + strings.Repeat("1", size) + "}}" }, false},
		{"a long type", func(size int) string {
			return `{"a":{"dtype":"` + strings.Repeat("F", size) + `","shape":[0],"data_offsets":[0,0]}}`
		}, false},
		{"nested arrays", func(size int) string { return inRecord + strings.Repeat("[", size) }, false},
		{"nested objects", func(size int) string { return strings.Repeat(`{"":`, size/4) }, false},
		{"spaces", func(size int) string { return strings.Repeat(" ", size) + "{}" }, true},
	} {
		b := file(c.header(size), 0)
		var f *File
		var err error
		used := allocated(func() {
			if f, err = openBytes(b); err != nil {
				_ = err.Error()
			}
		})
		if used > uint64(len(b))*5/2 {
			t.Errorf("%s: %.2f times the file of %d bytes", c.what, float64(used)/float64(len(b)), len(b))
		}
		if (err == nil) != c.accepted {
			t.Errorf("%s: %v", c.what, err)
		}
		if err != nil {
			checkRefusal(t, err)
			continue
		}
		t.Logf("%s: %.2f times the file, %d tensors", c.what, float64(used)/float64(len(b)), f.Len())
	}
}

// TestTensorLimit: a million keys are read, metadata included; one more is not,
// whatever it is.
func TestTensorLimit(t *testing.T) {
	for header, says := range map[string]string{
		"{" + strings.Repeat(`"":0,`, maxTensors) + `"":0}`:                      "more than 1000000 tensors",
		`{"__metadata__":{` + strings.Repeat(`"":"",`, maxTensors) + `"":""}}`:   "more than 1000000 keys",
		"{" + strings.Repeat(`"":0,`, maxTensors-1) + `"":0}`:                    "'{' was expected",
		`{"__metadata__":{` + strings.Repeat(`"":"",`, maxTensors-1) + `"":""}}`: "stands twice",
	} {
		_, err := openBytes(file(header, 0))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %s, got %v", says, err)
		}
	}
	if testing.Short() {
		return // the rest is a file of 58 MB
	}
	var b strings.Builder
	b.WriteString(`{"__metadata__":{}`)
	for i := range maxTensors - 1 {
		fmt.Fprintf(&b, `,"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
	}
	b.WriteByte('}')
	whole := file(b.String(), 0)
	var f *File
	var err error
	if used := allocated(func() { f, err = openBytes(whole) }); used > budget(len(whole)) {
		t.Errorf("%d bytes allocated for a file of %d", used, len(whole))
	}
	if err != nil || f.Len() != maxTensors-1 {
		t.Errorf("a million keys: %v", err)
	}
}

func BenchmarkValidate(b *testing.B) {
	var arrays []Array
	for i := range 1000 {
		arrays = append(arrays, Bytes(fmt.Sprintf("model.layers.%d.self_attn.%d_proj.weight", i/7, i%7), BF16, make([]byte, 2), 1, 1))
	}
	whole := bytesOf(b, arrays, map[string]string{"format": "pt"})
	b.SetBytes(int64(len(whole)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := openBytes(whole); err != nil {
			b.Fatal(err)
		}
	}
}
