package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A mutant is one change of one place in one file: the bytes [start, end) of
// the file give way to text.
type mutant struct {
	file      string // slash-separated, relative to the module's root
	path      string // absolute
	src       []byte // the file's text, shared
	line, col int
	start     int
	end       int
	text      string
	operator  string
	old       string // the expression or statement the change sits in, on one line
	new       string
	function  string // the enclosing function, or "package"
	source    string // the source line, trimmed
	nth       int    // 1, 2, ...: tells mutants apart that agree in all the words above
}

// mutated returns the file's text with the mutation made.
func (m *mutant) mutated() []byte {
	out := make([]byte, 0, len(m.src)+len(m.text))
	out = append(out, m.src[:m.start]...)
	out = append(out, m.text...)
	return append(out, m.src[m.end:]...)
}

func (m *mutant) position() string { return fmt.Sprintf("%s:%d:%d", m.file, m.line, m.col) }

func (m *mutant) change() string { return fmt.Sprintf("%q -> %q", m.old, m.new) }

// key names the mutant by what it is and not by its line number, so that an
// explanation outlives edits elsewhere in the file.
func (m *mutant) key() string {
	k := fmt.Sprintf("%s %s %s in %s at %q", m.file, m.operator, m.change(), m.function, m.source)
	if m.nth > 1 {
		k += fmt.Sprintf(" #%d", m.nth)
	}
	return k
}

// maxShown bounds the text of one mutant in reports: a dropped call can span a
// whole function literal.
const maxShown = 100

// oneLine folds white space and cuts the middle out of long text.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxShown {
		return string(r[:maxShown*2/3]) + "..." + string(r[len(r)-maxShown/4:])
	}
	return s
}

// lineOf returns the trimmed source line around offset.
func lineOf(src string, offset int) string {
	from := strings.LastIndexByte(src[:offset], '\n') + 1
	line, _, _ := strings.Cut(src[from:], "\n")
	return strings.TrimSpace(line)
}

// settle sorts mutants by place, removes those that two operators made alike,
// and numbers those whose words are the same.
func settle(ms []mutant) []mutant {
	slices.SortStableFunc(ms, func(a, b mutant) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end),
			cmp.Compare(a.operator, b.operator), cmp.Compare(a.text, b.text))
	})
	type edit struct {
		file       string
		start, end int
		text       string
	}
	seen := map[edit]bool{}
	count := map[string]int{}
	out := ms[:0]
	for _, m := range ms {
		e := edit{m.file, m.start, m.end, m.text}
		if seen[e] {
			continue
		}
		seen[e] = true
		m.nth = 0
		k := m.key()
		count[k]++
		m.nth = count[k]
		out = append(out, m)
	}
	return out
}

// draw puts mutants into the order in which they are tried. It depends on the
// seed and the mutants alone. Operators take turns, and within an operator the
// files take turns, so that a short run still sees every kind of mutation.
func draw(ms []mutant, seed uint64) []mutant {
	rng := rand.New(rand.NewPCG(seed, 0x6d7574617465))
	byOperator := map[string]map[string][]mutant{}
	for _, m := range ms {
		if byOperator[m.operator] == nil {
			byOperator[m.operator] = map[string][]mutant{}
		}
		byOperator[m.operator][m.file] = append(byOperator[m.operator][m.file], m)
	}
	var queues [][]mutant
	for _, operator := range sortedKeys(byOperator) {
		var files [][]mutant
		for _, file := range sortedKeys(byOperator[operator]) {
			files = append(files, byOperator[operator][file])
			shuffle(rng, files[len(files)-1])
		}
		shuffle(rng, files)
		queues = append(queues, takeTurns(files))
	}
	shuffle(rng, queues)
	return takeTurns(queues)
}

func shuffle[T any](rng *rand.Rand, s []T) {
	rng.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

// takeTurns merges queues one element at a time.
func takeTurns(queues [][]mutant) []mutant {
	var out []mutant
	for turn, more := 0, true; more; turn++ {
		more = false
		for _, q := range queues {
			if turn < len(q) {
				out = append(out, q[turn])
				more = true
			}
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
