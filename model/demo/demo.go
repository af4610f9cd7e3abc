// Package demo holds a small language model and a text for it, so that every
// tool runs at once on a machine without network. See README.md for where they
// come from. The model is a toy: it shows how the tools work, and nothing about
// large models.
package demo

import (
	"bytes"
	_ "embed"
	"fmt"

	"github.com/cambium-kernels/cambium/model"
	"github.com/cambium-kernels/cambium/weights"
)

// Name is what the command calls the model.
const Name = "demo"

var (
	//go:embed config.json
	config []byte
	//go:embed model.safetensors
	tensors []byte
	//go:embed tokenizer.json
	tokenizer []byte
	//go:embed text.txt
	text string
)

// Open returns the model: a Llama of 12 blocks, 96 wide.
func Open() (*model.Model, error) {
	file, err := weights.OpenReader(bytes.NewReader(tensors), int64(len(tensors)), "demo/model.safetensors")
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return model.New(model.NewSource(config, file))
}

// Tokenizer returns the text of the model's tokenizer.json.
func Tokenizer() []byte { return bytes.Clone(tokenizer) }

// Text returns 24 kB of prose, about 12,000 tokens, that the model was not
// trained on.
func Text() string { return text }
