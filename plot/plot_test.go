package plot_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/width"

	"github.com/cambium-kernels/cambium/plot"
)

func TestErrors(t *testing.T) {
	one := func(values ...float64) *plot.HeatMap {
		return &plot.HeatMap{Rows: indexed("", len(values)), Cols: []string{"a"}, Values: values}
	}
	scale := func(low, high float64) *plot.HeatMap { h := one(1, 2); h.Low, h.High = low, high; return h }
	y := func(y ...float64) plot.Series { return plot.Series{Y: y} }
	curves := func(s ...plot.Series) *plot.Curves { return &plot.Curves{Series: s} }
	inf := math.Inf(1)
	cases := []struct {
		name   string
		figure plot.Figure
		want   error
		says   string
	}{
		{"map without rows", &plot.HeatMap{Cols: []string{"a"}}, plot.ErrShape, "0 x 1"},
		{"map without columns", &plot.HeatMap{Rows: []string{"a"}}, plot.ErrShape, "1 x 0"},
		{"empty map", &plot.HeatMap{}, plot.ErrShape, "nothing to draw"},
		{"map too short", &plot.HeatMap{Rows: []string{"a"}, Cols: []string{"a", "b"}, Values: []float64{1}}, plot.ErrShape, "1 values, want 2"},
		{"map too long", &plot.HeatMap{Rows: []string{"a"}, Cols: []string{"a"}, Values: []float64{1, 2}}, plot.ErrShape, "2 values, want 1"},
		{"too many rows", one(make([]float64, 2049)...), plot.ErrShape, "2048 x 2048"},
		{"too many columns", &plot.HeatMap{Rows: []string{"a"}, Cols: indexed("", 2049), Values: make([]float64, 2049)}, plot.ErrShape, "1 x 2049"},
		{"infinite cell", one(1, inf), plot.ErrValue, "value 1 is +Inf"},
		{"negative infinite cell", one(-inf), plot.ErrValue, "value 0 is -Inf"},
		{"enormous cell", one(1, 1, -2e300), plot.ErrValue, "value 2 is -2e+300"},
		{"undefined map", one(nan, nan), plot.ErrValue, "undefined"},
		{"reversed scale", scale(1, 0), plot.ErrValue, "from 1 to 0"},
		{"empty scale", scale(1, 1), plot.ErrValue, "from 1 to 1"},
		{"undefined scale", scale(nan, 1), plot.ErrValue, "NaN"},
		{"undefined scale", scale(0, nan), plot.ErrValue, "NaN"},
		{"infinite scale", scale(0, inf), plot.ErrValue, "Inf"},
		{"infinite scale", scale(-inf, 0), plot.ErrValue, "Inf"},
		{"scale without room for ticks", scale(1e12, 1e12+0.5), plot.ErrValue, "from 1e+12"},
		{"tiny scale", scale(0, 1e-300), plot.ErrValue, "1e-300"},
		{"no curves", curves(), plot.ErrShape, "0 curves"},
		{"too many curves", curves(make([]plot.Series, 2049)...), plot.ErrShape, "2049 curves"},
		{"curves without points", curves(y(), y()), plot.ErrShape, "without a point"},
		{"x too short", curves(y(1), plot.Series{X: []float64{1}, Y: []float64{1, 2}}), plot.ErrShape, "curve 1: 1 x, 2 y"},
		{"band too short", curves(plot.Series{Y: []float64{1, 2}, Lower: []float64{1}, Upper: []float64{1, 2}}), plot.ErrShape, "1 lower"},
		{"upper too long", curves(plot.Series{Y: []float64{1}, Lower: []float64{1}, Upper: []float64{1, 2}}), plot.ErrShape, "2 upper"},
		{"half a band", curves(plot.Series{Y: []float64{1}, Upper: []float64{1}}), plot.ErrShape, "0 lower"},
		{"half a band", curves(plot.Series{Y: []float64{1}, Lower: []float64{1}}), plot.ErrShape, "0 upper"},
		{"too many points", curves(y(make([]float64, 1<<20)...), y(1)), plot.ErrShape, "1048576 points"},
		{"infinite y", curves(y(1), y(inf)), plot.ErrValue, "y"},
		{"infinite band", curves(plot.Series{Y: []float64{1}, Lower: []float64{-inf}, Upper: []float64{1}}), plot.ErrValue, "-Inf"},
		{"undefined curve", curves(y(nan, nan)), plot.ErrValue, "undefined"},
		{"undefined x", curves(plot.Series{X: []float64{1, nan}, Y: []float64{1, 2}}), plot.ErrValue, "value 1 is NaN"},
		{"infinite mark", &plot.Curves{Series: []plot.Series{y(1)}, Marks: []plot.Mark{{X: inf}}}, plot.ErrValue, "x"},
		{"undefined mark", &plot.Curves{Series: []plot.Series{y(1)}, Marks: []plot.Mark{{X: nan}}}, plot.ErrValue, "x"},
		{"reversed y axis", &plot.Curves{Series: []plot.Series{y(1)}, Low: 2, High: 1}, plot.ErrValue, "from 2 to 1"},
		{"no bars", &plot.Bars{}, plot.ErrShape, "0 names"},
		{"too many bars", &plot.Bars{Names: indexed("", 513), Values: make([]float64, 513)}, plot.ErrShape, "513 names"},
		{"bars without values", &plot.Bars{Names: []string{"a"}}, plot.ErrShape, "0 values"},
		{"too few choices", &plot.Bars{Names: []string{"a", "b"}, Values: []float64{1, 2}, Chosen: []bool{true}}, plot.ErrShape, "1 choices"},
		{"infinite bar", &plot.Bars{Names: []string{"a"}, Values: []float64{inf}}, plot.ErrValue, "Inf"},
		{"undefined bars", &plot.Bars{Names: []string{"a"}, Values: []float64{nan}}, plot.ErrValue, "undefined"},
		{"reversed bars", &plot.Bars{Names: []string{"a"}, Values: []float64{1}, Low: 1, High: -1}, plot.ErrValue, "from 1 to -1"},
	}
	for _, c := range cases {
		for name, write := range map[string]func(io.Writer) error{
			"SVG": c.figure.SVG, "PNG": c.figure.PNG, "HTML": c.figure.HTML,
			"terminal": func(w io.Writer) error { return c.figure.Terminal(w, plot.TerminalOptions{}) },
		} {
			var b bytes.Buffer
			err := write(&b)
			if !errors.Is(err, c.want) {
				t.Errorf("%s as %s: error %v, want %v", c.name, name, err, c.want)
				continue
			}
			if text := err.Error(); !strings.HasPrefix(text, "plot: ") || !strings.Contains(text, c.says) || b.Len() > 0 {
				t.Errorf("%s as %s: %q and %d bytes, want %q in it and none", c.name, name, text, b.Len(), c.says)
			}
		}
	}
}

// TestLimits draws what is just within the limits.
func TestLimits(t *testing.T) {
	h := &plot.HeatMap{Rows: indexed("", 2048), Cols: []string{"a"}, Values: make([]float64, 2048)}
	h.Values[0] = 1
	for name, f := range map[string]plot.Figure{
		"rows":  h,
		"huge":  &plot.HeatMap{Rows: []string{"a", "b"}, Cols: []string{"a"}, Values: []float64{1e300, -1e300}},
		"tiny":  &plot.HeatMap{Rows: []string{"a", "b"}, Cols: []string{"a"}, Values: []float64{5e-324, 0}},
		"close": &plot.HeatMap{Rows: []string{"a", "b"}, Cols: []string{"a"}, Values: []float64{1, math.Nextafter(1, 2)}},
		"scale": &plot.HeatMap{Rows: []string{"a"}, Cols: []string{"a"}, Values: []float64{1}, Low: -1e300, High: 1e300},
		"bars":  &plot.Bars{Names: indexed("", 512), Values: h.Values[:512]},
		"zeros": &plot.Bars{Names: []string{"a"}, Values: []float64{0}},
		"curve": &plot.Curves{Series: []plot.Series{{Y: []float64{1e300, -1e300}, X: []float64{-1e300, 1e300}}}},
		"same":  &plot.Curves{Series: []plot.Series{{Y: []float64{7, 7}, X: []float64{1e15, 1e15}}}},
		"empty": &plot.Curves{Series: []plot.Series{{Name: "none"}, {Y: []float64{1}}}, Marks: []plot.Mark{{X: 1e6, Label: "far"}}},
	} {
		for _, color := range []plot.Color{plot.Plain, plot.TrueColor} {
			if err := f.Terminal(io.Discard, plot.TerminalOptions{Color: color}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := errors.Join(f.SVG(io.Discard), f.PNG(io.Discard), f.HTML(io.Discard)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWrite(t *testing.T) {
	f := figures()["map3"]
	dir := t.TempDir()
	for name, begins := range map[string]string{"a.svg": "<?xml", "b.PNG": "\x89PNG", "c.html": "<!DOCTYPE html>"} {
		path := filepath.Join(dir, name)
		if err := plot.Write(path, f); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(got), begins) {
			t.Errorf("%s begins with %.20q (%v), want %q", name, got, err, begins)
		}
	}
	for _, name := range []string{"d.pdf", "e", "svg"} {
		path := filepath.Join(dir, name)
		if err := plot.Write(path, f); !errors.Is(err, plot.ErrFormat) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want ErrFormat with the path", name, err)
		}
	}
	svg := filepath.Join(dir, "a.svg")
	before, _ := os.ReadFile(svg)
	if err := plot.Write(svg, &plot.HeatMap{}); !errors.Is(err, plot.ErrShape) {
		t.Errorf("a bad figure: error %v", err)
	}
	if after, _ := os.ReadFile(svg); !bytes.Equal(before, after) {
		t.Error("a bad figure changed the file")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 3 {
		t.Errorf("%d files left, want 3", len(entries))
	}
}

// A brokenWriter takes nothing.
type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestWriterErrors(t *testing.T) {
	for name, f := range figures() {
		for format, err := range map[string]error{
			"SVG": f.SVG(brokenWriter{}), "PNG": f.PNG(brokenWriter{}), "HTML": f.HTML(brokenWriter{}),
			"terminal": f.Terminal(brokenWriter{}, plot.TerminalOptions{}),
		} {
			if !errors.Is(err, errBroken) {
				t.Errorf("%s as %s: error %v, want the writer's", name, format, err)
			}
		}
	}
}

// TestPixels looks at the middle of every cell, beside the number printed there.
func TestPixels(t *testing.T) {
	h := &plot.HeatMap{Rows: indexed("", 2), Cols: indexed("", 20), High: 1}
	for i := range 40 {
		h.Values = append(h.Values, float64(i)/39)
	}
	h.Values[33] = nan
	var b, vector bytes.Buffer
	if err := errors.Join(h.PNG(&b), h.SVG(&vector)); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	cell := regexp.MustCompile(`<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" fill="(#\w+|url[^"]*)"><title>`)
	found := cell.FindAllStringSubmatch(vector.String(), -1)
	if len(found) != 40 {
		t.Fatalf("%d cells in the SVG, want 40", len(found))
	}
	for i, m := range found {
		var x, y, w, height float64
		fmt.Sscan(strings.Join(m[1:5], " "), &x, &y, &w, &height)
		if w != height {
			t.Fatalf("cell of %g x %g, want a square", w, height)
		}
		if i == 33 {
			seen := map[color.Color]int{}
			for dx := range int(2*w) - 2 { // without the frame
				for dy := range int(2*height) - 2 {
					seen[img.At(int(2*x)+dx, int(2*y)+dy)]++
				}
			}
			if len(seen) != 2 || m[5] != "url(#plot-hatch)" {
				t.Errorf("the undefined cell has %d colours and fill %s, want a hatch of two", len(seen), m[5])
			}
			continue
		}
		for _, corner := range [][2]float64{{x, y}, {x + w - 0.5, y}, {x + w - 0.5, y + height - 0.5}, {x + 2, y + 2}} {
			// The frame of the map covers its outermost pixels by half.
			if i%20 == 0 || i%20 == 19 || i < 20 && corner[1] == y || i >= 20 && corner[1] > y+height-1 {
				corner = [2]float64{x + 2, y + 2}
			}
			r, g, bl, _ := img.At(int(2*corner[0]), int(2*corner[1])).RGBA()
			if got := fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, bl>>8); got != m[5] {
				t.Errorf("cell %d at %v: pixel %s, SVG %s", i, corner, got, m[5])
			}
		}
	}
	if found[0][5] != "#440154" || found[39][5] != "#fde725" {
		t.Errorf("ends of the map %s and %s, want viridis's", found[0][5], found[39][5])
	}
}

func TestHTMLStandsAlone(t *testing.T) {
	for name, f := range figures() {
		var b bytes.Buffer
		if err := f.HTML(&b); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		for _, bad := range []string{"http:", "https:", "src=", "href=", "@import", "url(h", "<link", "<iframe"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: %q in the page", name, bad)
			}
		}
		script := page[strings.LastIndex(page, "<script>")+len("<script>") : strings.LastIndex(page, "</script>")]
		digest := sha256.Sum256([]byte(script))
		if policy := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"; !strings.Contains(page, policy) {
			t.Errorf("%s: the policy does not let the script run, want %s", name, policy)
		}
		for _, want := range []string{"prefers-color-scheme: dark", "default-src 'none'", `<p id="read-out"`, "<svg ", "<title>"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
		// What the script looks for in the data is there.
		var data map[string]any
		_, rest, _ := strings.Cut(page, `<script type="application/json" id="data">`)
		text, _, _ := strings.Cut(rest, "</script>")
		if err := json.Unmarshal([]byte(text), &data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, field := range regexp.MustCompile(`\bd\.([A-Z]\w*)`).FindAllStringSubmatch(script, -1) {
			needed := data["Kind"] == "map" && strings.Contains("Rows Cols Values X Y W H", field[1]) || strings.Contains("X Y W H Low High", field[1])
			if _, ok := data[field[1]]; needed && !ok {
				t.Errorf("%s: the script needs %s", name, field[1])
			}
		}
	}
}

func TestTablesEnd(t *testing.T) {
	for n, want := range map[int]bool{4096: true, 4097: false} {
		var b bytes.Buffer
		c := &plot.Curves{Series: []plot.Series{{Y: make([]float64, n)}}}
		if err := c.HTML(&b); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), "<table>"); got != want {
			t.Errorf("%d points: table %t, want %t", n, got, want)
		}
	}
}

var hostile = []string{
	`<script>alert("x")</script>`, `a & b 'c' "d"`, "]]>", "-->", "\x1b[31mred\x1b[0m", "line\nbreak\ttab", "bell\a\x00", "\xff\xfe broken",
	"\u202eevil\u2066", "שכבה ראשונה", "الطبقة", "层归一化", "é̂̂̂", "🦊🦊", "\ufffe", "", strings.Repeat("long.", 2000), strings.Repeat("\u0301", 300), strings.Repeat("\xff", 9000),
}

func hostileFigures() []plot.Figure {
	n := len(hostile)
	values, curves := make([]float64, n*n), &plot.Curves{Title: hostile[0], XLabel: hostile[1], YLabel: hostile[9], Note: hostile[16]}
	for i := range values {
		values[i] = float64(i)
	}
	for _, s := range hostile {
		curves.Series = append(curves.Series, plot.Series{Name: s, Y: []float64{1, 2}})
		curves.Marks = append(curves.Marks, plot.Mark{X: float64(len(s) % 5), Label: s})
	}
	out := []plot.Figure{
		&plot.HeatMap{Rows: hostile, Cols: hostile, Values: values, Title: hostile[4], Note: hostile[8]}, curves,
		&plot.Bars{Names: hostile, Values: values[:n], Title: hostile[7], Chosen: make([]bool, n), ChosenLabel: hostile[0]},
	}
	for _, s := range hostile {
		out = append(out, &plot.HeatMap{
			Rows: []string{s}, Cols: []string{s, s}, Values: []float64{nan, 1}, Title: s, RowLabel: s, ColLabel: s, ValueLabel: s, Note: s,
		})
	}
	return out
}

func TestHostileNames(t *testing.T) {
	for i, f := range hostileFigures() {
		var b bytes.Buffer
		if err := f.SVG(&b); err != nil {
			t.Fatal(err)
		}
		parse(t, b.Bytes())
		if err := f.PNG(io.Discard); err != nil {
			t.Fatal(err)
		}
		b.Reset()
		if err := f.HTML(&b); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		if strings.Count(page, "<script") != 2 || strings.Contains(page, "alert(\"") {
			t.Errorf("figure %d: a name became a script", i)
		}
		for _, r := range page {
			if r < ' ' && r != '\n' || r == '\u202e' || r == '\u2066' || r == '\ufffe' {
				t.Errorf("figure %d: %U in the page", i, r)
			}
		}
		if !utf8.ValidString(page) {
			t.Errorf("figure %d: invalid UTF-8", i)
		}
	}
}

var sequence = regexp.MustCompile("\x1b\\[(0|[34]8;(5;\\d+|2;\\d+;\\d+;\\d+))m")

// TestTerminalWidth: no line is wider than the terminal, and nothing but the
// package's own sequences reaches it.
func TestTerminalWidth(t *testing.T) {
	all := hostileFigures()
	for _, f := range figures() {
		all = append(all, f)
	}
	all = append(all, block("x", 7, 300, 1), block("encoder", 300, 300, 10), block("layer", 65, 8, 1), many(200),
		&plot.Curves{Series: []plot.Series{{Y: []float64{1e12, 1e12 + 2}, X: []float64{1e12, 1e12 + 2}}}},
		&plot.Bars{Names: paths(2), Values: []float64{-1.23456e-300, -1.23456e299}})
	for i, f := range all {
		for _, columns := range []int{20, 21, 33, 80, 0, 200} {
			for color := plot.Plain; color <= plot.TrueColor; color++ {
				var b bytes.Buffer
				if err := f.Terminal(&b, plot.TerminalOptions{Width: columns, Color: color}); err != nil {
					t.Fatalf("figure %d, %d columns: %v", i, columns, err)
				}
				text := b.String()
				if color == plot.Plain && strings.ContainsAny(text, "\x1b▀▄█⠁×…━") {
					t.Errorf("figure %d: colour or drawing characters in plain text", i)
				}
				limit := columns
				if limit == 0 {
					limit = 80
				}
				for line := range strings.Lines(sequence.ReplaceAllString(text, "")) {
					line = strings.TrimSuffix(line, "\n")
					if n := wide(line); n > limit {
						t.Fatalf("figure %d, %d columns, colour %d: a line of %d: %q", i, columns, color, n, line)
					}
					if strings.ContainsAny(line, "\x1b\a\x00\t\r\u202e\u2066") || !utf8.ValidString(line) {
						t.Fatalf("figure %d: control characters in %q", i, line)
					}
				}
			}
		}
	}
}

// wide counts columns: two for East Asian wide characters, none for combining marks.
func wide(s string) int {
	n := 0
	for _, r := range s {
		switch k := width.LookupRune(r).Kind(); {
		case r >= '\u0300' && r < '\u0370' || r >= '\u064b' && r < '\u0660' || r == '\u200e':
		case k == width.EastAsianWide || k == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// TestScaleIsKept: a scale with one end at zero is still the one asked for.
func TestScaleIsKept(t *testing.T) {
	for _, ends := range [][2]float64{{0, 0.93}, {-0.93, 0}} {
		var bars, curves bytes.Buffer
		b := &plot.Bars{Names: []string{"a"}, Values: []float64{0.5}, ValueLabel: "v", Low: ends[0], High: ends[1]}
		c := &plot.Curves{Series: []plot.Series{{Y: []float64{0, 0}}}, Low: ends[0], High: ends[1]}
		if err := errors.Join(b.Terminal(&bars, plot.TerminalOptions{}), c.SVG(&curves)); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("from %g to %g\n", ends[0], ends[1]); !strings.Contains(bars.String(), want) {
			t.Errorf("bars %q, want %q in it", bars.String(), want)
		}
		// 0 lies at one end of the axis; the next tick would be the other end if it were widened to 1.
		if text := parse(t, curves.Bytes())["text"]; strings.Contains(strings.Join(text, " "), "1.0 ") {
			t.Errorf("curves have ticks %q, want none beyond 0.93", text)
		}
	}
}

func TestTerminalRefusals(t *testing.T) {
	for _, o := range []plot.TerminalOptions{{Width: 19}, {Width: -1}, {Color: plot.TrueColor + 1}} {
		var b bytes.Buffer
		if err := figures()["map3"].Terminal(&b, o); !errors.Is(err, plot.ErrShape) || b.Len() > 0 {
			t.Errorf("%+v: error %v and %d bytes", o, err, b.Len())
		}
	}
}

func TestDetectNoTerminal(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	colourful := func(string) string { return "truecolor" }
	if got := plot.DetectTerminal(f, colourful); got != (plot.TerminalOptions{}) {
		t.Errorf("a file that is no terminal: %+v, want plain", got)
	}
}

// FuzzNames draws hostile names and values: no panic, well-formed, and the same
// elements in the page as with harmless names.
func FuzzNames(f *testing.F) {
	for _, s := range hostile {
		f.Add(s, 1.0, -1.0)
	}
	f.Fuzz(func(t *testing.T, s string, a, b float64) {
		h := &plot.HeatMap{Rows: []string{"x" + s, s + "x"}, Cols: []string{"x" + s}, Values: []float64{a, b}}
		var drawn, page, harmless bytes.Buffer
		if err := h.SVG(&drawn); err != nil {
			if !errors.Is(err, plot.ErrValue) || math.Abs(a) <= 1e300 && math.Abs(b) <= 1e300 {
				t.Fatal(err)
			}
			return
		}
		parse(t, drawn.Bytes())
		if err := h.HTML(&page); err != nil {
			t.Fatal(err)
		}
		h.Rows, h.Cols = []string{"x", "x"}, []string{"x"}
		if err := h.HTML(&harmless); err != nil {
			t.Fatal(err)
		}
		for _, mark := range []string{"<", ">"} {
			if got, want := strings.Count(page.String(), mark), strings.Count(harmless.String(), mark); got != want {
				t.Fatalf("%d %s in the page, %d with harmless names", got, mark, want)
			}
		}
		c := &plot.Curves{Title: s, Series: []plot.Series{{Name: s, Y: []float64{a, b}}}, Marks: []plot.Mark{{X: 1, Label: s}}}
		drawn.Reset()
		if err := errors.Join(c.SVG(&drawn), c.Terminal(io.Discard, plot.TerminalOptions{Width: 20, Color: plot.Color256})); err != nil {
			t.Fatal(err)
		}
		parse(t, drawn.Bytes())
	})
}
