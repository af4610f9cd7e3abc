package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// An addedToken is found in the text before the model sees it.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no letter touches it
	LStrip     bool   `json:"lstrip"`      // takes the blanks before it
	RStrip     bool   `json:"rstrip"`      // and after it
	Normalized bool   `json:"normalized"`  // sought in the normalized text
	Special    bool   `json:"special"`
}

// maxAdded is the largest added token, in bytes: the time to look for them is
// that times the text's length at worst.
const maxAdded = 1 << 10

// addTokens prepares to find the tokens. Those that the vocabulary lacks become
// part of it.
func (t *Tokenizer) addTokens(tokens []addedToken) error {
	t.special = map[int32]bool{}
	t.added = map[int32]string{}
	plain, normalized := &finder{}, &finder{}
	for _, a := range tokens {
		if a.Content == "" {
			continue
		}
		if id, ok := t.vocab[a.Content]; ok && id != a.ID {
			return fmt.Errorf("added token %q has id %d, and %d in the vocabulary: %w", a.Content, a.ID, id, ErrFormat)
		}
		if len(a.Content) > maxAdded {
			return fmt.Errorf("added token %.40q has %d bytes; %d are the limit: %w", a.Content, len(a.Content), maxAdded, ErrUnsupported)
		}
		if other, ok := t.Token(a.ID); ok && other != a.Content || a.ID < 0 {
			return fmt.Errorf("added token %q has id %d, which is that of %q: %w", a.Content, a.ID, other, ErrFormat)
		}
		t.added[a.ID] = a.Content
		t.size = max(t.size, int(a.ID)+1)
		if a.Special {
			t.special[a.ID] = true
		}
		content, f := a.Content, plain
		if a.Normalized {
			f = normalized
			if t.normalize != nil {
				content = t.normalize(content)
			}
		}
		if content == "" {
			return fmt.Errorf("added token %q is nothing once normalized: %w", a.Content, ErrUnsupported)
		}
		f.add(content, a)
	}
	t.plain, t.normalized = plain, normalized
	return nil
}

// A finder finds added tokens, the leftmost first and the longest of those: a
// trie of their bytes, tried at each place in the text where one may begin.
type finder struct {
	nodes  []trieNode
	tokens []addedToken
	word   set
	space  set
}

type trieNode struct {
	next  map[byte]int32
	token int32 // none, or the index of the token that ends here
}

func (f *finder) add(content string, a addedToken) {
	if len(f.nodes) == 0 {
		f.nodes = []trieNode{{token: none}}
		f.word, f.space = known(classWord), known(classSpace)
	}
	at := int32(0)
	for i := range len(content) {
		next, ok := f.nodes[at].next[content[i]]
		if !ok {
			next = int32(len(f.nodes)) //nolint:gosec // a file of 256 MB has fewer
			f.nodes = append(f.nodes, trieNode{token: none})
			if f.nodes[at].next == nil {
				f.nodes[at].next = map[byte]int32{}
			}
			f.nodes[at].next[content[i]] = next
		}
		at = next
	}
	if f.nodes[at].token == none { // of two that look alike the first counts
		f.nodes[at].token = int32(len(f.tokens)) //nolint:gosec // as above
		f.tokens = append(f.tokens, a)
	}
}

// find returns the first token at or behind from, and where it is.
func (f *finder) find(s string, from int) (lo, hi int, token *addedToken) {
	root := f.nodes[0].next
	for lo = from; lo < len(s); lo++ {
		at, ok := root[s[lo]]
		for i := lo + 1; ok; i++ {
			if n := f.nodes[at].token; n != none {
				hi, token = i, &f.tokens[n]
			}
			if i == len(s) {
				break
			}
			at, ok = f.nodes[at].next[s[i]]
		}
		if token != nil {
			return lo, hi, token
		}
	}
	return len(s), len(s), nil
}

// split yields the text between the tokens, and each token with empty text,
// until yield returns false, which it returns.
func (f *finder) split(s string, yield func(text string, at int, token *addedToken) bool) bool {
	done := 0
	for from := 0; len(f.nodes) > 0; {
		lo, hi, token := f.find(s, from)
		if token == nil {
			break
		}
		from = hi
		if token.SingleWord && (f.wordBefore(s[:lo]) || f.wordAfter(s[hi:])) {
			continue
		}
		if token.LStrip {
			lo = max(len(strings.TrimRightFunc(s[:lo], f.space.contains)), done)
		}
		if token.RStrip {
			hi = len(s) - len(strings.TrimLeftFunc(s[hi:], f.space.contains))
		}
		if done < lo && !yield(s[done:lo], done, nil) || !yield("", lo, token) {
			return false
		}
		done = hi
	}
	return done == len(s) || yield(s[done:], done, nil)
}

func (f *finder) wordBefore(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && f.word.contains(r)
}

func (f *finder) wordAfter(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && f.word.contains(r)
}
