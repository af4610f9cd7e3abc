package weights

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// The names that transformers gives the weights in a model's folder.
const (
	modelName = "model.safetensors"
	indexName = "model.safetensors.index.json"
)

// Limits of an index.
const (
	maxIndex  = 100_000_000 // bytes
	maxShards = 10_000
)

// A folder is where the shards of a model are, and as far as their names and
// links may lead.
type folder struct {
	path   string
	root   *os.Root
	prefix string // of the folder within root
}

// openRoot opens a folder. In the Hugging Face cache, models--x--y/snapshots/REV
// holds links to ../../blobs; there the bound is the repository's folder, as
// that of one model. Everywhere else it is the folder itself.
func openRoot(path string) (*folder, error) {
	bound, prefix := path, "."
	if full, err := filepath.Abs(path); err == nil {
		snapshots, revision := filepath.Split(full)
		snapshots = filepath.Clean(snapshots)
		repository := filepath.Dir(snapshots)
		blobs, err := os.Stat(filepath.Join(repository, "blobs"))
		if filepath.Base(snapshots) == "snapshots" && err == nil && blobs.IsDir() {
			bound, prefix = repository, filepath.Join("snapshots", revision)
		}
	}
	root, err := os.OpenRoot(bound)
	if err != nil {
		return nil, err
	}
	return &folder{path, root, prefix}, nil
}

func (d *folder) close() { _ = d.root.Close() } // nothing was written

func (d *folder) open(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return d.root.OpenFile(filepath.Join(d.prefix, name), flag, mode)
}

// has reports whether there is something of that name, a broken link included.
func (d *folder) has(name string) bool {
	_, err := d.root.Lstat(filepath.Join(d.prefix, name))
	return err == nil
}

// openFolder opens the model in a folder; transformers, too, prefers the single
// file.
func openFolder(path string) (*File, error) {
	d, err := openRoot(path)
	if err != nil {
		return nil, err
	}
	defer d.close()
	switch {
	case d.has(modelName):
		s, err := openShard(modelName, filepath.Join(path, modelName), d.open)
		if err != nil {
			return nil, err
		}
		return newFile([]shard{s})
	case d.has(indexName):
		return d.openIndex(indexName)
	}
	return nil, d.nothing()
}

// nothing is the error for a folder without a model, with what is there instead.
func (d *folder) nothing() error {
	hint := "there is no other .safetensors file either"
	entries, _ := os.ReadDir(d.path)
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".safetensors") {
			hint = fmt.Sprintf("there is %q: name the file itself", name)
			break
		} else if strings.HasSuffix(name, ".bin") || strings.HasSuffix(name, ".pt") || strings.HasSuffix(name, ".pth") {
			hint = fmt.Sprintf("there is %q, a pickle as it seems, which is never read: convert it with safetensors.torch.save_file", name)
		}
	}
	return fmt.Errorf("%s: neither %s nor %s is there; %s: %w", d.path, modelName, indexName, hint, fs.ErrNotExist)
}

func openIndex(path string) (*File, error) {
	d, err := openRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer d.close()
	return d.openIndex(filepath.Base(path))
}

// openIndex opens all shards that an index names, in the order of their names,
// and holds them against it. As in transformers, a tensor that a shard has and
// the index has not is there all the same. A tensor that the index has and the
// shard has not is an error, as is one that two shards have: transformers would
// give the first random values, and take the last of the second, without a word.
func (d *folder) openIndex(name string) (*File, error) {
	shown := filepath.Join(d.path, name)
	text, err := d.readIndex(name, shown)
	if err != nil {
		return nil, err
	}
	x, err := parseIndex(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	shards := make([]shard, 0, len(x.files))
	for _, file := range x.files {
		s, err := d.openShard(file, shown)
		if err != nil {
			for i := range shards {
				_ = shards[i].file.Close()
			}
			return nil, err
		}
		shards = append(shards, s)
	}
	f, err := newFile(shards)
	if err != nil {
		return nil, err
	}
	for i := range x.entries {
		e := &x.entries[i]
		tensor := e.name.of(x.text)
		if r, ok := f.find(string(tensor)); !ok || r.shard != e.shard {
			err := fmt.Errorf("%s: tensor %s is not in %q, where the index has it: %w", shown, quote(tensor), x.files[e.shard], ErrFormat)
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

func (d *folder) readIndex(name, shown string) ([]byte, error) {
	f, err := openRegular(name, shown, d.open)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	if f.size > maxIndex {
		return nil, fmt.Errorf("%s: an index of %d bytes, %d at most: %w", shown, f.size, maxIndex, ErrUnsupported)
	}
	text := make([]byte, f.size)
	if err := readFull(f, text, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	if c := sniff(text[:min(len(text), sniffBytes)]); c != contentJSON {
		if err := c.refuse(); err != nil {
			return nil, fmt.Errorf("%s: %w", shown, err)
		}
	}
	return text, nil
}

// openShard opens one shard by the name that the index gives it.
func (d *folder) openShard(file, index string) (shard, error) {
	name := filepath.FromSlash(file)
	if !filepath.IsLocal(name) || strings.Contains(file, `\`) {
		return shard{}, fmt.Errorf("%s: the shard name %q leads out of the folder: %w", index, file, ErrFormat)
	}
	s, err := openShard(name, filepath.Join(d.path, name), d.open)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return shard{}, fmt.Errorf("%s: the shard %q is not there; the download may be incomplete: %w", index, file, err)
	case err != nil:
		return shard{}, fmt.Errorf("%s: the shard %q: %w", index, file, err)
	}
	return s, nil
}

// An index says which shard each tensor is in.
type index struct {
	text    []byte
	entries []indexEntry
	files   []string // sorted
}

type indexEntry struct {
	name  span
	shard uint32 // in files
}

// parseIndex reads the text of an index: an object with weight_map, which maps
// tensor names to file names. Everything else in it is passed over.
func parseIndex(text []byte) (*index, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("the text is not UTF-8: %w", ErrFormat)
	}
	s := &scanner{text: text}
	x := &index{text: text}
	found := false
	s.enter('{')
	for first := true; s.next('}', first); first = false {
		key := s.str().of(text)
		s.expect(':')
		switch {
		case string(key) != "weight_map":
			s.skip()
		case found:
			s.fail("weight_map stands twice")
		default:
			found = true
			x.readMap(s)
		}
	}
	s.end()
	if !found {
		s.fail("there is no weight_map")
	}
	if s.err != nil {
		return nil, s.err
	}
	if len(x.files) == 0 {
		return nil, fmt.Errorf("the weight_map is empty: %w", ErrFormat)
	}
	if err := x.sort(); err != nil {
		return nil, err
	}
	return x, nil
}

func (x *index) readMap(s *scanner) {
	n := s.count('{', '}')
	if n > maxTensors {
		s.refuse("%d tensors, %d at most", n, maxTensors)
		return
	}
	x.entries = make([]indexEntry, 0, n)
	numbers := map[string]uint32{}
	s.enter('{')
	for first := true; s.next('}', first); first = false {
		name := s.str()
		s.expect(':')
		file := s.str().of(x.text)
		number, ok := numbers[string(file)]
		if !ok {
			if len(x.files) == maxShards || len(file) > maxName {
				s.refuse("more than %d shards, or a name of more than %d bytes", maxShards, maxName)
				return
			}
			number = uint32(len(x.files)) //nolint:gosec // limited
			x.files = append(x.files, string(file))
			numbers[x.files[number]] = number
		}
		x.entries = append(x.entries, indexEntry{name, number})
	}
}

// sort sorts files and entries by name and refuses a tensor that stands twice.
func (x *index) sort() error {
	read := x.files
	x.files = slices.Sorted(slices.Values(read))
	for i := range x.entries {
		e := &x.entries[i]
		rank, _ := slices.BinarySearch(x.files, read[e.shard])
		e.shard = uint32(rank) //nolint:gosec // limited
	}
	slices.SortFunc(x.entries, func(a, b indexEntry) int { return bytes.Compare(a.name.of(x.text), b.name.of(x.text)) })
	for i := 1; i < len(x.entries); i++ {
		if name := x.entries[i].name.of(x.text); bytes.Equal(name, x.entries[i-1].name.of(x.text)) {
			return fmt.Errorf("the tensor %s stands twice: %w", quote(name), ErrFormat)
		}
	}
	return nil
}
