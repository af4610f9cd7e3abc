package tokenizer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxDepth bounds how deep sequences of parts may nest.
const maxDepth = 16

// A normalizer maps text to text.
type normalizer func(string) string

// newNormalizer builds what the file describes; nil is none.
func newNormalizer(p *part, depth int) (normalizer, error) {
	if p == nil {
		return nil, nil //nolint:nilnil // no normalizer is a normalizer
	}
	switch p.Type {
	case "Sequence":
		return newSequence(p, depth)
	case "NFC":
		return form(norm.NFC), nil
	case "NFD":
		return form(norm.NFD), nil
	case "NFKC":
		return form(norm.NFKC), nil
	case "NFKD":
		return form(norm.NFKD), nil
	case "Lowercase":
		return lowercase, nil
	case "StripAccents":
		return dropper(known(classMark)), nil
	case "Strip":
		return newStrip(p), nil
	case "Prepend":
		return func(s string) string {
			if s == "" {
				return s
			}
			return p.Prepend + s
		}, nil
	case "Replace":
		return newReplace(p)
	case "ByteLevel":
		return mapBytes, nil
	case "BertNormalizer":
		return newBertNormalizer(p), nil
	default:
		return nil, fmt.Errorf("normalizer %q: %w", p.Type, ErrUnsupported)
	}
}

func newSequence(p *part, depth int) (normalizer, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("normalizers nested deeper than %d: %w", maxDepth, ErrFormat)
	}
	var all []normalizer
	for i := range p.Normalizers {
		n, err := newNormalizer(&p.Normalizers[i], depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return func(s string) string {
		for _, n := range all {
			s = n(s)
		}
		return s
	}, nil
}

// deletes says whether the start of the text may vanish.
func (p *part) deletes() bool {
	if p == nil {
		return false
	}
	switch p.Type {
	case "Sequence":
		return slices.ContainsFunc(p.Normalizers, func(n part) bool { return n.deletes() })
	case "StripAccents", "Strip", "BertNormalizer":
		return true
	case "Replace":
		return p.Content == ""
	default:
		return false
	}
}

func newStrip(p *part) normalizer {
	space := known(classSpace)
	return func(s string) string {
		if p.StripLeft {
			s = strings.TrimLeftFunc(s, space.contains)
		}
		if p.StripRight {
			s = strings.TrimRightFunc(s, space.contains)
		}
		return s
	}
}

func newReplace(p *part) (normalizer, error) {
	pattern, err := p.Pattern.compile()
	if err != nil {
		return nil, fmt.Errorf("normalizer Replace: %w", err)
	}
	if p.Pattern.Literal != nil {
		return func(s string) string { return strings.ReplaceAll(s, *p.Pattern.Literal, p.Content) }, nil
	}
	return func(s string) string {
		var b strings.Builder
		pattern.split(s, func(part string, match bool) bool {
			if match {
				part = p.Content
			}
			b.WriteString(part)
			return true
		})
		return b.String()
	}, nil
}

func newBertNormalizer(p *part) normalizer {
	control, space, chinese := known(classControl), known(classSpace), known(classChinese)
	var plain [utf8.RuneSelf]bool // neither of them, which is most of most texts
	for r := range rune(utf8.RuneSelf) {
		plain[r] = !control.contains(r) && !space.contains(r)
	}
	clean := func(s string) string {
		var b strings.Builder
		b.Grow(len(s))
		for _, r := range s {
			switch {
			case r < utf8.RuneSelf && plain[r]:
				b.WriteByte(byte(r)) //nolint:gosec // below 128
			case p.CleanText && control.contains(r):
			case p.CleanText && space.contains(r):
				b.WriteByte(' ')
			case p.HandleChinese && chinese.contains(r):
				b.WriteByte(' ')
				b.WriteRune(r)
				b.WriteByte(' ')
			default:
				b.WriteRune(r)
			}
		}
		return b.String()
	}
	strip := p.StripAccents == nil && p.Lowercase || p.StripAccents != nil && *p.StripAccents
	decompose, unaccent := form(norm.NFD), dropper(known(classNonspacing))
	return func(s string) string {
		s = clean(s)
		if strip {
			s = unaccent(decompose(s))
		}
		if p.Lowercase {
			s = lowercase(s)
		}
		return s
	}
}

// dropper deletes the runes of the set.
func dropper(set set) normalizer {
	return func(s string) string {
		if isASCII(s) { // as no set here has one
			return s
		}
		return strings.Map(func(r rune) rune {
			if set.contains(r) {
				return -1
			}
			return r
		}, s)
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

var lowerOf = sync.OnceValue(func() map[rune]string {
	m := map[rune]string{'İ': "i̇"} // the one lower case of two runes
	for f := range strings.FieldsSeq(patchLower) {
		from, to, _ := strings.Cut(f, "-")
		m[parseRune(from)] = string(parseRune(to))
	}
	return m
})

// lowercase maps rune by rune, so that a final sigma is an ordinary one.
func lowercase(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	special := lowerOf()
	var b strings.Builder
	for _, r := range s {
		if to, ok := special[r]; ok {
			b.WriteString(to)
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// form is a normal form as the reference computes it. Its tables are older than
// Go's, so that the runes of classInert stay as they are and part the text; and
// unlike Go it puts no U+034F among more than 30 combining marks (Go's
// stream-safe form), so such runs are handled here.
func form(f norm.Form) normalizer {
	inert := known(classInert)
	return func(s string) string {
		if isASCII(s) {
			return s
		}
		var b strings.Builder
		for s != "" {
			at := strings.IndexFunc(s, inert.contains)
			if at < 0 {
				b.WriteString(normalize(f, s))
				break
			}
			b.WriteString(normalize(f, s[:at]))
			_, n := utf8.DecodeRuneInString(s[at:])
			b.WriteString(s[at : at+n])
			s = s[at+n:]
		}
		return b.String()
	}
}

// maxMarks is the number of combining marks up to which Go inserts nothing.
// Compatibility mappings and decompositions only shorten what may pass.
const maxMarks = 8

func normalize(f norm.Form, s string) string {
	marks := 0
	for _, r := range s {
		if norm.NFKD.PropertiesString(string(r)).LeadCCC() == 0 && !trailing(r) {
			marks = 0
			continue
		}
		if marks++; marks > maxMarks {
			return normalizeMarks(f, s)
		}
	}
	return f.String(s)
}

// trailing says whether a rune may end in marks of its own.
func trailing(r rune) bool { return norm.NFKD.PropertiesString(string(r)).TrailCCC() != 0 }

// normalizeMarks is a normal form by its definition (Unicode Standard Annex 15),
// without limit to the number of marks.
func normalizeMarks(f norm.Form, s string) string {
	decompose := norm.NFD
	if f == norm.NFKC || f == norm.NFKD {
		decompose = norm.NFKD
	}
	var runes []rune
	for _, r := range s {
		runes = append(runes, []rune(decompose.String(string(r)))...)
	}
	ccc := func(r rune) uint8 { return decompose.PropertiesString(string(r)).CCC() }
	for i := 0; i < len(runes); {
		from := i
		for i < len(runes) && ccc(runes[i]) != 0 {
			i++
		}
		slices.SortStableFunc(runes[from:i], func(a, b rune) int { return int(ccc(a)) - int(ccc(b)) })
		i = max(i, from+1)
	}
	if f == norm.NFD || f == norm.NFKD {
		return string(runes)
	}
	return string(composeMarks(runes, ccc))
}

// composeMarks joins each starter with the marks after it that no mark of the
// same or a higher class parts from it.
func composeMarks(runes []rune, ccc func(rune) uint8) []rune {
	out := runes[:0]
	starter, last := -1, uint8(0)
	for _, r := range runes {
		c := ccc(r)
		if starter >= 0 && (starter == len(out)-1 || last < c) {
			if both := []rune(norm.NFC.String(string([]rune{out[starter], r}))); len(both) == 1 {
				out[starter] = both[0]
				continue
			}
		}
		if c == 0 {
			starter = len(out)
		}
		last = c
		out = append(out, r)
	}
	return out
}
