package plot

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/width"
)

const longest = 256 // runes of a name that are kept

// clean returns s without what a terminal or a document could take for more
// than text, and without the middle of an endless name.
func clean(s string) string {
	// Bytes bound runes: what is far beyond the limit is cut before it is looked at.
	if n := 16 * longest; len(s) > n {
		s = s[:n/2] + s[len(s)-n/2:]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\u200c' || r == '\u200d': // joiners, which scripts and emoji need
			return r
		case r == '\n' || r == '\t' || r == '\r' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Cf), r&0xfffe == 0xfffe: // controls, bidi overrides, noncharacters
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	return shorten(s, longest, "...", func(rune) float64 { return 1 })
}

// cleanAll returns the names cleaned.
func cleanAll(names []string) []string {
	out := make([]string, len(names))
	for i, s := range names {
		out[i] = clean(s)
	}
	return out
}

// shorten returns s if it fits into limit, else its beginning and end with the
// mark in between, the end favoured: that is where names of layers differ.
func shorten(s string, limit float64, mark string, advance func(rune) float64) string {
	if measure(s, advance) <= limit {
		return s
	}
	room := limit - measure(mark, advance)
	if room <= 0 {
		return ""
	}
	runes := []rune(s)
	head, tail := 0, len(runes)
	used := 0.0
	for used+advance(runes[head]) <= room*0.4 {
		used += advance(runes[head])
		head++
	}
	for tail > head && used+advance(runes[tail-1]) <= room {
		used += advance(runes[tail-1])
		tail--
	}
	for tail < len(runes) && advance(runes[tail]) == 0 {
		tail++ // a mark without its letter
	}
	return string(runes[:head]) + mark + string(runes[tail:])
}

// shortenAll shortens names that belong together. Where one does not fit, it
// keeps the part in which the names differ: layers are often told apart by one
// number in the middle of a long path.
func shortenAll(names []string, limit float64, mark string, advance func(rune) float64) []string {
	head, tail := common(names)
	differ := false
	for _, s := range names {
		differ = differ || utf8.RuneCountInString(s) > head+tail
	}
	out := make([]string, len(names))
	for i, s := range names {
		if differ && measure(s, advance) > limit {
			runes := []rune(s)
			s = window(runes, head, len(runes)-tail, limit, mark, advance)
		}
		out[i] = shorten(s, limit, mark, advance)
	}
	return out
}

// common returns how many runes all names begin with, and how many all end with
// behind those.
func common(names []string) (head, tail int) {
	first := []rune(names[0])
	head = len(first)
	for _, s := range names {
		runes := []rune(s)
		n := 0
		for n < min(head, len(runes)) && runes[n] == first[n] {
			n++
		}
		head = n
	}
	tail = len(first)
	for _, s := range names {
		runes := []rune(s)
		n := 0
		for n < min(tail, len(runes)-head) && runes[len(runes)-1-n] == first[len(first)-1-n] {
			n++
		}
		tail = n
	}
	return head, tail
}

// window returns runes[from:to] and as much around it as the limit allows, with
// the mark for what is left out at an end.
func window(runes []rune, from, to int, limit float64, mark string, advance func(rune) float64) string {
	first, used, cut := from, measure(string(runes[from:to]), advance), measure(mark, advance)
	fits := func(from, to int, more float64) bool {
		if from > 0 {
			more += cut
		}
		if to < len(runes) {
			more += cut
		}
		return used+more <= limit
	}
	for grown := true; grown; {
		grown = false
		if from > 0 && fits(from-1, to, advance(runes[from-1])) {
			from--
			used += advance(runes[from])
			grown = true
		}
		if to < len(runes) && fits(from, to+1, advance(runes[to])) {
			used += advance(runes[to])
			to++
			grown = true
		}
	}
	for from < first && advance(runes[from]) == 0 {
		from++ // a mark without its letter
	}
	s := string(runes[from:to])
	if from > 0 {
		s = mark + s
	}
	if to < len(runes) {
		s += mark
	}
	return s
}

// measure returns the sum of the advances.
func measure(s string, advance func(rune) float64) float64 {
	sum := 0.0
	for _, r := range s {
		sum += advance(r)
	}
	return sum
}

// wrap breaks s at spaces into lines no wider than limit; a word that does not
// fit is shortened. No more than most come back, the last one shortened then.
func wrap(s string, limit float64, most int, mark string, advance func(rune) float64) []string {
	var lines []string
	line := ""
	words := strings.Fields(s)
	for i, word := range words {
		longer := word
		if line != "" {
			longer = line + " " + word
		}
		switch {
		case measure(longer, advance) <= limit:
			line = longer
		case len(lines) == most-1:
			rest := strings.Join(words[i:], " ")
			if line != "" {
				rest = line + " " + rest
			}
			return append(lines, shorten(rest, limit, mark, advance))
		case line == "":
			line = shorten(word, limit, mark, advance)
		default:
			lines = append(lines, line)
			line = shorten(word, limit, mark, advance)
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// columns is the advance of a rune in a terminal: 0, 1 or 2.
func columns(r rune) float64 {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// rightToLeft reports whether s holds letters that run right to left.
func rightToLeft(s string) bool {
	for _, r := range s {
		p, _ := bidi.LookupRune(r)
		if c := p.Class(); c == bidi.R || c == bidi.AL {
			return true
		}
	}
	return false
}
