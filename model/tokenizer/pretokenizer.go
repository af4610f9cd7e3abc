package tokenizer

import (
	"fmt"
	"slices"
	"strings"
)

// A piece is a part of the text on its way to the model.
type piece struct {
	text  string
	first bool // it begins where the text began
}

// A step cuts a piece into smaller ones, none of them empty, and may rewrite
// them. It yields them in order until yield returns false, which it returns.
type step func(p piece, yield func(piece) bool) bool

// gpt2Pattern is that of ByteLevel.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// newPreTokenizer builds the steps that the file describes, in order.
func newPreTokenizer(p *part, depth int) ([]step, error) {
	if p == nil {
		return nil, nil
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("pre-tokenizers nested deeper than %d: %w", maxDepth, ErrFormat)
	}
	one := func(s step, err error) ([]step, error) { return []step{s}, err }
	runes := func(class, behavior string) ([]step, error) {
		return one(newSplit(runePattern(known(class)), behavior, false))
	}
	switch p.Type {
	case "Sequence":
		var all []step
		for i := range p.PreTokenizers {
			s, err := newPreTokenizer(&p.PreTokenizers[i], depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, s...)
		}
		return all, nil
	case "ByteLevel":
		return newByteLevel(p)
	case "Split":
		pattern, err := p.Pattern.compile()
		if err != nil {
			return nil, fmt.Errorf("pre-tokenizer Split: %w", err)
		}
		return one(newSplit(pattern, p.Behavior, p.Invert))
	case "Digits":
		if p.Individual {
			return runes(classNumeric, "Isolated")
		}
		return runes(classNumeric, "Contiguous")
	case "Punctuation":
		if p.Behavior == "" {
			p.Behavior = "Isolated"
		}
		return runes(classPunctuation, p.Behavior)
	case "WhitespaceSplit":
		return runes(classSpace, "Removed")
	case "Whitespace":
		word := known(classWord)
		other := word.union(known(classSpace)).complement()
		pattern, err := compileNode(altNode{[]node{repeatNode{setNode{word}, 1, -1, false}, repeatNode{setNode{other}, 1, -1, false}}})
		if err != nil {
			return nil, err
		}
		return one(newSplit(pattern, "Removed", true))
	case "BertPreTokenizer":
		spaces, err := newSplit(runePattern(known(classSpace)), "Removed", false)
		if err != nil {
			return nil, err
		}
		punctuation, err := newSplit(runePattern(known(classPunctuation)), "Isolated", false)
		return []step{spaces, punctuation}, err
	case "CharDelimiterSplit":
		pattern, err := matcher{Literal: &p.Delimiter}.compile()
		if err != nil {
			return nil, fmt.Errorf("pre-tokenizer CharDelimiterSplit: %w", err)
		}
		return one(newSplit(pattern, "Removed", false))
	case "Metaspace":
		return one(newMetaspace(p))
	default:
		return nil, fmt.Errorf("pre-tokenizer %q: %w", p.Type, ErrUnsupported)
	}
}

// A behavior says what becomes of what matches and what does not: whether a part
// is dropped, and whether it joins the part before it.
type behavior struct {
	drop func(match bool) bool
	join func(match, before bool) bool
}

func newBehavior(name string) (behavior, bool) {
	never := func(bool) bool { return false }
	apart := func(bool, bool) bool { return false }
	switch name {
	case "Removed":
		return behavior{func(match bool) bool { return match }, apart}, true
	case "Isolated":
		return behavior{never, apart}, true
	case "Contiguous":
		return behavior{never, func(match, before bool) bool { return match == before }}, true
	case "MergedWithPrevious":
		return behavior{never, func(match, before bool) bool { return match && !before }}, true
	case "MergedWithNext":
		return behavior{never, func(match, before bool) bool { return !match && before }}, true
	default:
		return behavior{}, false
	}
}

// newSplit cuts at what matches, or with invert at what does not.
func newSplit(p *pattern, name string, invert bool) (step, error) {
	b, ok := newBehavior(name)
	if !ok {
		return nil, fmt.Errorf("split behavior %q: %w", name, ErrUnsupported)
	}
	return func(in piece, yield func(piece) bool) bool {
		from, at, before := 0, 0, false // in.text[from:at] waits for what may join it
		emit := func() bool { return from == at || yield(piece{in.text[from:at], in.first && from == 0}) }
		return p.split(in.text, func(part string, match bool) bool {
			match = match != invert
			if at == 0 || !b.join(match, before) {
				if !emit() {
					return false
				}
				from = at
			}
			at += len(part)
			if before = match; b.drop(match) {
				from = at
			}
			return true
		}) && emit()
	}, nil
}

// newByteLevel maps the bytes to the letters that stand for them.
func newByteLevel(p *part) ([]step, error) {
	var all []step
	if p.AddPrefixSpace == nil || *p.AddPrefixSpace {
		all = append(all, func(p piece, yield func(piece) bool) bool {
			if !strings.HasPrefix(p.text, " ") {
				p.text = " " + p.text
			}
			return yield(p)
		})
	}
	if p.UseRegex == nil || *p.UseRegex {
		s, err := splitIsolated(gpt2Pattern)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return append(all, nil), nil // nil: [mapBytes], which the model may do itself
}

func splitIsolated(expr string) (step, error) {
	pattern, err := compilePattern(expr)
	if err != nil {
		return nil, err
	}
	return newSplit(pattern, "Isolated", false)
}

// prependsFirst says whether the start of the text, as it was before it was
// normalized, is treated unlike the rest.
func (p *part) prependsFirst() bool {
	return p != nil && (p.PrependScheme != nil && *p.PrependScheme == "first" ||
		slices.ContainsFunc(p.PreTokenizers, func(n part) bool { return n.prependsFirst() }))
}

// newMetaspace writes blanks as another letter and cuts before it.
func newMetaspace(p *part) (step, error) {
	scheme := "always"
	switch {
	case p.PrependScheme != nil:
		scheme = *p.PrependScheme
	case p.AddPrefixSpace != nil && !*p.AddPrefixSpace:
		scheme = "never"
	}
	if scheme != "always" && scheme != "first" && scheme != "never" {
		return nil, fmt.Errorf("pre-tokenizer Metaspace, prepend_scheme %q: %w", scheme, ErrUnsupported)
	}
	pattern, err := matcher{Literal: &p.Replacement}.compile()
	if err != nil {
		return nil, fmt.Errorf("pre-tokenizer Metaspace: %w", err)
	}
	cut, err := newSplit(pattern, "MergedWithNext", false)
	if err != nil {
		return nil, err
	}
	return func(in piece, yield func(piece) bool) bool {
		in.text = strings.ReplaceAll(in.text, " ", p.Replacement)
		if (scheme == "always" || scheme == "first" && in.first) && !strings.HasPrefix(in.text, p.Replacement) {
			in.text = p.Replacement + in.text
		}
		if p.Split != nil && !*p.Split {
			return yield(in)
		}
		return cut(in, yield)
	}, nil
}
