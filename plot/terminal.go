package plot

import (
	"fmt"
	"image/color"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// Color says which colours a terminal has.
type Color uint8

// The kinds of terminal.
const (
	Plain     Color = iota // no escape sequences; the drawing is ASCII, names stay as they are
	Color256               // xterm's 256 colours
	TrueColor              // 24 bits
)

// TerminalOptions say where text goes.
type TerminalOptions struct {
	Width int // columns, 20 or more; 0 is 80
	Color Color
}

const (
	usualWidth = 80
	leastWidth = 20
)

// DetectTerminal returns the options for f: its width if it is a terminal, and
// its colours by the usual variables of the environment. NO_COLOR, TERM=dumb
// and anything but a terminal mean Plain. getenv is [os.Getenv] outside tests.
func DetectTerminal(f *os.File, getenv func(string) string) TerminalOptions {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return TerminalOptions{}
	}
	o := TerminalOptions{Color: colorOf(getenv, runtime.GOOS)}
	if w, _, err := term.GetSize(fd); err == nil && w > 0 {
		o.Width = max(w, leastWidth)
	}
	return o
}

// colorOf returns the colours of a terminal by its environment.
func colorOf(getenv func(string) string, goos string) Color {
	name := getenv("TERM")
	switch modern := getenv("COLORTERM"); {
	case getenv("NO_COLOR") != "" || name == "dumb":
		return Plain
	case modern == "truecolor" || modern == "24bit" || strings.Contains(name, "direct") || getenv("WT_SESSION") != "":
		return TrueColor
	case name == "" && goos == "windows": // a console that may not know the sequences
		return Plain
	default:
		return Color256
	}
}

// A page is text for a terminal under construction.
type page struct {
	output
	width   int
	color   Color
	palette *palette
}

func writeTerminal(w io.Writer, d drawable, o TerminalOptions) error {
	if o.Width == 0 {
		o.Width = usualWidth
	}
	if o.Width < leastWidth || o.Color > TrueColor {
		return fmt.Errorf("plot: terminal of %d columns, colours %d (give %d columns or more and a kind of colour): %w", o.Width, o.Color, leastWidth, ErrShape)
	}
	p := &page{width: o.Width, color: o.Color, palette: newPalette()}
	if err := d.text(p); err != nil {
		return err
	}
	_, err := io.WriteString(w, p.String())
	return err
}

// mark stands for what was left out of a name.
func (p *page) mark() string {
	if p.color == Plain {
		return ".."
	}
	return "…"
}

// shorten cuts s to n columns.
func (p *page) shorten(s string, n int) string { return shorten(s, float64(n), p.mark(), columns) }

// paragraph writes text wrapped to the page.
func (p *page) paragraph(text string) {
	for _, line := range wrap(text, float64(p.width), 12, p.mark(), columns) {
		p.put(isolated(line) + "\n")
	}
}

// isolated ends a right-to-left text with a left-to-right mark, so that a
// terminal that reorders lines leaves what follows in its place.
func isolated(s string) string {
	if rightToLeft(s) {
		return s + "\u200e"
	}
	return s
}

// names shortens names that belong together to n columns.
func (p *page) names(names []string, n int) []string {
	return shortenAll(names, float64(n), p.mark(), columns)
}

// name writes s, which fits, into n columns, to the right or the left of them.
func (p *page) name(s string, n int, right bool) {
	gap := strings.Repeat(" ", n-int(measure(s, columns)))
	if right {
		p.put(gap + isolated(s))
	} else {
		p.put(isolated(s) + gap)
	}
}

// widest returns the columns that the widest name takes.
func widest(names []string) int {
	n := 0
	for _, s := range names {
		n = max(n, int(measure(s, columns)))
	}
	return n
}

// paint writes text in front of and behind colours; a nil one is the terminal's own.
func (p *page) paint(text string, front, back *color.RGBA) {
	if p.color == Plain || front == nil && back == nil {
		p.put(text)
		return
	}
	if front != nil {
		p.put(p.sequence(38, *front))
	}
	if back != nil {
		p.put(p.sequence(48, *back))
	}
	p.put(text + "\x1b[0m")
}

func (p *page) sequence(layer int, c color.RGBA) string {
	if p.color == TrueColor {
		return fmt.Sprintf("\x1b[%d;2;%d;%d;%dm", layer, c.R, c.G, c.B)
	}
	return fmt.Sprintf("\x1b[%d;5;%dm", layer, nearest256(c))
}

// nearest256 returns the closest of xterm's colours 16 to 255: a cube of six
// steps a side, and greys.
func nearest256(c color.RGBA) int {
	steps := [...]int{0, 95, 135, 175, 215, 255}
	square := func(a, b int) int { return (a - b) * (a - b) }
	distance := func(r, g, b int) int { return square(r, int(c.R)) + square(g, int(c.G)) + square(b, int(c.B)) }
	best, least := 0, 1<<30
	for i := range 216 {
		if d := distance(steps[i/36], steps[i/6%6], steps[i%6]); d < least {
			best, least = 16+i, d
		}
	}
	for i := range 24 {
		if v := 8 + 10*i; distance(v, v, v) < least {
			best, least = 232+i, distance(v, v, v)
		}
	}
	return best
}
