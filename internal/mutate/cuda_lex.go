package main

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A cToken is a token of CUDA C++ that the host's preprocessor would keep.
type cToken struct {
	kind       cKind
	text       string
	start, end int
}

type cKind uint8

const (
	cIdent cKind = iota
	cNumber
	cLiteral // string or character
	cPunct
)

// cPuncts are the operators of more than one character, the longest first.
var cPuncts = []string{
	"<<<", ">>>", "<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=",
	"&&", "||", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "::",
}

var cRawString = regexp.MustCompile(`^(?:u8|[uUL])?R"([^()\\\s]{0,16})\(`)

// lexCUDA splits src into tokens and leaves out comments, directives, and the
// branches of #if that the host does not compile.
func lexCUDA(src string, defines []string) []cToken {
	var out []cToken
	cond := &conditions{defines: defines}
	lineStart := true
	for i := 0; i < len(src); {
		rest := src[i:]
		c := src[i]
		switch {
		case c == '\n':
			lineStart = true
			i++
			continue
		case unicode.IsSpace(rune(c)):
			i++
			continue
		case strings.HasPrefix(rest, "//"):
			i += lineLength(rest)
			continue
		case strings.HasPrefix(rest, "/*"):
			_, after, ok := strings.Cut(rest[2:], "*/")
			if !ok {
				return out
			}
			i = len(src) - len(after)
			continue
		case c == '#' && lineStart:
			n := lineLength(rest)
			cond.directive(rest[:n])
			i += n
			continue
		}
		lineStart = false
		t := nextToken(rest)
		t.start, t.end = i, i+len(t.text)
		i = t.end
		if !cond.excluded() {
			out = append(out, t)
		}
	}
	return out
}

// lineLength is the length of the logical line, continuations included.
func lineLength(s string) int {
	for at := 0; ; {
		n := strings.IndexByte(s[at:], '\n')
		if n < 0 {
			return len(s)
		}
		if !strings.HasSuffix(strings.TrimSuffix(s[at:at+n], "\r"), `\`) {
			return at + n
		}
		at += n + 1
	}
}

func nextToken(s string) cToken {
	if m := cRawString.FindStringSubmatch(s); m != nil {
		if n := strings.Index(s, ")"+m[1]+`"`); n >= 0 {
			return cToken{kind: cLiteral, text: s[:n+len(m[1])+2]}
		}
	}
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == '"' || r == '\'':
		for i := 1; i < len(s); i++ {
			switch s[i] {
			case '\\':
				i++
			case s[0]:
				return cToken{kind: cLiteral, text: s[:i+1]}
			}
		}
		return cToken{kind: cLiteral, text: s}
	case r == '_' || unicode.IsLetter(r):
		return cToken{kind: cIdent, text: s[:span(s, isWord)]}
	case unicode.IsDigit(r) || r == '.' && len(s) > 1 && unicode.IsDigit(rune(s[1])):
		n := span(s, func(r rune) bool { return isWord(r) || r == '.' || r == '\'' })
		if n < len(s) && (s[n] == '-' || s[n] == '+') && strings.ContainsRune("eEpP", rune(s[n-1])) &&
			(!strings.HasPrefix(s, "0x") || strings.ContainsRune("pP", rune(s[n-1]))) {
			n += 1 + span(s[n+1:], isWord)
		}
		return cToken{kind: cNumber, text: s[:n]}
	}
	for _, p := range cPuncts {
		if strings.HasPrefix(s, p) {
			return cToken{kind: cPunct, text: p}
		}
	}
	return cToken{kind: cPunct, text: s[:size]}
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// span is the length of the longest prefix of s made of such runes.
func span(s string, in func(rune) bool) int {
	if n := strings.IndexFunc(s, func(r rune) bool { return !in(r) }); n >= 0 {
		return n
	}
	return len(s)
}

// A truth is the value of a condition as far as it can be known.
type truth int

const (
	no truth = iota
	unknown
	yes
)

// conditions follows the nesting of #if.
type conditions struct {
	defines []string
	stack   []branch
}

// A branch is the part of an #if chain being read.
type branch struct {
	taken bool // an earlier part is certainly compiled
	now   truth
}

// excluded reports whether the host certainly skips the current line.
func (c *conditions) excluded() bool {
	return slices.ContainsFunc(c.stack, func(b branch) bool { return b.now == no })
}

var cDirective = regexp.MustCompile(`^#\s*(ifdef|ifndef|if|elif|else|endif)\b(.*)`)

func (c *conditions) directive(line string) {
	line, _, _ = strings.Cut(strings.ReplaceAll(line, "\\\n", " "), "//")
	m := cDirective.FindStringSubmatch(line)
	if m == nil {
		return
	}
	expr := strings.TrimSpace(m[2])
	switch m[1] {
	case "ifdef":
		c.stack = append(c.stack, branch{now: c.defined(expr)})
	case "ifndef":
		c.stack = append(c.stack, branch{now: yes - c.defined(expr)})
	case "if":
		c.stack = append(c.stack, branch{now: c.eval(expr)})
	}
	if len(c.stack) == 0 {
		return
	}
	top := &c.stack[len(c.stack)-1]
	switch m[1] {
	case "elif", "else":
		top.taken = top.taken || top.now == yes
		switch {
		case top.taken:
			top.now = no
		case m[1] == "elif":
			top.now = c.eval(expr)
		default:
			top.now = yes // or unknown: it is read either way
		}
	case "endif":
		c.stack = c.stack[:len(c.stack)-1]
	}
}

// deviceMacros are set by CUDA compilers alone.
var deviceMacros = regexp.MustCompile(`^__(CUDACC(_RTC|_RDC|_DEBUG)?__|CUDA_ARCH\w*|NVCC__|CUDACC_VER_\w*)$`)

func (c *conditions) defined(name string) truth {
	name, _, _ = strings.Cut(name, " ")
	switch {
	case slices.Contains(c.defines, name):
		return yes
	case deviceMacros.MatchString(name):
		return no
	}
	return unknown
}

var (
	cDefined = regexp.MustCompile(`^(!?)\s*defined\s*\(?\s*(\w+)\s*\)?$`)
	cCompare = regexp.MustCompile(`^(\w+)\s*(>=|>|==)\s*[1-9]\w*$`)
	cName    = regexp.MustCompile(`^(!?)\s*([A-Za-z_]\w*)$`)
)

// eval evaluates the conditions that occur in practice: defined, bare names and
// comparisons of a version, joined by && and ||. Others are unknown.
func (c *conditions) eval(expr string) truth {
	value := no
	for _, terms := range strings.Split(expr, "||") {
		both := yes
		for _, term := range strings.Split(terms, "&&") {
			both = min(both, c.term(strings.TrimSpace(term)))
		}
		value = max(value, both)
	}
	return value
}

func (c *conditions) term(s string) truth {
	if s == "0" || s == "1" {
		return map[string]truth{"0": no, "1": yes}[s]
	}
	if m := cDefined.FindStringSubmatch(s); m != nil {
		if m[1] == "!" {
			return yes - c.defined(m[2])
		}
		return c.defined(m[2])
	}
	if m := cCompare.FindStringSubmatch(s); len(m) > 1 && c.defined(m[1]) == no {
		return no
	}
	if m := cName.FindStringSubmatch(s); m != nil {
		if d := c.defined(m[2]); d == no { // an undefined name is 0
			if m[1] == "!" {
				return yes
			}
			return no
		}
	}
	return unknown
}
