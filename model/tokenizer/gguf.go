package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A GGUF holds the metadata of a GGUF file under "tokenizer.ggml.", key by key.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
type GGUF struct {
	Model  string    // model: "gpt2", "llama" or "bert"
	Pre    string    // pre: which rules cut the text into words; gpt2 only
	Tokens []string  // tokens, by id
	Scores []float32 // scores; llama only
	Types  []int32   // token_type; nil: all are normal
	Merges []string  // merges; gpt2 only

	// bos_token_id and so on; nil: there is none.
	BOS, EOS, Unknown, CLS, Separator *int32
	// add_bos_token, add_eos_token and add_space_prefix; nil: as is usual for Model and Pre.
	AddBOS, AddEOS, AddSpacePrefix *bool
}

// Token types.
const (
	typeNormal      = 1
	typeUnknown     = 2
	typeControl     = 3
	typeUserDefined = 4
	typeByte        = 6
)

// FromGGUF returns the tokenizer of a GGUF file. Special tokens are found in
// the text, as in tokenizer.json.
//
// Errors: [ErrFormat]; [ErrUnsupported], with the name of the model or of the
// rules that are not covered.
func FromGGUF(v GGUF) (*Tokenizer, error) {
	t, err := v.tokenizer()
	if err != nil {
		return nil, fmt.Errorf("tokenizer: GGUF: %w", err)
	}
	return t, nil
}

func (v *GGUF) tokenizer() (*Tokenizer, error) {
	t := &Tokenizer{}
	vocab := make(map[string]int32, len(v.Tokens))
	if v.Types != nil && len(v.Types) != len(v.Tokens) {
		return nil, fmt.Errorf("%d token types for %d tokens: %w", len(v.Types), len(v.Tokens), ErrFormat)
	}
	for i, token := range v.Tokens {
		if _, ok := vocab[token]; ok {
			return nil, fmt.Errorf("token %q comes twice, the second time as %d: %w", token, i, ErrFormat)
		}
		vocab[token] = int32(i)
	}
	for _, id := range []*int32{v.BOS, v.EOS, v.Unknown, v.CLS, v.Separator} {
		if id != nil && (*id < 0 || int(*id) >= len(v.Tokens)) {
			return nil, fmt.Errorf("special token %d of %d: %w", *id, len(v.Tokens), ErrFormat)
		}
	}
	err := t.setVocab(vocab)
	if err != nil {
		return nil, err
	}
	switch v.Model {
	case "gpt2":
		err = v.buildBPE(t)
	case "llama":
		err = v.buildScored(t)
	case "bert":
		err = v.buildWordPiece(t)
	default:
		err = fmt.Errorf("model %q; gpt2, llama and bert are read: %w", v.Model, ErrUnsupported)
	}
	if err != nil {
		return nil, err
	}
	if err := t.addTokens(v.added()); err != nil {
		return nil, err
	}
	t.finish()
	return t, nil
}

func (v *GGUF) kind(id int) int32 {
	if v.Types == nil {
		return typeNormal
	}
	return v.Types[id]
}

// added are the tokens to be found in the text.
func (v *GGUF) added() []addedToken {
	var added []addedToken
	for i, token := range v.Tokens {
		switch v.kind(i) {
		case typeControl, typeUnknown:
			added = append(added, addedToken{ID: int32(i), Content: token, Special: true})
		case typeUserDefined:
			added = append(added, addedToken{ID: int32(i), Content: token})
		}
	}
	return added
}

// surround sets the special tokens around a sequence.
func (t *Tokenizer) surround(before, after *int32) {
	if before != nil {
		t.before = []int32{*before}
	}
	if after != nil {
		t.after = []int32{*after}
	}
}

// onlyIf returns id, or nil if flag, by default usual, is not set.
func onlyIf(flag *bool, usual bool, id *int32) *int32 {
	if flag != nil && *flag || flag == nil && usual {
		return id
	}
	return nil
}

func (v *GGUF) buildBPE(t *Tokenizer) error {
	rules, ok := ggufRules[v.Pre]
	if !ok {
		return fmt.Errorf("pre-tokenizer %q: %w", v.Pre, ErrUnsupported)
	}
	for _, expr := range rules.patterns {
		s, err := splitIsolated(expr)
		if err != nil {
			return err
		}
		t.steps = append(t.steps, s)
	}
	t.steps = append(t.steps, nil)
	b := &bpe{vocab: t.vocab, unknown: none, ignoreMerges: rules.ignoreMerges}
	merges := make([][2]string, len(v.Merges))
	for i, m := range v.Merges {
		// A token may begin with a blank in no byte-level vocabulary, but contain none either.
		left, right, ok := strings.Cut(m, " ")
		if !ok {
			return fmt.Errorf("merge %d, %q, is not two tokens: %w", i, m, ErrFormat)
		}
		merges[i] = [2]string{left, right}
	}
	t.model = b
	t.decoders = []decoder{decodeBytes}
	t.surround(onlyIf(v.AddBOS, rules.addBOS, v.BOS), onlyIf(v.AddEOS, false, v.EOS))
	return b.setMerges(merges)
}

func (v *GGUF) buildScored(t *Tokenizer) error {
	if len(v.Scores) != len(v.Tokens) {
		return fmt.Errorf("%d scores for %d tokens: %w", len(v.Scores), len(v.Tokens), ErrFormat)
	}
	prefix := ""
	if v.AddSpacePrefix == nil || *v.AddSpacePrefix {
		prefix = blank
	}
	t.normalize = func(s string) string {
		if s == "" {
			return s
		}
		return prefix + strings.ReplaceAll(s, " ", blank)
	}
	t.model = newScored(v)
	t.decoders = []decoder{
		each(func(s string) string { return strings.ReplaceAll(s, blank, " ") }),
		decodeFallback,
		func(tokens []string) []string { return []string{strings.Join(tokens, "")} },
	}
	if prefix != "" {
		t.decoders = append(t.decoders, each(func(s string) string { return strings.TrimPrefix(s, " ") }))
	}
	t.surround(onlyIf(v.AddBOS, true, v.BOS), onlyIf(v.AddEOS, false, v.EOS))
	return nil
}

// buildWordPiece undoes the spelling of GGUF, which marks the tokens that begin
// a word where BERT marks those that do not. The file does not say whether the
// model tells cases apart; it does if it has tokens with capitals.
func (v *GGUF) buildWordPiece(t *Tokenizer) error {
	if v.Unknown == nil {
		return fmt.Errorf("WordPiece without a token for what is unknown: %w", ErrFormat)
	}
	w := &wordPiece{vocab: map[string]int32{}, within: map[string]int32{}, unknown: *v.Unknown, limit: 100}
	cased := false
	for token, id := range t.vocab {
		if k := v.kind(int(id)); k != typeNormal && k != typeUserDefined {
			continue
		}
		cased = cased || strings.ContainsFunc(token, unicode.IsUpper)
		if rest, ok := strings.CutPrefix(token, blank); ok {
			w.vocab[rest] = id
			w.longest = max(w.longest, len(rest))
		} else {
			w.within[token] = id
			w.longest = max(w.longest, len(token))
		}
	}
	t.normalize = newBertNormalizer(&part{CleanText: true, HandleChinese: true, Lowercase: !cased})
	steps, err := newPreTokenizer(&part{Type: "BertPreTokenizer"}, 0)
	t.steps, t.model = steps, w
	t.decoders = []decoder{
		each(func(s string) string { return strings.ReplaceAll(s, blank, " ") }),
		func(tokens []string) []string { return []string{strings.TrimPrefix(strings.Join(tokens, ""), " ")} },
	}
	before := v.CLS
	if before == nil {
		before = v.BOS
	}
	t.surround(onlyIf(v.AddBOS, true, before), onlyIf(v.AddEOS, true, v.Separator))
	return err
}

// A scored vocabulary joins the neighbors that make the token of the highest
// score, as SentencePiece and llama.cpp do: there are no merges, any two tokens
// join whose letters together are one.
type scored struct {
	vocab   map[string]int32 // what text may be
	ranks   []int32          // by id: equal scores have equal ranks
	bytes   [256]int32
	unknown int32
}

func newScored(v *GGUF) *scored {
	s := &scored{vocab: map[string]int32{}, ranks: make([]int32, len(v.Tokens)), unknown: none}
	if v.Unknown != nil {
		s.unknown = *v.Unknown
	}
	for i := range s.bytes {
		s.bytes[i] = s.unknown
	}
	order := make([]int32, len(v.Tokens))
	for i, token := range v.Tokens {
		id := int32(i)
		order[i] = id
		switch v.kind(i) {
		case typeByte:
			if b, ok := parseByteToken(token); ok {
				s.bytes[b] = id
			}
		case typeControl, typeUnknown:
		default:
			s.vocab[token] = id
		}
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(v.Scores[b], v.Scores[a]) })
	for i, id := range order {
		s.ranks[id] = int32(i)
		if i > 0 && cmp.Compare(v.Scores[id], v.Scores[order[i-1]]) == 0 {
			s.ranks[id] = s.ranks[order[i-1]]
		}
	}
	return s
}

func (s *scored) pair(word string, left, right *symbol) (merge, bool) {
	id, ok := s.vocab[word[left.lo:right.hi]]
	if !ok {
		return merge{}, false
	}
	return merge{s.ranks[id], id}, true
}

func (s *scored) tokenize(word string, sc *scratch, ids []int32) []int32 {
	symbols := sc.symbols[:0]
	for at := 0; at < len(word); {
		_, size := utf8.DecodeRuneInString(word[at:])
		id, ok := s.vocab[word[at:at+size]]
		if !ok {
			id = none
		}
		symbols = append(symbols, symbol{id: id, lo: at, hi: at + size})
		at += size
	}
	sc.symbols = symbols
	before := len(ids)
	ids = sc.merge(word, s, ids)
	if !slices.Contains(ids[before:], none) {
		return ids
	}
	// Letters that are no token are their bytes.
	ids = ids[:before]
	for i := 0; i != none; i = symbols[i].next {
		if symbols[i].id != none {
			ids = append(ids, symbols[i].id)
			continue
		}
		for _, b := range []byte(word[symbols[i].lo:symbols[i].hi]) {
			if id := s.bytes[b]; id != none {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
