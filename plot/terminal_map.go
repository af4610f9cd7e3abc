package plot

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"
)

// shades stand for values where there is no colour, from low to high.
const shades = ".:-=+*#%@"

const (
	tallest   = 64  // lines of a map
	undefMark = "?" // an undefined cell, in ASCII; × in colour
)

// A textMap is a heat map on its way into lines of text.
type textMap struct {
	*page
	*grid
	names  []string // of rows, as printed
	room   int      // columns for names
	down   int      // rows and columns that one mark averages
	across int
	lines  int      // rows that one line of text shows
	wide   int      // columns of one mark
	texts  []string // the values, if they are printed
}

func (h *HeatMap) text(p *page) error {
	g, err := h.check()
	if err != nil {
		return err
	}
	t := &textMap{page: p, grid: g, down: 1, across: 1}
	t.rowNames()
	t.size()
	if g.title != "" {
		p.paragraph(g.title)
	}
	if g.rowLabel != "" || g.colLabel != "" {
		p.paragraph(or(g.rowLabel, "rows") + " down, " + or(g.colLabel, "columns") + " across")
	}
	t.heading()
	for row := 0; row < len(g.rows); row += t.lines {
		p.name(t.names[row], t.room, false)
		if t.texts == nil {
			p.put(" ")
		}
		t.row(row)
		p.put("\n")
	}
	t.legend()
	return nil
}

// rowNames sets the names at the left: with the index in front if the columns
// go by their indices and the names are not the indices anyway.
func (t *textMap) rowNames() {
	third := t.width / 3
	if numbered(t.rows) || numbered(t.cols) {
		t.names = t.page.names(t.rows, third)
		t.room = widest(t.names)
		return
	}
	digits := len(strconv.Itoa(len(t.rows) - 1))
	t.names = t.page.names(t.rows, third-digits-1)
	t.room = widest(t.names) + digits + 1
	for i, name := range t.names {
		t.names[i] = fmt.Sprintf("%*d %s", digits, i, name)
	}
}

// size chooses between numbers, marks of two columns, which are square and have
// a line for each row, and small marks: half blocks, or a letter for a block.
func (t *textMap) size() {
	room, l, m := t.width-t.room-1, len(t.rows), len(t.cols)
	t.lines, t.wide = 1, 2
	if t.color == Plain && l <= tallest {
		if texts := aligned(t.values, 2); m*(longestOf(texts)+1) <= room+1 {
			t.texts, t.wide = texts, longestOf(texts)+1
			return
		}
	}
	if 2*m <= room && l <= tallest {
		return
	}
	t.wide = 1
	perLine := 1 // blocks above each other
	if t.color != Plain {
		perLine = 2
	}
	t.across, t.down = over(m, room), over(l, perLine*tallest)
	// As many both ways, to keep the proportions, where that leaves enough marks.
	const enough = 16
	if l >= enough*t.across {
		t.down = max(t.down, t.across)
	}
	if m >= enough*t.down {
		t.across = max(t.across, t.down)
	}
	t.lines = perLine * t.down
}

// over returns a / b, rounded up.
func over(a, b int) int { return (a + b - 1) / b }

func longestOf(texts []string) int {
	n := len(undefMark)
	for _, s := range texts {
		n = max(n, len(s))
	}
	return n
}

// heading writes the indices of columns above them, or the names where they all fit.
func (t *textMap) heading() {
	if t.namedColumns() {
		t.put(strings.Repeat(" ", t.room))
		for _, name := range t.cols {
			t.put(" ")
			t.name(name, t.wide-1, true)
		}
		t.put("\n")
		return
	}
	var line output
	line.put(strings.Repeat(" ", t.room+1))
	for i := 0; i < len(t.cols); i += t.step() {
		label := strconv.Itoa(i)
		at := t.room + 1 + i/t.across*t.wide
		if t.texts != nil {
			at += t.wide - 1 - len(label) // over the number's end
		}
		if at+len(label) <= t.width {
			line.put(strings.Repeat(" ", at-line.Len()) + label)
		}
	}
	t.put(line.String() + "\n")
}

// namedColumns reports whether the names of columns fit above numbers.
func (t *textMap) namedColumns() bool { return t.texts != nil && widest(t.cols) < t.wide }

// step returns the distance of the columns whose index is printed.
func (t *textMap) step() int {
	digits := len(strconv.Itoa(len(t.cols) - 1))
	return thin(float64(t.wide)/float64(t.across), float64(digits+1))
}

// mean returns the mean of the defined cells of a block, NaN if there is none.
func (t *textMap) mean(row, col, height, width int) float64 {
	sum, n := 0.0, 0
	for i := row; i < min(row+height, len(t.rows)); i++ {
		for j := col; j < min(col+width, len(t.cols)); j++ {
			if v := t.values[i*len(t.cols)+j]; !math.IsNaN(v) {
				sum += v
				n++
			}
		}
	}
	return sum / float64(n)
}

// row writes the marks of the line that begins with a row.
func (t *textMap) row(row int) {
	for col := 0; col < len(t.cols); col += t.across {
		switch {
		case t.texts != nil:
			t.put(" ")
			t.name(or(t.texts[row*len(t.cols)+col], undefMark), t.wide-1, true)
		case t.color == Plain:
			t.put(strings.Repeat(t.shade(t.mean(row, col, t.down, t.across)), t.wide))
		case t.wide == 2:
			t.block2(t.values[row*len(t.cols)+col])
		default:
			lower := math.NaN()
			if row+t.down < len(t.rows) {
				lower = t.mean(row+t.down, col, t.down, t.across)
			}
			t.halves(t.mean(row, col, t.down, t.across), lower)
		}
	}
}

func (t *textMap) shade(v float64) string {
	k := level(v, t.scale)
	if k == undefined {
		return undefMark
	}
	i := k * len(shades) / levels
	return shades[i : i+1]
}

// block2 writes one cell as two columns.
func (t *textMap) block2(v float64) {
	if k := level(v, t.scale); k == undefined {
		t.paint("××", nil, nil)
	} else {
		t.paint("  ", nil, &t.palette[k])
	}
}

// halves writes one cell above another into one column. A half that is undefined,
// or below the last row, stays empty.
func (t *textMap) halves(upper, lower float64) {
	colour := func(v float64) *color.RGBA {
		if k := level(v, t.scale); k != undefined {
			return &t.palette[k]
		}
		return nil
	}
	up, down := colour(upper), colour(lower)
	switch {
	case up == nil && down == nil:
		t.paint("×", nil, nil)
	case up == nil:
		t.paint("▄", down, nil)
	default:
		t.paint("▀", up, down)
	}
}

// scaleLine writes the colours between the ends of the scale, on one line if
// that fits.
func (t *textMap) scaleLine() {
	const steps = 10
	low, high, gap := number(t.scale.low), number(t.scale.high), " "
	room := t.width - len(low) - len(high) - steps - 2
	if room < 0 {
		gap = "\n"
	}
	if t.valueLabel != "" {
		if int(measure(t.valueLabel, columns)) < room {
			t.put(isolated(t.valueLabel) + " ")
		} else {
			t.paragraph(t.valueLabel)
		}
	}
	t.put(low + gap)
	if t.color == Plain {
		t.put(shades)
	} else {
		for k := range steps {
			t.paint(" ", nil, &t.palette[k*(levels-1)/(steps-1)])
		}
	}
	t.put(gap + high + "\n")
}

// legend writes the scale, what the marks mean, and the names of the columns
// whose index is printed.
func (t *textMap) legend() {
	if t.texts == nil {
		t.scaleLine()
	} else if t.valueLabel != "" {
		t.paragraph("Values: " + t.valueLabel)
	}
	if t.undefined > 0 {
		mark := undefMark
		if t.color != Plain && t.texts == nil {
			if mark = "××"; t.wide == 1 {
				mark = "× or half a gap"
			}
		}
		t.paragraph(fmt.Sprintf("%s: undefined (%d of %d cells)", mark, t.undefined, len(t.values)))
	}
	if t.down > 1 || t.across > 1 {
		t.paragraph(fmt.Sprintf("Each mark is the mean of up to %d x %d cells (rows x columns), undefined ones left out.", t.down, t.across))
	}
	for _, text := range t.remarks() {
		t.paragraph(text)
	}
	t.columnNames()
}

func (t *textMap) columnNames() {
	switch {
	case numbered(t.cols) || t.namedColumns():
	case slices.Equal(t.rows, t.cols):
		t.paragraph("Columns are named as rows are.")
	default:
		var list []string
		names := t.page.names(t.cols, t.width/2)
		for i := 0; i < len(names); i += t.step() {
			list = append(list, strconv.Itoa(i)+" "+names[i])
		}
		t.paragraph("Columns: " + strings.Join(list, ", "))
	}
}
