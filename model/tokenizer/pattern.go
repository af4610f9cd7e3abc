package tokenizer

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"unicode/utf8"
)

// A pattern finds what a regular expression matches, leftmost and by the order
// of its alternatives as a backtracking engine does, in time that does not
// depend on how the expression is written. It is a deterministic automaton over
// classes of runes that the expression cannot tell apart.
//
// The look-ahead that pre-tokenizers use, \s+(?!\S), is why this is not Go's
// regexp, which has none: a state holds its alternatives before those
// conditions, which the next rune then decides.
type pattern struct {
	starts  []rune // the runes from starts[i] to starts[i+1]-1 are of class kinds[i]
	kinds   []uint8
	ascii   [utf8.RuneSelf]uint8
	symbols int     // classes, and one more for the end of the text
	next    []int32 // by state and symbol: the next state times two, plus one if the match may end before the symbol
}

const (
	maxPatternSize = 10_000 // instructions of one pattern, at most; those in use have 20 to 300
	maxStates      = 4_000  // those in use have 10 to 60
	maxSets        = 60
	maxSteps       = 1 << 21 // those in use take up to 100,000
	dead           = -1
)

// Instructions of the nondeterministic automaton.
type opcode uint8

const (
	opSet opcode = iota
	opLook
	opSplit
	opMatch
)

type instruction struct {
	op   opcode
	set  int  // opSet, opLook
	end  bool // opLook: holds at the end of the text
	x, y int  // next; opSplit prefers x
}

type patternCompiler struct {
	program []instruction
	sets    []set
	member  []uint64 // by symbol: which sets have it
}

// compilePattern compiles an expression in Oniguruma's syntax.
func compilePattern(expr string) (*pattern, error) {
	n, err := parsePattern(expr)
	if err != nil {
		return nil, err
	}
	p, err := compileNode(n)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	return p, nil
}

// literalPattern matches exactly the text.
func literalPattern(text string) (*pattern, error) {
	var cat catNode
	for _, r := range text {
		cat.parts = append(cat.parts, setNode{single(r)})
	}
	return compileNode(cat)
}

// runePattern matches one rune of the set, or a run of them.
func runePattern(s set) *pattern {
	p, _ := compileNode(setNode{s}) // two instructions are within all limits
	return p
}

func compileNode(n node) (*pattern, error) {
	c := &patternCompiler{program: []instruction{{op: opMatch}}}
	start, err := c.emit(n, 0)
	if err != nil {
		return nil, err
	}
	p := &pattern{}
	c.classify(p)
	return p, c.determinize(p, start)
}

func (c *patternCompiler) add(i instruction) (int, error) {
	if len(c.program) >= maxPatternSize {
		return 0, fmt.Errorf("more than %d instructions: %w", maxPatternSize, ErrUnsupported)
	}
	c.program = append(c.program, i)
	return len(c.program) - 1, nil
}

func (c *patternCompiler) set(s set) (int, error) {
	if i := slices.IndexFunc(c.sets, func(t set) bool { return slices.Equal(s, t) }); i >= 0 {
		return i, nil
	}
	if len(c.sets) == maxSets {
		return 0, fmt.Errorf("more than %d character classes: %w", maxSets, ErrUnsupported)
	}
	c.sets = append(c.sets, s)
	return len(c.sets) - 1, nil
}

// emit compiles a node in front of the instruction that follows it, and returns
// where it begins.
func (c *patternCompiler) emit(n node, follow int) (start int, err error) {
	switch n := n.(type) {
	case setNode:
		i, err := c.set(n.set)
		if err != nil {
			return 0, err
		}
		return c.add(instruction{op: opSet, set: i, x: follow})
	case lookNode:
		i, err := c.set(n.set)
		if err != nil {
			return 0, err
		}
		return c.add(instruction{op: opLook, set: i, end: n.end, x: follow})
	case catNode:
		for _, part := range slices.Backward(n.parts) {
			if follow, err = c.emit(part, follow); err != nil {
				return 0, err
			}
		}
		return follow, nil
	case altNode:
		for i, choice := range slices.Backward(n.choices) {
			s, err := c.emit(choice, follow)
			if err != nil {
				return 0, err
			}
			if i == len(n.choices)-1 {
				start = s
			} else if start, err = c.add(instruction{op: opSplit, x: s, y: start}); err != nil {
				return 0, err
			}
		}
		return start, nil
	default:
		return c.repeat(n.(repeatNode), follow) //nolint:forcetypeassert,errcheck // the last kind
	}
}

func (c *patternCompiler) repeat(n repeatNode, follow int) (start int, err error) {
	split := func(body, leave int) instruction {
		if n.lazy {
			return instruction{op: opSplit, x: leave, y: body}
		}
		return instruction{op: opSplit, x: body, y: leave}
	}
	start = follow
	if n.max < 0 {
		if start, err = c.add(instruction{op: opSplit}); err != nil {
			return 0, err
		}
		body, err := c.emit(n.body, start)
		if err != nil {
			return 0, err
		}
		c.program[start] = split(body, follow)
	}
	for range n.max - n.min {
		body, err := c.emit(n.body, start)
		if err != nil {
			return 0, err
		}
		if start, err = c.add(split(body, follow)); err != nil {
			return 0, err
		}
	}
	for range n.min {
		if start, err = c.emit(n.body, start); err != nil {
			return 0, err
		}
	}
	return start, nil
}

// classify divides all runes into classes whose members are in the same sets.
func (c *patternCompiler) classify(p *pattern) {
	cuts := []rune{0}
	for _, s := range c.sets {
		for _, r := range s {
			cuts = append(cuts, r.lo, r.hi+1)
		}
	}
	slices.Sort(cuts)
	at := make([]int, len(c.sets)) // where each set stands
	kind := map[uint64]int{}
	for _, r := range slices.Compact(cuts) {
		var mask uint64
		for i, s := range c.sets {
			for at[i] < len(s) && s[at[i]].hi < r {
				at[i]++
			}
			if at[i] < len(s) && s[at[i]].lo <= r {
				mask |= 1 << i
			}
		}
		k, ok := kind[mask]
		if !ok && len(c.member) < 250 { // the rest would not fit a byte; determinize refuses it
			k = len(c.member)
			kind[mask] = k
			c.member = append(c.member, mask)
		}
		p.starts = append(p.starts, r)
		p.kinds = append(p.kinds, uint8(k)) //nolint:gosec // below 250
	}
	p.symbols = len(c.member) + 1
	for r := range p.ascii {
		p.ascii[r] = p.search(rune(r))
	}
}

// search returns the class of a rune.
func (p *pattern) search(r rune) uint8 {
	return p.kinds[sort.Search(len(p.starts), func(i int) bool { return p.starts[i] > r })-1]
}

// determinize builds all states. A state is the list of instructions that are
// alive, the preferred ones first.
func (c *patternCompiler) determinize(p *pattern, start int) error {
	if len(c.member) == 250 {
		return fmt.Errorf("too many overlapping character classes: %w", ErrUnsupported)
	}
	states := [][]int{{start}}
	number := map[string]int{}
	seen := make([]int, len(c.program)) // by instruction: the last step that saw it
	step := 0
	work := 0
	for s := 0; s < len(states); s++ {
		for symbol := range p.symbols {
			step++
			w := walk{c: c, symbol: symbol, seen: seen, step: step}
			for _, i := range states[s] {
				if w.follow(i) {
					break
				}
			}
			if s == 0 && w.match {
				return fmt.Errorf("it matches the empty text: %w", ErrUnsupported)
			}
			if work += w.visited; work > maxSteps {
				return fmt.Errorf("more than %d steps to compile: %w", maxSteps, ErrUnsupported)
			}
			to := dead
			if len(w.alive) > 0 {
				key := make([]byte, 0, 4*len(w.alive))
				for _, i := range w.alive {
					key = binary.AppendUvarint(key, uint64(i)) //nolint:gosec // not negative
				}
				var ok bool
				if to, ok = number[string(key)]; !ok {
					to = len(states)
					number[string(key)] = to
					states = append(states, w.alive)
				}
			}
			if len(states) > maxStates {
				return fmt.Errorf("more than %d states: %w", maxStates, ErrUnsupported)
			}
			next := int32(to * 2)
			if w.match {
				next |= 1
			}
			p.next = append(p.next, next)
		}
	}
	return nil
}

// A walk follows the instructions of a state that take no rune, and collects
// what comes after those that take the symbol.
type walk struct {
	c       *patternCompiler
	symbol  int
	seen    []int
	step    int
	visited int
	alive   []int
	match   bool
}

// follow says whether the match was found, behind which nothing counts.
func (w *walk) follow(i int) bool {
	for w.seen[i] != w.step {
		w.seen[i] = w.step
		w.visited++
		in := &w.c.program[i]
		end := w.symbol == len(w.c.member)
		takes := !end && w.c.member[w.symbol]>>in.set&1 == 1
		switch in.op {
		case opMatch:
			w.match = true
			return true
		case opSet:
			if takes && !slices.Contains(w.alive, in.x) {
				w.alive = append(w.alive, in.x)
			}
			return false
		case opLook:
			if !takes && (!end || !in.end) {
				return false
			}
			i = in.x
		case opSplit:
			if w.follow(in.x) {
				return true
			}
			i = in.y
		}
	}
	return false
}

// A trail holds the states that a search in vain went through, by where it was.
// A later one that meets it would go on in vain as well: so a text of nothing
// but blanks is not searched to its end from each of them.
type trail struct {
	from   int
	states []int32
}

func (t *trail) meets(at int, state int32) bool {
	i := at - t.from
	return i >= 0 && i < len(t.states) && t.states[i] == state
}

// match returns where the match that begins at from ends, or -1, and where the
// search gave up.
func (p *pattern) match(s string, from int, t *trail) (end, stop int) {
	end = -1
	state := int32(0)
	for at := from; ; {
		if t.meets(at, state) {
			return end, at
		}
		symbol, size := p.symbols-1, 0
		if at < len(s) {
			if b := s[at]; b < utf8.RuneSelf {
				symbol, size = int(p.ascii[b]), 1
			} else {
				var r rune
				r, size = utf8.DecodeRuneInString(s[at:])
				symbol = int(p.search(r))
			}
		}
		next := p.next[int(state)*p.symbols+symbol]
		if next&1 == 1 {
			end = at
		}
		if state = next >> 1; state == dead {
			return end, at
		}
		at += size
	}
}

// record keeps the states of a search in vain from one place to another.
func (p *pattern) record(s string, from, to int, t *trail) {
	states := make([]int32, to-from, to-from+max(0, t.from+len(t.states)-to))
	state := int32(0)
	for i, r := range s[from:to] {
		states[i] = state // the places within a rune, where no search ever is, do not matter
		state = p.next[int(state)*p.symbols+int(p.search(r))] >> 1
	}
	if old := to - t.from; old >= 0 && old < len(t.states) {
		states = append(states, t.states[old:]...)
	}
	t.from, t.states = from, states
}

// shortSearch is what costs less to repeat than to remember.
const shortSearch = 32

// split cuts the text into what matches and what lies between, none of it empty,
// and yields each in order until yield returns false, which it then returns.
func (p *pattern) split(s string, yield func(part string, match bool) bool) bool {
	var t trail
	done := 0
	for at := 0; at < len(s); {
		end, stop := p.match(s, at, &t)
		if end < 0 {
			if stop-at > shortSearch {
				p.record(s, at, stop, &t)
			}
			_, size := utf8.DecodeRuneInString(s[at:])
			at += size
			continue
		}
		if done < at && !yield(s[done:at], false) || !yield(s[at:end], true) {
			return false
		}
		at, done = end, end
	}
	return done == len(s) || yield(s[done:], false)
}
