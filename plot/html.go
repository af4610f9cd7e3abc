package plot

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
)

// The document's own style and script. The script reads the data element and
// writes the value under the pointer below the picture; nothing depends on it.
var (
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string
)

// hover is what the script needs, in the picture's points.
type hover struct {
	Kind       string // "map": cells; "curves": series over x
	X, Y, W, H float64
	Rows       []string   `json:",omitempty"`
	Cols       []string   `json:",omitempty"`
	Values     []value    `json:",omitempty"` // row-major
	Low, High  float64    // of the x axis
	XLabel     string     `json:",omitempty"`
	Series     []hoverRow `json:",omitempty"`
}

type hoverRow struct {
	Name string
	X    []float64
	Y    []value
}

// A value is a number in JSON, null if undefined.
type value float64

func (v value) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(v)) {
		return []byte("null"), nil
	}
	return json.Marshal(number(float64(v)))
}

// shown returns the values for JSON.
func shown(values []float64) []value {
	out := make([]value, len(values))
	for i, v := range values {
		out[i] = value(v)
	}
	return out
}

func writeHTML(w io.Writer, d drawable) error {
	s, err := lay(d)
	if err != nil {
		return err
	}
	data, err := json.Marshal(s.hover)
	if err != nil {
		return err
	}
	// The policy lets this script run and nothing else, and nothing be loaded.
	digest := sha256.Sum256([]byte(pageScript))
	var b output
	b.printf("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"+
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-%s'\">\n"+
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n"+
		"<title>%s</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n",
		base64.StdEncoding.EncodeToString(digest[:]), escape(s.title), pageStyle)
	b.put(s.svg(false))
	b.put("<p id=\"read-out\" aria-live=\"polite\"></p>\n")
	if s.table != nil {
		b.put("<details><summary>Values</summary>\n<div><table>\n")
		for i, line := range s.table {
			cell, scope := "td", ""
			if i == 0 {
				cell, scope = "th", ` scope="col"`
			}
			b.put("<tr>")
			for j, text := range line {
				if i > 0 && j == 0 {
					b.printf(`<th scope="row" dir="auto">%s</th>`, escape(text))
					continue
				}
				b.printf(`<%s%s dir="auto">%s</%[1]s>`, cell, scope, escape(text))
			}
			b.put("</tr>\n")
		}
		b.put("</table></div></details>\n")
	}
	b.printf("</main>\n<script type=\"application/json\" id=\"data\">%s</script>\n<script>%s</script>\n</body>\n</html>\n", data, pageScript)
	_, err = io.WriteString(w, b.String())
	return err
}
