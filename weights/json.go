package weights

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// maxDepth is how deep arrays and objects nest at most, as in serde_json.
const maxDepth = 127

// A scanner walks over a JSON text (RFC 8259), valid UTF-8, without building
// anything, so that memory does not depend on what the text says. After the
// first error it stands still: next is false and values are zero, so the error
// is looked at once, at the end.
//
// A generic decoder would not do: it takes duplicate keys and lone surrogates,
// loses the difference between 1 and 1e0, and needs a multiple of the text in
// memory.
type scanner struct {
	text  []byte
	at    int
	depth int
	err   error
}

// A span is a part of a text.
type span struct{ at, length uint32 }

func (p span) of(text []byte) []byte { return text[p.at : p.at+p.length] }

// quote is %q for text from a file, of which an error shows the beginning.
func quote(b []byte) string {
	const most = 80
	if len(b) > most {
		return strconv.Quote(string(b[:most])) + "..."
	}
	return strconv.Quote(string(b))
}

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("byte %d: %s: %w", s.at, fmt.Sprintf(format, args...), ErrFormat)
	}
}

// peek skips white space and returns the byte behind it; 0 at the end, and after
// an error.
func (s *scanner) peek() byte {
	if s.err != nil {
		return 0
	}
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte) {
	got := s.peek()
	switch {
	case s.err != nil:
	case got == c:
		s.at++
	case s.at >= len(s.text):
		s.fail("the text ends where %q was expected", c)
	default:
		s.fail("%q where %q was expected", got, c)
	}
}

// enter begins an array or an object.
func (s *scanner) enter(open byte) {
	s.expect(open)
	if s.depth++; s.depth > maxDepth {
		s.fail("nested more than %d deep", maxDepth)
	}
}

// next reports whether another element follows, and moves to it; otherwise it
// leaves the array or object. first is true for the first call.
func (s *scanner) next(end byte, first bool) bool {
	if s.peek() == end {
		s.at++
		s.depth--
		return false
	}
	if !first {
		s.expect(',')
	}
	return s.err == nil
}

// end refuses anything but white space behind the value.
func (s *scanner) end() {
	if c := s.peek(); s.err == nil && s.at < len(s.text) {
		s.fail("%q after the end of the text", c)
	}
}

// raw walks over a string and returns what is between the quotes, and whether
// there is an escape in it.
func (s *scanner) raw() (p span, escaped bool) {
	s.expect('"')
	start := s.at
	for s.err == nil {
		if s.at >= len(s.text) {
			s.fail("the text ends inside a string")
			break
		}
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return span{uint32(start), uint32(s.at - 1 - start)}, escaped //nolint:gosec // texts have 100 MB at most
		case c == '\\':
			escaped = true
			s.escape()
		case c < 0x20:
			s.fail("control character %#02x inside a string", c)
		default:
			s.at++
		}
	}
	return span{}, false
}

// escape walks over one escape; the two halves of a surrogate pair are one.
func (s *scanner) escape() {
	rest := s.text[s.at+1:]
	if len(rest) > 0 && strings.IndexByte(`"\/bfnrt`, rest[0]) >= 0 {
		s.at += 2
		return
	}
	high, ok := unit(s.text[s.at:])
	switch {
	case !ok:
		s.fail("an escape that JSON does not have")
	case high < 0xd800 || high > 0xdfff:
		s.at += 6
	default:
		low, ok := unit(s.text[s.at+6:])
		if high > 0xdbff || !ok || low < 0xdc00 || low > 0xdfff {
			s.fail("half of a surrogate pair")
			return
		}
		s.at += 12
	}
}

// unit reads \uXXXX.
func unit(b []byte) (u rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if digit < 0 || c < '0' { // 0x10 to 0x19 would pass for digits
			return 0, false
		}
		u = u<<4 | rune(digit) //nolint:gosec // below 16
	}
	return u, true
}

// unescape appends what a string, valid and without its quotes, stands for. The
// result is not longer than the string, so dst may be raw[:0].
func unescape(dst, raw []byte) []byte {
	for len(raw) > 0 {
		if raw[0] != '\\' {
			dst, raw = append(dst, raw[0]), raw[1:]
			continue
		}
		u, ok := unit(raw)
		if !ok {
			dst = append(dst, "\"\\/\b\f\n\r\t"[strings.IndexByte(`"\/bfnrt`, raw[1])])
			raw = raw[2:]
			continue
		}
		raw = raw[6:]
		if u >= 0xd800 && u <= 0xdbff {
			low, _ := unit(raw)
			u = 0x10000 + (u-0xd800)<<10 + (low - 0xdc00)
			raw = raw[6:]
		}
		dst = append(dst, string(u)...)
	}
	return dst
}

// str reads a string and replaces it in the text by what it stands for; spaces
// fill the gap to its closing quote, where the caller may find it again.
func (s *scanner) str() span {
	p, escaped := s.raw()
	if escaped {
		raw := p.of(s.text)
		n := len(unescape(raw[:0], raw))
		for i := n; i < len(raw); i++ {
			raw[i] = ' '
		}
		p.length = uint32(n) //nolint:gosec // it was longer before
	}
	return p
}

// natural reads a number that is written as digits alone and fits 64 bits. That
// it is a number of JSON, without leading zeros, skip has seen before.
func (s *scanner) natural() uint64 {
	s.peek()
	if s.err != nil {
		return 0
	}
	start := s.at
	s.digits() // none are no number for ParseUint either
	b := s.text[start:s.at]
	n, err := strconv.ParseUint(string(b), 10, 64)
	fraction := s.accept(".eE")
	if err != nil || fraction {
		s.at = start
		s.fail("a whole number from 0 to 2^64-1, in plain digits, was expected")
		return 0
	}
	return n
}

// digits walks over digits and reports whether there were any.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && s.text[s.at]-'0' < 10 {
		s.at++
	}
	return s.at > start
}

// accept walks over one character of the set, if it comes next.
func (s *scanner) accept(set string) bool {
	if s.at < len(s.text) && strings.IndexByte(set, s.text[s.at]) >= 0 {
		s.at++
		return true
	}
	return false
}

// count returns how many elements the array or object has that comes next, and
// stays before it.
func (s *scanner) count(open, end byte) int {
	ahead := *s
	n := 0
	ahead.enter(open)
	for first := true; ahead.next(end, first); first = false {
		if open == '{' {
			ahead.raw()
			ahead.expect(':')
		}
		ahead.skip()
		n++
	}
	s.err = ahead.err
	return n
}

// skip walks over one value of any kind.
func (s *scanner) skip() {
	switch c := s.peek(); c {
	case '{':
		s.enter('{')
		for first := true; s.next('}', first); first = false {
			s.raw()
			s.expect(':')
			s.skip()
		}
	case '[':
		s.enter('[')
		for first := true; s.next(']', first); first = false {
			s.skip()
		}
	case '"':
		s.raw()
	case 't':
		s.word("true")
	case 'f':
		s.word("false")
	case 'n':
		s.word("null")
	default:
		s.number()
	}
}

// word walks over true, false or null, whose first letter has been seen.
func (s *scanner) word(w string) {
	if !bytes.HasPrefix(s.text[s.at:], []byte(w)) {
		s.fail("%s was expected", w)
		return
	}
	s.at += len(w)
}

// maxNumber is the longest number that is walked over.
const maxNumber = 1024

// number walks over a number. One that float64 cannot hold is refused, as
// serde_json does.
func (s *scanner) number() {
	if s.err != nil {
		return
	}
	start := s.at
	s.accept("-")
	ok := s.accept("0") || s.digits()
	whole := s.at
	if s.accept(".") {
		ok = s.digits() && ok
	}
	if s.accept("eE") {
		s.accept("+-")
		ok = s.digits() && ok
	}
	b := s.text[start:s.at]
	if !ok {
		s.at = start
		s.fail("a value was expected")
		return
	}
	if len(b) > maxNumber {
		s.fail("a number of %d characters, %d at most", len(b), maxNumber)
		return
	}
	if s.at == whole && len(b) < 300 {
		return // a whole number below the largest float64
	}
	if _, err := strconv.ParseFloat(string(b), 64); err != nil {
		s.fail("the number %s is out of range", b)
	}
}
