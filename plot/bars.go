package plot

import (
	"fmt"
	"image/color"
	"io"
	"math"
)

// Bars show one value for each of several names, such as a score per block.
type Bars struct {
	Title, ValueLabel string
	Names             []string // 1 to 512
	Values            []float64
	Chosen            []bool  // which to set apart; nil: none
	ChosenLabel       string  // what the chosen ones are, such as "selected"
	Low, High         float64 // the scale's ends; both zero: the data's and 0, widened to round numbers
	Note              string  // a remark below
}

// Terminal implements [Figure].
func (b *Bars) Terminal(w io.Writer, o TerminalOptions) error { return writeTerminal(w, b, o) }

// SVG implements [Figure].
func (b *Bars) SVG(w io.Writer) error { return writeSVG(w, b) }

// PNG implements [Figure].
func (b *Bars) PNG(w io.Writer) error { return writePNG(w, b) }

// HTML implements [Figure].
func (b *Bars) HTML(w io.Writer) error { return writeHTML(w, b) }

// A ranking is bars checked, with clean texts.
type ranking struct {
	title, valueLabel, chosenLabel, note string
	names                                []string
	values                               []float64
	chosen                               []bool // as long as names
	any                                  bool   // one is chosen
	scale                                span
}

func (b *Bars) check() (*ranking, error) {
	n := len(b.Names)
	if n == 0 || n > maxBars || len(b.Values) != n || b.Chosen != nil && len(b.Chosen) != n {
		return nil, fmt.Errorf("plot: bars: %d names, %d values, %d choices (give 1 to %d, and as many of each): %w",
			n, len(b.Values), len(b.Chosen), maxBars, ErrShape)
	}
	if err := checkValues("bars", b.Values); err != nil {
		return nil, err
	}
	r := &ranking{
		title: clean(b.Title), valueLabel: clean(b.ValueLabel), chosenLabel: clean(or(b.ChosenLabel, "chosen")), note: clean(b.Note),
		names: cleanAll(b.Names), values: b.Values, chosen: b.Chosen,
	}
	if r.chosen == nil {
		r.chosen = make([]bool, n)
	}
	for _, c := range r.chosen {
		r.any = r.any || c
	}
	var err error
	r.scale, err = spanOf("bars", b.Low, b.High, b.Values, []float64{0})
	if err == nil && b.Low == 0 && b.High == 0 {
		r.scale = widen(r.scale)
	}
	return r, err
}

// base returns where bars begin: at zero, or at the end of the scale next to it.
func (r *ranking) base() float64 { return min(max(0, r.scale.low), r.scale.high) }

// clamp returns v or the end of the scale beyond which it lies.
func (r *ranking) clamp(v float64) float64 { return min(max(v, r.scale.low), r.scale.high) }

func (r *ranking) about() string {
	text := fmt.Sprintf("Bars of %s for %d items", or(r.valueLabel, "values"), len(r.names))
	n := 0
	for _, c := range r.chosen {
		if c {
			n++
		}
	}
	if n > 0 {
		text += fmt.Sprintf("; %d %s", n, r.chosenLabel)
	}
	return text + "."
}

func (b *Bars) scene(face *typeface) (*scene, error) {
	r, err := b.check()
	if err != nil {
		return nil, err
	}
	const pitch, thick, wide = 18, 13, 400
	s := &scene{title: or(r.title, "Bars"), about: r.about(), face: face}
	names, room := s.names(r.names, nameRoom, sizeName)
	left, top := math.Ceil(padding+room+8), float64(padding)
	s.width = left + wide + 70
	if r.title != "" {
		top = math.Ceil(s.paragraph(r.title, top, sizeTitle, 3, ink)) + 10
	}
	numbers := aligned(r.values, 4)
	first, second := paint{RGBA: color.RGBA{0xA6, 0xC8, 0xE0, 255}}, paint{RGBA: seriesColors[0]} // light and dark: differ in grey too
	bottom := top + pitch*float64(len(names))
	at := func(v float64) float64 { return left + wide*r.scale.at(v) }
	for _, k := range ticks(r.scale, 5, false) {
		s.line(at(k.value), top, at(k.value), bottom+4, faint)
		s.add(label{x: at(k.value), y: bottom + 6 + sizeName, size: sizeName, anchor: middle, paint: ink, text: k.label})
	}
	zero := at(r.base())
	for i, v := range r.values {
		y := top + pitch*(float64(i)+0.5)
		s.add(label{x: left - 6, y: y + sizeName*halfCap, size: sizeName, anchor: end, paint: ink, text: names[i]})
		text := label{x: zero + 5, y: y + sizeName*halfCap, size: sizeName, paint: ink, text: or(numbers[i], "undefined")}
		if !math.IsNaN(v) {
			tip := at(r.clamp(v))
			bar := rect{x: min(zero, tip), y: y - thick/2.0, w: math.Abs(tip - zero), h: thick, paint: first, tip: r.names[i] + ": " + number(v)}
			if r.chosen[i] {
				bar.paint = second
			}
			s.add(bar)
			text.x = max(zero, tip) + 5
		}
		s.add(text)
	}
	s.line(zero, top, zero, bottom, muted)
	y := bottom + 8 + sizeName
	if r.valueLabel != "" {
		s.add(label{x: left + wide/2, y: y + sizeText*1.2, size: sizeText, anchor: middle, paint: muted, text: shorten(r.valueLabel, wide, "…", face.at(sizeText))})
		y += sizeText * 1.5
	}
	if r.any {
		text := shorten(r.chosenLabel, wide, "…", face.at(sizeName))
		s.add(rect{x: left, y: y + 6, w: thick, h: thick, paint: second},
			label{x: left + thick + 5, y: y + 6 + thick/2.0 + sizeName*halfCap, size: sizeName, paint: ink, text: text})
		y += thick + 10
	}
	if r.note != "" {
		y = s.paragraph(r.note, y+4, sizeName, 6, muted)
	}
	s.height = math.Ceil(y + padding)
	s.hover = &hover{Kind: "map", X: 0, Y: top, W: s.width, H: bottom - top, Rows: r.names, Cols: []string{""}, Values: shown(r.values)}
	s.table = [][]string{{"", or(r.valueLabel, "value")}}
	for i, v := range r.values {
		s.table = append(s.table, []string{r.names[i], number(v)})
	}
	return s, nil
}
