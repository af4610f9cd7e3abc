// Package plot draws heat maps, curves and bars: in a terminal, with colours or
// in plain ASCII, as SVG, as PNG, and as one HTML file that needs nothing else.
//
// A figure is checked before anything is drawn, and drawn before anything is
// written: an error leaves the writer untouched. The same figure gives the same
// bytes. Names may come from a file that nobody vetted: control characters,
// bidirectional overrides and invalid UTF-8 become U+FFFD, so that a name
// neither steers a terminal nor breaks a document, and long names lose their
// middle.
//
// Colours run along viridis, whose lightness rises all the way: it reads in
// grey print and with any of the common forms of colour blindness. Undefined
// values (NaN) are drawn apart, hatched or as a mark, and explained.
package plot
