package weights

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// What is read and written of safetensors. The reference implementation shares
// the first limit and has none of the others.
const (
	maxHeader  = 100_000_000 // bytes
	maxTensors = 1_000_000   // and as many keys of metadata
	maxName    = 4096        // bytes
	maxRank    = 8
)

const metadataKey = "__metadata__"

// safetensorsTypes are the format's types, in the order in which the reference
// implementation writes them: the larger come first, so that all are aligned.
var safetensorsTypes = [...]DType{
	U64, I64, F64, C64, F32, U32, I32, BF16, F16, U16, I16,
	F8E5M2FNUZ, F8E4M3FNUZ, F8E8M0, F8E4M3, F8E5M2, I8, U8, Bool,
}

// A header is the description of one safetensors file: the text itself, strings
// replaced by what they stand for, and where in it things are. What costs more
// than a few bytes a tensor is made when it is asked for.
type header struct {
	text     []byte
	entries  []entry // in the order of their data
	metadata []span  // the keys, sorted; each value follows in the text
	// described is whether there is metadata at all, be it empty.
	described bool
}

// An entry is one tensor. It has 32 bytes, and its description shortestEntry at least.
type entry struct {
	begin, size uint64 // bytes, from the beginning of the data
	name, shape uint32 // where in the text
	nameLength  uint16
	rank        uint8
	dtype       DType
}

const shortestEntry = len(`"":{"dtype":"U8","shape":[],"data_offsets":[0,1]}`)

func (h *header) name(i int) []byte { return h.nameOf(&h.entries[i]) }

func (h *header) nameOf(e *entry) []byte { return span{e.name, uint32(e.nameLength)}.of(h.text) }

// parseHeader reads the header of a file with so many bytes of data. It keeps and
// changes text. The rules are those of the reference implementation, which are
// stricter than its description, and these: no key twice, the limits above, no
// type under one byte.
func parseHeader(text []byte, data uint64) (*header, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("the text is not UTF-8: %w", ErrFormat)
	}
	s := &scanner{text: text}
	h := &header{text: text}
	n := s.count('{', '}') // so that what is allocated is not a guess
	if n > maxTensors {
		return nil, fmt.Errorf("more than %d tensors: %w", maxTensors, ErrUnsupported)
	}
	h.entries = make([]entry, 0, min(n, len(text)/shortestEntry))
	described := false
	var numbers [maxRank + 2]uint64 // of a shape and of the offsets; here, because they escape
	s.enter('{')
	for first := true; s.next('}', first); first = false {
		name := s.str()
		s.expect(':')
		switch {
		case string(name.of(text)) != metadataKey:
			h.readEntry(s, name, numbers[:maxRank], numbers[maxRank:])
		case described:
			s.fail("%s stands twice", metadataKey)
		default:
			described = true
			h.readMetadata(s)
		}
	}
	s.end()
	if s.err != nil {
		return nil, s.err
	}
	if err := h.checkLayout(data); err != nil {
		return nil, err
	}
	return h, nil
}

// readMetadata reads a map of strings, or null.
func (h *header) readMetadata(s *scanner) {
	if s.peek() == 'n' {
		s.word("null")
		return
	}
	h.described = true
	n := s.count('{', '}')
	if n > maxTensors {
		s.refuse("more than %d keys in %s", maxTensors, metadataKey)
		return
	}
	h.metadata = make([]span, 0, n)
	s.enter('{')
	for first := true; s.next('}', first); first = false {
		h.metadata = append(h.metadata, s.str())
		s.expect(':')
		s.raw()
	}
	if s.err != nil {
		return
	}
	slices.SortFunc(h.metadata, func(a, b span) int { return bytes.Compare(a.of(h.text), b.of(h.text)) })
	for i := 1; i < len(h.metadata); i++ {
		if key := h.metadata[i].of(h.text); bytes.Equal(key, h.metadata[i-1].of(h.text)) {
			s.fail("the key %s stands twice in %s", quote(key), metadataKey)
			return
		}
	}
}

// readEntry reads the description of one tensor. Keys that are not known are
// passed over. shape and offsets are room for its numbers.
func (h *header) readEntry(s *scanner, name span, shape, offsets []uint64) {
	const haveDType, haveShape, haveOffsets, haveAll = 1, 2, 4, 7
	e := entry{name: name.at, nameLength: uint16(name.length)} //nolint:gosec // checked in the next line
	if name.length > maxName {
		s.refuse("a name of %d bytes, %d at most", name.length, maxName)
	}
	have := 0
	s.enter('{')
	for first := true; s.next('}', first); first = false {
		key := s.str().of(h.text)
		s.expect(':')
		now := 0
		switch string(key) {
		case "dtype":
			now = haveDType
			e.dtype = s.dtype()
		case "shape":
			now = haveShape
			e.shape = uint32(s.at)            //nolint:gosec // texts have 100 MB at most
			e.rank = uint8(s.naturals(shape)) //nolint:gosec // 8 at most
		case "data_offsets":
			now = haveOffsets
			if n := s.naturals(offsets); n != 2 {
				s.fail("data_offsets are two numbers, not %d", n)
			}
		default:
			s.skip()
		}
		if have&now != 0 {
			s.fail("%s of tensor %s stands twice", key, quote(name.of(h.text)))
		}
		have |= now
	}
	if have != haveAll {
		s.fail("tensor %s has no dtype, no shape or no data_offsets", quote(name.of(h.text)))
	}
	if s.err != nil {
		return
	}
	var err error
	if e.begin = offsets[0]; e.begin > offsets[1] {
		s.fail("the data of tensor %s end before they begin, at %d", quote(name.of(h.text)), e.begin)
	} else if e.size, err = sizeOf(e.dtype, shape[:e.rank]); err != nil {
		s.err = fmt.Errorf("tensor %s: %w", quote(name.of(h.text)), err)
	} else if e.size != offsets[1]-e.begin {
		s.fail("tensor %s has %d bytes by its shape and type %s, and %d by its offsets", quote(name.of(h.text)), e.size, e.dtype, offsets[1]-e.begin)
	}
	h.entries = append(h.entries, e)
}

// sizeOf returns the bytes of a tensor. Its elements are fewer than an int counts.
func sizeOf(t DType, shape []uint64) (bytes uint64, err error) {
	n, ok := elements(shape)
	if ok {
		bytes, ok = mul(n, uint64(t.Size())) //nolint:gosec // at most 16
	}
	if !ok {
		return 0, fmt.Errorf("the shape %d has more bytes than 64 bits count: %w", shape, ErrFormat)
	}
	_, ok = toInt(n)
	for _, d := range shape {
		_, fits := toInt(d)
		ok = ok && fits
	}
	if !ok {
		return 0, fmt.Errorf("the shape %d is too large for this machine: %w", shape, ErrUnsupported)
	}
	return bytes, nil
}

// checkLayout puts the entries in the order of their data and makes sure that
// these fill the rest of the file: no gap, no overlap, nothing behind. A file
// that is also something else has no room to be it in.
func (h *header) checkLayout(data uint64) error {
	slices.SortFunc(h.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.size, b.size), cmp.Compare(a.name, b.name))
	})
	at := uint64(0)
	for i := range h.entries {
		e := &h.entries[i]
		if e.begin != at {
			if slices.ContainsFunc(h.entries[:i], func(o entry) bool { return bytes.Equal(h.nameOf(&o), h.name(i)) }) {
				return fmt.Errorf("tensor %s stands twice: %w", quote(h.name(i)), ErrFormat)
			}
			return fmt.Errorf("the data of tensor %s begin at byte %d, where %d was expected: they overlap or leave a gap: %w", quote(h.name(i)), e.begin, at, ErrFormat)
		}
		at = e.begin + e.size // the end was read as one number, so this does not overflow
	}
	switch {
	case at > data:
		return fmt.Errorf("the tensors need %d bytes of data, the file has %d: it is truncated: %w", at, data, ErrFormat)
	case at < data:
		return fmt.Errorf("%d bytes follow the last tensor: %w", data-at, ErrFormat)
	}
	return nil
}

// refuse is fail for what the format allows and this package does not read.
func (s *scanner) refuse(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("byte %d: %s: %w", s.at, fmt.Sprintf(format, args...), ErrUnsupported)
	}
}

// naturals reads an array of numbers into dst and returns how many there are; it
// refuses more than fit.
func (s *scanner) naturals(dst []uint64) int {
	n := 0
	s.enter('[')
	for first := true; s.next(']', first); first = false {
		if n == len(dst) {
			s.refuse("more than %d numbers in an array", n)
			return 0
		}
		dst[n] = s.natural()
		n++
	}
	return n
}

// dtype reads the name of an element type.
func (s *scanner) dtype() DType {
	name := s.str().of(s.text)
	if s.err != nil {
		return Invalid
	}
	for _, t := range safetensorsTypes {
		if t.String() == string(name) {
			return t
		}
	}
	switch string(name) {
	case "F4", "F6_E2M3", "F6_E3M2":
		s.refuse("type %s has elements of less than a byte: convert the tensor to a wider type", name)
	default:
		s.refuse("unknown type %s", quote(name))
	}
	return Invalid
}

// tensor makes the i-th tensor; its elements are in source, data begin at offset.
func (h *header) tensor(i int, source io.ReaderAt, offset int64) *Tensor {
	e := &h.entries[i]
	var shape [maxRank]uint64
	s := scanner{text: h.text, at: int(e.shape)}
	s.naturals(shape[:]) // it was read before, and cannot fail
	t := &Tensor{
		Name: string(h.name(i)), DType: e.dtype, Shape: make([]int, e.rank),
		source: source, offset: offset + int64(e.begin), //nolint:gosec // inside the file
	}
	t.count, _ = toInt(e.size / uint64(e.dtype.Size())) //nolint:gosec // sizeOf has checked it
	for k := range t.Shape {
		t.Shape[k], _ = toInt(shape[k])
	}
	return t
}

// describe returns the metadata, nil if there are none.
func (h *header) describe() map[string]string {
	if !h.described {
		return nil
	}
	m := make(map[string]string, len(h.metadata))
	for _, key := range h.metadata {
		s := scanner{text: h.text, at: int(key.at + key.length)}
		s.expect('"')
		s.expect(':')
		value, _ := s.raw()
		m[string(key.of(h.text))] = string(unescape(nil, value.of(h.text)))
	}
	return m
}
