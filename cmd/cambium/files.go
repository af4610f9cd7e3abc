package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// named is a file on the command line and what it is for: a flag, which is
// written, or the name of an argument, which is read.
type named struct{ what, path string }

func (n named) written() bool { return strings.HasPrefix(n.what, "--") && n.what != "--groups" }

// distinct refuses to write a file that is also read, or two outputs to one file,
// and an output whose folder does not exist: before any work is done.
func distinct(files []named) error {
	for i, f := range files {
		if f.path == "" || !f.written() {
			continue
		}
		if info, err := os.Stat(filepath.Dir(f.path)); err != nil {
			return fmt.Errorf("%s %s: %w", f.what, f.path, err)
		} else if !info.IsDir() {
			return fmt.Errorf("%s %s: %s is no folder", f.what, f.path, filepath.Dir(f.path))
		}
		for k, g := range files {
			if k != i && g.path != "" && same(f.path, g.path) {
				return fmt.Errorf("%s and %s are the same file, %s (name another one)", f.what, g.what, f.path)
			}
		}
	}
	return nil
}

// same reports whether two paths lead to one file, there or still to be made.
func same(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	if errX == nil && errY == nil {
		return os.SameFile(x, y)
	}
	a, errX = filepath.Abs(a)
	b, errY = filepath.Abs(b)
	return errX == nil && errY == nil && a == b
}

// shown is a name from a file as a terminal may have it: what is not printable
// could move the cursor or clear the screen, so such a name is quoted.
func shown(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}
