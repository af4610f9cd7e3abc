package plot

import (
	"fmt"
	"image/color"
	"math"
	"strings"
)

// symbols tell curves apart where there is no colour.
const symbols = "*+ox#%@&=~"

const linesHigh = 16 // lines of a plot of curves

// A drawing is a grid of characters; with colours each has 2 x 4 dots of Braille.
type drawing struct {
	cols, rows int
	runes      []rune
	colors     []color.RGBA
	braille    bool
}

func (c *Curves) text(p *page) error {
	t, err := c.check()
	if err != nil {
		return err
	}
	yTicks := ticks(t.y, 4, false)
	room := 0
	for i, k := range yTicks {
		yTicks[i].label = p.shorten(k.label, p.width/2)
		room = max(room, int(measure(yTicks[i].label, columns)))
	}
	d := &drawing{cols: p.width - room - 2, rows: linesHigh, braille: p.color != Plain}
	d.runes, d.colors = make([]rune, d.cols*d.rows), make([]color.RGBA, d.cols*d.rows)
	for _, m := range t.marks {
		col := min(int(t.x.at(m.X)*float64(d.cols)), d.cols-1)
		for row := range d.rows {
			d.runes[row*d.cols+col] = '|'
			d.colors[row*d.cols+col] = seriesColors[len(seriesColors)-1]
		}
	}
	for _, bold := range []bool{false, true} {
		for i, s := range t.series {
			if s.Bold == bold {
				d.curve(t, i, p.palette)
			}
		}
	}
	if t.title != "" {
		p.paragraph(t.title)
	}
	if t.yLabel != "" {
		p.paragraph(t.yLabel)
	}
	labels := make([]string, d.rows)
	for _, k := range yTicks {
		labels[min(int((1-t.y.at(k.value))*float64(d.rows)), d.rows-1)] = k.label
	}
	for row := range d.rows {
		p.put(strings.Repeat(" ", room-int(measure(labels[row], columns))) + labels[row] + " |")
		for i, r := range d.runes[row*d.cols:][:d.cols] {
			if r == 0 {
				p.put(" ")
			} else {
				p.paint(string(r), &d.colors[row*d.cols+i], nil)
			}
		}
		p.put("\n")
	}
	p.axis(t.x, room+1, d.cols, t.whole, t.xLabel)
	t.textLegend(p)
	return nil
}

// axis writes a horizontal axis of cols columns behind left, its labels and its name.
func (p *page) axis(s span, left, cols int, whole bool, name string) {
	p.put(strings.Repeat(" ", left) + "+" + strings.Repeat("-", cols) + "\n")
	line := ""
	for _, k := range ticks(s, max(cols/12, 1), whole) {
		at := left + 1 + min(int(s.at(k.value)*float64(cols)), cols-1) - len(k.label)/2
		if at = min(at, p.width-len(k.label)); at > len(line) || line == "" && at >= 0 {
			line += strings.Repeat(" ", at-len(line)) + k.label
		}
	}
	p.put(line + "\n")
	if name != "" {
		name = p.shorten(name, p.width-left-1)
		p.put(strings.Repeat(" ", left+1+(cols-int(measure(name, columns)))/2) + name + "\n")
	}
}

// curve draws series i, from point to point.
func (d *drawing) curve(t *chart, i int, p *palette) {
	s := t.series[i]
	colour, symbol := t.style(i, p).paint, rune(symbols[i%len(symbols)])
	if colour.role != "" {
		colour.RGBA = seriesColors[1] // ink is dark, and the terminal may be too
	}
	width, height := float64(d.cols*2), float64(d.rows*4)
	runs(s.X, func(k int) bool { return s.Y[k] >= t.y.low && s.Y[k] <= t.y.high }, func(from, to int) {
		for k := from; k < to; k++ {
			x, y := t.x.at(s.X[k])*width, (1-t.y.at(s.Y[k]))*height
			fromX, fromY := x, y
			if k > from {
				fromX, fromY = t.x.at(s.X[k-1])*width, (1-t.y.at(s.Y[k-1]))*height
			}
			steps := math.Ceil(max(math.Abs(x-fromX), math.Abs(y-fromY), 1))
			for n := 0.0; n <= steps; n++ {
				d.dot(fromX+(x-fromX)*n/steps, fromY+(y-fromY)*n/steps, symbol, colour.RGBA)
			}
		}
	})
}

// brailleBits are the bits of the dots of a Braille pattern, by row and column.
var brailleBits = [4][2]rune{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

const braille = '\u2800' // the empty pattern

// dot sets the dot at x, y, counted in dots of Braille.
func (d *drawing) dot(x, y float64, symbol rune, c color.RGBA) {
	i, j := min(int(x), d.cols*2-1), min(int(y), d.rows*4-1)
	at := j/4*d.cols + i/2
	if d.braille {
		if symbol = brailleBits[j%4][i%2] | braille; d.runes[at] >= braille {
			symbol |= d.runes[at]
		}
	}
	d.runes[at], d.colors[at] = symbol, c
}

// textLegend lists the curves and the marks.
func (t *chart) textLegend(p *page) {
	const most = 24
	chosen := legendChoice(t.series, most)
	for _, i := range chosen {
		sample, colour := symbols[i%len(symbols)], t.style(i, p.palette).paint
		if colour.role != "" {
			colour.RGBA = seriesColors[1]
		}
		if p.color == Plain {
			p.put("  " + string(sample) + "  ")
		} else {
			p.put("  ")
			p.paint("━━", &colour.RGBA, nil)
			p.put(" ")
		}
		p.put(isolated(p.shorten(or(t.series[i].Name, fmt.Sprintf("curve %d", i)), p.width-5)) + "\n")
	}
	if left := len(t.series) - len(chosen); left > 0 {
		p.paragraph(fmt.Sprintf("and %d more in between", left))
	}
	if p.color == Plain && len(t.series) > len(symbols) {
		p.paragraph(fmt.Sprintf("%d letters for %d curves: each stands for several.", len(symbols), len(t.series)))
	}
	for _, m := range t.marks {
		p.paragraph(fmt.Sprintf("|  %s: %s", number(m.X), or(m.Label, "mark")))
	}
	for _, s := range t.series {
		if s.Lower != nil {
			p.paragraph("Error bands are not drawn here; SVG, PNG and HTML have them.")
			break
		}
	}
	if t.note != "" {
		p.paragraph(t.note)
	}
}

func (b *Bars) text(p *page) error {
	r, err := b.check()
	if err != nil {
		return err
	}
	numbers := aligned(r.values, 4)
	digits := longestOf(numbers)
	names := p.names(r.names, min(p.width/3, p.width-digits-4))
	room := widest(names)
	if r.title != "" {
		p.paragraph(r.title)
	}
	undefined := false
	for i, v := range r.values {
		p.name(names[i], room, false)
		mark := " "
		if r.chosen[i] {
			mark = "*"
		}
		p.put(" " + mark + " ")
		p.name(or(numbers[i], undefMark), digits, true)
		if math.IsNaN(v) {
			undefined = true
		} else {
			p.bar(r, i, p.width-room-digits-4)
		}
		p.put("\n")
	}
	if r.any {
		p.paragraph("*: " + r.chosenLabel)
	}
	if undefined {
		p.paragraph(undefMark + ": undefined")
	}
	if r.valueLabel != "" {
		p.paragraph(fmt.Sprintf("Bars: %s, from %s to %s", r.valueLabel, number(r.scale.low), number(r.scale.high)))
	}
	if r.note != "" {
		p.paragraph(r.note)
	}
	return nil
}

// bar writes the bar of value i into cols columns, to half a column where there
// are half blocks.
func (p *page) bar(r *ranking, i, cols int) {
	at := func(v float64) int { return int(math.Round(2 * float64(cols) * r.scale.at(v))) } // in half columns
	base, v := r.base(), r.clamp(r.values[i])
	from, to := at(min(base, v))/2, at(max(base, v))
	if to <= 2*from {
		return
	}
	full, half := "#", "#"
	if p.color != Plain {
		full, half = "█", "▌"
	}
	bar := strings.Repeat(full, to/2-from)
	if to%2 == 1 {
		bar += half
	}
	colour := seriesColors[5] // light, and dark for the chosen
	if r.chosen[i] {
		colour = seriesColors[1]
	}
	p.put(strings.Repeat(" ", 1+from))
	p.paint(bar, &colour, nil)
}
