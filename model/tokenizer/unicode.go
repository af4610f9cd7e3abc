package tokenizer

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// The libraries below Python's tokenizers bring Unicode tables of their own,
// from version 8 (the crate BERT's normalizer uses) to 17 (Rust's standard
// library). A class here is Go's table, corrected in unicode_patch.go to what
// those libraries say, which testdata/unicode.txt records.

// Classes beyond general categories and scripts, which have Unicode's names.
const (
	classOnigurumaSpace = "oniguruma-s"
	classOnigurumaDigit = "oniguruma-d"
	classOnigurumaWord  = "oniguruma-w"
	classSpace          = "space"       // Rust's char::is_whitespace
	classNumeric        = "numeric"     // Rust's char::is_numeric
	classWord           = "word"        // \w of Rust's regex
	classPunctuation    = "punctuation" // of Punctuation and BertPreTokenizer
	classControl        = "control"     // what clean_text drops
	classNonspacing     = "nonspacing"  // what strip_accents of BertNormalizer drops
	classMark           = "mark"        // what StripAccents drops
	classChinese        = "chinese"     // what handle_chinese_chars sets apart
	classInert          = "inert"       // what the normal forms leave alone, though Go would not
)

var classTables = map[string][]*unicode.RangeTable{
	classOnigurumaSpace: {unicode.White_Space},
	classOnigurumaDigit: {unicode.Nd},
	classOnigurumaWord:  {unicode.L, unicode.M, unicode.N, unicode.Pc},
	classSpace:          {unicode.White_Space},
	classNumeric:        {unicode.N},
	classWord:           {unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Other_Alphabetic, unicode.Pc, unicode.Join_Control},
	classPunctuation:    {unicode.P},
	classControl:        {unicode.Cc, unicode.Cf, unicode.Co},
	classNonspacing:     {unicode.Mn},
	classMark:           {unicode.M},
	classChinese:        {},
	classInert:          {},
}

// categories are the general categories that a pattern may name, by one letter
// or two; scripts are the scripts.
const (
	categories = " Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co "
	scripts    = " Han Hiragana Katakana Hangul Latin Greek Cyrillic Arabic Hebrew Thai Devanagari "
)

const mainCategories = "LMNPSZ"

// class returns the runes of a class by its name; false if there is none.
func class(name string) (set, bool) {
	padded := " " + name + " "
	switch tables, ok := classTables[name]; {
	case ok:
		return patch(name, tableSet(tables...)), true
	case name == "" || strings.ContainsRune(name, ' '):
		return nil, false
	case strings.Contains(categories, padded):
		return patch(name, tableSet(unicode.Categories[name])), true
	case strings.Contains(scripts, padded):
		return patch(name, tableSet(unicode.Scripts[name])), true
	case len(name) == 1 && strings.ContainsRune(mainCategories, rune(name[0])):
		var s set
		for c := range strings.FieldsSeq(categories) {
			if c[:1] == name {
				s = s.union(patch(c, tableSet(unicode.Categories[c])))
			}
		}
		return s, true
	default:
		return nil, false
	}
}

// known is class for the names above, which exist.
func known(name string) set {
	s, _ := class(name)
	return s
}

// patch corrects Go's idea of a class.
func patch(name string, s set) set {
	return s.minus(parseSet(patchRemoved[name])).union(parseSet(patchAdded[name]))
}

// parseSet reads ranges in hexadecimal, "61-7a 5f".
func parseSet(text string) set {
	var spans []span
	for f := range strings.FieldsSeq(text) {
		lo, hi, ok := strings.Cut(f, "-")
		if !ok {
			hi = lo
		}
		spans = append(spans, span{parseRune(lo), parseRune(hi)})
	}
	return newSet(spans...)
}

// parseRune reads what the generated tables hold.
func parseRune(hex string) rune {
	n, _ := strconv.ParseInt(hex, 16, 32) // the generated tables are tested rune by rune
	return rune(n)
}

func (s set) String() string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%x", r.lo)
		if r.hi > r.lo {
			fmt.Fprintf(&b, "-%x", r.hi)
		}
	}
	return b.String()
}
