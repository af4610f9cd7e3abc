package atomicfile

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A disk is a file system in memory that knows what of it is durable. Every call
// is numbered, can be made to fail, and can be the last before the power goes.
type disk struct {
	closeFirst bool

	names   map[string]*inode
	durable map[string]*inode // the names as a folder sync left them
	pending []change          // since then
	temps   int

	calls []string
	// fault is asked before a call takes effect; an error is what the call returns
	// instead. short makes a write end early without an error.
	fault func(number int, call string) (err error, short bool)
	// after is told of every call that took effect.
	after func(call string)
}

type inode struct {
	data, synced []byte
	open         bool
	mode         fs.FileMode
}

// A change of the folder: to gets the inode, from loses its name. Either may be empty.
type change struct {
	from, to string
	node     *inode
}

func newDisk(content map[string]string) *disk {
	d := &disk{names: map[string]*inode{}}
	for name, data := range content {
		d.names[name] = &inode{data: []byte(data), synced: []byte(data)}
	}
	d.durable = maps.Clone(d.names)
	return d
}

func (d *disk) call(name string) (error, bool) {
	d.calls = append(d.calls, name)
	if d.fault == nil {
		return nil, false
	}
	err, short := d.fault(len(d.calls), name)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return err, short
}

func (d *disk) done(call string) {
	if d.after != nil {
		d.after(call)
	}
}

func (d *disk) change(c change) {
	delete(d.names, c.from)
	if c.to != "" {
		d.names[c.to] = c.node
	}
	d.pending = append(d.pending, c)
}

func (d *disk) Lstat(path string) (fs.FileInfo, error) {
	if err, _ := d.call("lstat"); err != nil {
		return nil, err
	}
	n, ok := d.names[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return info{n}, nil
}

type info struct{ n *inode }

func (i info) Name() string       { return "" }
func (i info) Size() int64        { return int64(len(i.n.data)) }
func (i info) Mode() fs.FileMode  { return i.n.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.n.mode.IsDir() }
func (i info) Sys() any           { return nil }

func (d *disk) Names(folder string) ([]string, error) {
	if err, _ := d.call("names"); err != nil {
		return nil, err
	}
	var names []string
	for path := range d.names {
		if filepath.Dir(path) == folder {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d *disk) TempName() string {
	d.temps++
	return fmt.Sprintf("%s1-%016x%s", prefix, d.temps, suffix)
}

func (d *disk) Create(path string, mode fs.FileMode) (file, error) {
	if err, _ := d.call("create"); err != nil {
		return nil, err
	}
	if _, ok := d.names[path]; ok {
		return nil, fs.ErrExist
	}
	n := &inode{open: true, mode: mode}
	d.change(change{to: path, node: n})
	d.done("create")
	return &diskFile{d, n}, nil
}

func (d *disk) Rename(from, to string) error {
	if err, _ := d.call("rename"); err != nil {
		return err
	}
	n, ok := d.names[from]
	if !ok {
		return fs.ErrNotExist
	}
	d.change(change{from: from, to: to, node: n})
	d.done("rename")
	return nil
}

func (d *disk) Remove(path string) error {
	if err, _ := d.call("remove"); err != nil {
		return err
	}
	n, ok := d.names[path]
	if !ok {
		return fs.ErrNotExist
	}
	if d.closeFirst && n.open {
		return fs.ErrPermission
	}
	d.change(change{from: path})
	d.done("remove")
	return nil
}

func (d *disk) RemoveStray(path string) (bool, error) {
	if err, _ := d.call("remove stray"); err != nil {
		return false, err
	}
	n, ok := d.names[path]
	if !ok {
		return false, fs.ErrNotExist
	}
	if n.open {
		return false, nil
	}
	d.change(change{from: path})
	d.done("remove stray")
	return true, nil
}

func (d *disk) SyncFolder(string) error {
	if err, _ := d.call("sync folder"); err != nil {
		return err
	}
	d.durable = maps.Clone(d.names)
	d.pending = nil
	d.done("sync folder")
	return nil
}

func (d *disk) CloseBeforeRename() bool { return d.closeFirst }

type diskFile struct {
	d *disk
	n *inode
}

func (f *diskFile) Write(b []byte) (int, error) {
	err, short := f.d.call("write")
	if err != nil {
		f.n.data = append(f.n.data, b[:len(b)/3]...) // a full disk takes a part
		return len(b) / 3, err
	}
	if short {
		b = b[:len(b)/2]
	}
	f.n.data = append(f.n.data, b...)
	f.d.done("write")
	return len(b), nil
}

func (f *diskFile) Sync() error {
	if err, _ := f.d.call("sync"); err != nil {
		return err
	}
	f.n.synced = slices.Clone(f.n.data)
	f.d.done("sync")
	return nil
}

func (f *diskFile) Close() error {
	f.n.open = false
	err, _ := f.d.call("close")
	f.d.done("close")
	return err
}

// strays returns the temporary files that are there.
func (d *disk) strays() (n int) {
	for path := range d.names {
		if temporary(filepath.Base(path)) {
			n++
		}
	}
	return n
}

// What a power failure leaves.
const (
	onlySynced = iota // nothing that was not synced
	everything        // all, although nothing made sure of it
	atRandom          // each change of the folder and each block or not
)

const block = 16 // bytes; small, so that small files have many

// crash returns the disk as it is found after a power failure now.
func (d *disk) crash(outcome int, rng *rand.Rand) *disk {
	names := maps.Clone(d.durable)
	for _, c := range d.pending {
		if outcome == onlySynced || outcome == atRandom && rng.IntN(2) == 0 {
			continue
		}
		delete(names, c.from)
		if c.to != "" {
			names[c.to] = c.node
		}
	}
	found := &disk{closeFirst: d.closeFirst, temps: 1000, names: map[string]*inode{}}
	for path, n := range names {
		data := n.synced
		switch {
		case outcome == everything:
			data = n.data
		case outcome == atRandom && len(n.data) > len(n.synced):
			data = slices.Clone(n.data[:len(n.synced)+rng.IntN(len(n.data)-len(n.synced)+1)])
			for at := len(n.synced); at < len(data); at += block {
				if rng.IntN(2) == 0 {
					clear(data[at:min(at+block, len(data))])
				}
			}
		}
		found.names[path] = &inode{data: data, synced: data, mode: n.mode}
	}
	found.durable = maps.Clone(found.names)
	return found
}

func (d *disk) content(path string) string {
	n, ok := d.names[path]
	if !ok {
		return "(absent)"
	}
	return string(n.data)
}

func (d *disk) count(call string) (n int) {
	for _, c := range d.calls {
		if c == call {
			n++
		}
	}
	return n
}

// version returns the content of a file, recognisable in every block.
func version(name string) string {
	return strings.Repeat(fmt.Sprintf("%-15s\n", name), 8)
}
