package tokenizer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A node of a pattern. Exactly one of the kinds below.
type node any

type (
	setNode    struct{ set set }
	catNode    struct{ parts []node }
	altNode    struct{ choices []node }
	repeatNode struct {
		body     node
		min, max int // max < 0: without limit
		lazy     bool
	}
	// A lookNode takes no rune. It holds if the next rune is in the set, or, with
	// end, if there is none.
	lookNode struct {
		set set
		end bool
	}
)

const (
	maxPattern        = 1 << 14 // bytes; those in use have up to 1,500
	maxPatternNesting = 50
	maxRepeat         = 1000
)

// A patternParser reads the part of Oniguruma's syntax (as Ruby has it) that
// pre-tokenizers use and that a finite automaton with one rune of look-ahead can
// match exactly.
// https://github.com/kkos/oniguruma/blob/master/doc/RE
type patternParser struct {
	rest  string
	fold  bool
	depth int
}

func parsePattern(pattern string) (node, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("a pattern of %d bytes; %d are the limit: %w", len(pattern), maxPattern, ErrUnsupported)
	}
	p := &patternParser{rest: pattern}
	n, err := p.alternatives()
	if err == nil && p.rest != "" {
		err = p.refuse("an unmatched )")
	}
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return n, nil
}

func (p *patternParser) refuse(format string, args ...any) error {
	return fmt.Errorf("%s, before %q: %w", fmt.Sprintf(format, args...), p.rest, ErrUnsupported)
}

// eat takes the prefix away if it is there.
func (p *patternParser) eat(prefix string) bool {
	rest, ok := strings.CutPrefix(p.rest, prefix)
	p.rest = rest
	return ok
}

// next takes a rune; false at the end.
func (p *patternParser) next() (rune, bool) {
	r, n := utf8.DecodeRuneInString(p.rest)
	p.rest = p.rest[n:]
	return r, n > 0
}

func (p *patternParser) alternatives() (node, error) {
	if p.depth++; p.depth > maxPatternNesting {
		return nil, p.refuse("groups nested deeper than %d", maxPatternNesting)
	}
	defer func() { p.depth-- }()
	var alt altNode
	for {
		n, err := p.sequence()
		if err != nil {
			return nil, err
		}
		alt.choices = append(alt.choices, n)
		if !p.eat("|") {
			return alt, nil
		}
	}
}

func (p *patternParser) sequence() (node, error) {
	var cat catNode
	literal := ""
	for p.rest != "" && p.rest[0] != '|' && p.rest[0] != ')' {
		before := p.rest
		n, err := p.atom()
		if err != nil {
			return nil, err
		}
		if s, ok := n.(setNode); ok && p.fold && s.set.size() < 4 { // Oniguruma also takes ß for ss and ﬆ for st
			literal += strings.ToLower(before[:1])
			if slices.ContainsFunc([]string{"ss", "st", "ff", "fi", "fl"}, func(l string) bool { return strings.HasSuffix(literal, l) }) {
				return nil, p.refuse("%q without regard to case, which stands for a letter too", literal[len(literal)-2:])
			}
		} else {
			literal = ""
		}
		if n, err = p.quantified(n); err != nil {
			return nil, err
		}
		cat.parts = append(cat.parts, n)
	}
	return cat, nil
}

func (p *patternParser) atom() (node, error) {
	switch {
	case p.eat("(?:"):
		return p.group(p.fold)
	case p.eat("(?i:"):
		return p.group(true)
	case p.eat("(?!"):
		return p.look(true)
	case p.eat("(?="):
		return p.look(false)
	case strings.HasPrefix(p.rest, "(?"):
		return nil, p.refuse("a group of this kind")
	case p.eat("("):
		return p.group(p.fold)
	case p.eat("["):
		s, err := p.class()
		return setNode{s}, err
	case p.eat("."):
		return setNode{single('\n').complement()}, nil
	case p.eat("$"): // of the line, as in Ruby
		return lookNode{single('\n'), true}, nil
	case p.eat(`\z`):
		return lookNode{nil, true}, nil
	case p.eat(`\`):
		s, err := p.escape()
		return setNode{p.folded(s)}, err
	case strings.ContainsRune("^*+?{", rune(p.rest[0])):
		return nil, p.refuse("%q here", p.rest[:1])
	default:
		r, _ := p.next()
		return setNode{p.folded(single(r))}, nil
	}
}

// folded is the set with its other cases where case does not count.
func (p *patternParser) folded(s set) set {
	if p.fold && s.size() <= 1<<8 {
		return s.fold()
	}
	return s
}

func (p *patternParser) group(fold bool) (node, error) {
	defer func(outer bool) { p.fold = outer }(p.fold)
	p.fold = fold
	n, err := p.alternatives()
	if err == nil && !p.eat(")") {
		err = p.refuse("a group without end")
	}
	return n, err
}

// look reads a look-ahead over one rune.
func (p *patternParser) look(negative bool) (node, error) {
	n, err := p.group(p.fold)
	if err != nil {
		return nil, err
	}
	for {
		switch v := n.(type) {
		case altNode:
			if len(v.choices) == 1 {
				n = v.choices[0]
				continue
			}
		case catNode:
			if len(v.parts) == 1 {
				n = v.parts[0]
				continue
			}
		case setNode:
			n = lookNode{v.set, false}
			continue
		case lookNode:
			if negative {
				v = lookNode{v.set.complement(), !v.end}
			}
			return v, nil
		}
		return nil, p.refuse("a look-ahead over more than one character class")
	}
}

func (p *patternParser) quantified(n node) (node, error) {
	var low, high int
	switch {
	case p.eat("?"):
		low, high = 0, 1
	case p.eat("*"):
		low, high = 0, -1
	case p.eat("+"):
		low, high = 1, -1
	case strings.HasPrefix(p.rest, "{"):
		return p.counted(n)
	default:
		return n, nil
	}
	if _, ok := n.(lookNode); ok {
		return nil, p.refuse("a repeated look-ahead")
	}
	switch {
	case p.eat("?"):
		n = repeatNode{n, low, high, true}
	case p.eat("+"):
		s, ok := n.(setNode)
		if !ok {
			return nil, p.refuse("a possessive group")
		}
		n = possessive(s, low, high)
	default:
		n = repeatNode{n, low, high, false}
	}
	return n, p.onlyOnce()
}

// onlyOnce refuses a quantifier of a quantifier.
func (p *patternParser) onlyOnce() error {
	if p.rest != "" && strings.ContainsRune("?*+{", rune(p.rest[0])) {
		return p.refuse("a repeated repetition")
	}
	return nil
}

// possessive takes all it can get and gives nothing back: X++ is X+(?!X), and
// X?+ is X|(?!X).
func possessive(s setNode, low, high int) node {
	none := lookNode{s.set.complement(), true}
	if high < 0 {
		return catNode{[]node{repeatNode{s, low, high, false}, none}}
	}
	return altNode{[]node{s, none}}
}

// counted reads {n}, {n,} and {n,m}.
func (p *patternParser) counted(n node) (node, error) {
	end := strings.IndexByte(p.rest, '}')
	if end < 0 {
		return nil, p.refuse("a repetition without end")
	}
	from, to, two := strings.Cut(p.rest[1:end], ",")
	low, err := strconv.Atoi(from)
	high := low
	if two && to == "" {
		high = -1
	} else if two && err == nil {
		high, err = strconv.Atoi(to)
	}
	if err != nil || low < 0 || low > maxRepeat || high > maxRepeat || high >= 0 && high < low {
		return nil, p.refuse("a repetition of this kind (0 to %d)", maxRepeat)
	}
	if _, ok := n.(lookNode); ok {
		return nil, p.refuse("a repeated look-ahead")
	}
	p.rest = p.rest[end+1:]
	return repeatNode{n, low, high, false}, p.onlyOnce()
}

// class reads a character class behind its bracket; classes may hold classes
// and intersect them.
func (p *patternParser) class() (set, error) {
	if p.depth++; p.depth > maxPatternNesting {
		return nil, p.refuse("classes nested deeper than %d", maxPatternNesting)
	}
	defer func() { p.depth-- }()
	negative := p.eat("^")
	if strings.HasPrefix(p.rest, "]") {
		return nil, p.refuse("an empty class")
	}
	all := set(nil).complement()
	var s set
	for {
		switch {
		case p.rest == "":
			return nil, p.refuse("a class without end")
		case p.eat("]"):
			if all = all.intersect(p.folded(s)); negative {
				all = all.complement()
			}
			return all, nil
		case p.eat("&&"):
			all, s = all.intersect(p.folded(s)), nil
			continue
		}
		item, err := p.classItem()
		if err != nil {
			return nil, err
		}
		s = s.union(item)
	}
}

// classItem reads a class in a class, an escape, a rune or a range.
func (p *patternParser) classItem() (set, error) {
	if strings.HasPrefix(p.rest, "[:") {
		return nil, p.refuse("a POSIX bracket")
	}
	if p.eat("[") {
		return p.class()
	}
	low, err := p.classRune()
	if err != nil || !strings.HasPrefix(p.rest, "-") || strings.HasPrefix(p.rest, "-]") {
		return low, err
	}
	p.eat("-")
	high, err := p.classRune()
	if err != nil {
		return nil, err
	}
	if low.size() != 1 || high.size() != 1 || low[0].lo > high[0].lo {
		return nil, p.refuse("a range of this kind")
	}
	return set{{low[0].lo, high[0].lo}}, nil
}

func (p *patternParser) classRune() (set, error) {
	if p.eat(`\`) {
		return p.escape()
	}
	if p.rest == "" || p.rest[0] == '[' || strings.HasPrefix(p.rest, "&&") {
		return nil, p.refuse("a range without end")
	}
	r, _ := p.next()
	return single(r), nil
}

// escape reads what follows a backslash and stands for one rune.
func (p *patternParser) escape() (set, error) {
	r, ok := p.next()
	switch {
	case !ok:
		return nil, p.refuse("a backslash at the end")
	case strings.ContainsRune("nrtfvae", r):
		return single(map[rune]rune{'n': '\n', 'r': '\r', 't': '\t', 'f': '\f', 'v': '\v', 'a': '\a', 'e': 0x1b}[r]), nil
	case strings.ContainsRune("sdw", r):
		return known("oniguruma-" + string(r)), nil
	case strings.ContainsRune("SDW", r):
		return known("oniguruma-" + strings.ToLower(string(r))).complement(), nil
	case r == 'p' || r == 'P':
		return p.property(r == 'P')
	case r == 'x' || r == 'u':
		return p.code(r)
	case r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'):
		return nil, p.refuse(`the escape \%c`, r)
	default:
		return single(r), nil
	}
}

// property reads {L}, {^L} and the like.
func (p *patternParser) property(negative bool) (set, error) {
	end := strings.IndexByte(p.rest, '}')
	if end < 0 || p.rest[0] != '{' {
		return nil, p.refuse("a property without braces")
	}
	name, inverse := strings.CutPrefix(p.rest[1:end], "^")
	s, ok := class(name)
	if !ok || strings.ContainsAny(name, "-") || classTables[name] != nil {
		return nil, p.refuse("the property %q", name)
	}
	p.rest = p.rest[end+1:]
	if negative != inverse {
		s = s.complement()
	}
	return s, nil
}

// code reads the hexadecimal digits of \xHH, \x{H...} and \uHHHH.
func (p *patternParser) code(kind rune) (set, error) {
	digits := map[rune]int{'x': 2, 'u': 4}[kind]
	text, rest := p.rest[:min(digits, len(p.rest))], p.rest[min(digits, len(p.rest)):]
	if kind == 'x' && strings.HasPrefix(p.rest, "{") {
		text, rest, _ = strings.Cut(p.rest[1:], "}")
		digits = len(text)
	}
	n, err := strconv.ParseUint(text, 16, 32)
	if err != nil || len(text) != digits || n > utf8.MaxRune || kind == 'x' && n > 0x7f && digits == 2 {
		return nil, p.refuse(`\%c without the code of a rune`, kind)
	}
	p.rest = rest
	return single(rune(n)), nil
}
