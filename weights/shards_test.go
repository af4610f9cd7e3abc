package weights

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// put writes a file below folder, and the folders to it.
func put(t testing.TB, folder, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shardOf is a safetensors file with one-element tensors of these names.
func shardOf(t testing.TB, metadata map[string]string, names ...string) []byte {
	t.Helper()
	var arrays []Array
	for _, name := range names {
		arrays = append(arrays, Bytes(name, U8, []byte(name[:1]), 1))
	}
	return bytesOf(t, arrays, metadata)
}

// link makes a symbolic link, or skips the test where that is not allowed.
func link(t testing.TB, to, at string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, at); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
}

func TestSharded(t *testing.T) {
	folder := t.TempDir()
	put(t, folder, "two.safetensors", shardOf(t, map[string]string{"format": "np", "only": "two"}, "b", "extra"))
	put(t, folder, "one.safetensors", shardOf(t, map[string]string{"format": "pt"}, "a", "c"))
	put(t, folder, "sub/z.safetensors", shardOf(t, nil, "d"))
	index := put(t, folder, indexName, []byte(`{"metadata":{"total_size":5.0e0},"weight_map":{`+
		`"b":"two.safetensors","\u0061":"one.safetensors","c":"one.\u0073afetensors","d":"sub/z.safetensors"}}`))
	for _, path := range []string{folder, index} {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		// Shards by their names; what the index does not know is there all the same.
		if got := f.Names(); !slices.Equal(got, []string{"a", "c", "d", "b", "extra"}) || f.Len() != 5 {
			t.Errorf("names %q, %d", got, f.Len())
		}
		checkInvariants(t, f)
		for x := range f.Tensors() {
			if got := all(t, x); string(got) != x.Name[:1] {
				t.Errorf("%s holds %q", x.Name, got)
			}
		}
		if m := f.Metadata(); len(m) != 2 || m["format"] != "pt" || m["only"] != "two" {
			t.Errorf("metadata %q", m)
		}
		d, _ := f.Tensor("d")
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err := d.Float64s(make([]float64, 1)); !errors.Is(err, ErrClosed) {
			t.Errorf("reading a closed shard: %v", err)
		}
	}

	// Like transformers, the single file goes before the index.
	put(t, folder, modelName, shardOf(t, nil, "single"))
	f, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := f.Names(); !slices.Equal(got, []string{"single"}) {
		t.Errorf("names %q", got)
	}
}

// TestFolderWithoutModel: what is there instead, and what to do.
func TestFolderWithoutModel(t *testing.T) {
	for name, says := range map[string]string{
		"adapter_model.safetensors": `there is "adapter_model.safetensors": name the file itself`,
		"pytorch_model.bin":         "pickle", "consolidated.00.pth": "pickle", "model.pt": "pickle",
		"config.json": "no other .safetensors file",
	} {
		folder := t.TempDir()
		put(t, folder, name, nil)
		put(t, folder, "README.md", nil)
		_, err := Open(folder)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "weights: "+folder+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	folder := t.TempDir()
	put(t, folder, "a.bin", nil)
	put(t, folder, "b.safetensors", nil)
	if _, err := Open(folder); err == nil || !strings.Contains(err.Error(), `"b.safetensors"`) {
		t.Errorf("both: %v", err)
	}
	put(t, folder, modelName, []byte("{}"))
	if _, err := Open(folder); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), modelName) {
		t.Errorf("a text as the model: %v", err)
	}
}

// TestIndexAgainstShards: an index and shards that contradict each other.
func TestIndexAgainstShards(t *testing.T) {
	long := strings.Repeat("s", 4097)
	for _, c := range []struct {
		what, index string
		want        error
		says        string
	}{
		{"a shard is missing", `{"weight_map":{"a":"one","z":"three"}}`, fs.ErrNotExist, `the shard "three" is not there; the download may be incomplete`},
		{"a tensor is missing", `{"weight_map":{"a":"one","z":"two"}}`, ErrFormat, `tensor "z" is not in "two"`},
		{"a tensor is in another shard", `{"weight_map":{"a":"two","b":"one"}}`, ErrFormat, `tensor "a" is not in "two"`},
		{"a tensor is in two shards", `{"weight_map":{"a":"one","b":"again"}}`, ErrFormat, `tensor "a" is both in `},
		{"a tensor twice", `{"weight_map":{"a":"one","b":"two","\u0061":"two"}}`, ErrFormat, `the tensor "a" stands twice`},
		{"no map", `{"metadata":{"weight_map":{"a":"one"}}}`, ErrFormat, "no weight_map"},
		{"two maps", `{"weight_map":{"a":"one"},"weight_map":{"b":"two"}}`, ErrFormat, "weight_map stands twice"},
		{"an empty map", `{"weight_map":{}}`, ErrFormat, "empty"},
		{"a map that is a list", `{"weight_map":["one"]}`, ErrFormat, "'{' was expected"},
		{"a shard that is a number", `{"weight_map":{"a":1}}`, ErrFormat, `'"' was expected`},
		{"a shard that is null", `{"weight_map":{"a":null}}`, ErrFormat, `'"' was expected`},
		{"a text that goes on", `{"weight_map":{"a":"one"}} {}`, ErrFormat, "after the end"},
		{"a text that ends", `{"weight_map":{"a":"one"}`, ErrFormat, "ends"},
		{"a list", `[]`, ErrFormat, "'{' was expected"},
		{"not UTF-8", "{\"weight_map\":{\"\xff\":\"one\"}}", ErrFormat, "UTF-8"},
		{"no text", "", ErrFormat, "empty"},
		{"a pickle", "\x80\x04}q\x00.", ErrUnsupported, "pickle"},
		{"a page", "<!DOCTYPE html>", ErrUnsupported, "web page"},
		{"nonsense", "weight_map", ErrFormat, "'{' was expected"},
		{"a long shard name", `{"weight_map":{"a":"` + long + `"}}`, ErrUnsupported, "4096 bytes"},
		{"a pickle for a shard", `{"weight_map":{"a":"pickle"}}`, ErrUnsupported, "pickle"},
		// ONNX, CVE-2022-25882, CVE-2024-27318, CVE-2026-27489: external data named by a path.
		{"up", `{"weight_map":{"a":"../outside"}}`, ErrFormat, "leads out of the folder"},
		{"up from below", `{"weight_map":{"a":"sub/../../outside"}}`, ErrFormat, "leads out of the folder"},
		{"from the root", `{"weight_map":{"a":"/etc/passwd"}}`, ErrFormat, "leads out of the folder"},
		{"from a drive", `{"weight_map":{"a":"C:\\outside"}}`, ErrFormat, "leads out of the folder"},
		{"up, for Windows", `{"weight_map":{"a":"..\\outside"}}`, ErrFormat, "leads out of the folder"},
		{"no name", `{"weight_map":{"a":""}}`, ErrFormat, "leads out of the folder"},
		{"the folder itself", `{"weight_map":{"a":"."}}`, ErrUnsupported, "regular file"},
		{"a folder", `{"weight_map":{"a":"sub"}}`, ErrUnsupported, "regular file"},
		{"a NUL", `{"weight_map":{"a":"one\u0000"}}`, nil, "the shard"},
	} {
		folder := t.TempDir()
		put(t, folder, "outside", shardOf(t, nil, "a"))
		model := filepath.Join(folder, "model")
		put(t, model, "one", shardOf(t, nil, "a"))
		put(t, model, "two", shardOf(t, nil, "b"))
		put(t, model, "again", shardOf(t, nil, "a", "b"))
		put(t, model, "pickle", []byte("\x80\x02}q\x00."))
		put(t, model, "sub/x", nil)
		index := put(t, model, "my.index.json", []byte(c.index))
		f, err := Open(index)
		if err == nil {
			t.Errorf("%s: accepted: %q", c.what, f.Names())
			continue
		}
		if c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "weights: ") || strings.Count(err.Error(), "weights: ") != 1 {
			t.Errorf("%s: want %v with %q, got %v", c.what, c.want, c.says, err)
		}
	}
}

// TestLinks: a link may lead anywhere within the folder, and nowhere else.
func TestLinks(t *testing.T) {
	folder := t.TempDir()
	outside := put(t, folder, "outside", shardOf(t, nil, "a"))
	model := filepath.Join(folder, "model")
	put(t, model, "real", shardOf(t, nil, "a"))
	link(t, "real", filepath.Join(model, "inside"))
	link(t, "../outside", filepath.Join(model, "up"))
	link(t, outside, filepath.Join(model, "absolute"))
	link(t, "up", filepath.Join(model, "second"))
	link(t, "..", filepath.Join(model, "folder"))
	link(t, "loop", filepath.Join(model, "loop"))
	link(t, os.DevNull, filepath.Join(model, "device"))
	for name, accepted := range map[string]bool{
		"inside": true, "up": false, "absolute": false, "second": false, "folder/outside": false, "loop": false, "device": false,
	} {
		index := put(t, model, "x.index.json", fmt.Appendf(nil, `{"weight_map":{"a":"%s"}}`, name))
		f, err := Open(index)
		if (err == nil) != accepted {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("the shard %q", name)) {
			t.Errorf("%s: %v", name, err)
		}
		if f != nil {
			f.Close()
		}
	}
	// The model's own file is no exception.
	link(t, "../outside", filepath.Join(model, modelName))
	if _, err := Open(model); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("model.safetensors leads out: %v", err)
	}
	// A path of the caller's own may lead anywhere.
	f, err := Open(filepath.Join(model, "up"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestHubCache: in the Hugging Face cache a snapshot is links into blobs.
func TestHubCache(t *testing.T) {
	for _, layout := range []struct {
		snapshot, blobs string
		accepted        bool
	}{
		{"models--x--y/snapshots/0123", "models--x--y/blobs", true},
		{"models--x--y/snapshots/0123", "models--other/blobs", false},
		{"models--x--y/elsewhere/0123", "models--x--y/blobs", false},
		{"models--x--y/snapshots/0123/deep", "models--x--y/blobs", false},
	} {
		hub := t.TempDir()
		blob := put(t, hub, layout.blobs+"/abcd", shardOf(t, nil, "a"))
		put(t, hub, "models--x--y/blobs/index", []byte(`{"weight_map":{"a":"one.safetensors"}}`))
		snapshot := filepath.Join(hub, filepath.FromSlash(layout.snapshot))
		relative, err := filepath.Rel(snapshot, blob)
		if err != nil {
			t.Fatal(err)
		}
		link(t, relative, filepath.Join(snapshot, "one.safetensors"))
		put(t, snapshot, indexName, []byte(`{"weight_map":{"a":"one.safetensors"}}`))
		f, err := Open(snapshot)
		if (err == nil) != layout.accepted {
			t.Errorf("%+v: %v", layout, err)
		}
		if f != nil {
			if got := f.Names(); !slices.Equal(got, []string{"a"}) {
				t.Errorf("names %q", got)
			}
			f.Close()
		}
	}
	// blobs must be a folder.
	hub := t.TempDir()
	put(t, hub, "m/blobs", nil)
	outside := put(t, hub, "m/file", shardOf(t, nil, "a"))
	link(t, "../../file", filepath.Join(hub, "m", "snapshots", "0", modelName))
	if _, err := Open(filepath.Join(hub, "m", "snapshots", "0")); err == nil {
		t.Errorf("%s was opened", outside)
	}
}

// TestSwappedLink: a link that changes between good and bad all the time never
// opens what is outside.
func TestSwappedLink(t *testing.T) {
	folder := t.TempDir()
	put(t, folder, "outside", shardOf(t, nil, "outside"))
	model := filepath.Join(folder, "model")
	put(t, model, "inside", shardOf(t, nil, "a"))
	shard := filepath.Join(model, "one")
	link(t, "inside", shard)
	index := put(t, model, "x.index.json", []byte(`{"weight_map":{"a":"one"}}`))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				temp := filepath.Join(model, "temp")
				os.Symlink([]string{"inside", "../outside"}[i%2], temp)
				os.Rename(temp, shard)
			}
		}
	}()
	opened := 0
	for range 500 {
		f, err := Open(index)
		if err != nil {
			continue
		}
		opened++
		if got := f.Names(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("opened %q", got)
		}
		f.Close()
	}
	close(stop)
	<-stopped
	t.Logf("%d of 500 opened", opened)
}

func TestIndexLimits(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "x.index.json")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(maxIndex + 1); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if used := allocated(func() { _, err = Open(path) }); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "100000001 bytes") || used > 1<<20 {
		t.Errorf("%v, %d bytes allocated", err, used)
	}

	if err := f.Truncate(maxIndex); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "'{' was expected") {
		t.Errorf("100 MB: %v", err)
	}

	shards := func(n int) []byte {
		b := []byte(`{"weight_map":{`)
		for i := range n {
			b = fmt.Appendf(b, `"%x":"%d",`, i, i)
		}
		b[len(b)-1] = '}'
		return append(b, '}')
	}
	same := func(n int) []byte { return []byte(`{"weight_map":{` + strings.Repeat(`"":"",`, n-1) + `"":""}}`) }
	for _, c := range []struct {
		text []byte
		want error
		says string
	}{
		{shards(maxShards), nil, ""},
		{shards(maxShards + 1), ErrUnsupported, "more than 10000 shards"},
		{same(maxTensors), ErrFormat, "stands twice"},
		{same(maxTensors + 1), ErrUnsupported, "1000001 tensors, 1000000 at most"},
		{[]byte(`{"weight_map":{"a":"` + strings.Repeat("s", maxName) + `"}}`), nil, ""},
	} {
		var x *index
		size := len(c.text)
		// The text itself is what parseIndex is given.
		if used := allocated(func() { x, err = parseIndex(c.text) }); used+uint64(size) > budget(size) {
			t.Errorf("%d bytes allocated for a text of %d", used, size)
		}
		if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
		if err == nil && (!slices.IsSorted(x.files) || len(x.files) > maxShards) {
			t.Error("files are out of order")
		}
	}
}

// TestVanished: what is gone between two looks is an error of the system.
func TestVanished(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, open := range []func() (*File, error){
		func() (*File, error) { return openFolder(none) },
		func() (*File, error) { return openIndex(filepath.Join(none, "x.index.json")) },
		func() (*File, error) { return openIndex(none + ".index.json") },
	} {
		if _, err := open(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), none) {
			t.Errorf("got %v", err)
		}
	}
}

// TestShardsAreClosed: after every kind of failure. An open file would keep
// Windows from removing the folder, and Linux shows them.
func TestShardsAreClosed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("open files are counted in /proc")
	}
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	folder := t.TempDir()
	put(t, folder, "one", shardOf(t, nil, "a"))
	put(t, folder, "two", shardOf(t, nil, "a", "b"))
	bad := put(t, folder, "bad", []byte("no such thing"))
	before := count()
	for i, text := range []string{
		`{"weight_map":{"a":"one","b":"two"}}`, `{"weight_map":{"a":"one","b":"zzz"}}`, `{"weight_map":{"c":"one"}}`,
		`{"weight_map":{"b":"bad"}}`, `{"weight_map":{"a":"one","b":"sub/../one"}}`, `{}`,
	} {
		index := put(t, folder, strconv.Itoa(i)+".index.json", []byte(text))
		if _, err := Open(index); err == nil {
			t.Errorf("%s: accepted", text)
		}
	}
	for _, path := range []string{bad, folder, os.DevNull} {
		if _, err := Open(path); err == nil {
			t.Errorf("%s: accepted", path)
		}
	}
	if after := count(); after != before {
		t.Errorf("%d files are open, %d were", after, before)
	}
}
