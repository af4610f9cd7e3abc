package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// A wordPiece takes the longest token that begins the word, and again of the
// rest; a word of which any part is no token is unknown as a whole.
type wordPiece struct {
	vocab   map[string]int32 // tokens that may begin a word
	within  map[string]int32 // tokens that may continue one, without the prefix
	longest int              // of all of them, in bytes
	unknown int32
	limit   int // a word of more runes is unknown
}

func newWordPiece(vocab map[string]int32, prefix string, unknown int32, limit int) *wordPiece {
	w := &wordPiece{vocab: vocab, within: make(map[string]int32, len(vocab)), unknown: unknown, limit: limit}
	for token, id := range vocab {
		w.longest = max(w.longest, len(token))
		if rest, ok := strings.CutPrefix(token, prefix); ok {
			w.within[rest] = id
		}
	}
	return w
}

func (w *wordPiece) tokenize(word string, _ *scratch, ids []int32) []int32 {
	if utf8.RuneCountInString(word) > w.limit {
		return append(ids, w.unknown)
	}
	before := len(ids)
	tokens := w.vocab
	for word != "" {
		end := min(len(word), w.longest)
		for end > 0 {
			if id, ok := tokens[word[:end]]; ok {
				ids = append(ids, id)
				break
			}
			end--
		}
		if end == 0 {
			return append(ids[:before], w.unknown)
		}
		word, tokens = word[end:], w.within
	}
	return ids
}
