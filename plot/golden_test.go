package plot_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/plot"
)

var update = flag.Bool("update", false, "rewrite testdata; look at the pictures before committing them")

var nan = math.NaN()

// figures are drawn in every text format and compared with testdata. Each has
// what another lacks.
func figures() map[string]plot.Figure {
	return map[string]plot.Figure{
		"map3": &plot.HeatMap{
			Title: "Linear CKA", RowLabel: "before", ColLabel: "after", ValueLabel: "CKA",
			Rows: []string{"embed", "block 0", "block 1"}, Cols: []string{"embed", "block 0", "block 1"},
			Values: []float64{1, 0.5, nan, 0.5, 1, 0.25, 0, 0.25, 1}, High: 1, Note: "block 1 is constant.",
		},
		"map-wide":     block("layer", 2, 50, 0.1),
		"map-tall":     block("h", 140, 3, 1),
		"map-paths":    block("model.layers", 70, 65, 5),
		"map-beyond":   &plot.HeatMap{Rows: []string{"0"}, Cols: []string{"0", "1", "2", "3"}, Values: []float64{-3, 0, 12.5, 2000}, Low: -1, High: 20},
		"map-huge":     huge(30),
		"map-constant": &plot.HeatMap{Title: "one cell", Rows: []string{"a"}, Cols: []string{"a"}, Values: []float64{4}},
		"map-long": &plot.HeatMap{
			Title: strings.Repeat("A title of many words ", 12), ColLabel: strings.Repeat("wide ", 40), RowLabel: strings.Repeat("high ", 60),
			Rows: paths(3), Cols: paths(4), Values: []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		},
		"curves": &plot.Curves{
			Title: "Rotation", XLabel: "epoch", YLabel: "1 - cosine", Note: "Five epochs.",
			Series: []plot.Series{
				{Name: "first", Y: []float64{0, 0.2, 0.3, 0.35, 0.36}, Lower: []float64{0, 0.1, nan, 0.3, 0.3}, Upper: []float64{0, 0.3, 0.4, nan, 0.5}},
				{Name: "second", X: []float64{0, 1, 2, 3.5, 4}, Y: []float64{0, nan, 0.1, nan, 0.2}},
				{Name: "mean", Y: []float64{0, 0.1, 0.2, 0.25, 0.28}, Bold: true},
			},
			Marks: []plot.Mark{{X: 1, Label: "critical period ends"}, {X: 2, Label: "drop"}, {X: 4, Label: "the end"}, {X: 1.5, Label: ""}},
		},
		"curves-marks": &plot.Curves{Series: []plot.Series{{Y: []float64{1, 2}}}, Marks: []plot.Mark{
			{X: 0.1, Label: "a"},
			{X: 0.1, Label: "b"},
			{X: 0.1, Label: "c"},
			{X: 0.1, Label: "d"},
			{X: 0.1, Label: "e"},
			{X: 0.1, Label: "f"},
			{X: 0.1, Label: "g"},
			{X: 0.1, Label: "h"},
			{X: 1, Label: "end"},
		}},
		"curves-seven": many(7),
		"curves-many":  many(30),
		"curves-point": &plot.Curves{Series: []plot.Series{{Y: []float64{3}, Lower: []float64{2}, Upper: []float64{5}}}, Low: 1, High: 4},
		"bars": &plot.Bars{
			Title: "Change of each block", ValueLabel: "1 - CKA", Names: []string{"0", "1", "2", "3"}, Values: []float64{0.31, -0.1, nan, 0.00001},
			Chosen: []bool{true, false, false, true}, ChosenLabel: "selected", Note: "Block 2 is constant.",
		},
		"bars-huge":  &plot.Bars{Names: []string{"a", "b"}, Values: []float64{5e299, -1e300}},
		"bars-scale": &plot.Bars{Names: []string{"a", "b", "c"}, Values: []float64{150, 120, 90}, Low: 100, High: 140},
	}
}

// huge returns a map of numbers that float32 does not have.
func huge(n int) *plot.HeatMap {
	h := &plot.HeatMap{Rows: []string{"0", "1"}, Cols: indexed("", n)}
	for i := range 2 * n {
		h.Values = append(h.Values, 1e300*(2*float64(i)/float64(2*n-1)-1))
	}
	return h
}

// block returns a map of rows x cols whose colours change every few cells, so
// that its picture is short.
func block(name string, rows, cols int, size float64) *plot.HeatMap {
	h := &plot.HeatMap{Rows: indexed(name, rows), Cols: indexed("", cols)}
	for i := range rows {
		for j := range cols {
			h.Values = append(h.Values, math.Floor(float64(i)/size/5)+math.Floor(float64(j)/5)/4)
		}
	}
	h.Values[len(h.Values)/2] = nan
	return h
}

func indexed(name string, n int) []string {
	out := make([]string, n)
	for i := range out {
		if out[i] = strconv.Itoa(i); name != "" {
			out[i] = name + "." + out[i]
		}
	}
	return out
}

func paths(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("model.decoder.transformer.layers.%d.self_attention.output.dense", i*7)
	}
	return out
}

func many(n int) *plot.Curves {
	c := &plot.Curves{}
	for i := range n {
		c.Series = append(c.Series, plot.Series{Name: fmt.Sprint("layer ", i), Y: []float64{0, float64(i), float64(i) * 1.5}, Bold: i == 4})
	}
	return c
}

// formats are the outputs that are text.
var formats = map[string]func(plot.Figure, io.Writer) error{
	".svg":    func(f plot.Figure, w io.Writer) error { return f.SVG(w) },
	".html":   func(f plot.Figure, w io.Writer) error { return f.HTML(w) },
	".txt":    func(f plot.Figure, w io.Writer) error { return f.Terminal(w, plot.TerminalOptions{}) },
	".30.txt": func(f plot.Figure, w io.Writer) error { return f.Terminal(w, plot.TerminalOptions{Width: 30}) },
	".256.txt": func(f plot.Figure, w io.Writer) error {
		return f.Terminal(w, plot.TerminalOptions{Width: 60, Color: plot.Color256})
	},
	".rgb.txt": func(f plot.Figure, w io.Writer) error {
		return f.Terminal(w, plot.TerminalOptions{Color: plot.TrueColor})
	},
}

func TestGolden(t *testing.T) {
	for name, f := range figures() {
		for extension, write := range formats {
			if extension == ".html" && name != "map3" && name != "curves" && name != "bars" && name != "map-huge" {
				continue // the picture is the SVG again
			}
			t.Run(name+extension, func(t *testing.T) {
				var b bytes.Buffer
				if err := write(f, &b); err != nil {
					t.Fatal(err)
				}
				var again bytes.Buffer
				if err := write(f, &again); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
					t.Error("the second drawing differs from the first")
				}
				path := filepath.Join("testdata", name+extension)
				if *update {
					if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
				if !bytes.Equal(b.Bytes(), want) {
					t.Errorf("differs from %s (if it should, look at the picture and run with -update):\n%s", path, firstDifference(b.String(), string(want)))
				}
			})
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n got %q\nwant %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// parse reads a document to its end and returns its text by element.
func parse(t *testing.T, document []byte) map[string][]string {
	t.Helper()
	texts := map[string][]string{}
	var open []string
	d := xml.NewDecoder(bytes.NewReader(document))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, document)
		}
		switch v := token.(type) {
		case xml.StartElement:
			open = append(open, v.Name.Local)
			texts[v.Name.Local] = append(texts[v.Name.Local], "")
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				name := open[len(open)-1]
				texts[name][len(texts[name])-1] += string(v)
			}
		}
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	for name, f := range figures() {
		var b bytes.Buffer
		if err := f.SVG(&b); err != nil {
			t.Fatal(err)
		}
		texts := parse(t, b.Bytes())
		if len(texts["svg"]) != 1 || texts["title"][0] == "" || texts["desc"][0] == "" {
			t.Errorf("%s: want one svg with a title and a description", name)
		}
		if n := strings.Count(b.String(), "http"); n != 1 {
			t.Errorf("%s: %d addresses, want the namespace alone", name, n)
		}
	}
}

func TestTooltips(t *testing.T) {
	var b bytes.Buffer
	if err := figures()["map3"].SVG(&b); err != nil {
		t.Fatal(err)
	}
	tips := parse(t, b.Bytes())["title"][1:]
	want := []string{"embed × embed: 1", "embed × block 0: 0.5", "embed × block 1: undefined", "block 0 × embed: 0.5"}
	if len(tips) != 9 || strings.Join(tips[:4], "|") != strings.Join(want, "|") {
		t.Errorf("tooltips %q, want 9 beginning with %q", tips, want)
	}
	h := &plot.HeatMap{Rows: indexed("", 64), Cols: indexed("", 64), Values: make([]float64, 4096)}
	for _, extra := range []int{0, 1} {
		h.Rows, h.Values = indexed("", 64+extra), make([]float64, 64*(64+extra))
		b.Reset()
		if err := h.SVG(&b); err != nil {
			t.Fatal(err)
		}
		if got := len(parse(t, b.Bytes())["title"]); got != 1+4096*(1-extra) {
			t.Errorf("%d rows of 64: %d titles", 64+extra, got)
		}
	}
}

func TestLargeMap(t *testing.T) {
	h := &plot.HeatMap{Rows: indexed("layer", 300), Cols: indexed("layer", 300)}
	for i := range 300 * 300 {
		h.Values = append(h.Values, float64(i*7919%1000)/1000)
	}
	for name, write := range map[string]func(io.Writer) error{"SVG": h.SVG, "PNG": h.PNG, "HTML": h.HTML} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if b.Len() > 3<<20 {
			t.Errorf("%s of 300 x 300 cells has %d bytes", name, b.Len())
		}
	}
}
