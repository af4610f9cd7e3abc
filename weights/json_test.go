package weights

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestScannerAgainstStandard holds skip against encoding/json, which accepts the
// same texts but for depth, half surrogates and numbers out of range.
func TestScannerAgainstStandard(t *testing.T) {
	alphabet := []string{`{`, `}`, `[`, `]`, `,`, `:`, `""`, `"a"`, `"\n"`, `"\u0041"`, `"\x"`, `"\u12"`, `"`, `1`, `0`, `-`, `.5`, `e1`, `E+1`, `e-`, `true`, `tru`, `null`, `false`, ` `, "\n", "\x00", "\u00e9", `\`}
	var texts []string
	for _, a := range alphabet {
		for _, b := range alphabet {
			for _, c := range alphabet {
				texts = append(texts, a+b+c, "["+a+b+c+"]", `{"a":`+a+b+c+"}", `[1,`+a+b+c)
			}
		}
	}
	accepted := 0
	for _, text := range texts {
		s := &scanner{text: []byte(text)}
		s.skip()
		s.end()
		want := json.Valid([]byte(text))
		if (s.err == nil) != want {
			t.Fatalf("%q: %v, and encoding/json says %t", text, s.err, want)
		}
		if string(s.text) != text {
			t.Fatalf("%q was changed to %q", text, s.text)
		}
		if want {
			accepted++
		}
	}
	if accepted < 500 {
		t.Errorf("only %d of %d texts are JSON", accepted, len(texts))
	}
}

func TestStrings(t *testing.T) {
	for raw, want := range map[string]string{
		`""`: "", `"a"`: "a", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"\u0000x"`: "\x00x", `"\u00e9\u20ac\uFFFF"`: "é€\uffff",
		`"\ud834\udd1e"`: "𝄞", `"\uD800\uDC00"`: "\U00010000", `"\udbff\udfff-"`: "\U0010ffff-", "\"\x7f\u2028\"": "\x7f\u2028",
	} {
		var standard string
		if err := json.Unmarshal([]byte(raw), &standard); err != nil || standard != want {
			t.Fatalf("%s: the test is wrong: %q, %v", raw, standard, err)
		}
		s := &scanner{text: []byte(raw + ` , "next"`)}
		got := string(s.str().of(s.text))
		if got != want || s.err != nil {
			t.Errorf("%s is %q, %v, want %q", raw, got, s.err, want)
		}
		// The text stays one that can be walked over, from the end of the string on.
		again := &scanner{text: s.text, at: 1 + len(want)}
		again.expect('"')
		again.expect(',')
		if again.str(); again.err != nil {
			t.Errorf("%s became %s: %v", raw, s.text, again.err)
		}
	}
	for _, raw := range []string{
		`"`, `"a`, `"\`, `"\"`, `"\u`, `"\u00`, `"\u004"`, `"\u00g0"`, `"\u001:"`, "\"\\u00\x100\"", `"\U0041"`, `"\a"`, `"\'"`,
		`"\ud800"`, `"\udc00"`, `"\ud800\ud800"`, `"\ud800x"`, `"\ud800\n"`, `"\ud800\u0041"`, `"\udfff\udc00"`, `"\ud800\udbff"`, `"\ud800\ue000"`,
		"\"\n\"", "\"\x1f\"", `'a'`, `a`, ``,
	} {
		s := &scanner{text: []byte(raw)}
		if p := s.str(); s.err == nil || p != (span{}) {
			t.Errorf("%s is accepted", raw)
		}
	}
}

func TestNumbers(t *testing.T) {
	for text, accepted := range map[string]bool{
		"0": true, "-0": true, "1": true, "10": true, "-12.50e+07": true, "1E-999": true, "0e999": true, "1e308": true,
		"1e309": false, "-1e999": false, "01": false, "": false, "-": false, "1.": false, ".1": false, "1e": false, "1e+": false, "+1": false,
		strings.Repeat("9", 299): true, strings.Repeat("9", 308): true, strings.Repeat("9", 309): false, strings.Repeat("9", 310): false,
		"0." + strings.Repeat("9", maxNumber-2): true, "0." + strings.Repeat("9", maxNumber-1): false,
	} {
		s := &scanner{text: []byte(text)}
		s.skip()
		s.end()
		if (s.err == nil) != accepted {
			t.Errorf("%.30s (%d characters): %v", text, len(text), s.err)
		}
	}
	for text, want := range map[string]uint64{"0": 0, "7": 7, " 18446744073709551615": 1<<64 - 1, "12,": 12} {
		s := &scanner{text: []byte(text)}
		if got := s.natural(); got != want || s.err != nil {
			t.Errorf("%s is %d, %v", text, got, s.err)
		}
	}
	for _, text := range []string{"", "-1", "1.0", "1e0", "1E0", "18446744073709551616", `"1"`} {
		s := &scanner{text: []byte(text)}
		if got := s.natural(); got != 0 || s.err == nil || s.at != 0 {
			t.Errorf("%s is %d, at %d", text, got, s.at)
		}
	}
}

// TestErrorStandsStill: after the first error nothing moves and nothing replaces it.
func TestErrorStandsStill(t *testing.T) {
	s := &scanner{text: []byte(`?{"a":[1,"b"]}`)}
	s.enter('{')
	first, at := s.err, s.at
	if first == nil {
		t.Fatal("no error")
	}
	s.skip()
	s.number()
	s.end()
	s.expect(',')
	s.refuse("no")
	s.fail("no")
	if s.natural() != 0 || s.str() != (span{}) || s.next('}', true) || s.peek() != 0 || s.count('[', ']') != 0 {
		t.Error("values after an error")
	}
	if s.err != first || s.at != at {
		t.Errorf("%v at %d became %v at %d", first, at, s.err, s.at)
	}
}

func TestWords(t *testing.T) {
	for text, says := range map[string]string{"tru": "true was expected", "falsE": "false was expected", "nul": "null was expected", "True": "a value was expected"} {
		s := &scanner{text: []byte("[" + text + "]")}
		if s.skip(); s.err == nil || !strings.Contains(s.err.Error(), "byte 1: "+says) {
			t.Errorf("%s: %v", text, s.err)
		}
	}
}

func TestQuote(t *testing.T) {
	for b, want := range map[string]string{
		"a\n\x1b\"": `"a\n\x1b\""`, strings.Repeat("x", 80): `"` + strings.Repeat("x", 80) + `"`, strings.Repeat("x", 81): `"` + strings.Repeat("x", 80) + `"...`,
	} {
		if got := quote([]byte(b)); got != want {
			t.Errorf("%q is %s", b, got)
		}
	}
}

// TestAppendJSON: what is written is read as it was, and is JSON to others too.
func TestAppendJSON(t *testing.T) {
	var every strings.Builder
	for r := range rune(0x300) {
		every.WriteRune(r)
	}
	for _, text := range []string{"", every.String(), "\u2028\u2029\ufffd𝄞"} {
		b := appendJSON(nil, text)
		var standard string
		if err := json.Unmarshal(b, &standard); err != nil || standard != text || !utf8.Valid(b) {
			t.Errorf("%q was written as %s: %v", text, b, err)
		}
		s := &scanner{text: b}
		if got := string(s.str().of(s.text)); got != text || s.err != nil {
			t.Errorf("%q was read as %q, %v", text, got, s.err)
		}
	}
}
