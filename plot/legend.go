package plot

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// An entry is one line of the legend, at y below the top of the plot area.
type entry struct {
	y      float64
	sample *path // nil: text alone
	text   string
}

func (e entry) draw(s *scene, x float64) {
	if e.sample != nil {
		sample := *e.sample
		sample.points = []point{{x, e.y}, {x + legendSample - 6, e.y}}
		s.add(sample)
		x += legendSample
	}
	s.add(label{x: x, y: e.y + sizeName*halfCap, size: sizeName, paint: ink, text: e.text})
}

// legend returns the entries and the room they need. A legend that would be
// higher than the plot keeps the first, the last, the bold ones and an even choice.
func (t *chart) legend(s *scene) (entries []entry, width float64) {
	const most = chartHeight/legendPitch - 1
	chosen := legendChoice(t.series, most)
	p := newPalette()
	for _, i := range chosen {
		name := shorten(t.series[i].Name, legendRoom, "…", s.face.at(sizeName))
		if name == "" {
			continue
		}
		style := t.style(i, p)
		entries = append(entries, entry{y: float64(len(entries))*legendPitch + sizeName/2, sample: &style, text: name})
		width = max(width, legendSample+measure(name, s.face.at(sizeName))+padding)
	}
	if left := len(t.series) - len(chosen); left > 0 && len(entries) > 0 {
		text := fmt.Sprintf("and %d more in between", left)
		entries = append(entries, entry{y: float64(len(entries))*legendPitch + sizeName/2, text: text})
		width = max(width, measure(text, s.face.at(sizeName))+padding)
	}
	return entries, width
}

// legendChoice returns indices in order, no more than most: all, or the bold ones
// and an even choice of the others, both ends included.
func legendChoice(series []Series, most int) []int {
	var bold, plain []int
	for i, s := range series {
		if s.Bold {
			bold = append(bold, i)
		} else {
			plain = append(plain, i)
		}
	}
	bold = evenly(bold, most)
	plain = evenly(plain, most-len(bold))
	out := make([]int, 0, len(bold)+len(plain))
	for len(bold) > 0 || len(plain) > 0 {
		if len(plain) == 0 || len(bold) > 0 && bold[0] < plain[0] {
			out, bold = append(out, bold[0]), bold[1:]
		} else {
			out, plain = append(out, plain[0]), plain[1:]
		}
	}
	return out
}

// evenly returns at most n of the items, spread evenly, both ends included.
func evenly(items []int, n int) []int {
	if len(items) <= n {
		return items
	}
	if n < 2 {
		return items[:max(n, 0)]
	}
	out := make([]int, n)
	for i := range out {
		out[i] = items[i*(len(items)-1)/(n-1)]
	}
	return out
}

// A markLabel is a mark's label placed in one of the rows above the plot.
type markLabel struct {
	x     float64 // of the mark, in the data
	start float64 // of the text
	row   int     // 0 is the lowest
	text  string
}

const markRows = 6 // beyond these labels may overlap

// markLabels places each label beside the top of its line, in the lowest row
// where it meets no other, and returns the number of rows. It goes from the
// right to the left: a label to the right of its line then crosses no line.
func (t *chart) markLabels(face *typeface, f frame) (placed []markLabel, rows int) {
	var ends [markRows]float64 // where the leftmost label of a row begins
	for row := range ends {
		ends[row] = math.Inf(1)
	}
	marks := slices.Clone(t.marks)
	slices.SortStableFunc(marks, func(a, b Mark) int { return cmp.Compare(b.X, a.X) })
	for _, m := range marks {
		l := markLabel{x: m.X, text: shorten(m.Label, f.w*0.6, "…", face.at(sizeName))}
		width := measure(l.text, face.at(sizeName))
		if l.start = f.at(m.X, 0).x + 4; l.start+width > f.left+f.w {
			l.start -= width + 8
		}
		for l.row < markRows-1 && l.start+width+6 > ends[l.row] {
			l.row++
		}
		ends[l.row] = l.start
		placed = append(placed, l)
		rows = max(rows, l.row+1)
	}
	return placed, rows
}
