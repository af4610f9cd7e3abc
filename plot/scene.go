package plot

import (
	"image/color"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// A scene is a figure laid out: shapes in points, y down, drawn in order.
type scene struct {
	width, height float64
	title, about  string // for those who do not see it
	shapes        []any  // rect, cells, path, area, label
	hover         *hover
	table         [][]string // the numbers, first line the heading; nil if there are too many
	face          *typeface
}

// A paint is a colour. One with a role follows the reader's light or dark scheme in HTML.
type paint struct {
	color.RGBA
	role string
}

var (
	paper = paint{white, "paper"}
	ink   = paint{color.RGBA{0x22, 0x22, 0x22, 255}, "ink"}
	muted = paint{color.RGBA{0x5a, 0x5a, 0x5a, 255}, "muted"}
	faint = paint{color.RGBA{0xdd, 0xdd, 0xdd, 255}, "faint"}
)

// The hatch of undefined cells: diagonals, a third of their area dark.
var (
	hatchLight = color.RGBA{0xf2, 0xf2, 0xf2, 255}
	hatchDark  = color.RGBA{0x8a, 0x8a, 0x8a, 255}
)

const hatchPitch = 6

// A rect is a filled rectangle.
type rect struct {
	x, y, w, h float64
	paint      paint
	hatched    bool // then without paint
	tip        string
}

// cells are a grid of levels of the colour map, row-major.
type cells struct {
	x, y, w, h float64 // of one cell
	rows, cols int
	levels     []int
	tip        func(i int) string // nil: too many
}

type point struct{ x, y float64 }

// A path is a polyline, dashed by lengths of ink and gap if dash is set.
type path struct {
	points []point
	paint  paint
	width  float64
	dash   []float64
}

// An area is a filled polygon, half transparent.
type area struct {
	points []point
	paint  paint
}

const areaOpacity = 0.2

// A label is one line of text; x, y is the end of its baseline that anchor names.
type label struct {
	x, y, size float64
	anchor     anchor
	upward     bool // runs from bottom to top
	paint      paint
	text       string
}

type anchor uint8

const (
	start anchor = iota
	middle
	end
)

// Sizes of text, in points, and room around the whole.
const (
	sizeTitle = 15
	sizeText  = 12
	sizeName  = 11
	padding   = 16
	leading   = 1.35 // line height over size
	halfCap   = 0.36 // half the height of a capital over size: centres a line on y
)

func (s *scene) add(shapes ...any) { s.shapes = append(s.shapes, shapes...) }

// line adds a straight line of one point's width.
func (s *scene) line(x0, y0, x1, y1 float64, p paint) {
	s.add(path{points: []point{{x0, y0}, {x1, y1}}, paint: p, width: 1})
}

// paragraph adds text as wide as the scene below y and returns where it ends.
func (s *scene) paragraph(text string, y, size float64, most int, p paint) float64 {
	for _, line := range wrap(text, s.width-2*padding, most, "…", s.face.at(size)) {
		y += size * leading
		s.add(label{x: padding, y: y - size*(leading-1), size: size, paint: p, text: line})
	}
	return y
}

// names shortens names to limit and returns them with the width of the widest.
func (s *scene) names(names []string, limit, size float64) (short []string, widest float64) {
	advance := s.face.at(size)
	short = shortenAll(names, limit, "…", advance)
	for _, name := range short {
		widest = max(widest, measure(name, advance))
	}
	return short, widest
}

// A typeface is Go Regular. Not for concurrent use.
type typeface struct {
	font   *sfnt.Font
	buffer sfnt.Buffer
	em     fixed.Int26_6
}

func newTypeface() (*typeface, error) {
	f, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		return nil, err
	}
	return &typeface{font: f, em: fixed.I(int(f.UnitsPerEm()))}, nil
}

// at returns the advances of runes at a size. SVG is shown in the reader's font;
// what Go Regular does not have is estimated.
func (t *typeface) at(size float64) func(rune) float64 {
	return func(r rune) float64 { return t.advance(r) * size }
}

// advance returns the advance of a rune in em.
func (t *typeface) advance(r rune) float64 {
	if g, err := t.font.GlyphIndex(&t.buffer, r); err == nil && g != 0 {
		if a, err := t.font.GlyphAdvance(&t.buffer, g, t.em, font.HintingNone); err == nil {
			return float64(a) / float64(t.em)
		}
	}
	return [...]float64{0, 0.62, 1}[int(columns(r))]
}
