package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A File is a safetensors file or the shards of one model, open for reading. Its
// methods may be called from several goroutines.
type File struct {
	shards []shard
	order  []reference // sorted by name
}

// A shard is one file on the disk.
type shard struct {
	file *source
	data int64 // where the data begin
	*header
}

// A reference is a tensor: the i-th entry of a shard.
type reference struct{ shard, entry uint32 }

// Open opens a safetensors file, a shard index (*.index.json) with all its
// shards, or a folder: model.safetensors in it, else model.safetensors.index.json.
// It reads and validates the description of every tensor, and none of the
// elements; memory stays under twice the size of the files plus 8 MiB.
//
// A file is accepted if the reference implementation of the format accepts it,
// with these exceptions, all refused here: a key that stands twice, types under
// one byte (F4, F6_E2M3, F6_E3M2), descriptions written as arrays instead of
// objects, shapes with a zero whose other dimensions overflow; and beyond
// 1,000,000 tensors (and keys of metadata), rank 8, names of 4 KiB, numbers of 1024
// digits.
//
// Errors: [ErrFormat]; [ErrUnsupported], also for files that are no safetensors
// at all, pickles first of all; those of the system.
func Open(path string) (*File, error) {
	f, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	return f, nil
}

// Errors from here on have no "weights: ", which Open puts in front.
func open(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return openFolder(path)
	case strings.HasSuffix(path, ".index.json"):
		return openIndex(path)
	}
	s, err := openShard(path, path, os.OpenFile) //nolint:forbidigo // for reading
	if err != nil {
		return nil, err
	}
	return newFile([]shard{s})
}

// An opener is os.OpenFile or the same within an os.Root.
type opener func(path string, flag int, mode fs.FileMode) (*os.File, error)

// openRegular opens a file for reading; it does not wait for the other end of a
// pipe, nor read a device.
func openRegular(path, shown string, open opener) (*source, error) {
	f, err := open(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		if in := (*fs.PathError)(nil); errors.As(err, &in) {
			err = in.Err // a root knows only a part of the path
		}
		return nil, fmt.Errorf("opening %s: %w", shown, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("a regular file is needed, and this is a folder, pipe or device: %w", ErrUnsupported)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", shown, err), f.Close())
	}
	return &source{file: f, path: shown, size: info.Size()}, nil
}

// openShard opens and validates one file. shown is its name in errors.
func openShard(path, shown string, open opener) (shard, error) {
	f, err := openRegular(path, shown, open)
	if err != nil {
		return shard{}, err
	}
	return readShard(f)
}

// readShard makes a shard of an open file, or closes it.
func readShard(f *source) (shard, error) {
	h, data, err := readHeader(f)
	if err != nil {
		return shard{}, errors.Join(err, f.Close())
	}
	return shard{file: f, data: data, header: h}, nil
}

// readHeader reads and validates the header, and returns where the data begin.
func readHeader(f *source) (h *header, data int64, err error) {
	head := make([]byte, min(f.size, sniffBytes))
	if err := readFull(f, head, 0); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", f.path, err)
	}
	fail := func(format string, args ...any) error {
		err := sniff(head).refuse()
		if err == nil {
			err = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrFormat)
		}
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if len(head) < 8 {
		return nil, 0, fail("%d bytes, and a safetensors file has 8 at least", len(head))
	}
	n := binary.LittleEndian.Uint64(head)
	rest := uint64(f.size) - 8 //nolint:gosec // 8 bytes are there
	begin := bytes.TrimLeft(head[8:], " \t\r\n")
	switch {
	case n > maxHeader:
		return nil, 0, fail("the header has %d bytes by the first number, %d at most: this is not a safetensors file", n, maxHeader)
	case n > rest:
		return nil, 0, fail("the header has %d bytes and the file has %d more: it is truncated, or not a safetensors file", n, rest)
	case len(begin) > 0 && begin[0] != '{':
		return nil, 0, fail("the header begins with %q and not with {: this is not a safetensors file", begin[0])
	}
	text := make([]byte, n)
	if err := readFull(f, text, 8); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", f.path, err)
	}
	if h, err = parseHeader(text, rest-n); err != nil {
		return nil, 0, fmt.Errorf("%s: header: %w", f.path, err)
	}
	return h, int64(8 + n), nil
}

// newFile puts shards together; it owns them, and closes them if two have a
// tensor of the same name, or one has it twice.
func newFile(shards []shard) (*File, error) {
	f := &File{shards: shards}
	n := 0
	for i := range shards {
		n += len(shards[i].entries)
	}
	f.order = make([]reference, 0, n)
	for i := range shards {
		for k := range shards[i].entries {
			f.order = append(f.order, reference{uint32(i), uint32(k)})
		}
	}
	slices.SortFunc(f.order, func(a, b reference) int { return bytes.Compare(f.name(a), f.name(b)) })
	for i := 1; i < n; i++ {
		a, b := f.order[i-1], f.order[i]
		if !bytes.Equal(f.name(a), f.name(b)) {
			continue
		}
		err := fmt.Errorf("%s: tensor %s stands twice: %w", shards[a.shard].file.path, quote(f.name(a)), ErrFormat)
		if a.shard != b.shard {
			err = fmt.Errorf("tensor %s is both in %s and in %s: %w", quote(f.name(a)), shards[a.shard].file.path, shards[b.shard].file.path, ErrFormat)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *File) name(r reference) []byte { return f.shards[r.shard].name(int(r.entry)) }

// find looks a name up.
func (f *File) find(name string) (r reference, ok bool) {
	i, ok := slices.BinarySearchFunc(f.order, []byte(name), func(r reference, name []byte) int {
		return bytes.Compare(f.name(r), name)
	})
	if !ok {
		return reference{}, false
	}
	return f.order[i], true
}

func (f *File) tensor(r reference) *Tensor {
	s := &f.shards[r.shard]
	return s.tensor(int(r.entry), s.file, s.data)
}

// Len returns the number of tensors.
func (f *File) Len() int { return len(f.order) }

// Tensor returns the tensor of that name. Error: [ErrMissing].
func (f *File) Tensor(name string) (*Tensor, error) {
	if r, ok := f.find(name); ok {
		return f.tensor(r), nil
	}
	return nil, fmt.Errorf("weights: %s: %w: %s, among %d", f.shards[0].file.path, ErrMissing, quote([]byte(name)), f.Len())
}

// Tensors goes over all tensors in the order of their data, shard by shard. Each
// is made when its turn comes.
func (f *File) Tensors() iter.Seq[*Tensor] {
	return func(yield func(*Tensor) bool) {
		for i := range f.shards {
			for k := range f.shards[i].entries {
				if !yield(f.tensor(reference{uint32(i), uint32(k)})) {
					return
				}
			}
		}
	}
}

// Names returns the names of all tensors, in the order of [File.Tensors].
func (f *File) Names() []string {
	names := make([]string, 0, f.Len())
	for i := range f.shards {
		for k := range f.shards[i].entries {
			names = append(names, string(f.shards[i].name(k)))
		}
	}
	return names
}

// Metadata returns the free texts of the file's __metadata__; nil if it has no
// such entry. Of several shards that have the same key, the first one's counts.
func (f *File) Metadata() map[string]string {
	var all map[string]string
	for i := range slices.Backward(f.shards) {
		m := f.shards[i].describe()
		if all == nil {
			all = m
		}
		maps.Copy(all, m)
	}
	return all
}

// Close closes the files. Reading elements is an error, [ErrClosed], from then on.
func (f *File) Close() error {
	var failed []error
	for i := range f.shards {
		failed = append(failed, f.shards[i].file.Close())
	}
	return errors.Join(failed...)
}

// A source is a file as tensors see it: errors have its name, and an end that
// was not there when it was opened is one.
type source struct {
	file interface {
		io.ReaderAt
		io.Closer
	}
	path string
	size int64 // when it was opened
}

func (s *source) ReadAt(b []byte, offset int64) (int, error) {
	n, err := s.file.ReadAt(b, offset)
	switch {
	case n == len(b):
		return n, nil
	case errors.Is(err, io.EOF):
		return n, fmt.Errorf("%s ends at byte %d; it had %d when it was opened: %w", filepath.Base(s.path), offset+int64(n), s.size, ErrFormat)
	case errors.Is(err, os.ErrClosed):
		return n, fmt.Errorf("%s: %w", filepath.Base(s.path), ErrClosed)
	}
	return n, err
}

func (s *source) Close() error {
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("weights: %s: %w", s.path, err)
	}
	return nil
}
