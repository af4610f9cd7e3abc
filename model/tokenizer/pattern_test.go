package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// cut returns what a step makes of a text.
func cut(s step, text string) []string {
	pieces := []string{}
	s(piece{text, true}, func(p piece) bool { pieces = append(pieces, p.text); return true })
	return pieces
}

// TestPatterns compares with Oniguruma over the stored patterns and texts.
func TestPatterns(t *testing.T) {
	var cases []json.RawMessage
	if err := json.Unmarshal(unzip(t, "patterns.gz"), &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		var expr, behavior string
		var invert bool
		var texts [][2]any
		if err := json.Unmarshal(c, &[]any{&expr, &behavior, &invert, &texts}); err != nil {
			t.Fatal(err)
		}
		pattern, err := compilePattern(expr)
		if err != nil {
			t.Error(err)
			continue
		}
		split, err := newSplit(pattern, behavior, invert)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if got := fmt.Sprint(cut(split, text[0].(string))); got != fmt.Sprint(text[1]) {
				t.Errorf("%q, %s, inverted %v, of %q: %q, Oniguruma %q", expr, behavior, invert, text[0], got, text[1])
			}
		}
	}
	if len(cases) < 90 {
		t.Errorf("%d cases", len(cases))
	}
}

// TestPatternsGo compares with Go's regexp where both speak the same language.
func TestPatternsGo(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	atoms := []string{"a", "b", "[ab]", "[^a]", ".", "(?:a|bc)", "(ab|a|)", "c", "(?:b+|c)"}
	quantifiers := []string{"", "", "", "?", "*", "+", "??", "*?", "+?", "{2}", "{1,2}", "{0,3}", "{2,}"}
	checked := 0
	for range 3000 {
		var b strings.Builder
		for range 1 + r.IntN(4) {
			b.WriteString(atoms[r.IntN(len(atoms))] + quantifiers[r.IntN(len(quantifiers))])
			if r.IntN(4) == 0 {
				b.WriteByte('|')
			}
		}
		expr := b.String()
		re := regexp.MustCompile(expr)
		pattern, err := compilePattern(expr)
		if re.MatchString("") != (err != nil) {
			t.Fatalf("%q: %v; Go matches the empty text: %v", expr, err, re.MatchString(""))
		}
		if err != nil {
			continue
		}
		checked++
		for range 20 {
			text := make([]byte, r.IntN(30))
			for i := range text {
				text[i] = "aaabbc\nd"[r.IntN(8)]
			}
			var want, got []string
			for _, m := range re.FindAllIndex(text, -1) {
				want = append(want, fmt.Sprint(m[0], string(text[m[0]:m[1]])))
			}
			at := 0
			pattern.split(string(text), func(part string, match bool) bool {
				if match {
					got = append(got, fmt.Sprint(at, part))
				}
				at += len(part)
				return true
			})
			if !slices.Equal(got, want) {
				t.Fatalf("%q of %q: %q, Go %q", expr, text, got, want)
			}
		}
	}
	if checked < 300 {
		t.Errorf("%d patterns", checked)
	}
}

// TestPatternRefused holds what must not be read as something else.
func TestPatternRefused(t *testing.T) {
	for expr, want := range map[string]string{
		`(?<n>a)`: "a group of this kind", `(?>a)`: "a group of this kind", `(?<=a)b`: "a group of this kind",
		`(?i)a`: "a group of this kind", `(?P<n>a)`: "a group of this kind", `(?:a`: "without end", `a)`: "unmatched", `(?i:a`: "without end",
		`\b`: `the escape \b`, `\G`: `the escape \G`, `(a)\1`: `the escape \1`, `\h`: `the escape \h`, `a\`: "at the end", `\Z`: `the escape \Z`,
		`^a`: `"^" here`, `*a`: `"*" here`, `a**`: "a repeated repetition", `a{2}{3}`: "a repeated repetition", `a{2}?`: "a repeated repetition",
		`a{2}+`: "a repeated repetition", `a+*`: "a repeated repetition", `(a)++`: "a possessive group", `{2}`: `"{" here`,
		`a{,2}`: "of this kind", `a{2,1}`: "of this kind", `a{x}`: "of this kind", `a{1001}`: "of this kind", `a{1,1001}`: "of this kind",
		`a{-1}`: "of this kind", `a{1,x}`: "of this kind", `a{2`: "without end",
		`(?!a)+b`: "a repeated look-ahead", `b(?=a){2}`: "a repeated look-ahead", `b(?!ab)`: "more than one character class",
		`b(?!a|c)`: "more than one character class", `b(?=)`: "more than one character class", `b(?!a`: "without end",
		`[]a]`: "an empty class", `[^]a]`: "an empty class", `[a`: "without end", `[[:alpha:]]`: "a POSIX bracket", `[z-a]`: "a range of this kind",
		`[\s-a]`: "a range of this kind", `[a-\d]`: "a range of this kind", `[a-[b]]`: "a range without end", `[a-`: "a range without end",
		`\p{Greekish}`: `the property "Greekish"`, `\p{space}`: "the property", `\p{L`: "without braces", `\pL`: "without braces",
		`\p{chinese}`: "the property", `\p`: "a property without braces", `[\p{X}]`: "the property", `[a-\b]`: "the escape", `[\b]`: "the escape",
		`\xg`: `\x without`, `\x4`: `\x without`, `\u123`: `\u without`, `\x{110000}`: `\x without`, `\x{}`: `\x without`, `\xe9`: `\x without`, `\x{-1}`: `\x without`,
		`(?i:ss)`: `"ss" without regard to case`, `(?i:aSt)`: `"st" without`, `(?i:ff|i)`: `"ff" without`,
		`a*`: "matches the empty text", ``: "matches the empty text", `a|`: "matches the empty text", `(?=a)`: "matches the empty text", `$`: "matches the empty text",
		strings.Repeat("(", 60) + "a" + strings.Repeat(")", 60): "nested deeper than 50",
		strings.Repeat("[", 60) + "a" + strings.Repeat("]", 60): "nested deeper than 50",
		`a{1000}{1`: "repetition", `(?:(?:a{1000}){1000}){1000}`: "more than 10000 instructions",
		`(?:a|b)*a(?:a|b){14}c`: "more than 4000 states", `(?:a?b?c?d?e?f?g?h?){500}x`: "steps to compile",
		strings.Repeat("a", 1<<14+1): "a pattern of 16385 bytes",
	} {
		_, err := compilePattern(expr)
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: %v; want %q", expr, err, want)
		}
	}
	for _, expr := range []string{`(?i:sxt)`, `(?i:s+x)`, `[a&&b]`, `a|b|`[:3], `\e\a\f\v`, strings.Repeat("(", 40) + "a" + strings.Repeat(")", 40)} {
		if _, err := compilePattern(expr); err != nil {
			t.Errorf("%q: %v", expr, err)
		}
	}
	var many strings.Builder
	for i := range 70 {
		fmt.Fprintf(&many, `[a-%c]x|`, 'b'+rune(i))
	}
	if _, err := compilePattern(many.String() + "y"); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "more than 60 character classes") {
		t.Errorf("70 classes: %v", err)
	}
	var overlapping strings.Builder // every subset of nine classes has a member
	for i := range 9 {
		overlapping.WriteByte('[')
		for r := range rune(1 << 9) {
			if r>>i&1 == 1 {
				overlapping.WriteRune(r + 0x4e00)
			}
		}
		overlapping.WriteString("]x|")
	}
	if _, err := compilePattern(overlapping.String() + "y"); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "overlapping") {
		t.Errorf("2^9 kinds of runes: %v", err)
	}
}

// TestSearchInVain counts the steps of searches that find nothing at each of
// many places: they grow with the text, not with its square.
func TestSearchInVain(t *testing.T) {
	for _, c := range []struct {
		expr, text string
	}{
		{`\s+$`, strings.Repeat(" ", 20_000) + "x"},
		{`\s+$`, strings.Repeat(strings.Repeat("\u3000", 100)+"x", 100)},
		{`a+b`, strings.Repeat("a", 20_000)},
		{`(?:ab)+c`, strings.Repeat("ab", 10_000)},
	} {
		p, err := compilePattern(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		var tr trail
		for at := range len(c.text) {
			if c.text[at]&0xc0 == 0x80 {
				continue
			}
			end, stop := p.match(c.text, at, &tr)
			if steps += stop - at; end >= 0 {
				t.Fatalf("%q matches %.20q", c.expr, c.text[at:])
			}
			if stop-at > shortSearch {
				p.record(c.text, at, stop, &tr)
			}
		}
		if steps > 8*len(c.text) {
			t.Errorf("%q: %d steps for %d bytes", c.expr, steps, len(c.text))
		}
		if got := cut(mustSplit(t, p), c.text); len(got) != 1 || got[0] != c.text {
			t.Errorf("%q: %d pieces", c.expr, len(got))
		}
	}
	// What a search in vain left behind must not hide a match.
	p, err := compilePattern(`\s+$|\s\sx`)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat(" ", 100) + "x" + strings.Repeat(" ", 50) + "\n" + strings.Repeat(" ", 60) + "yz" + strings.Repeat(" ", 40)
	want := []string{strings.Repeat(" ", 98), "  x", strings.Repeat(" ", 50) + "\n" + strings.Repeat(" ", 60) + "yz", strings.Repeat(" ", 40)}
	got := cut(mustSplit(t, p), text)
	if len(got) == 5 { // the line's end is one as well
		want = []string{want[0], want[1], strings.Repeat(" ", 50), "\n" + strings.Repeat(" ", 60) + "yz", want[3]}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func mustSplit(t *testing.T, p *pattern) step {
	t.Helper()
	s, err := newSplit(p, "Isolated", false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
