package plot

import (
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// fontFamily has metrics close to Go Regular's, by which the picture is laid out.
const fontFamily = "Arial, Helvetica, 'Liberation Sans', sans-serif"

// svg returns the scene as an SVG element; standalone adds what a file of its
// own needs.
func (s *scene) svg(standalone bool) string {
	b := &svgWriter{palette: newPalette()}
	namespace := ""
	if standalone {
		b.put(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
		namespace = `xmlns="http://www.w3.org/2000/svg" `
	}
	w, h := num(s.width), num(s.height)
	b.printf(`<svg %swidth="%s" height="%s" viewBox="0 0 %s %s" role="img" aria-labelledby="plot-title plot-desc" font-family="%s">`+"\n",
		namespace, w, h, w, h, fontFamily)
	b.printf("<title id=\"plot-title\">%s</title>\n<desc id=\"plot-desc\">%s</desc>\n", escape(s.title), escape(s.about))
	b.printf(`<defs><pattern id="plot-hatch" width="%d" height="%d" patternUnits="userSpaceOnUse">`, hatchPitch, hatchPitch)
	b.printf(`<rect width="%d" height="%d" fill="%s"/>`, hatchPitch, hatchPitch, hexColor(hatchLight))
	b.printf(`<path d="M-1 1L1 -1M0 %d L%d 0M%d %d L%d %d" stroke="%s" stroke-width="1.4"/></pattern></defs>`+"\n",
		hatchPitch, hatchPitch, hatchPitch-1, hatchPitch+1, hatchPitch+1, hatchPitch-1, hexColor(hatchDark))
	b.rect(rect{w: s.width, h: s.height, paint: paper})
	for _, shape := range s.shapes {
		switch v := shape.(type) {
		case rect:
			b.rect(v)
		case cells:
			b.cells(v)
		case path:
			b.path(v)
		case area:
			b.printf(`<path d="%sZ" fill="%s" fill-opacity="%s"/>`+"\n", route(v.points), hexColor(v.paint.RGBA), num(areaOpacity))
		case label:
			b.label(v)
		}
	}
	b.put("</svg>\n")
	return b.String()
}

type svgWriter struct {
	output
	palette *palette
}

// tipped ends an element, with a tooltip if there is one.
func (b *svgWriter) tipped(element, tip string) {
	if tip == "" {
		b.put("/>\n")
		return
	}
	b.printf("><title>%s</title></%s>\n", escape(tip), element)
}

func (b *svgWriter) rect(r rect) {
	b.printf(`<rect x="%s" y="%s" width="%s" height="%s" `, num(r.x), num(r.y), num(r.w), num(r.h))
	if r.hatched {
		b.put(fillOf(undefined, b.palette))
	} else {
		b.put(attribute("fill", r.paint))
	}
	b.tipped("rect", r.tip)
}

// cells writes a rectangle for each cell if they have tooltips, else one path
// for each colour, which is an order of magnitude shorter.
func (b *svgWriter) cells(c cells) {
	b.put("<g shape-rendering=\"crispEdges\">\n")
	defer b.put("</g>\n")
	if c.tip != nil {
		for i, level := range c.levels {
			b.printf(`<rect x="%s" y="%s" width="%s" height="%s" %s`,
				num(c.x+c.w*float64(i%c.cols)), num(c.y+c.h*float64(i/c.cols)), num(c.w), num(c.h), fillOf(level, b.palette))
			b.tipped("rect", c.tip(i))
		}
		return
	}
	var outlines [levels + 1]strings.Builder // the first for undefined
	for row := range c.rows {
		for col := 0; col < c.cols; {
			first, level := col, c.levels[row*c.cols+col]
			for col < c.cols && c.levels[row*c.cols+col] == level {
				col++
			}
			fmt.Fprintf(&outlines[level+1], "M%s %sh%sv%sH%sz", num(c.x+c.w*float64(first)), num(c.y+c.h*float64(row)),
				num(c.w*float64(col-first)), num(c.h), num(c.x+c.w*float64(first)))
		}
	}
	for i := range outlines {
		if outlines[i].Len() > 0 {
			b.printf("<path d=\"%s\" %s/>\n", outlines[i].String(), fillOf(i-1, b.palette))
		}
	}
}

func (b *svgWriter) path(p path) {
	b.printf(`<path d="%s" fill="none" %s stroke-width="%s" stroke-linejoin="round"`,
		route(p.points), attribute("stroke", p.paint), num(p.width))
	if p.dash != nil {
		lengths := make([]string, len(p.dash))
		for i, d := range p.dash {
			lengths[i] = num(d)
		}
		b.printf(` stroke-dasharray="%s"`, strings.Join(lengths, " "))
	}
	b.put("/>\n")
}

func (b *svgWriter) label(l label) {
	b.printf(`<text x="%s" y="%s" font-size="%s"`, num(l.x), num(l.y), num(l.size))
	if l.anchor != start {
		b.printf(` text-anchor="%s"`, [...]string{middle: "middle", end: "end"}[l.anchor])
	}
	if l.upward {
		b.printf(` transform="rotate(-90 %s %s)"`, num(l.x), num(l.y))
	}
	b.printf(" %s>%s</text>\n", attribute("fill", l.paint), escape(l.text))
}

// attribute returns the paint as an attribute and, if it has a role, as a class
// that a style sheet may colour instead.
func attribute(name string, p paint) string {
	if p.role == "" {
		return name + `="` + hexColor(p.RGBA) + `"`
	}
	return `class="` + p.role + "-" + name + `" ` + name + `="` + hexColor(p.RGBA) + `"`
}

func fillOf(level int, p *palette) string {
	if level == undefined {
		return `fill="url(#plot-hatch)"`
	}
	return `fill="` + hexColor(p[level]) + `"`
}

// route returns the path data of a polyline.
func route(points []point) string {
	var b strings.Builder
	for i, p := range points {
		letter := "L"
		if i == 0 {
			letter = "M"
		}
		b.WriteString(letter + num(p.x) + " " + num(p.y))
	}
	return b.String()
}

// num writes a coordinate to a hundredth of a point, without trailing zeros.
func num(v float64) string {
	return strconv.FormatFloat(math.Round(v*100)/100+0, 'f', -1, 64) // +0: -0 is 0
}

// escape returns clean text for content and attributes.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
