package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
)

// A templatePiece is one of its fields.
type templatePiece struct {
	Sequence     *struct{}     `json:"Sequence"`
	SpecialToken *templateName `json:"SpecialToken"`
}

type templateName struct {
	ID string `json:"id"`
}

type templateSpecial struct {
	IDs []int32 `json:"ids"`
}

// A tokenPair is ["[SEP]", 102] in the file.
type tokenPair struct {
	ID int32
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *tokenPair) UnmarshalJSON(data []byte) error {
	var token string
	pair := []any{&token, &p.ID}
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("%s is not a token and its id", data)
	}
	return nil
}

// newTemplate returns the special tokens around one sequence.
func newTemplate(p *part, depth int) (before, after []int32, err error) {
	if p == nil {
		return nil, nil, nil
	}
	if depth > maxDepth {
		return nil, nil, fmt.Errorf("post-processors nested deeper than %d: %w", maxDepth, ErrFormat)
	}
	switch p.Type {
	case "ByteLevel": // offsets alone
		return nil, nil, nil
	case "Sequence":
		for i := range p.Processors {
			b, a, err := newTemplate(&p.Processors[i], depth+1)
			if err != nil {
				return nil, nil, err
			}
			before, after = slices.Concat(b, before), slices.Concat(after, a)
		}
		return before, after, nil
	case "BertProcessing", "RobertaProcessing":
		if p.CLS == nil || p.Sep == nil {
			return nil, nil, fmt.Errorf("post-processor %s without cls or sep: %w", p.Type, ErrFormat)
		}
		return []int32{p.CLS.ID}, []int32{p.Sep.ID}, nil
	case "TemplateProcessing":
		return p.template()
	default:
		return nil, nil, fmt.Errorf("post-processor %q: %w", p.Type, ErrUnsupported)
	}
}

func (p *part) template() (before, after []int32, err error) {
	seen := false
	for _, piece := range p.Single {
		switch {
		case piece.SpecialToken != nil:
			special, ok := p.SpecialTokens[piece.SpecialToken.ID]
			if !ok {
				return nil, nil, fmt.Errorf("template names the special token %q, which it does not define: %w", piece.SpecialToken.ID, ErrFormat)
			}
			if seen {
				after = append(after, special.IDs...)
			} else {
				before = append(before, special.IDs...)
			}
		case piece.Sequence != nil && !seen:
			seen = true
		default:
			return nil, nil, fmt.Errorf("template of one sequence holds it twice, or something else: %w", ErrUnsupported)
		}
	}
	if !seen {
		return nil, nil, fmt.Errorf("template without the sequence: %w", ErrUnsupported)
	}
	return before, after, nil
}
