package plot

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/vector"
)

const pixels = 2 // per point

// raster returns the scene as an image.
func (s *scene) raster() *image.RGBA {
	c := &canvas{
		img:     image.NewRGBA(image.Rect(0, 0, int(math.Ceil(s.width*pixels)), int(math.Ceil(s.height*pixels)))),
		palette: newPalette(),
		face:    s.face,
	}
	draw.Draw(c.img, c.img.Bounds(), image.NewUniform(paper.RGBA), image.Point{}, draw.Src)
	for _, shape := range s.shapes {
		switch v := shape.(type) {
		case rect:
			c.rect(v)
		case cells:
			for i, level := range v.levels {
				r := rect{x: v.x + v.w*float64(i%v.cols), y: v.y + v.h*float64(i/v.cols), w: v.w, h: v.h, hatched: level == undefined}
				if !r.hatched {
					r.paint.RGBA = c.palette[level]
				}
				c.rect(r)
			}
		case path:
			c.stroke(v)
		case area:
			p := v.paint.RGBA
			c.fill([][]point{v.points}, color.NRGBA{p.R, p.G, p.B, uint8(math.Round(255 * areaOpacity))})
		case label:
			c.label(v)
		}
	}
	return c.img
}

type canvas struct {
	img     *image.RGBA
	palette *palette
	face    *typeface
	raster  vector.Rasterizer
}

// rect fills whole pixels: neighbours meet without a seam.
func (c *canvas) rect(r rect) {
	pixel := func(v float64) int { return int(math.Round(v * pixels)) }
	area := image.Rect(pixel(r.x), pixel(r.y), pixel(r.x+r.w), pixel(r.y+r.h))
	if !r.hatched {
		draw.Draw(c.img, area, image.NewUniform(r.paint.RGBA), image.Point{}, draw.Src)
		return
	}
	const pitch = hatchPitch * pixels
	area = area.Intersect(c.img.Bounds())
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			if (x+y)%pitch < pitch/3 {
				c.img.SetRGBA(x, y, hatchDark)
			} else {
				c.img.SetRGBA(x, y, hatchLight)
			}
		}
	}
}

// fill fills polygons, in points, with soft edges. Overlaps of the same
// orientation count once.
func (c *canvas) fill(polygons [][]point, paint color.Color) {
	low, high := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, polygon := range polygons {
		for _, p := range polygon {
			low = point{min(low.x, p.x*pixels), min(low.y, p.y*pixels)}
			high = point{max(high.x, p.x*pixels), max(high.y, p.y*pixels)}
		}
	}
	// The rasterizer takes time by area: it gets the shape's own box.
	box := image.Rect(int(math.Floor(low.x)), int(math.Floor(low.y)), int(math.Ceil(high.x))+1, int(math.Ceil(high.y))+1)
	if box = box.Intersect(c.img.Bounds()); box.Empty() {
		return // and beyond the image it would panic
	}
	c.raster.Reset(box.Dx(), box.Dy())
	for _, polygon := range polygons {
		for i, p := range polygon {
			x, y := float32(p.x*pixels-float64(box.Min.X)), float32(p.y*pixels-float64(box.Min.Y))
			if i == 0 {
				c.raster.MoveTo(x, y)
			} else {
				c.raster.LineTo(x, y)
			}
		}
		c.raster.ClosePath()
	}
	c.raster.Draw(c.img, box, image.NewUniform(paint), image.Point{})
}

// stroke draws a polyline with round joints.
func (c *canvas) stroke(p path) {
	const corners = 12 // of a joint
	radius := p.width / 2
	for _, piece := range dashes(p.points, p.dash) {
		var polygons [][]point
		for i, b := range piece {
			if len(piece) > 2 {
				joint := make([]point, corners)
				for k := range joint {
					sin, cos := math.Sincos(2 * math.Pi * float64(k) / corners)
					joint[k] = point{b.x + radius*cos, b.y + radius*sin}
				}
				polygons = append(polygons, joint)
			}
			if i == 0 {
				continue
			}
			a := piece[i-1]
			length := math.Hypot(b.x-a.x, b.y-a.y)
			if length == 0 {
				continue
			}
			nx, ny := (b.y-a.y)/length*radius, (a.x-b.x)/length*radius
			polygons = append(polygons, []point{{a.x + nx, a.y + ny}, {b.x + nx, b.y + ny}, {b.x - nx, b.y - ny}, {a.x - nx, a.y - ny}})
		}
		c.fill(polygons, p.paint.RGBA)
	}
}

// dashes cuts a polyline into the pieces that are ink; nil leaves it whole.
func dashes(points []point, dash []float64) [][]point {
	if dash == nil {
		return [][]point{points}
	}
	var pieces [][]point
	piece := []point{points[0]}
	phase, left := 0, dash[0]
	for i := 1; i < len(points); i++ {
		a, b := points[i-1], points[i]
		for length := math.Hypot(b.x-a.x, b.y-a.y); length > left; length = math.Hypot(b.x-a.x, b.y-a.y) {
			a = point{a.x + (b.x-a.x)*left/length, a.y + (b.y-a.y)*left/length}
			if phase%2 == 0 {
				pieces = append(pieces, append(piece, a))
			}
			phase++
			left = dash[phase%len(dash)]
			piece = []point{a}
		}
		left -= math.Hypot(b.x-a.x, b.y-a.y)
		piece = append(piece, b)
	}
	if phase%2 == 0 {
		pieces = append(pieces, piece)
	}
	return pieces
}

// label draws the outlines of the glyphs; a character without one is a box.
func (c *canvas) label(l label) {
	advance := c.face.at(l.size)
	x := -measure(l.text, advance) * float64(l.anchor) / 2
	var polygons [][]point
	for _, r := range l.text {
		for _, contour := range c.face.outline(r, l.size) {
			for i, p := range contour {
				p.x += x
				if l.upward {
					p.x, p.y = p.y, -p.x
				}
				contour[i] = point{l.x + p.x, l.y + p.y}
			}
			polygons = append(polygons, contour)
		}
		x += advance(r)
	}
	if polygons != nil {
		c.fill(polygons, l.paint.RGBA)
	}
}

// outline returns the contours of a glyph at the origin, curves as chords.
func (t *typeface) outline(r rune, size float64) [][]point {
	if t.at(size)(r) == 0 {
		return nil
	}
	glyph, err := t.font.GlyphIndex(&t.buffer, r)
	if err != nil {
		return nil
	}
	segments, err := t.font.LoadGlyph(&t.buffer, glyph, t.em, nil)
	if err != nil {
		return nil
	}
	var contours [][]point
	var contour []point
	for _, s := range segments {
		var args [3]point
		for i := range args {
			args[i] = point{float64(s.Args[i].X) / float64(t.em) * size, float64(s.Args[i].Y) / float64(t.em) * size}
		}
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			if contour != nil {
				contours = append(contours, contour)
			}
			contour = []point{args[0]}
		case sfnt.SegmentOpLineTo:
			contour = append(contour, args[0])
		default: // quadratic: TrueType has no cubic curves
			contour = append(contour, chords(contour[len(contour)-1], args[0], args[1])...)
		}
	}
	if contour != nil {
		contours = append(contours, contour)
	}
	return contours
}

// chords returns points along the quadratic curve from a to c towards b, without a.
func chords(a, b, c point) []point {
	const n = 5
	out := make([]point, n)
	for i := range out {
		t := float64(i+1) / n
		u := 1 - t
		out[i] = point{u*u*a.x + 2*u*t*b.x + t*t*c.x, u*u*a.y + 2*u*t*b.y + t*t*c.y}
	}
	return out
}
