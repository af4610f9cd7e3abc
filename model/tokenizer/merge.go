package tokenizer

// A symbol is a token on its way to be joined with its neighbors. Symbols form a
// list, so that joining moves nothing. Fields but id are set by merge, except
// where a ranker needs the letters: then lo and hi are the symbol's in the word.
type symbol struct {
	id         int32
	prev, next int // none at the ends
	lo, hi     int
}

// A ranker says which token a pair makes, and how soon.
type ranker interface {
	pair(word string, left, right *symbol) (merge, bool)
}

// A candidate is a pair that may be joined: of the symbol at and the one behind
// it, the former ending in mid and the latter in hi. It is stale if they no
// longer do.
type candidate struct {
	merge
	at, mid, hi int
}

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.at < d.at
}

// scratch is the memory of one call, which later ones use again.
type scratch struct {
	symbols []symbol
	queue   []candidate // a binary heap
	words   map[string][]int32
}

// merge joins the symbols of the word, the lowest rank first and the leftmost of
// equals, and appends the tokens that remain. Time is n log n.
func (s *scratch) merge(word string, r ranker, ids []int32) []int32 {
	symbols := s.symbols
	if len(symbols) == 0 {
		return ids
	}
	for i := range symbols {
		symbols[i].prev, symbols[i].next = i-1, i+1
		if symbols[i].hi == 0 {
			symbols[i].lo, symbols[i].hi = i, i+1
		}
	}
	symbols[len(symbols)-1].next = none
	s.queue = s.queue[:0]
	for i := range len(symbols) - 1 {
		s.consider(word, r, i)
	}
	for len(s.queue) > 0 {
		c := s.pop()
		left := &symbols[c.at]
		if left.hi != c.mid || left.next == none || symbols[left.next].hi != c.hi {
			continue
		}
		right := &symbols[left.next]
		left.id, left.hi, left.next = c.id, right.hi, right.next
		right.hi = none // so that its candidates are stale
		if left.next != none {
			symbols[left.next].prev = c.at
			s.consider(word, r, c.at)
		}
		if left.prev != none {
			s.consider(word, r, left.prev)
		}
	}
	for i := 0; i != none; i = symbols[i].next {
		ids = append(ids, symbols[i].id)
	}
	return ids
}

// consider queues the pair that begins with symbol i.
func (s *scratch) consider(word string, r ranker, i int) {
	left := &s.symbols[i]
	right := &s.symbols[left.next]
	if m, ok := r.pair(word, left, right); ok {
		s.push(candidate{m, i, left.hi, right.hi})
	}
}

func (s *scratch) push(c candidate) {
	s.queue = append(s.queue, c)
	q, i := s.queue, len(s.queue)-1
	for i > 0 && c.before(q[(i-1)/2]) {
		q[i] = q[(i-1)/2]
		i = (i - 1) / 2
	}
	q[i] = c
}

func (s *scratch) pop() candidate {
	q := s.queue
	top, last := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	i := 0
	for child := 1; child < len(q); child = 2*i + 1 {
		if child+1 < len(q) && q[child+1].before(q[child]) {
			child++
		}
		if !q[child].before(last) {
			break
		}
		q[i] = q[child]
		i = child
	}
	if len(q) > 0 {
		q[i] = last
	}
	s.queue = q
	return top
}
