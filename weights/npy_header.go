package weights

import (
	"fmt"
	"strconv"
	"strings"
)

// npyDict is what the header's dictionary says, before any of it is believed.
type npyDict struct {
	descr   string
	fortran bool
	shape   []uint64
}

// parseNPYDict parses the literals that numpy writes, and no other Python:
//
//	{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//
// with white space anywhere, either kind of quotes, keys in any order, and,
// with python2, integers that end in L.
func parseNPYDict(text string, python2 bool) (npyDict, error) {
	p := npyParser{text: text, python2: python2}
	var d npyDict
	seen := map[string]bool{}
	err := p.expect('{')
	for more := true; err == nil && more; {
		if p.accept('}') {
			break
		}
		err = p.pair(&d, seen)
		more = p.accept(',')
		if err == nil && !more {
			err = p.expect('}')
		}
	}
	if err != nil {
		return d, err
	}
	if p.space(); p.at < len(text) {
		return d, p.expected("nothing but white space after the dictionary")
	}
	for _, key := range []string{"descr", "fortran_order", "shape"} {
		if !seen[key] {
			return d, fmt.Errorf("header has no %q: %w", key, ErrFormat)
		}
	}
	return d, nil
}

// npyParser is a position in the header's text.
type npyParser struct {
	text    string
	at      int
	python2 bool
}

// expected says what the grammar wants at the position.
func (p *npyParser) expected(what string) error {
	found := "its end"
	if p.at < len(p.text) {
		found = strconv.Quote(p.text[p.at:min(p.at+8, len(p.text))])
	}
	return fmt.Errorf("header, byte %d: %s expected, found %s: %w", p.at, what, found, ErrFormat)
}

func (p *npyParser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\n\r\f", p.text[p.at]) >= 0 {
		p.at++
	}
}

// next skips white space and returns the byte at the position, 0 at the end.
func (p *npyParser) next() byte {
	p.space()
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *npyParser) accept(c byte) bool {
	if p.next() != c || p.at == len(p.text) {
		return false
	}
	p.at++
	return true
}

func (p *npyParser) expect(c byte) error {
	if !p.accept(c) {
		return p.expected(strconv.QuoteRune(rune(c)))
	}
	return nil
}

// pair parses one key and its value.
func (p *npyParser) pair(d *npyDict, seen map[string]bool) error {
	key, err := p.quoted("a key in quotes")
	if err != nil {
		return err
	}
	if seen[key] {
		return fmt.Errorf("header, byte %d: second %q: %w", p.at, key, ErrFormat)
	}
	if err := p.expect(':'); err != nil {
		return err
	}
	switch key {
	case "descr":
		if c := p.next(); c == '[' || c == '(' {
			return fmt.Errorf("structured arrays are not read: save each field as an array of its own: %w", ErrUnsupported)
		}
		d.descr, err = p.quoted("an element type in quotes")
	case "fortran_order":
		d.fortran, err = p.boolean()
	case "shape":
		d.shape, err = p.tuple()
	default:
		err = fmt.Errorf("header, byte %d: unknown key %.40q: %w", p.at, key, ErrFormat)
	}
	seen[key] = true
	return err
}

// quoted parses a string without escapes.
func (p *npyParser) quoted(what string) (string, error) {
	quote := p.next()
	if quote != '\'' && quote != '"' {
		return "", p.expected(what)
	}
	rest := p.text[p.at+1:]
	end := strings.IndexByte(rest, quote)
	if end < 0 || strings.ContainsAny(rest[:end], "\\\n\r") {
		return "", p.expected("a string on one line and without escapes")
	}
	p.at += end + 2
	return rest[:end], nil
}

func (p *npyParser) boolean() (bool, error) {
	p.space()
	for word, value := range map[string]bool{"True": true, "False": false} {
		if strings.HasPrefix(p.text[p.at:], word) {
			p.at += len(word)
			return value, nil
		}
	}
	return false, p.expected("True or False")
}

// tuple parses a tuple of integers; one element needs a comma behind it, as in
// Python.
func (p *npyParser) tuple() ([]uint64, error) {
	if err := p.expect('('); err != nil {
		return nil, err
	}
	var shape []uint64
	for !p.accept(')') {
		if len(shape) == maxNPYRank {
			return nil, fmt.Errorf("header, byte %d: more than %d dimensions: %w", p.at, maxNPYRank, ErrUnsupported)
		}
		n, err := p.integer()
		if err != nil {
			return nil, err
		}
		shape = append(shape, n)
		switch {
		case p.accept(','):
		case len(shape) == 1 || p.next() != ')':
			return nil, p.expected("','")
		}
	}
	return shape, nil
}

func (p *npyParser) integer() (uint64, error) {
	p.space()
	end := p.at
	for end < len(p.text) && '0' <= p.text[end] && p.text[end] <= '9' {
		end++
	}
	digits := p.text[p.at:end]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > 0 && digits[0] == '0' || n == 0 && len(digits) > 1 {
		return 0, p.expected("a dimension from 0 to 2^64-1")
	}
	p.at = end
	if p.python2 && p.at < len(p.text) && p.text[p.at] == 'L' {
		p.at++
	}
	return n, nil
}

var npyTypes = map[string]DType{
	"b1": Bool, "u1": U8, "u2": U16, "u4": U32, "u8": U64, "i1": I8, "i2": I16, "i4": I32, "i8": I64,
	"f2": F16, "f4": F32, "f8": F64, "c8": C64, "c16": C128,
}

// parseNPYType reads a byte order, which may be missing, and a type code.
func parseNPYType(descr string) (t DType, big bool, err error) {
	code := descr
	if code != "" && strings.IndexByte("<>=|", code[0]) >= 0 {
		code = code[1:]
	}
	if t, ok := npyTypes[code]; ok {
		return t, descr[0] == '>' && t.Size() > 1, nil
	}
	return Invalid, false, fmt.Errorf("element type %.40q: %s: %w", descr, npyRefusal(code), ErrUnsupported)
}

// npyRefusal says why a type code is not read and what to do.
func npyRefusal(code string) string {
	switch kind := code[:min(1, len(code))]; {
	case kind == "O":
		return "object arrays are pickles, which are not read: save as a plain numeric array"
	case kind == "V" || code == "f1":
		return "numpy has no name for it, and bfloat16 and 8-bit floats of ml_dtypes are saved like this: " +
			"save x.astype(numpy.float32), or safetensors, which has them"
	case kind == "S" || kind == "U" || kind == "a":
		return "text is not read: save numbers"
	case kind == "M" || kind == "m":
		return "dates are not read: save x.astype(numpy.int64)"
	case kind == "f" || kind == "c":
		return "floats of more than 64 bits differ between machines: save x.astype(numpy.float64) or complex128"
	default:
		return "booleans, integers of 8 to 64 bits, floats of 16 to 64 and complex numbers of 64 and 128 are read"
	}
}
