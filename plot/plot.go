package plot

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// The sentinels. Errors of this package wrap one of them, or the writer's error;
// use [errors.Is].
var (
	// ErrShape: lengths that do not fit each other, nothing to draw, or more than
	// a picture can show.
	ErrShape = errors.New("shape mismatch")
	// ErrValue: an infinite or enormous number, only undefined values, or a scale
	// that is none.
	ErrValue = errors.New("value cannot be drawn")
	// ErrFormat: no picture format of that name.
	ErrFormat = errors.New("unknown picture format")
)

// A Figure is a picture: [HeatMap], [Curves] or [Bars].
type Figure interface {
	// Terminal writes the figure as text, no line wider than o.Width.
	Terminal(w io.Writer, o TerminalOptions) error
	// SVG writes a standalone SVG 1.1 document.
	SVG(w io.Writer) error
	// PNG writes a picture at two pixels per point. Its font, Go Regular, has
	// Latin, Greek and Cyrillic; other characters appear as boxes.
	PNG(w io.Writer) error
	// HTML writes one document with the picture inside, light or dark as the
	// reader prefers, and a read-out under the pointer. It loads nothing.
	HTML(w io.Writer) error
}

const (
	maxSide   = 2048    // rows, columns or series
	maxBars   = 512     // a bar is higher than a row
	maxPoints = 1 << 20 // points of all curves together
	huge      = 1e300   // beyond it differences overflow
	tiny      = 1e-300  // a span below it has no ticks
)

// checkValues refuses what cannot be drawn: anything beyond ±huge, and a set
// without one defined value.
func checkValues(what string, sets ...[]float64) error {
	defined := false
	for _, values := range sets {
		for i, v := range values {
			if math.Abs(v) > huge {
				return fmt.Errorf("plot: %s: value %d is %g (give numbers within ±%g, or NaN for undefined): %w", what, i, v, huge, ErrValue)
			}
			defined = defined || !math.IsNaN(v)
		}
	}
	if !defined {
		return fmt.Errorf("plot: %s: every value is undefined (NaN): %w", what, ErrValue)
	}
	return nil
}

// A span is a scale's range.
type span struct{ low, high float64 }

// spanOf returns the range given or, if both ends are zero, that of the data,
// widened if it has no width. The data passed [checkValues].
func spanOf(what string, low, high float64, sets ...[]float64) (span, error) {
	if low != 0 || high != 0 {
		s := span{low, high}
		if low < -huge || high > huge || !s.wide() {
			return s, fmt.Errorf("plot: %s: scale from %g to %g (give a low end clearly below the high end, within ±%g): %w", what, low, high, huge, ErrValue)
		}
		return s, nil
	}
	s := span{math.Inf(1), math.Inf(-1)}
	for _, values := range sets {
		for _, v := range values {
			if !math.IsNaN(v) {
				s.low, s.high = min(s.low, v), max(s.high, v)
			}
		}
	}
	if !s.wide() {
		margin := 0.5 * max(1, math.Abs(s.low))
		s.low, s.high = s.low-margin, s.high+margin
	}
	return s, nil
}

// wide reports whether float64 has room for ticks between the ends; false for NaN.
func (s span) wide() bool {
	return s.high-s.low > max(tiny, 1e-12*max(math.Abs(s.low), math.Abs(s.high)))
}

// at returns where v lies, 0 at the low end and 1 at the high end, unclamped.
func (s span) at(v float64) float64 { return (v - s.low) / (s.high - s.low) }
