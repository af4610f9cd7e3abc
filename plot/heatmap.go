package plot

import (
	"fmt"
	"io"
	"math"
	"strconv"
)

// A HeatMap shows a matrix as colours.
type HeatMap struct {
	Title              string
	RowLabel, ColLabel string    // what rows and columns are
	Rows, Cols         []string  // their names, 1 to 2048 of each
	Values             []float64 // row-major, len(Rows) x len(Cols); NaN is undefined
	ValueLabel         string    // what a value is, such as "CKA"
	Low, High          float64   // the scale's ends; both zero: the data's
	Note               string    // a remark below
}

// Terminal implements [Figure]. Small maps come out as numbers where there is no
// colour; large ones are averaged over blocks of cells, and the legend says so.
func (h *HeatMap) Terminal(w io.Writer, o TerminalOptions) error { return writeTerminal(w, h, o) }

// SVG implements [Figure]. Up to 4096 cells have tooltips.
func (h *HeatMap) SVG(w io.Writer) error { return writeSVG(w, h) }

// PNG implements [Figure].
func (h *HeatMap) PNG(w io.Writer) error { return writePNG(w, h) }

// HTML implements [Figure]. Up to 4096 cells are also in a table.
func (h *HeatMap) HTML(w io.Writer) error { return writeHTML(w, h) }

// A grid is a heat map checked, with clean texts.
type grid struct {
	title, rowLabel, colLabel, valueLabel, note string
	rows, cols                                  []string
	values                                      []float64
	scale                                       span
	undefined, beyond                           int // cells without a value, and off the scale
}

func (h *HeatMap) check() (*grid, error) {
	l, m := len(h.Rows), len(h.Cols)
	switch {
	case l == 0 || m == 0:
		return nil, fmt.Errorf("plot: heat map of %d x %d cells: nothing to draw: %w", l, m, ErrShape)
	case l > maxSide || m > maxSide:
		return nil, fmt.Errorf("plot: heat map of %d x %d cells (draw at most %d x %[3]d, every k-th row and column for instance): %w", l, m, maxSide, ErrShape)
	case len(h.Values) != l*m:
		return nil, fmt.Errorf("plot: heat map of %d x %d cells: %d values, want %d: %w", l, m, len(h.Values), l*m, ErrShape)
	}
	if err := checkValues("heat map", h.Values); err != nil {
		return nil, err
	}
	scale, err := spanOf("heat map", h.Low, h.High, h.Values)
	if err != nil {
		return nil, err
	}
	g := &grid{
		title: clean(h.Title), rowLabel: clean(h.RowLabel), colLabel: clean(h.ColLabel), valueLabel: clean(h.ValueLabel), note: clean(h.Note),
		rows: cleanAll(h.Rows), cols: cleanAll(h.Cols), values: h.Values, scale: scale,
	}
	for _, v := range h.Values {
		if math.IsNaN(v) {
			g.undefined++
		} else if v < scale.low || v > scale.high {
			g.beyond++
		}
	}
	return g, nil
}

// remarks returns what a legend has to add to the scale.
func (g *grid) remarks() []string {
	var out []string
	if g.beyond > 0 {
		out = append(out, fmt.Sprintf("%d of %d cells lie beyond the scale and have the colour of its end.", g.beyond, len(g.values)))
	}
	if g.note != "" {
		out = append(out, g.note)
	}
	return out
}

func (g *grid) about() string {
	what := "values"
	if g.valueLabel != "" {
		what = g.valueLabel
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range g.values {
		if !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	text := fmt.Sprintf("Heat map of %s, %d rows by %d columns, from %s to %s", what, len(g.rows), len(g.cols), number(low), number(high))
	if g.undefined > 0 {
		text += fmt.Sprintf("; %d undefined", g.undefined)
	}
	return text + "."
}

// text names cell i and its value.
func (g *grid) text(i int) string {
	return g.rows[i/len(g.cols)] + " × " + g.cols[i%len(g.cols)] + ": " + number(g.values[i])
}

const (
	maxTips  = 4096 // cells with a tooltip each and a line in a table
	nameRoom = 170  // points for a name of a row or column
	barWidth = 14
	barShort = 120 // least height of the colour bar
)

func (h *HeatMap) scene(face *typeface) (*scene, error) {
	g, err := h.check()
	if err != nil {
		return nil, err
	}
	s := &scene{title: g.title, about: g.about(), face: face}
	if s.title == "" {
		s.title = "Heat map"
	}
	w, height := cellSize(len(g.rows), len(g.cols))
	mapWidth, mapHeight := w*float64(len(g.cols)), height*float64(len(g.rows))
	rows, rowRoom := s.names(g.rows, nameRoom, sizeName)
	left := padding + rowRoom + 8
	if g.rowLabel != "" {
		left += sizeText * 1.8
	}
	bar := colourBar(s, g.scale)
	colLabel := shorten(g.colLabel, max(mapWidth, nameRoom), "…", face.at(sizeText))
	barAt := math.Ceil(left) + max(mapWidth, measure(colLabel, face.at(sizeText))) + 24
	s.width = barAt + bar.width + padding
	for _, text := range append(g.remarks(), g.title) {
		s.width = max(s.width, min(measure(text, face.at(sizeTitle))+2*padding, 380))
	}
	top := float64(padding)
	if g.title != "" {
		top = s.paragraph(g.title, top, sizeTitle, 3, ink) + 10
	}
	m := cells{x: math.Ceil(left), y: math.Ceil(top), w: w, h: height, rows: len(g.rows), cols: len(g.cols), levels: make([]int, len(g.values))}
	for i, v := range g.values {
		m.levels[i] = level(v, g.scale)
	}
	if len(g.values) <= maxTips {
		m.tip = g.text
		s.table = g.table()
	}
	s.add(m, outline(m.x, m.y, mapWidth, mapHeight))
	s.cellValues(g, m)
	s.rowNames(g, m, rows)
	bottom := s.colNames(g, m, colLabel)
	barBottom := bar.draw(s, g, barAt, m.y, max(mapHeight, barShort))
	y := max(bottom, barBottom) + 6
	for _, text := range g.remarks() {
		y = s.paragraph(text, y, sizeName, 6, muted) + 2
	}
	s.height = math.Ceil(y + padding)
	s.width = math.Ceil(s.width)
	s.hover = &hover{Kind: "map", X: m.x, Y: m.y, W: mapWidth, H: mapHeight, Rows: g.rows, Cols: g.cols, Values: shown(g.values)}
	return s, nil
}

// cellSize returns the size of a cell in whole points: square, unless the map is
// so flat or so slim that it would be a line.
func cellSize(rows, cols int) (w, h float64) {
	const wanted, least, most, slimmest = 480, 2, 40, 24
	side := float64(min(max(wanted/max(rows, cols), least), most))
	if max(rows, cols) > wanted*5/4 {
		side = 1
	}
	w, h = side, side
	if float64(cols)*w < slimmest {
		w = math.Ceil(slimmest / float64(cols))
	}
	if float64(rows)*h < slimmest {
		h = math.Ceil(slimmest / float64(rows))
	}
	return w, h
}

// outline is a thin frame.
func outline(x, y, w, h float64) path {
	return path{points: []point{{x, y}, {x + w, y}, {x + w, y + h}, {x, y + h}, {x, y}}, paint: muted, width: 0.5}
}

// cellValues prints the values into the cells of a small map.
func (s *scene) cellValues(g *grid, m cells) {
	const size = 10
	if min(m.w, m.h) < 30 {
		return
	}
	texts := aligned(g.values, 2)
	for _, text := range texts {
		if len(text) > 5 {
			return
		}
	}
	p := newPalette()
	for i, text := range texts {
		if text == "" {
			continue
		}
		x, y := m.x+m.w*(float64(i%m.cols)+0.5), m.y+m.h*(float64(i/m.cols)+0.5)
		s.add(label{x: x, y: y + size*halfCap, size: size, anchor: middle, paint: paint{RGBA: contrasting(p[m.levels[i]])}, text: text})
	}
}

// rowNames writes as many names as fit, right-aligned to the map.
func (s *scene) rowNames(g *grid, m cells, names []string) {
	step := thin(m.h, sizeName*1.15)
	for i := 0; i < len(names); i += step {
		y := m.y + m.h*(float64(i)+0.5)
		if step > 1 {
			s.line(m.x-4, y, m.x, y, muted)
		}
		s.add(label{x: m.x - 6, y: y + sizeName*halfCap, size: sizeName, anchor: end, paint: ink, text: names[i]})
	}
	if g.rowLabel != "" {
		height := m.h * float64(m.rows)
		text := shorten(g.rowLabel, max(height, barShort), "…", s.face.at(sizeText))
		y := m.y + max(height, measure(text, s.face.at(sizeText)))/2
		s.add(label{x: padding + sizeText*0.8, y: y, size: sizeText, anchor: middle, upward: true, paint: muted, text: text})
	}
}

// colNames writes as many names as fit below the map, upright if they are
// longer than their columns are wide, and returns where they end.
func (s *scene) colNames(g *grid, m cells, axis string) (bottom float64) {
	names, widest := s.names(g.cols, nameRoom, sizeName)
	bottom = m.y + m.h*float64(m.rows) + 6
	upright := widest > max(m.w-4, 28)
	step := thin(m.w, sizeName*1.15)
	if !upright {
		step = thin(m.w, widest+4)
	}
	deepest := 0.0
	for i := 0; i < len(names); i += step {
		x := m.x + m.w*(float64(i)+0.5)
		if step > 1 {
			s.line(x, bottom-6, x, bottom-2, muted)
		}
		l := label{x: x, y: bottom + sizeName*0.9, size: sizeName, anchor: middle, paint: ink, text: names[i]}
		depth := float64(sizeName)
		if upright {
			l.x, l.y, l.anchor, l.upward = x+sizeName*halfCap, bottom, end, true
			depth = measure(names[i], s.face.at(sizeName))
		}
		s.add(l)
		deepest = max(deepest, depth)
	}
	bottom += deepest + 4
	if axis != "" {
		half := measure(axis, s.face.at(sizeText)) / 2
		x := max(m.x+m.w*float64(m.cols)/2, m.x+half)
		s.add(label{x: x, y: bottom + sizeText, size: sizeText, anchor: middle, paint: muted, text: axis})
		bottom += sizeText * leading
	}
	return bottom
}

// A bar is the colour bar: the scale beside the map.
type bar struct {
	ticks []tick
	width float64
}

func colourBar(s *scene, scale span) bar {
	b := bar{ticks: ticks(scale, 5, false)}
	for _, t := range b.ticks {
		b.width = max(b.width, measure(t.label, s.face.at(sizeName)))
	}
	b.width = max(barWidth+8+b.width, barWidth+4+measure("undefined", s.face.at(sizeName)))
	return b
}

// draw adds the bar and returns where it ends.
func (b bar) draw(s *scene, g *grid, x, y, height float64) (bottom float64) {
	const steps = 64
	height = min(height, 480)
	// Whole points, so that steps meet without a seam.
	stripes := cells{x: x, y: y, w: barWidth, h: height / steps, rows: steps, cols: 1, levels: make([]int, steps)}
	for i := range stripes.levels {
		stripes.levels[i] = (steps - 1 - i) * (levels - 1) / (steps - 1)
	}
	s.add(stripes, outline(x, y, barWidth, height))
	for _, t := range b.ticks {
		at := y + height*(1-g.scale.at(t.value))
		s.line(x+barWidth, at, x+barWidth+4, at, muted)
		s.add(label{x: x + barWidth + 6, y: at + sizeName*halfCap, size: sizeName, paint: ink, text: t.label})
	}
	bottom = y + height + 8
	if g.valueLabel != "" {
		text := shorten(g.valueLabel, s.width-x-padding/2, "…", s.face.at(sizeName))
		s.add(label{x: x, y: bottom + sizeName, size: sizeName, paint: muted, text: text})
		bottom += sizeName * leading
	}
	if g.undefined > 0 {
		s.add(rect{x: x, y: bottom + 2, w: barWidth, h: barWidth, hatched: true}, outline(x, bottom+2, barWidth, barWidth),
			label{x: x + barWidth + 4, y: bottom + 2 + barWidth/2 + sizeName*halfCap, size: sizeName, paint: ink, text: "undefined"})
		bottom += barWidth + 6
	}
	return bottom
}

// table lists the values under the names.
func (g *grid) table() [][]string {
	out := [][]string{append([]string{""}, g.cols...)}
	for row, name := range g.rows {
		line := []string{name}
		for _, v := range g.values[row*len(g.cols):][:len(g.cols)] {
			line = append(line, number(v))
		}
		out = append(out, line)
	}
	return out
}

// numbered reports whether the names are but the indices.
func numbered(names []string) bool {
	for i, s := range names {
		if s != strconv.Itoa(i) {
			return false
		}
	}
	return true
}
