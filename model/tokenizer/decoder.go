package tokenizer

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A decoder turns tokens into parts of the text, or into tokens for the next.
type decoder func(tokens []string) []string

// newDecoder builds what the file describes; nil is none: blanks join the tokens.
func newDecoder(p *part, depth int) ([]decoder, error) {
	if p == nil {
		return nil, nil
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("decoders nested deeper than %d: %w", maxDepth, ErrFormat)
	}
	switch p.Type {
	case "Sequence":
		all := []decoder{}
		for i := range p.Decoders {
			d, err := newDecoder(&p.Decoders[i], depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, d...)
		}
		return all, nil
	case "ByteLevel":
		return []decoder{decodeBytes}, nil
	case "ByteFallback":
		return []decoder{decodeFallback}, nil
	case "Fuse":
		return []decoder{func(tokens []string) []string { return []string{strings.Join(tokens, "")} }}, nil
	case "WordPiece":
		return []decoder{p.decodeWordPiece}, nil
	case "Metaspace":
		return []decoder{p.decodeMetaspace}, nil
	case "BPEDecoder":
		return []decoder{p.decodeSuffix}, nil
	case "Strip":
		return []decoder{each(p.decodeStrip)}, nil
	case "Replace":
		replace, err := newReplace(p)
		if err != nil {
			return nil, err
		}
		return []decoder{each(replace)}, nil
	default:
		return nil, fmt.Errorf("decoder %q: %w", p.Type, ErrUnsupported)
	}
}

func each(f func(string) string) decoder {
	return func(tokens []string) []string {
		for i, t := range tokens {
			tokens[i] = f(t)
		}
		return tokens
	}
}

func decodeBytes(tokens []string) []string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString(unmapBytes(t))
	}
	return []string{toValid(b.String())}
}

// toValid puts U+FFFD where the text is not UTF-8: one for each longest start of
// a rune that is cut off, as Rust and Python do (and strings.ToValidUTF8 does not).
func toValid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			for n < len(s) && n < utf8.UTFMax && !utf8.FullRuneInString(s[:n+1]) {
				n++
			}
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}

// decodeFallback joins runs of byte tokens; a run that is not UTF-8 is as many
// U+FFFD as it has bytes.
func decodeFallback(tokens []string) []string {
	var out []string
	var run []byte
	flush := func() {
		switch {
		case len(run) == 0:
		case utf8.Valid(run):
			out = append(out, string(run))
		default:
			out = append(out, strings.Repeat("\uFFFD", len(run)))
		}
		run = run[:0]
	}
	for _, t := range tokens {
		if b, ok := parseByteToken(t); ok {
			run = append(run, b)
			continue
		}
		flush()
		out = append(out, t)
	}
	flush()
	return out
}

func parseByteToken(token string) (byte, bool) {
	if len(token) != 6 || token[:3] != "<0x" || token[5] != '>' {
		return 0, false
	}
	n, err := strconv.ParseUint(token[3:5], 16, 8)
	return byte(n), err == nil
}

// cleanup undoes what splitting did to English, in this order.
var cleanup = [][2]string{
	{" .", "."},
	{" ?", "?"},
	{" !", "!"},
	{" ,", ","},
	{" ' ", "'"},
	{" n't", "n't"},
	{" 'm", "'m"},
	{" do not", " don't"},
	{" 's", "'s"},
	{" 've", "'ve"},
	{" 're", "'re"},
}

func (p *part) decodeWordPiece(tokens []string) []string {
	for i, t := range tokens {
		if rest, ok := strings.CutPrefix(t, p.Prefix); i > 0 && ok {
			t = rest
		} else if i > 0 {
			t = " " + t
		}
		if p.Cleanup {
			for _, c := range cleanup {
				t = strings.ReplaceAll(t, c[0], c[1])
			}
		}
		tokens[i] = t
	}
	return tokens
}

func (p *part) decodeMetaspace(tokens []string) []string {
	never := p.PrependScheme != nil && *p.PrependScheme == "never" ||
		p.PrependScheme == nil && p.AddPrefixSpace != nil && !*p.AddPrefixSpace
	for i, t := range tokens {
		with := " "
		if i == 0 && !never {
			with = ""
		}
		tokens[i] = strings.ReplaceAll(t, p.Replacement, with)
	}
	return tokens
}

func (p *part) decodeSuffix(tokens []string) []string {
	for i, t := range tokens {
		with := " "
		if i == len(tokens)-1 {
			with = ""
		}
		tokens[i] = strings.ReplaceAll(t, p.Suffix, with)
	}
	return tokens
}

// decodeStrip drops the letter up to so many times at each end.
func (p *part) decodeStrip(token string) string {
	for range p.Start {
		rest, ok := strings.CutPrefix(token, p.Content)
		if !ok || p.Content == "" {
			break
		}
		token = rest
	}
	for range p.Stop {
		rest, ok := strings.CutSuffix(token, p.Content)
		if !ok || p.Content == "" {
			break
		}
		token = rest
	}
	return token
}
