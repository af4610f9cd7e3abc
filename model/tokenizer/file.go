package tokenizer

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile is the largest tokenizer.json that is read. The largest in use, with
// 262,144 tokens, has 35 MB.
const maxFile = 256 << 20

// Load reads tokenizer.json: path names the file or a folder that holds it.
//
// Errors: those of opening; [ErrFormat]; [ErrUnsupported], with the name of what
// is not covered.
func Load(path string) (*Tokenizer, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() { //nolint:gosec // the caller's file
		path = filepath.Join(path, "tokenizer.json")
	}
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	return t, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the caller's file
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %d bytes; %d are the limit: %w", path, info.Size(), maxFile, ErrFormat)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// A file is tokenizer.json as far as it is read.
type file struct {
	AddedTokens   []addedToken `json:"added_tokens"`
	Normalizer    *part        `json:"normalizer"`
	PreTokenizer  *part        `json:"pre_tokenizer"`
	PostProcessor *part        `json:"post_processor"`
	Decoder       *part        `json:"decoder"`
	Model         modelPart    `json:"model"`
}

type modelPart struct {
	Type         string          `json:"type"`
	Vocab        json.RawMessage `json:"vocab"`
	Merges       json.RawMessage `json:"merges"`
	Unknown      *string         `json:"unk_token"`
	Dropout      *float64        `json:"dropout"`
	ByteFallback bool            `json:"byte_fallback"`
	IgnoreMerges bool            `json:"ignore_merges"`
	FuseUnknown  bool            `json:"fuse_unk"`
	Prefix       *string         `json:"continuing_subword_prefix"`
	Suffix       *string         `json:"end_of_word_suffix"`
	MaxChars     *int            `json:"max_input_chars_per_word"`
}

// A part is a normalizer, pre-tokenizer, post-processor or decoder: the fields
// of all kinds together.
type part struct {
	Type          string  `json:"type"`
	Normalizers   []part  `json:"normalizers"`
	PreTokenizers []part  `json:"pretokenizers"`
	Processors    []part  `json:"processors"`
	Decoders      []part  `json:"decoders"`
	Pattern       matcher `json:"pattern"`
	Behavior      string  `json:"behavior"`
	Invert        bool    `json:"invert"`
	Content       string  `json:"content"`
	Delimiter     string  `json:"delimiter"`

	Prepend       string `json:"prepend"`
	StripLeft     bool   `json:"strip_left"`
	StripRight    bool   `json:"strip_right"`
	Lowercase     bool   `json:"lowercase"`
	StripAccents  *bool  `json:"strip_accents"`
	CleanText     bool   `json:"clean_text"`
	HandleChinese bool   `json:"handle_chinese_chars"`

	AddPrefixSpace *bool   `json:"add_prefix_space"`
	UseRegex       *bool   `json:"use_regex"`
	Individual     bool    `json:"individual_digits"`
	Replacement    string  `json:"replacement"`
	PrependScheme  *string `json:"prepend_scheme"`
	Split          *bool   `json:"split"`

	Prefix  string `json:"prefix"`
	Suffix  string `json:"suffix"`
	Cleanup bool   `json:"cleanup"`
	Start   int    `json:"start"`
	Stop    int    `json:"stop"`

	Single        []templatePiece            `json:"single"`
	SpecialTokens map[string]templateSpecial `json:"special_tokens"`
	Sep           *tokenPair                 `json:"sep"`
	CLS           *tokenPair                 `json:"cls"`
}

// A matcher is a literal text or an expression.
type matcher struct {
	Literal *string `json:"String"`
	Regex   *string `json:"Regex"`
}

func (m matcher) compile() (*pattern, error) {
	switch {
	case m.Regex != nil:
		return compilePattern(*m.Regex)
	case m.Literal != nil && *m.Literal != "":
		return literalPattern(*m.Literal)
	default:
		return nil, fmt.Errorf("no pattern: %w", ErrFormat)
	}
}

// Parse reads the contents of tokenizer.json. Memory and time are proportional
// to its size; the automata of patterns, which may be larger than their text,
// are limited.
//
// Errors: [ErrFormat]; [ErrUnsupported], with the name of what is not
// implemented.
func Parse(data []byte) (*Tokenizer, error) {
	t, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

func parse(data []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return f.tokenizer()
}

// Limits that keep a file from being a bomb: how many parts it may have, those
// in use have up to 12, and how many times the text they may make of a text.
const (
	maxParts  = 64
	maxGrowth = 1 << 12
)

// weigh returns how many parts there are, and the growth at worst.
func (p *part) weigh() (parts, growth int) {
	if p == nil {
		return 0, 1
	}
	parts, growth = 1, 1
	switch p.Type {
	case "ByteLevel", "NFC", "NFD", "NFKC", "NFKD":
		growth = 2
	case "Prepend":
		growth = 1 + len(p.Prepend)
	case "Replace":
		growth = max(1, len(p.Content))
	case "Metaspace":
		growth = 1 + len(p.Replacement)
	}
	for _, list := range [][]part{p.Normalizers, p.PreTokenizers, p.Processors, p.Decoders} {
		for i := range list {
			n, g := list[i].weigh()
			parts = min(parts+n, maxParts+1)
			growth = min(growth*min(g, maxGrowth+1), maxGrowth+1)
		}
	}
	return parts, growth
}

func (f *file) checkLimits() error {
	parts, growth := 0, 1
	for _, p := range []*part{f.Normalizer, f.PreTokenizer, f.PostProcessor, f.Decoder} {
		n, g := p.weigh()
		parts += n
		if p != f.Decoder {
			growth = min(growth*min(g, maxGrowth+1), maxGrowth+1)
		} else if g > maxGrowth {
			growth = g
		}
	}
	if parts > maxParts || growth > maxGrowth {
		return fmt.Errorf("more than %d normalizers, pre-tokenizers and so on, or they make a text more than %d times longer: %w", maxParts, maxGrowth, ErrUnsupported)
	}
	return nil
}

func (f *file) tokenizer() (*Tokenizer, error) {
	t := &Tokenizer{}
	if err := f.checkLimits(); err != nil {
		return nil, err
	}
	if err := f.Model.build(t); err != nil {
		return nil, err
	}
	var err error
	if t.normalize, err = newNormalizer(f.Normalizer, 0); err != nil {
		return nil, err
	}
	if t.steps, err = newPreTokenizer(f.PreTokenizer, 0); err != nil {
		return nil, err
	}
	if f.PreTokenizer.prependsFirst() && f.Normalizer.deletes() {
		return nil, fmt.Errorf("prepend_scheme \"first\" behind a normalizer that may delete the start of the text: %w", ErrUnsupported)
	}
	if t.decoders, err = newDecoder(f.Decoder, 0); err != nil {
		return nil, err
	}
	if err := t.addTokens(f.AddedTokens); err != nil {
		return nil, err
	}
	if t.before, t.after, err = newTemplate(f.PostProcessor, 0); err != nil {
		return nil, err
	}
	t.finish()
	return t, nil
}

// build reads the model's part.
func (m *modelPart) build(t *Tokenizer) error {
	kind := m.Type
	if kind == "" && m.Merges != nil { // files of 2019 name no type
		kind = "BPE"
	}
	if kind != "BPE" && kind != "WordPiece" {
		return fmt.Errorf("model type %q; BPE and WordPiece are read: %w", m.Type, ErrUnsupported)
	}
	var vocab map[string]int32
	if err := json.Unmarshal(m.Vocab, &vocab); err != nil {
		return fmt.Errorf("vocabulary: %w: %w", ErrFormat, err)
	}
	if err := t.setVocab(vocab); err != nil {
		return err
	}
	prefix := ""
	if m.Prefix != nil {
		prefix = *m.Prefix
	}
	unknown := int32(none)
	if m.Unknown != nil {
		id, ok := vocab[*m.Unknown]
		if !ok {
			return fmt.Errorf("the token for what is unknown, %q, is not in the vocabulary: %w", *m.Unknown, ErrFormat)
		}
		unknown = id
	}
	if kind == "WordPiece" {
		return m.buildWordPiece(t, prefix, unknown)
	}
	if m.Dropout != nil && *m.Dropout != 0 {
		return fmt.Errorf("dropout of %v, which makes ids random; set it to null: %w", *m.Dropout, ErrUnsupported)
	}
	merges, err := parseMerges(m.Merges)
	if err != nil {
		return err
	}
	b := &bpe{
		vocab: vocab, unknown: unknown, fuse: m.FuseUnknown, ignoreMerges: m.IgnoreMerges,
		prefix: prefix, byteFallback: m.ByteFallback,
	}
	if m.Suffix != nil {
		b.suffix = *m.Suffix
	}
	t.model = b
	return b.setMerges(merges)
}

// maxWord bounds the words of WordPiece, whose time grows with their square.
const maxWord = 1000

func (m *modelPart) buildWordPiece(t *Tokenizer, prefix string, unknown int32) error {
	if unknown == none {
		return fmt.Errorf("WordPiece without a token for what is unknown: %w", ErrFormat)
	}
	limit := 100
	if m.MaxChars != nil {
		limit = *m.MaxChars
	}
	if limit < 0 || limit > maxWord {
		return fmt.Errorf("max_input_chars_per_word of %d; 0 to %d are possible: %w", limit, maxWord, ErrUnsupported)
	}
	t.model = newWordPiece(t.vocab, prefix, unknown, limit)
	return nil
}

// parseMerges reads either of the two spellings: "a b", or since 2024 ["a", "b"].
func parseMerges(data json.RawMessage) ([][2]string, error) {
	var lines []string
	if json.Unmarshal(data, &lines) == nil {
		merges := make([][2]string, 0, len(lines))
		for i, l := range lines {
			if strings.HasPrefix(l, "#version") {
				continue
			}
			a, b, ok := strings.Cut(l, " ")
			if !ok || strings.Contains(b, " ") {
				return nil, fmt.Errorf("merge %d, %q, is not two tokens: %w", i, l, ErrFormat)
			}
			merges = append(merges, [2]string{a, b})
		}
		return merges, nil
	}
	var pairs [][]string
	if err := json.Unmarshal(data, &pairs); err != nil {
		return nil, fmt.Errorf("merges: %w: %w", ErrFormat, err)
	}
	merges := make([][2]string, len(pairs))
	for i, p := range pairs {
		if len(p) != 2 {
			return nil, fmt.Errorf("merge %d, %q, is not two tokens: %w", i, p, ErrFormat)
		}
		merges[i] = [2]string(p)
	}
	return slices.Clip(merges), nil
}
