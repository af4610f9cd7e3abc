package weights

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// checkFile is the oracle: what is not refused in one line hangs together, and
// neither costs more memory than it may.
func checkFile(t *testing.T, b []byte) {
	t.Helper()
	var f *File
	var err error
	if used := allocated(func() { f, err = openBytes(b) }); used > budget(len(b)) {
		t.Fatalf("%d bytes allocated for a file of %d", used, len(b))
	}
	if err != nil {
		checkRefusal(t, err)
		return
	}
	checkInvariants(t, f)
}

func FuzzFile(f *testing.F) {
	f.Add(sample())
	for _, h := range hostileFiles() {
		if len(h.file) < 1<<12 {
			f.Add(h.file)
		}
	}
	f.Fuzz(checkFile)
}

// FuzzHeader keeps the length right, which a change of the header would spoil.
func FuzzHeader(f *testing.F) {
	for _, h := range append(hostileFiles(), hostile{file: sample()}) {
		if len(h.file) < 1<<12 && len(h.file) > 8 {
			f.Add(string(h.file[8:]), uint16(0))
			f.Add(string(h.file[8:len(h.file)-1]), uint16(8))
		}
	}
	f.Fuzz(func(t *testing.T, header string, data uint16) { checkFile(t, file(header, int(data))) })
}

// FuzzFields is a well-formed header around hostile fields.
func FuzzFields(f *testing.F) {
	f.Add("a", "F32", "2,3", uint64(0), uint64(24), "", uint16(24))
	f.Add("b", "U8", "", uint64(0), uint64(1), `"x":[{}],`, uint16(1))
	f.Add("", "F64", "2305843009213693953", uint64(0), uint64(8), "", uint16(8))
	f.Add("__metadata__", "I64", "0,4294967296,4294967296", uint64(0), uint64(0), "", uint16(0))
	f.Fuzz(func(t *testing.T, name, dtype, shape string, begin, end uint64, extra string, data uint16) {
		one := fmt.Sprintf(`{"first":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]},`, begin%100, begin%100)
		head := string(appendJSON([]byte(one), name)) + `:{"dtype":`
		head = string(appendJSON([]byte(head), dtype))
		head += fmt.Sprintf(`,"shape":[%s],%s"data_offsets":[%d,%d]}}`, shape, extra, begin, end)
		checkFile(t, file(head, int(data)))
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":5.0e0},"weight_map":{"a":"one","\u0062":"t\u0077o","c":"one"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../x"}}`))
	f.Add([]byte(`{"weight_map":{}, "weight_map":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		size := len(text)
		var x *index
		var err error
		if used := allocated(func() { x, err = parseIndex(slices.Clone(text)) }); used > budget(size) {
			t.Fatalf("%d bytes allocated for a text of %d", used, size)
		}
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if !slices.IsSorted(x.files) || len(slices.Compact(slices.Clone(x.files))) != len(x.files) || len(x.files) == 0 || len(x.files) > len(x.entries) {
			t.Fatalf("%d tensors in the files %q", len(x.entries), x.files)
		}
		used := make([]bool, len(x.files))
		for i, e := range x.entries {
			used[e.shard] = true
			if i > 0 && string(x.entries[i-1].name.of(x.text)) >= string(e.name.of(x.text)) {
				t.Fatalf("tensor %d is out of order", i)
			}
		}
		if slices.Contains(used, false) {
			t.Fatal("a shard without a tensor")
		}
		d := &folder{path: t.TempDir(), prefix: "."}
		if d.root, err = os.OpenRoot(d.path); err != nil {
			t.Fatal(err)
		}
		defer d.close()
		for _, file := range x.files {
			if _, err := d.openShard(file, filepath.Join(d.path, "index")); err == nil {
				t.Fatalf("%q was opened, in an empty folder", file)
			}
		}
	})
}
