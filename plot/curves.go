package plot

import (
	"fmt"
	"io"
	"math"
)

// Curves show series over a common axis, such as epochs.
type Curves struct {
	Title, XLabel, YLabel string
	Series                []Series // 1 to 2048; more than seven are taken to be in order, such as layers, and coloured along the map
	Marks                 []Mark
	Low, High             float64 // ends of the y axis; both zero: the data's, widened to round numbers
	Note                  string  // a remark below
}

// A Series is one curve. Where Y is NaN the curve is broken.
type Series struct {
	Name         string
	X            []float64 // nil: 0, 1, 2, ...
	Y            []float64
	Lower, Upper []float64 // an error band; both nil or as long as Y
	Bold         bool      // drawn thicker, such as a mean
}

// A Mark is a vertical line with a label.
type Mark struct {
	X     float64
	Label string
}

// Terminal implements [Figure]: dots of Braille where there is colour, else
// a letter for each series.
func (c *Curves) Terminal(w io.Writer, o TerminalOptions) error { return writeTerminal(w, c, o) }

// SVG implements [Figure].
func (c *Curves) SVG(w io.Writer) error { return writeSVG(w, c) }

// PNG implements [Figure].
func (c *Curves) PNG(w io.Writer) error { return writePNG(w, c) }

// HTML implements [Figure]. Up to 4096 points are also in a table.
func (c *Curves) HTML(w io.Writer) error { return writeHTML(w, c) }

// A chart is curves checked, with clean texts and every X present.
type chart struct {
	title, xLabel, yLabel, note string
	series                      []Series
	marks                       []Mark
	x, y                        span
	whole                       bool // every x is a whole number
	points                      int
}

func (c *Curves) check() (*chart, error) {
	if len(c.Series) == 0 || len(c.Series) > maxSide {
		return nil, fmt.Errorf("plot: %d curves (give 1 to %d): %w", len(c.Series), maxSide, ErrShape)
	}
	t := &chart{title: clean(c.Title), xLabel: clean(c.XLabel), yLabel: clean(c.YLabel), note: clean(c.Note), whole: true}
	var xs, ys [][]float64
	for i, s := range c.Series {
		s.Name = clean(s.Name)
		n := len(s.Y)
		if s.X == nil {
			s.X = make([]float64, n)
			for k := range s.X {
				s.X[k] = float64(k)
			}
		}
		if len(s.X) != n || (s.Lower != nil || s.Upper != nil) && (len(s.Lower) != n || len(s.Upper) != n) {
			return nil, fmt.Errorf("plot: curve %d: %d x, %d y, %d lower and %d upper values (give as many of each, or no band): %w",
				i, len(s.X), n, len(s.Lower), len(s.Upper), ErrShape)
		}
		if t.points += n; t.points > maxPoints {
			return nil, fmt.Errorf("plot: curves of more than %d points (draw every k-th): %w", maxPoints, ErrShape)
		}
		t.series = append(t.series, s)
		xs = append(xs, s.X)
		ys = append(ys, s.Y, s.Lower, s.Upper)
	}
	var marked []float64
	for _, m := range c.Marks {
		t.marks = append(t.marks, Mark{m.X, clean(m.Label)})
		marked = append(marked, m.X)
	}
	xs = append(xs, marked)
	if err := t.fit(c, xs, ys); err != nil {
		return nil, err
	}
	return t, nil
}

// fit checks the numbers and sets the axes.
func (t *chart) fit(c *Curves, xs, ys [][]float64) (err error) {
	if t.points == 0 {
		return fmt.Errorf("plot: curves without a point: nothing to draw: %w", ErrShape)
	}
	if err := checkValues("curves, x", xs...); err != nil {
		return err
	}
	for _, set := range xs {
		for i, x := range set {
			if math.IsNaN(x) {
				return fmt.Errorf("plot: curves, x: value %d is NaN (only y may be undefined): %w", i, ErrValue)
			}
			t.whole = t.whole && x == math.Trunc(x)
		}
	}
	if err := checkValues("curves, y", ys...); err != nil {
		return err
	}
	if t.x, err = spanOf("curves, x", 0, 0, xs...); err != nil {
		return err
	}
	if t.y, err = spanOf("curves, y", c.Low, c.High, ys...); err != nil {
		return err
	}
	if c.Low == 0 && c.High == 0 {
		t.y = widen(t.y)
	}
	return nil
}

// widen extends a scale to the ticks around it.
func widen(s span) span {
	step := roundUp((s.high - s.low) / 5)
	return span{math.Floor(s.low/step+1e-9) * step, math.Ceil(s.high/step-1e-9) * step}
}

func (t *chart) about() string {
	var b output
	b.printf("%d curves over %s from %s to %s", len(t.series), or(t.xLabel, "x"), number(t.x.low), number(t.x.high))
	for _, m := range t.marks {
		b.printf("; %s at %s", or(m.Label, "mark"), number(m.X))
	}
	b.put(".")
	return b.String()
}

// or returns s, or other if s is empty.
func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// The dash patterns, so that curves differ without their colours.
var dashPatterns = [...][]float64{nil, {6, 3}, {2, 2}, {8, 3, 2, 3}}

// dashOf returns the pattern of curve i of n; a crowd in order gets none.
func dashOf(i, n int) []float64 {
	if n > len(seriesColors) {
		return nil
	}
	return dashPatterns[i%len(dashPatterns)]
}

// Sizes of the plot area and the legend, in points.
const (
	chartWidth, chartHeight = 560, 320
	legendPitch             = 18
	legendSample            = 26
	legendRoom              = 180
)

func (c *Curves) scene(face *typeface) (*scene, error) {
	t, err := c.check()
	if err != nil {
		return nil, err
	}
	s := &scene{title: or(t.title, "Curves"), about: t.about(), face: face}
	f := frame{w: chartWidth, h: chartHeight, x: t.x, y: t.y}
	yTicks, room := ticks(t.y, 5, false), 0.0
	for _, k := range yTicks {
		room = max(room, measure(k.label, face.at(sizeName)))
	}
	f.left = math.Ceil(padding + room + 10)
	if t.yLabel != "" {
		f.left += sizeText * 1.8
	}
	legend, legendWidth := t.legend(s)
	s.width = math.Ceil(f.left + f.w + padding + legendWidth)
	f.top = padding
	if t.title != "" {
		f.top = math.Ceil(s.paragraph(t.title, f.top, sizeTitle, 3, ink)) + 8
	}
	marks, rows := t.markLabels(face, f)
	f.top += float64(rows) * sizeName * leading
	f.axes(s, t, yTicks)
	t.draw(s, f)
	f.marks(s, marks)
	for _, shape := range legend {
		shape.y += f.top
		shape.draw(s, f.left+f.w+padding)
	}
	y := f.bottom(t)
	if t.note != "" {
		y = s.paragraph(t.note, y+4, sizeName, 6, muted)
	}
	s.height = math.Ceil(y + padding)
	s.hover = &hover{Kind: "curves", X: f.left, Y: f.top, W: f.w, H: f.h, Low: t.x.low, High: t.x.high, XLabel: t.xLabel}
	for _, r := range t.series {
		s.hover.Series = append(s.hover.Series, hoverRow{r.Name, r.X, shown(r.Y)})
	}
	if t.points <= maxTips {
		s.table = t.table()
	}
	return s, nil
}

// A frame is the plot area and its scales.
type frame struct {
	left, top, w, h float64
	x, y            span
}

// at returns where a point of the data lies.
func (f frame) at(x, y float64) point {
	return point{f.left + f.w*f.x.at(x), f.top + f.h*(1-f.y.at(y))}
}

// axes draws the grid, the ticks and the names of the axes.
func (f frame) axes(s *scene, t *chart, yTicks []tick) {
	bottom := f.top + f.h
	for _, k := range yTicks {
		y := f.at(f.x.low, k.value).y
		s.line(f.left, y, f.left+f.w, y, faint)
		s.add(label{x: f.left - 6, y: y + sizeName*halfCap, size: sizeName, anchor: end, paint: ink, text: k.label})
	}
	for _, k := range ticks(f.x, 8, t.whole) {
		x := f.at(k.value, f.y.low).x
		s.line(x, bottom, x, bottom+4, muted)
		s.add(label{x: x, y: bottom + 6 + sizeName*0.9, size: sizeName, anchor: middle, paint: ink, text: k.label})
	}
	s.line(f.left, bottom, f.left+f.w, bottom, muted)
	if t.xLabel != "" {
		text := shorten(t.xLabel, f.w, "…", s.face.at(sizeText))
		s.add(label{x: f.left + f.w/2, y: bottom + 8 + sizeName + sizeText*1.2, size: sizeText, anchor: middle, paint: muted, text: text})
	}
	if t.yLabel != "" {
		text := shorten(t.yLabel, f.h, "…", s.face.at(sizeText))
		s.add(label{x: padding + sizeText*0.8, y: f.top + f.h/2, size: sizeText, anchor: middle, upward: true, paint: muted, text: text})
	}
}

// marks draws the lines, then the labels, which hide what crosses them.
func (f frame) marks(s *scene, marks []markLabel) {
	const pitch = sizeName * leading
	for _, m := range marks {
		x, y := f.at(m.x, 0).x, f.top-2-float64(m.row)*pitch
		s.add(path{points: []point{{x, y}, {x, f.top + f.h}}, paint: ink, width: 1.2, dash: []float64{4, 3}})
	}
	for _, m := range marks {
		y := f.top - 5 - float64(m.row)*pitch
		s.add(rect{x: m.start - 1, y: y - sizeName*0.9, w: measure(m.text, s.face.at(sizeName)) + 2, h: sizeName * 1.2, paint: paper},
			label{x: m.start, y: y, size: sizeName, paint: ink, text: m.text})
	}
}

// bottom returns where the names of the x axis end.
func (f frame) bottom(t *chart) float64 {
	y := f.top + f.h + 8 + sizeName
	if t.xLabel != "" {
		y += sizeText * 1.5
	}
	return y
}

// draw adds the bands, then the curves, bold ones last.
func (t *chart) draw(s *scene, f frame) {
	p := newPalette()
	clamp := func(y float64) float64 { return min(max(y, f.y.low), f.y.high) }
	for i, r := range t.series {
		if r.Lower == nil {
			continue
		}
		color := paint{RGBA: seriesColor(i, len(t.series), p)}
		runs(r.X, func(k int) bool { return !math.IsNaN(r.Lower[k]) && !math.IsNaN(r.Upper[k]) }, func(from, to int) {
			var outline []point
			for k := from; k < to; k++ {
				outline = append(outline, f.at(r.X[k], clamp(r.Upper[k])))
			}
			for k := to - 1; k >= from; k-- {
				outline = append(outline, f.at(r.X[k], clamp(r.Lower[k])))
			}
			if to-from == 1 {
				s.line(outline[0].x, outline[0].y, outline[1].x, outline[1].y, color)
				return
			}
			s.add(area{outline, color})
		})
	}
	for _, bold := range []bool{false, true} {
		for i, r := range t.series {
			if r.Bold != bold {
				continue
			}
			style := t.style(i, p)
			visible := func(k int) bool { return r.Y[k] >= f.y.low && r.Y[k] <= f.y.high } // false for NaN
			runs(r.X, visible, func(from, to int) {
				style.points = nil
				for k := from; k < to; k++ {
					style.points = append(style.points, f.at(r.X[k], r.Y[k]))
				}
				if at := style.points[0]; to-from == 1 {
					s.add(rect{x: at.x - 2.5, y: at.y - 2.5, w: 5, h: 5, paint: style.paint})
					return
				}
				s.add(style)
			})
		}
	}
}

// style returns the path of curve i, without its points.
func (t *chart) style(i int, p *palette) path {
	n := len(t.series)
	style := path{paint: paint{RGBA: seriesColor(i, n, p)}, width: 1.6, dash: dashOf(i, n)}
	if t.series[i].Bold {
		style.width, style.dash = 3, nil
		if n > len(seriesColors) {
			style.paint = ink // apart from the crowd
		}
	}
	return style
}

// runs calls do with each longest range of indices that are all present.
func runs(x []float64, present func(int) bool, do func(from, to int)) {
	for from := 0; from < len(x); from++ {
		to := from
		for to < len(x) && present(to) {
			to++
		}
		if to > from {
			do(from, to)
			from = to
		}
	}
}

// table lists the points, one a line: series, x, y.
func (t *chart) table() [][]string {
	out := [][]string{{"curve", or(t.xLabel, "x"), or(t.yLabel, "y")}}
	for _, r := range t.series {
		for k, y := range r.Y {
			out = append(out, []string{r.Name, number(r.X[k]), number(y)})
		}
	}
	return out
}
