package plot

import (
	"bytes"
	"fmt"
	"image/png"
	"io"
	"path/filepath"
	"strings"

	"github.com/cambium-kernels/cambium/internal/atomicfile"
)

// A drawable is a figure that lays itself out.
type drawable interface {
	scene(*typeface) (*scene, error)
	text(*page) error
}

// An output is text under construction.
type output struct{ strings.Builder }

func (o *output) put(text string) { _, _ = o.WriteString(text) } // never fails

func (o *output) printf(format string, args ...any) { fmt.Fprintf(o, format, args...) }

// lay checks a figure and lays it out.
func lay(d drawable) (*scene, error) {
	face, err := newTypeface()
	if err != nil {
		return nil, err
	}
	return d.scene(face)
}

func writeSVG(w io.Writer, d drawable) error {
	s, err := lay(d)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, s.svg(true))
	return err
}

func writePNG(w io.Writer, d drawable) error {
	s, err := lay(d)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := png.Encode(&b, s.raster()); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// Write draws the figure into the file at path, as its extension says: .svg,
// .png or .html, in any case of letters. The file is complete or was not
// touched. Errors: [ErrFormat] for another extension, those of the figure, and
// the file's.
func Write(path string, f Figure) error {
	draw := f.SVG
	switch extension := strings.ToLower(filepath.Ext(path)); extension {
	case ".svg":
	case ".png":
		draw = f.PNG
	case ".html":
		draw = f.HTML
	default:
		return fmt.Errorf("plot: %s: extension %q (give .svg, .png or .html): %w", path, extension, ErrFormat)
	}
	return atomicfile.Write(path, 0o644, draw)
}
