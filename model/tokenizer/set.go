package tokenizer

import (
	"cmp"
	"slices"
	"sort"
	"unicode"
)

// A span holds the runes from lo to hi, both included.
type span struct{ lo, hi rune }

// A set of runes: its spans ascend and neither touch nor overlap.
type set []span

// newSet puts spans in order and joins those that touch.
func newSet(spans ...span) set {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	var s set
	for _, r := range spans {
		if last := len(s) - 1; last >= 0 && r.lo <= s[last].hi+1 {
			s[last].hi = max(s[last].hi, r.hi)
			continue
		}
		s = append(s, r)
	}
	return s
}

func single(r rune) set { return set{{r, r}} }

// tableSet returns the runes of Unicode's tables.
func tableSet(tables ...*unicode.RangeTable) set {
	var spans []span
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			spans = append(spans, span{lo, hi})
			return
		}
		for i := range (hi-lo)/stride + 1 {
			spans = append(spans, span{lo + i*stride, lo + i*stride})
		}
	}
	for _, t := range tables {
		for _, r := range t.R16 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range t.R32 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride)) //nolint:gosec // at most unicode.MaxRune
		}
	}
	return newSet(spans...)
}

func (s set) contains(r rune) bool {
	i := sort.Search(len(s), func(i int) bool { return r <= s[i].hi })
	return i < len(s) && s[i].lo <= r
}

func (s set) union(t set) set { return newSet(slices.Concat(s, t)...) }

func (s set) complement() set {
	var out set
	next := rune(0)
	for _, r := range s {
		if next < r.lo {
			out = append(out, span{next, r.lo - 1})
		}
		next = r.hi + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, span{next, unicode.MaxRune})
	}
	return out
}

func (s set) intersect(t set) set { return s.complement().union(t.complement()).complement() }

func (s set) minus(t set) set { return s.complement().union(t).complement() }

// size returns the number of runes.
func (s set) size() int {
	n := 0
	for _, r := range s {
		n += int(r.hi-r.lo) + 1
	}
	return n
}

// fold adds the other cases of every rune.
func (s set) fold() set {
	spans := slices.Clone(s)
	for _, r := range s {
		for c := r.lo; c <= r.hi; c++ {
			for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
				spans = append(spans, span{f, f})
			}
		}
	}
	return newSet(spans...)
}
