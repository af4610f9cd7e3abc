package plot

import (
	"bytes"
	"encoding/hex"
	"flag"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"strings"
	"testing"
)

func TestViridis(t *testing.T) {
	if raw, err := hex.DecodeString(viridis); err != nil || len(raw) != 3*levels {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	p := newPalette()
	// Dark to light without a step back, but for the rounding to 8 bits, and without a jump.
	lightness := func(c color.RGBA) float64 {
		if y := luminance(c); y > 216.0/24389 {
			return 116*math.Cbrt(y) - 16
		} else {
			return y * 24389 / 27
		}
	}
	for i := 1; i < levels; i++ {
		if d := lightness(p[i]) - lightness(p[i-1]); d < -0.04 || d > 0.9 {
			t.Errorf("lightness changes by %g from colour %d to the next, want a small rise", d, i-1)
		}
		if i > 2 && lightness(p[i]) <= lightness(p[i-3]) {
			t.Errorf("lightness does not rise from colour %d to %d", i-3, i)
		}
	}
	if l := lightness(p[levels-1]) - lightness(p[0]); l < 75 {
		t.Errorf("lightness spans %g, want most of 100", l)
	}
}

func TestContrast(t *testing.T) {
	ratio := func(a, b color.RGBA) float64 {
		x, y := luminance(a), luminance(b)
		return (max(x, y) + 0.05) / (min(x, y) + 0.05)
	}
	for i, c := range newPalette() {
		text := contrasting(c)
		other := white
		if text == white {
			other = black
		}
		if ratio(text, c) < ratio(other, c)-0.05 || ratio(text, c) < 4.5 {
			t.Errorf("colour %d: contrast %g, the other has %g", i, ratio(text, c), ratio(other, c))
		}
	}
	// WCAG's example values.
	if l := luminance(color.RGBA{0x80, 0x80, 0x80, 255}); math.Abs(l-0.21586) > 1e-4 {
		t.Errorf("luminance of mid grey %g", l)
	}
	if l := luminance(color.RGBA{5, 0, 0, 255}); math.Abs(l-0.2126*5/255/12.92) > 1e-9 {
		t.Errorf("luminance near black %g", l)
	}
}

func TestSeriesColors(t *testing.T) {
	p := newPalette()
	for n := 2; n < 40; n++ {
		for i := 1; i < n; i++ {
			if seriesColor(i, n, p) == seriesColor(i-1, n, p) {
				t.Errorf("curves %d and %d of %d have one colour", i-1, i, n)
			}
		}
	}
	if a, b := seriesColor(0, 8, p), seriesColor(7, 8, p); a != p[64] || b != p[64+153] {
		t.Errorf("eight curves run from %v to %v", a, b)
	}
}

func TestLevel(t *testing.T) {
	s := span{-1, 3}
	for v, want := range map[float64]int{-1: 0, 3: 255, 1: 128, -2: 0, 9: 255, -1 + 4.0/255: 1} {
		if got := level(v, s); got != want {
			t.Errorf("level(%g) = %d, want %d", v, got, want)
		}
	}
	if level(math.NaN(), s) != undefined {
		t.Error("NaN has a colour")
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		n         int
		whole     bool
		want      string
	}{
		{0, 1, 5, false, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{-0.05, 0.2, 5, false, "-0.05 0.00 0.05 0.10 0.15 0.20"},
		{0, 40, 8, true, "0 5 10 15 20 25 30 35 40"},
		{0, 2, 8, true, "0 1 2"},
		{0.3, 2.9, 4, false, "1 2"},
		{0, 1e6, 4, false, "0e+00 5e+05 1e+06"},
		{0, 999999, 4, false, "0 500000"},
		{0, 3e-5, 3, false, "0e+00 1e-05 2e-05 3e-05"},
		{0, 4e-4, 4, false, "0.0000 0.0001 0.0002 0.0003 0.0004"},
		{1e9, 1e9 + 3, 3, false, "1e+09 1.000000001e+09 1.000000002e+09 1.000000003e+09"},
		{-1e300, 1e300, 4, false, "-1e+300 -5e+299 0e+00 5e+299 1e+300"},
	} {
		var labels []string
		for _, k := range ticks(span{c.low, c.high}, c.n, c.whole) {
			labels = append(labels, k.label)
			if size := c.high - c.low; k.value < c.low-1e-9*size || k.value > c.high+1e-9*size {
				t.Errorf("ticks of %g to %g: %g is outside", c.low, c.high, k.value)
			}
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("ticks of %g to %g: %s, want %s", c.low, c.high, got, c.want)
		}
	}
}

func TestRoundUp(t *testing.T) {
	for x, want := range map[float64]float64{1: 1, 1.01: 2, 2: 2, 3: 5, 5: 5, 5.1: 10, 1000: 1000, 0.001: 0.001, 0.3: 0.5, 7e-8: 1e-7} {
		if got := roundUp(x); math.Abs(got-want) > 1e-12*want {
			t.Errorf("roundUp(%g) = %g, want %g", x, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", 0.97314: "0.9731", -0.5: "-0.5", 1234.56: "1235", 999999: "999999", 1e6: "1e+06", 1000: "1000", 100001.4999999: "100001", 12345678: "1.235e+07", 3e-9: "3e-09",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
	if number(math.NaN()) != "undefined" {
		t.Error("NaN has a number")
	}
}

func TestAligned(t *testing.T) {
	for _, c := range []struct {
		values   []float64
		decimals int
		want     string
	}{
		{[]float64{1, 0.256, -0.004, math.NaN(), -0.006}, 2, "1.00 0.26 0.00  -0.01"},
		{[]float64{0.1}, 2, "0.10"},
		{[]float64{0.09}, 2, "0.09"},
		{[]float64{0.000123}, 2, "0.000123"},
		{[]float64{99.99}, 2, "99.99"},
		{[]float64{100, 0.25}, 2, "100 0.25"},
		{[]float64{0.5, 0.00005, 0.00004}, 4, "0.5000 0.0001 0.0000"},
		{[]float64{0.001}, 4, "0.0010"},
		{[]float64{0.00099}, 4, "0.00099"},
	} {
		if got := strings.Join(aligned(c.values, c.decimals), " "); got != c.want {
			t.Errorf("aligned(%v, %d) = %q, want %q", c.values, c.decimals, got, c.want)
		}
	}
}

func TestThin(t *testing.T) {
	for _, c := range []struct {
		pitch, need float64
		want        int
	}{{20, 13, 1}, {13, 13, 1}, {12.9, 13, 2}, {6, 13, 5}, {2, 13, 10}, {1, 13, 20}, {0.5, 13, 50}, {0.1, 13, 200}} {
		if got := thin(c.pitch, c.need); got != c.want {
			t.Errorf("thin(%g, %g) = %d, want %d", c.pitch, c.need, got, c.want)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a\nb\tc\rd\u2028e\u2029f": "a b c d e f", "\x1b[31m": "\ufffd[31m", "\x00\x7f\u0085": "\ufffd\ufffd\ufffd",
		"\u202e\u2066\u200f\ufeff": "\ufffd\ufffd\ufffd\ufffd", "a\u200d\u200cb": "a\u200d\u200cb", "\xff": "\ufffd", "\ufffe\uffff": "\ufffd\ufffd",
		"é 层 ש": "é 层 ש", strings.Repeat("a", 256): strings.Repeat("a", 256),
		strings.Repeat("a", 257): strings.Repeat("a", 101) + "..." + strings.Repeat("a", 152),
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	begin, rest := strings.Repeat("a", 4000), strings.Repeat("b", 5000)
	if got := clean(begin + rest + "end"); len([]rune(got)) != 256 || !strings.HasPrefix(got, "aaa") || !strings.HasSuffix(got, "bbend") {
		t.Errorf("an endless name became %q", got)
	}
	if got := clean(strings.Repeat("é", 2048) + "x"); got != strings.Repeat("é", 101)+"..."+strings.Repeat("é", 151)+"x" {
		t.Errorf("a cut at bytes showed: %q", got)
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit float64
		mark  string
		want  string
	}{
		{"abcdef", 6, "…", "abcdef"},
		{"abcdefg", 6, "…", "ab…efg"},
		{"abcdefg", 6, "..", "a..efg"},
		{"abcdefg", 2, "…", "…g"},
		{"abcdefg", 1, "…", ""},
		{"abcdefg", 2, "..", ""},
		{"层层层层", 7, "…", "层…层层"},
		{"层层层层", 6, "…", "层…层"},
		{"e\u0301abcdefe\u0301", 4, "…", "e\u0301…fe\u0301"},
		{"abcdefe\u0301", 3, "…", "…fe\u0301"},
		{"ab\u0301cdefg", 6, "…", "ab\u0301…efg"},
		{"abcdef\u0301g", 3, "…", "…f\u0301g"},
		{"abcdef\u0301g", 2, "…", "…g"},
		{"a\u0301\u0301bcdef", 4, "…", "a\u0301\u0301…ef"},
	} {
		if got := shorten(c.in, c.limit, c.mark, columns); got != c.want {
			t.Errorf("shorten(%q, %g) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}

func TestShortenAll(t *testing.T) {
	for _, c := range []struct {
		in, want string
		limit    float64
	}{
		{"model.layers.1.mlp model.layers.12.mlp", "…l.layers.1.mlp ….layers.12.mlp", 15},
		{"model.layers.1.mlp model.layers.12.mlp", "…s.1.m… ….12.m…", 7},
		{"model.layers.1.mlp model.layers.12.mlp", "model.layers.1.mlp model.layers.12.mlp", 30},
		{"aaaaaaaaaa bbbbbbbbbb", "aa…aaa bb…bbb", 6},
		{"aaaaaaaaaa", "aa…aaa", 6},
		{"abababababa abababababa", "ab…aba ab…aba", 6}, //nolint:dupword // names that do not differ
		{"aaaaaaaaaa aaaaaaaaaaa", "…aaaaa …aaaaa", 6},
		{"x.first y.first", "x.fir… y.fir…", 6},
		{"first.x first.y", "…rst.x …rst.y", 6},
		{"aXbXb aXb", "…bXb aXb", 4},
		{"abcde\u0301fgX abcde\u0301fgY", "…fgX …fgY", 4},
		{"aaaae\u0301bbbb aaaae\u0300bbbb", "…\u0301… …\u0300…", 2}, // the difference stays
		{"Xe\u0301fgh Ye\u0301fgh", "Xe\u0301… Ye\u0301…", 3},
	} {
		if got := strings.Join(shortenAll(strings.Fields(c.in), c.limit, "…", columns), " "); got != c.want {
			t.Errorf("shortenAll(%q, %g) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		in   string
		most int
		want string
	}{
		{"", 3, ""},
		{"one two three four", 9, "one two|three|four"},
		{"one  two", 9, "one two"},
		{"incomprehensible it", 9, "in…sible|it"},
		{"it incomprehensible", 9, "it|in…sible"},
		{"one two three four", 2, "one two|th… four"},
		{"one two three four", 1, "on… four"},
		{"incomprehensible it", 1, "in…le it"},
	} {
		if got := strings.Join(wrap(c.in, 8, c.most, "…", columns), "|"); got != c.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.in, c.most, got, c.want)
		}
	}
}

func TestColumns(t *testing.T) {
	for r, want := range map[rune]float64{'a': 1, '层': 2, '\uff21': 2, '\u0301': 0, '\u20dd': 0, '\u200d': 0, 'ש': 1, '🦊': 2} {
		if got := columns(r); got != want {
			t.Errorf("columns(%U) = %g, want %g", r, got, want)
		}
	}
}

func TestRightToLeft(t *testing.T) {
	for s, want := range map[string]bool{"abc 12": false, "a ש": true, "الطبقة": true, "层": false, "": false} {
		if got := rightToLeft(s); got != want {
			t.Errorf("rightToLeft(%q) = %t", s, got)
		}
	}
	if isolated("ש") != "ש\u200e" || isolated("a") != "a" {
		t.Error("only right-to-left text ends with a mark")
	}
}

// TestScaleLine: the label stands before the scale, above it, or the scale takes three lines.
func TestScaleLine(t *testing.T) {
	for _, c := range []struct {
		label string
		low   float64
		width int
		want  string
	}{
		{"CKA", 0, 20, "CKA 0 .:-=+*#%@ 1\n"},
		{"values", 0, 20, "values\n0 .:-=+*#%@ 1\n"},
		{"values", 0, 21, "values 0 .:-=+*#%@ 1\n"},
		{"", -1.2345e-300, 23, "-1.234e-300\n.:-=+*#%@\n1\n"},
		{"", -1.2345e-300, 24, "-1.234e-300 .:-=+*#%@ 1\n"},
	} {
		m := &textMap{page: &page{width: c.width}, grid: &grid{valueLabel: c.label, scale: span{c.low, 1}}}
		if m.scaleLine(); m.String() != c.want {
			t.Errorf("%q from %g in %d columns: %q, want %q", c.label, c.low, c.width, m.String(), c.want)
		}
	}
}

func TestNearest256(t *testing.T) {
	for c, want := range map[color.RGBA]int{
		{0, 0, 0, 255}: 16, {255, 255, 255, 255}: 231, {8, 8, 8, 255}: 232, {238, 238, 238, 255}: 255, {95, 135, 175, 255}: 67,
		{255, 0, 0, 255}: 196, {0, 255, 0, 255}: 46, {0, 0, 255, 255}: 21, {70, 1, 84, 255}: 53, {118, 118, 118, 255}: 243, {248, 248, 248, 255}: 231,
		{0, 0, 12, 255}: 16, // as far from grey 232
	} {
		if got := nearest256(c); got != want {
			t.Errorf("nearest256(%v) = %d, want %d", c, got, want)
		}
	}
}

func TestColorOf(t *testing.T) {
	for _, c := range []struct {
		env, goos string
		want      Color
	}{
		{"TERM=xterm-256color", "linux", Color256},
		{"TERM=xterm COLORTERM=truecolor", "linux", TrueColor},
		{"TERM=xterm COLORTERM=24bit", "linux", TrueColor},
		{"TERM=xterm-direct", "linux", TrueColor},
		{"TERM=xterm COLORTERM=truecolor NO_COLOR=1", "linux", Plain},
		{"TERM=dumb COLORTERM=truecolor", "linux", Plain},
		{"", "linux", Color256},
		{"", "windows", Plain},
		{"WT_SESSION=1", "windows", TrueColor},
		{"TERM=xterm", "windows", Color256},
	} {
		getenv := func(name string) string {
			for pair := range strings.FieldsSeq(c.env) {
				if value, ok := strings.CutPrefix(pair, name+"="); ok {
					return value
				}
			}
			return ""
		}
		if got := colorOf(getenv, c.goos); got != c.want {
			t.Errorf("%q on %s: %d, want %d", c.env, c.goos, got, c.want)
		}
	}
}

func TestCellSize(t *testing.T) {
	for _, c := range []struct {
		rows, cols int
		w, h       float64
	}{
		{1, 1, 40, 40},
		{12, 12, 40, 40},
		{13, 2, 36, 36},
		{100, 100, 4, 4},
		{300, 300, 2, 2},
		{600, 600, 2, 2},
		{601, 30, 1, 1},
		{2048, 2048, 1, 1},
		{1, 100, 4, 24},
		{100, 1, 24, 4},
		{7, 100, 4, 4},
		{100, 5, 5, 4},
		{5, 100, 4, 5},
	} {
		if w, h := cellSize(c.rows, c.cols); w != c.w || h != c.h {
			t.Errorf("cells of %d x %d: %g x %g points, want %g x %g", c.rows, c.cols, w, h, c.w, c.h)
		}
	}
}

func TestEvenly(t *testing.T) {
	items := []int{0, 1, 2, 3, 4, 5, 6}
	for n, want := range map[int]int{-1: 0, 0: 0, 1: 1, 2: 2, 4: 4, 7: 7, 9: 7} {
		got := evenly(items, n)
		if len(got) != want || n > 1 && (got[0] != 0 || got[len(got)-1] != 6) {
			t.Errorf("evenly(%d) = %v", n, got)
		}
	}
}

func TestDashes(t *testing.T) {
	line := []point{{0, 0}, {5, 0}, {5, 6}}
	got := dashes(line, []float64{4, 2})
	want := [][]point{{{0, 0}, {4, 0}}, {{5, 1}, {5, 5}}}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		for k := range want[i] {
			if len(got[i]) != len(want[i]) || math.Hypot(got[i][k].x-want[i][k].x, got[i][k].y-want[i][k].y) > 1e-9 {
				t.Errorf("piece %d: %v, want %v", i, got[i], want[i])
			}
		}
	}
	if got := dashes(line, []float64{8, 1}); len(got) != 2 || len(got[0]) != 3 || len(got[1]) != 2 {
		t.Errorf("a dash around the corner: %v", got)
	}
	if got := dashes(line, nil); len(got) != 1 || len(got[0]) != 3 {
		t.Errorf("no pattern: %v", got)
	}
}

// TestRaster compares a drawing of every shape with a picture, up to rounding.
func TestRaster(t *testing.T) {
	face, err := newTypeface()
	if err != nil {
		t.Fatal(err)
	}
	red, blue := paint{RGBA: color.RGBA{200, 0, 0, 255}}, paint{RGBA: color.RGBA{0, 0, 200, 255}}
	s := &scene{width: 120.3, height: 70, face: face}
	s.add(
		cells{x: 4, y: 4, w: 5, h: 7, rows: 2, cols: 3, levels: []int{0, 50, 100, undefined, 200, 255}},
		rect{x: 24, y: 4, w: 14, h: 14, hatched: true},
		rect{x: 112, y: 60, w: 30, h: 30, hatched: true}, // beyond the edge
		area{points: []point{{45, 4}, {70, 10}, {50, 20}}, paint: blue},
		path{points: []point{{4, 30}, {30, 24}, {40, 34}, {40, 34}, {60, 30}}, paint: red, width: 3},
		path{points: []point{{4, 40}, {60, 36}}, paint: blue, width: 1.2, dash: []float64{6, 2, 2, 2}},
		path{points: []point{{200, 200}, {300, 300}}, paint: blue, width: 1}, // outside
		label{x: 4, y: 55, size: 12, paint: ink, text: "Ag&é層\u0301"},
		label{x: 116, y: 20, size: 10, anchor: end, paint: red, text: "right"},
		label{x: 90, y: 40, size: 10, anchor: middle, paint: red, text: "mid"},
		label{x: 80, y: 66, size: 9, upward: true, anchor: middle, paint: blue, text: "upward"},
		label{x: 10, y: 66, size: 9, paint: blue, text: " "},
	)
	got := s.raster()
	if b := got.Bounds(); b.Dx() != 241 || b.Dy() != 140 {
		t.Errorf("%d x %d pixels, want two a point, rounded up", b.Dx(), b.Dy())
	}
	const name = "testdata/raster.png"
	if flag.Lookup("update").Value.String() == "true" {
		var b bytes.Buffer
		if err := png.Encode(&b, got); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, want)
}

func compare(t *testing.T, got, want image.Image) {
	t.Helper()
	if got.Bounds() != want.Bounds() {
		t.Fatalf("bounds %v, want %v", got.Bounds(), want.Bounds())
	}
	far := func(a, b uint32) bool { return max(a, b)-min(a, b) > 4<<8 }
	for y := range got.Bounds().Dy() {
		for x := range got.Bounds().Dx() {
			r, g, b, _ := got.At(x, y).RGBA()
			r2, g2, b2, _ := want.At(x, y).RGBA()
			if far(r, r2) || far(g, g2) || far(b, b2) {
				t.Fatalf("pixel %d, %d is %v, want %v", x, y, got.At(x, y), want.At(x, y))
			}
		}
	}
}

func TestAdvance(t *testing.T) {
	face, err := newTypeface()
	if err != nil {
		t.Fatal(err)
	}
	at := face.at(100)
	for r, want := range map[rune]float64{'\u0301': 0, '层': 100, 'ש': 62} {
		if got := at(r); math.Abs(got-want) > 1e-9 {
			t.Errorf("advance of %U: %g, want %g", r, got, want)
		}
	}
	if i, m := at('i'), at('m'); i <= 10 || i >= m || m >= 110 {
		t.Errorf("advances of i and m: %g and %g", i, m)
	}
	if a, b := at('a'), face.at(50)('a'); math.Abs(a-2*b) > 1e-9 {
		t.Errorf("advance at half the size: %g and %g", a, b)
	}
}
