package tokenizer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A Tokenizer turns text into ids and back. It does not change once made, and
// any number of goroutines may use it at once.
type Tokenizer struct {
	vocab   map[string]int32
	tokens  map[int32]string // those of vocab
	added   map[int32]string
	special map[int32]bool
	size    int

	plain, normalized *finder // added tokens, sought in the text as it is and once normalized
	normalize         normalizer
	steps             []step
	model             model
	before, after     []int32 // the special tokens around one sequence
	decoders          []decoder

	scratch sync.Pool
}

// setVocab takes over the vocabulary.
func (t *Tokenizer) setVocab(vocab map[string]int32) error {
	t.vocab, t.tokens = vocab, make(map[int32]string, len(vocab))
	for token, id := range vocab {
		if other, ok := t.tokens[id]; ok || id < 0 {
			return fmt.Errorf("token %q has id %d, which is negative or that of %q: %w", token, id, other, ErrFormat)
		}
		t.tokens[id] = token
		t.size = max(t.size, int(id)+1)
	}
	return nil
}

// finish makes of the parts what is quick to run. Results do not depend on it.
func (t *Tokenizer) finish() {
	b, isBPE := t.model.(*bpe)
	if n := len(t.steps); isBPE && n > 0 && t.steps[n-1] == nil {
		b.useBytes()
		t.steps = t.steps[:n-1]
	} else if t.cutsAtWords() {
		t.steps = append(slices.Clip(t.steps), beforeWords)
	}
	for i, s := range t.steps {
		if s == nil {
			t.steps[i] = func(p piece, yield func(piece) bool) bool { return yield(piece{mapBytes(p.text), p.first}) }
		}
	}
	t.scratch.New = func() any { return &scratch{words: map[string][]int32{}} }
}

// blank is what stands for a space in vocabularies of SentencePiece.
const blank = "▁"

// cutsAtWords says whether a text may be cut before each blank that follows
// something else: whether no token can come of joining across such a place.
// Otherwise the whole text is one word to vocabularies without pre-tokenizer.
func (t *Tokenizer) cutsAtWords() bool {
	if _, ok := t.vocab[blank]; !ok {
		return false
	}
	crosses := func(token string) bool {
		return strings.Contains(strings.TrimLeft(token, blank), blank)
	}
	switch m := t.model.(type) {
	case *bpe:
		if m.ignoreMerges || m.prefix != "" || m.suffix != "" {
			return false
		}
		for _, merge := range m.merges {
			if crosses(t.tokens[merge.id]) {
				return false
			}
		}
		return true
	case *scored:
		for token := range m.vocab {
			if crosses(token) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// beforeWords is the step that cutsAtWords allows.
func beforeWords(p piece, yield func(piece) bool) bool {
	from := 0
	for at := 0; ; {
		i := strings.Index(p.text[at:], blank)
		if i < 0 {
			return yield(piece{p.text[from:], p.first && from == 0})
		}
		if i += at; i > at {
			if !yield(piece{p.text[from:i], p.first && from == 0}) {
				return false
			}
			from = i
		}
		at = i + len(blank)
	}
}

// Size returns the size of a table that has a row for every id: the largest id
// and one.
func (t *Tokenizer) Size() int { return t.size }

// ID returns the id of a token, written as in the vocabulary; false if there is
// no such token.
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.vocab[token]; ok {
		return id, true
	}
	for id, added := range t.added {
		if added == token {
			return id, true
		}
	}
	return none, false
}

// Token returns the token of an id, written as in the vocabulary; false if there
// is none.
func (t *Tokenizer) Token(id int32) (string, bool) {
	if token, ok := t.added[id]; ok {
		return token, true
	}
	token, ok := t.tokens[id]
	return token, ok
}

// Encode returns the ids of the text, without the special tokens that the
// model may expect around it. Those that the text itself holds are found.
func (t *Tokenizer) Encode(text string) []int32 { return t.encode(nil, text, -1) }

// EncodeFirst returns the first ids of the text, n at most: those of Encode,
// without the time for the rest of a long text.
func (t *Tokenizer) EncodeFirst(text string, n int) []int32 { return t.encode(nil, text, max(n, 0)) }

// EncodeSpecial returns the ids of the text between the special tokens that the
// tokenizer's description puts around one sequence, if any.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	ids := t.encode(slices.Clone(t.before), text, -1)
	return append(ids, t.after...)
}

// encode appends to ids until there are limit of them, if limit is not negative.
func (t *Tokenizer) encode(ids []int32, text string, limit int) []int32 {
	s := t.scratch.Get().(*scratch) //nolint:forcetypeassert,errcheck // as made in finish
	defer t.scratch.Put(s)
	full := func() bool { return limit >= 0 && len(ids) >= limit }
	if limit == 0 {
		return ids
	}
	word := func(p piece) bool {
		ids = t.word(p.text, s, ids)
		return !full()
	}
	t.plain.split(text, func(part string, at int, token *addedToken) bool {
		if token != nil {
			ids = append(ids, token.ID)
			return !full()
		}
		if t.normalize != nil {
			part = t.normalize(part)
		}
		first := at == 0
		return t.normalized.split(part, func(part string, at int, token *addedToken) bool {
			if token != nil {
				ids = append(ids, token.ID)
				return !full()
			}
			return t.run(0, piece{part, first && at == 0}, word)
		})
	})
	if limit >= 0 && len(ids) > limit {
		ids = ids[:limit]
	}
	return ids
}

// run passes a piece through the steps from i on.
func (t *Tokenizer) run(i int, p piece, word func(piece) bool) bool {
	if i == len(t.steps) {
		return word(p)
	}
	return t.steps[i](p, func(p piece) bool { return t.run(i+1, p, word) })
}

// Words that are short enough are remembered, up to some number of them.
const (
	maxCachedWord  = 64
	maxCachedWords = 1 << 14
)

func (t *Tokenizer) word(word string, s *scratch, ids []int32) []int32 {
	if cached, ok := s.words[word]; ok {
		return append(ids, cached...)
	}
	before := len(ids)
	ids = t.model.tokenize(word, s, ids)
	if len(word) <= maxCachedWord {
		if len(s.words) >= maxCachedWords {
			clear(s.words)
		}
		s.words[strings.Clone(word)] = slices.Clone(ids[before:])
	}
	return ids
}

// Decode returns the text of the ids. It is the inverse of Encode where the
// tokenizer's description allows one: always for byte-level encodings without
// normalizer, and not where a normalizer dropped something. Special tokens are
// left out if skipSpecial is set. Error: [ErrToken].
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) (string, error) {
	tokens := make([]string, 0, len(ids))
	for i, id := range ids {
		token, ok := t.Token(id)
		if !ok {
			return "", fmt.Errorf("tokenizer: id %d at %d; there are %d tokens: %w", id, i, t.size, ErrToken)
		}
		if !skipSpecial || !t.special[id] {
			tokens = append(tokens, token)
		}
	}
	if t.decoders == nil {
		return strings.Join(tokens, " "), nil
	}
	for _, d := range t.decoders {
		tokens = d(tokens)
	}
	return strings.Join(tokens, ""), nil
}
