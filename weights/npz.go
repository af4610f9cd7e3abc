package weights

import (
	"archive/zip"
	"cmp"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// npz: a zip archive of npy files, stored or deflated. An entry is known to
// hold what it says only once it was read, so nothing is allocated on its word.

const (
	// maxDeflateRatio: deflate's shortest code is two bits for 258 bytes.
	maxDeflateRatio = 4 * 258
	// zipChunk is how much of an entry is inflated or checked at once.
	zipChunk = 1 << 20
	// encryptedFlags: encrypted, strongly encrypted, headers masked.
	encryptedFlags = 1<<0 | 1<<6 | 1<<13
)

// An NPZ is an open npz file. Its arrays are named as numpy.load names them:
// the entry's name without .npy. Other entries are ignored.
type NPZ struct{ archive }

// OpenNPZ opens an npz file and validates it: the zip directory, and of each
// array what [OpenNPY] validates, the size in the directory included. All its
// arrays must be readable: one object array makes the file an error.
//
// The first read of an array reads the entry whole to verify its checksum; a
// deflated one is then kept in memory, in the size of the array, until the file
// and its tensors are no longer referred to.
//
// Errors: as [OpenNPY]; also [ErrFormat] for entries of one name, overlapping
// entries and a directory out of proportion to the file, and [ErrUnsupported]
// for PyTorch's checkpoints, which are zip archives too, encryption and
// compression other than deflate.
func OpenNPZ(path string) (*NPZ, error) {
	f, err := openRegular(path, path, os.OpenFile) //nolint:forbidigo // for reading
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	file := &npzFile{source: f}
	tensors, err := readNPZ(f, f.size, &file.closed)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("weights: %s: %w", path, err), f.Close())
	}
	return &NPZ{archive{tensors, file}}, nil
}

// An npzFile tells the entries in memory that it was closed.
type npzFile struct {
	*source
	closed atomic.Bool
}

func (f *npzFile) Close() error {
	f.closed.Store(true)
	return f.source.Close()
}

// readNPZ reads the directory of an archive of size bytes, and the header of
// each array.
func readNPZ(r io.ReaderAt, size int64, closed *atomic.Bool) ([]*Tensor, error) {
	if err := expectContent(r, size, contentZip); err != nil {
		return nil, err
	}
	z, err := openZip(r, size)
	if err != nil {
		return nil, err
	}
	var tensors []*Tensor
	var entries []*npzEntry
	names := map[string]bool{}
	for _, file := range z.File {
		if file.Name == "data.pkl" || strings.HasSuffix(file.Name, "/data.pkl") {
			return nil, fmt.Errorf("this is a PyTorch checkpoint, whose %.80q is a pickle, which can run code when it is loaded and is never read here: "+
				"in Python, load it with weights_only=True and write it with safetensors.torch.save_file: %w", file.Name, ErrUnsupported)
		}
		name, ok := strings.CutSuffix(file.Name, ".npy")
		if !ok {
			continue
		}
		if names[name] || len(name) > maxName {
			return nil, fmt.Errorf("%.80q: a second array of this name, or a name of more than %d bytes: %w", name, maxName, ErrFormat)
		}
		names[name] = true
		e := &npzEntry{file: file, closed: closed}
		h, err := e.open(r, size)
		if err != nil {
			return nil, fmt.Errorf("%.80q: %w", file.Name, zipError(err))
		}
		tensors, entries = append(tensors, h.tensor(name, e)), append(entries, e)
	}
	if len(tensors) == 0 && len(z.File) > 0 {
		return nil, fmt.Errorf("a zip archive of %d entries, none of them an array: %w", len(z.File), ErrUnsupported)
	}
	return tensors, disjoint(entries)
}

// disjoint refuses entries that share bytes of the file: a small archive could
// claim them over and over (D. Fifield, A better zip bomb, 2019).
func disjoint(entries []*npzEntry) error {
	slices.SortFunc(entries, func(a, b *npzEntry) int { return cmp.Compare(a.start, b.start) })
	for i := 1; i < len(entries); i++ {
		if a, b := entries[i-1], entries[i]; b.start < a.end {
			return fmt.Errorf("%.80q and %.80q overlap: %w", a.file.Name, b.file.Name, ErrFormat)
		}
	}
	return nil
}

// openZip reads the directory. An entry of 50 bytes there takes some 700 in
// memory with its tensor, so the directory may be an eighth of the file and
// 512 KiB, some 8,000 entries, no more.
func openZip(r io.ReaderAt, size int64) (*zip.Reader, error) {
	m := &metered{r: r, left: size/8 + 1<<19}
	z, err := zip.NewReader(m, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are keys here, nothing is extracted
		return nil, zipError(err)
	}
	m.unlimited = true
	return z, nil
}

// metered is a reader that gives up after some bytes.
type metered struct {
	r         io.ReaderAt
	left      int64
	unlimited bool
}

func (m *metered) ReadAt(b []byte, offset int64) (int, error) {
	if m.left -= int64(len(b)); m.left < 0 && !m.unlimited {
		return 0, fmt.Errorf("the directory is larger than its archive warrants: %w", ErrFormat)
	}
	if offset < 0 {
		return 0, fmt.Errorf("offset %d: %w", offset, ErrFormat)
	}
	return m.r.ReadAt(b, offset)
}

// zipError says which sentinel an error of zip or flate belongs to.
func zipError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, zip.ErrFormat), errors.Is(err, zip.ErrChecksum), errors.As(err, &corrupt),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", err, ErrFormat)
	default:
		return err
	}
}

// npzEntry is the content of an entry. A stored one is read from the file, a
// deflated one from memory.
type npzEntry struct {
	file       *zip.File
	start, end uint64 // its bytes in the file
	stored     *io.SectionReader
	closed     *atomic.Bool

	mu       sync.Mutex
	verified bool
	chunks   [][]byte // of zipChunk bytes but the last, if deflated
}

// open validates the entry up to and including the npy header.
func (e *npzEntry) open(r io.ReaderAt, size int64) (*npyHeader, error) {
	f := e.file
	switch {
	case f.Flags&encryptedFlags != 0:
		return nil, fmt.Errorf("encrypted: %w", ErrUnsupported)
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return nil, fmt.Errorf("compression method %d; stored and deflated entries are read, as numpy writes them: %w", f.Method, ErrUnsupported)
	case f.Method == zip.Store && f.CompressedSize64 != f.UncompressedSize64:
		return nil, fmt.Errorf("stored %d bytes as %d: %w", f.UncompressedSize64, f.CompressedSize64, ErrFormat)
	}
	offset, err := f.DataOffset()
	if err != nil {
		return nil, err
	}
	e.start = uint64(offset) //nolint:gosec // just read from there
	end, ok := add(e.start, f.CompressedSize64)
	if !ok || end > uint64(size) { //nolint:gosec // not negative
		return nil, fmt.Errorf("%d bytes at %d in a file of %d: %w", f.CompressedSize64, offset, size, ErrFormat)
	}
	e.end = end
	if most, _ := mul(f.CompressedSize64, maxDeflateRatio); f.Method == zip.Deflate && f.UncompressedSize64 > most {
		return nil, fmt.Errorf("%d bytes deflated to %d, which deflate cannot: %w", f.UncompressedSize64, f.CompressedSize64, ErrFormat)
	}
	if f.Method == zip.Store {
		e.stored = io.NewSectionReader(r, offset, int64(f.CompressedSize64)) //nolint:gosec // within the file
	}
	content, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer content.Close() //nolint:errcheck // nothing was written
	return readNPYHeader(content, f.UncompressedSize64)
}

// ReadAt reads of the content, which is read whole and verified before.
func (e *npzEntry) ReadAt(b []byte, offset int64) (int, error) {
	if e.closed.Load() {
		return 0, ErrClosed
	}
	if err := e.verify(); err != nil {
		return 0, zipError(err)
	}
	if e.stored != nil {
		return e.stored.ReadAt(b, offset)
	}
	n := 0
	for n < len(b) && offset/zipChunk < int64(len(e.chunks)) {
		part := copy(b[n:], e.chunks[offset/zipChunk][offset%zipChunk:])
		if part == 0 {
			break
		}
		n, offset = n+part, offset+int64(part)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// verify compares the content with its checksum, once. Memory grows with what
// is really there.
func (e *npzEntry) verify() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.verified {
		return nil
	}
	content, err := e.file.Open()
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // nothing was written
	if e.chunks, err = e.readAll(content); err != nil {
		return err
	}
	e.verified = true
	return nil
}

// readAll returns the content in chunks, or none of it if it is stored.
func (e *npzEntry) readAll(r io.Reader) ([][]byte, error) {
	var chunks [][]byte
	var sum uint32
	left := e.file.UncompressedSize64
	chunk := make([]byte, min(left, zipChunk))
	for left > 0 {
		chunk = chunk[:min(left, uint64(len(chunk)))]
		if _, err := io.ReadFull(r, chunk); err != nil {
			return nil, err
		}
		sum = crc32.Update(sum, crc32.IEEETable, chunk)
		left -= uint64(len(chunk))
		if e.stored == nil {
			chunks = append(chunks, chunk)
			chunk = make([]byte, min(left, zipChunk))
		}
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) { // also verifies the descriptor behind the data
		return nil, cmp.Or(err, zip.ErrFormat)
	}
	if sum != e.file.CRC32 { // zip takes 0 to mean unknown
		return nil, zip.ErrChecksum
	}
	return chunks, nil
}
