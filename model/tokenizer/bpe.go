package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// A model turns a word into tokens, which it appends to ids.
type model interface {
	tokenize(word string, s *scratch, ids []int32) []int32
}

// none is the id of no token.
const none = -1

// A bpe joins pairs of tokens, the pair of the lowest rank first.
type bpe struct {
	vocab   map[string]int32
	merges  map[uint64]merge
	unknown int32
	fuse    bool // several unknown letters in a row make one token

	ignoreMerges   bool // a word that is a token is that token
	byteFallback   bool // a letter that is no token is its bytes
	prefix, suffix string

	bytes   bool       // words are bytes, not yet letters for them
	letters [256]int32 // bytes: the token of each byte
}

type merge struct{ rank, id int32 }

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) } //nolint:gosec // bits

// setMerges ranks the merges in their order. A pair that comes twice has the
// later rank, as in the reference.
func (b *bpe) setMerges(merges [][2]string) error {
	b.merges = make(map[uint64]merge, len(merges))
	for i, m := range merges {
		left, ok := b.vocab[m[0]]
		right, ok2 := b.vocab[m[1]]
		if !ok || !ok2 {
			return fmt.Errorf("merge %d joins %q and %q, not both in the vocabulary: %w", i, m[0], m[1], ErrFormat)
		}
		if len(m[1]) < len(b.prefix) {
			return fmt.Errorf("merge %d: %q is shorter than the prefix %q: %w", i, m[1], b.prefix, ErrFormat)
		}
		id, ok := b.vocab[m[0]+m[1][len(b.prefix):]]
		if !ok {
			return fmt.Errorf("merge %d makes %q, which is not in the vocabulary: %w", i, m[0]+m[1][len(b.prefix):], ErrFormat)
		}
		b.merges[pairKey(left, right)] = merge{int32(i), id}
	}
	return nil
}

// useBytes lets words be bytes.
func (b *bpe) useBytes() {
	b.bytes = true
	for c, r := range &byteRunes {
		b.letters[c] = none
		if id, ok := b.vocab[string(r)]; ok {
			b.letters[c] = id
		}
	}
}

func (b *bpe) tokenize(word string, s *scratch, ids []int32) []int32 {
	if b.bytes && (b.ignoreMerges || b.prefix != "" || b.suffix != "" || b.byteFallback) {
		word = mapBytes(word)
	} else if b.bytes {
		s.symbols = b.splitBytes(word, s.symbols[:0])
		return s.merge(word, b, ids)
	}
	if b.ignoreMerges {
		if id, ok := b.vocab[word]; ok {
			return append(ids, id)
		}
	}
	s.symbols = b.split(word, s.symbols[:0])
	return s.merge(word, b, ids)
}

func (b *bpe) splitBytes(word string, symbols []symbol) []symbol {
	unknown := unknowns{b: b}
	for i := range len(word) {
		if id := b.letters[word[i]]; id != none {
			symbols = append(unknown.flush(symbols), symbol{id: id})
		} else {
			symbols = unknown.add(symbols)
		}
	}
	return unknown.flush(symbols)
}

// split returns the tokens of the letters.
func (b *bpe) split(word string, symbols []symbol) []symbol {
	unknown := unknowns{b: b}
	for at := 0; at < len(word); {
		r, size := utf8.DecodeRuneInString(word[at:])
		letter := word[at : at+size]
		if r == utf8.RuneError && size == 1 {
			letter = string(r)
		}
		if at > 0 {
			letter = b.prefix + letter
		}
		if at += size; at == len(word) {
			letter += b.suffix
		}
		if id, ok := b.vocab[letter]; ok {
			symbols = append(unknown.flush(symbols), symbol{id: id})
			continue
		}
		if bytes, ok := b.fallback(letter, symbols); ok {
			symbols = bytes // the unknown before it waits, as in the reference
			continue
		}
		symbols = unknown.add(symbols)
	}
	return unknown.flush(symbols)
}

// fallback appends the tokens of the letter's bytes, if there are all of them.
func (b *bpe) fallback(letter string, symbols []symbol) ([]symbol, bool) {
	if !b.byteFallback {
		return symbols, false
	}
	for i := range len(letter) {
		id, ok := b.vocab[byteToken(letter[i])]
		if !ok {
			return symbols, false
		}
		symbols = append(symbols, symbol{id: id})
	}
	return symbols, true
}

func byteToken(b byte) string {
	const digits = "0123456789ABCDEF"
	return string([]byte{'<', '0', 'x', digits[b>>4], digits[b&15], '>'})
}

// unknowns holds back the token for what is unknown, so that a run of it may
// become one. Without such a token what is unknown vanishes.
type unknowns struct {
	b       *bpe
	pending bool
}

func (u *unknowns) add(symbols []symbol) []symbol {
	if u.b.unknown == none {
		return symbols
	}
	if u.pending && !u.b.fuse {
		symbols = append(symbols, symbol{id: u.b.unknown})
	}
	u.pending = true
	return symbols
}

func (u *unknowns) flush(symbols []symbol) []symbol {
	if u.pending {
		symbols = append(symbols, symbol{id: u.b.unknown})
	}
	u.pending = false
	return symbols
}

func (b *bpe) pair(_ string, left, right *symbol) (merge, bool) {
	m, ok := b.merges[pairKey(left.id, right.id)]
	return m, ok
}
