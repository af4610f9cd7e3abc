package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/cambium-kernels/cambium/kernels"
)

// Limits of a configuration. They keep every product of two sizes within an int
// of 64 bits, and memory for the description of a model small.
const (
	maxSize   = 1 << 24
	maxBlocks = 4096
	maxHead   = 1 << 16  // head dimension: a table of frequencies is made of it
	maxConfig = 16 << 20 // bytes of config.json
)

// A Config is what a configuration comes to: numbers, with every default filled in.
type Config struct {
	Type         string // model_type
	Blocks       int    // L
	Width        int    // of a hidden state
	Heads        int    // of queries
	KVHeads      int    // of keys and values
	HeadDim      int
	Inner        int // width of the MLP
	Vocabulary   int
	MaxPositions int // tokens of a sequence at most where positions are learned; else what the model was made for

	Norm       kernels.NormKind
	Offset     float64 // added to the norms' weights
	Epsilon    float64
	Activation kernels.Activation
	Causal     bool
	Layers     []Layer // one per block

	SoftCap        float64 // of attention scores; 0: none
	EmbeddingScale float64
	ResidualScale  float64 // on what a block adds
	LogitScale     float64
	LogitCap       float64 // 0: none
	Tied           bool    // the head is the embedding
	Image          Image   // of models that see images

	QueryBias, OutputBias, MLPBias bool // the linear maps that have one; of the attention: queries, keys and values

	Types int // token types; 0: none
	// Passed are keys that are not known to matter, sorted. transformers passes
	// them over as well.
	Passed []string
}

// A Layer is what may differ between the blocks of one model.
type Layer struct {
	Window int // 0: none; else a query sees keys at position > its own − Window
	RoPE   *RoPE
	Scale  float64 // on queries·keys
}

// An Image is the input of a vision model: Size x Size in Channels, cut into
// squares of Patch.
type Image struct{ Size, Patch, Channels int }

// Patches returns the number of patches.
func (i Image) Patches() int { return (i.Size / i.Patch) * (i.Size / i.Patch) }

// ParseConfig reads the text of a config.json, in the spelling of transformers 4
// or 5. Errors: [ErrUnsupported] for what is not run here, [ErrConfig] for what
// contradicts itself.
func ParseConfig(text []byte) (*Config, error) {
	m, _, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("model: config.json: %w", err)
	}
	return m, nil
}

func parseConfig(text []byte) (*Config, *family, error) {
	values, err := decode(text)
	if err != nil {
		return nil, nil, err
	}
	if err := refuseQuantized(values); err != nil {
		return nil, nil, err
	}
	if values, err = textPart(values); err != nil {
		return nil, nil, err
	}
	kind, _ := values["model_type"].(string)
	f, err := familyOf(kind)
	if err != nil {
		return nil, nil, err
	}
	c := &reader{family: f, values: values}
	m := c.read(kind)
	if c.err != nil {
		return nil, nil, c.err
	}
	return m, f, nil
}

// decode reads one JSON object; numbers stay as they are written.
func decode(text []byte) (map[string]any, error) {
	if len(text) > maxConfig {
		return nil, fmt.Errorf("%d bytes, %d at most: %w", len(text), maxConfig, ErrConfig)
	}
	var values map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&values); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("something follows the end of the object: %w", ErrConfig)
	}
	if values == nil {
		return nil, fmt.Errorf("null where an object was expected: %w", ErrConfig)
	}
	return values, nil
}

// familyOf looks a model_type up.
func familyOf(kind string) (*family, error) {
	if f := families[kind]; f != nil {
		return f, nil
	}
	switch reason := refusedTypes[kind]; {
	case kind == "":
		return nil, fmt.Errorf("there is no model_type: %w", ErrConfig)
	case reason != "":
		return nil, fmt.Errorf("model_type %q is %s, which is not run here: %w (%s)", kind, reason, ErrUnsupported, WayRound)
	}
	return nil, fmt.Errorf("model_type %q is not known; these are: %s: %w (%s)",
		kind, strings.Join(Families(), ", "), ErrUnsupported, WayRound)
}

// refuseQuantized refuses weights that are packed in a way of their own.
func refuseQuantized(values map[string]any) error {
	for _, k := range []string{"quantization_config", "compression_config"} {
		q, ok := values[k].(map[string]any)
		if !ok || len(q) == 0 {
			if neutral(values[k]) {
				continue
			}
			return fmt.Errorf("%s is %v: %w", k, values[k], ErrConfig)
		}
		method, _ := q["quant_method"].(string)
		if method == "" {
			method = "an unnamed method"
		}
		return fmt.Errorf("the weights are quantized by %s, which is not read here: %w (take the unquantized model, or %s)", method, ErrUnsupported, WayRound)
	}
	return nil
}

// textPart returns the configuration of the text model within that of a model
// with other inputs besides.
func textPart(values map[string]any) (map[string]any, error) {
	inner, ok := values["text_config"].(map[string]any)
	if !ok {
		return values, nil
	}
	outer, _ := values["model_type"].(string)
	kind, known := spellings[outer]
	if !known {
		return values, nil // to be refused by its name
	}
	if err := refuseQuantized(inner); err != nil {
		return nil, err
	}
	inner = maps.Clone(inner)
	if _, ok := inner["model_type"]; !ok {
		inner["model_type"] = kind
	}
	// The outer one counts for the whole model.
	if tied, ok := values["tie_word_embeddings"]; ok {
		if own, ok := inner["tie_word_embeddings"]; ok && own != tied {
			return nil, fmt.Errorf("tie_word_embeddings is %v, and %v in text_config: %w", tied, own, ErrConfig)
		}
		inner["tie_word_embeddings"] = tied
	}
	return inner, nil
}
