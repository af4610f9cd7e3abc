package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/cambium-kernels/cambium/kernels"
)

// modelInfo is cambium model info MODEL.
type modelInfo struct {
	Model string `arg:"" optional:"" default:"demo" help:"A Hugging Face directory, a hub id in the local cache, or demo."`
}

// infoReport is the JSON of model info.
type infoReport struct {
	Model        string       `json:"model"`
	Path         string       `json:"path,omitempty"`
	Type         string       `json:"model_type"`
	Blocks       int          `json:"blocks"`
	Width        int          `json:"hidden_size"`
	Heads        int          `json:"heads"`
	KVHeads      int          `json:"kv_heads"`
	HeadDim      int          `json:"head_dim"`
	Inner        int          `json:"intermediate_size"`
	Vocabulary   int          `json:"vocab_size,omitempty"`
	MaxPositions int          `json:"max_position_embeddings,omitempty"`
	Parameters   int64        `json:"parameters"`
	BlockBytes   int64        `json:"block_bytes"`
	Norm         string       `json:"norm"`
	Activation   string       `json:"activation"`
	Causal       bool         `json:"causal"`
	Tied         bool         `json:"tie_word_embeddings"`
	Layers       []infoLayer  `json:"layers"`
	Tensors      []infoTensor `json:"block_tensors"`
	Passed       []string     `json:"keys_passed_over,omitempty"`
}

// infoLayer is what differs between blocks.
type infoLayer struct {
	Window int    `json:"window,omitempty"`
	RoPE   string `json:"rope,omitempty"`
}

// infoTensor is a tensor of block 0.
type infoTensor struct {
	Name  string `json:"name"`
	Role  string `json:"role"`
	Shape []int  `json:"shape"`
	DType string `json:"dtype"`
}

// Run prints what the model is made of.
func (c modelInfo) Run(common *common, t *terminal) error {
	m, err := loadModel(c.Model)
	if err != nil {
		return err
	}
	defer m.Close() //nolint:errcheck // it was only read
	r := newInfo(m)
	if common.JSON {
		return printJSON(t.out, r)
	}
	return r.print(t.out)
}

func newInfo(m *loaded) *infoReport {
	c := m.Config()
	r := &infoReport{
		Model: m.name, Path: m.path, Type: c.Type, Blocks: c.Blocks, Width: c.Width, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
		Inner: c.Inner, Vocabulary: c.Vocabulary, MaxPositions: c.MaxPositions, Parameters: m.Parameters(),
		Norm: "RMSNorm", Activation: c.Activation.String(), Causal: c.Causal, Tied: c.Tied, Passed: c.Passed,
	}
	if c.Norm == kernels.LayerNorm {
		r.Norm = "LayerNorm"
	}
	if c.Offset != 0 {
		r.Norm += fmt.Sprintf(", weight + %v", c.Offset)
	}
	for _, l := range c.Layers {
		layer := infoLayer{Window: l.Window}
		if l.RoPE != nil {
			layer.RoPE = l.RoPE.Kind
		}
		r.Layers = append(r.Layers, layer)
	}
	for _, w := range m.Weights(0) {
		r.Tensors = append(r.Tensors, infoTensor{w.Name, w.Role, w.Shape, w.DType.String()})
		n := int64(w.DType.Size())
		for _, d := range w.Shape {
			n *= int64(d)
		}
		r.BlockBytes += n
	}
	return r
}

func (r *infoReport) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...)) }
	line("model", "%s", r.Model)
	if r.Path != "" && r.Path != r.Model {
		line("folder", "%s", r.Path)
	}
	line("model_type", "%s", r.Type)
	line("blocks", "%d, %d wide", r.Blocks, r.Width)
	line("attention", "%d heads of %d, %d of keys; %s", r.Heads, r.HeadDim, r.KVHeads, map[bool]string{true: "causal", false: "both directions"}[r.Causal])
	line("MLP", "%d units, %s", r.Inner, r.Activation)
	line("norm", "%s", r.Norm)
	if r.Vocabulary > 0 {
		line("vocabulary", "%d%s", r.Vocabulary, map[bool]string{true: ", the head is the embedding", false: ""}[r.Tied])
	}
	line("parameters", "%d, %s a block", r.Parameters, bytesText(uint64(r.BlockBytes))) //nolint:gosec // a size
	for from := 0; from < len(r.Layers); {
		to := from + 1
		for to < len(r.Layers) && r.Layers[to] == r.Layers[from] {
			to++
		}
		l := r.Layers[from]
		positions := "no rotary positions"
		if l.RoPE != "" {
			positions = "rotary positions, " + l.RoPE
		}
		if l.Window > 0 {
			positions += fmt.Sprintf("; a window of %d", l.Window)
		}
		name := fmt.Sprintf("blocks %d-%d", from, to-1)
		if to == from+1 {
			name = fmt.Sprintf("block %d", from)
		}
		line(name, "%s", positions)
		from = to
	}
	if len(r.Passed) > 0 {
		line("passed over", "%s", strings.Join(r.Passed, ", "))
	}
	fmt.Fprintln(w, "\nblock 0\t\t\t")
	for _, x := range r.Tensors {
		shape := make([]string, len(x.Shape))
		for i, d := range x.Shape {
			shape[i] = strconv.Itoa(d)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", x.Name, strings.Join(shape, " x "), x.DType, x.Role)
	}
	return w.Flush()
}
