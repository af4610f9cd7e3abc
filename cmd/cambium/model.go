package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/model"
	"github.com/cambium-kernels/cambium/model/demo"
)

// modelCommand looks at models and runs them.
type modelCommand struct {
	Info       modelInfo       `cmd:"" help:"Show what a model is made of, or why it is refused."`
	States     modelStates     `cmd:"" help:"Write the hidden states before and behind every block."`
	Perplexity modelPerplexity `cmd:"" help:"How well a model foresees a text, with some blocks left out if asked."`
	Score      modelScore      `cmd:"" help:"Answer multiple-choice questions by log-likelihood."`
}

// loaded is a model by the name that the user gave it.
type loaded struct {
	*model.Model
	name string
	path string // of its folder; "" for the embedded one
}

// loadModel opens a model: a directory, a hub id in the local cache, or demo.
func loadModel(name string) (*loaded, error) {
	if name == demo.Name {
		m, err := demo.Open()
		if err != nil {
			return nil, err
		}
		return &loaded{m, name, ""}, nil
	}
	path, err := model.Locate(name)
	if err != nil {
		return nil, err
	}
	m, err := model.Open(path)
	if err != nil {
		return nil, err
	}
	return &loaded{m, name, path}, nil
}

// start opens a model and the backend to run it on; done closes both.
func start(ctx context.Context, name string, c *common, t *terminal) (m *loaded, b kernels.Backend, done func(), err error) {
	m, err = loadModel(name)
	if err != nil {
		return nil, nil, nil, err
	}
	b, closeBackend, err := openBackend(ctx, c, t)
	if err != nil {
		_ = m.Close() // it was only read
		return nil, nil, nil, err
	}
	return m, b, func() { closeBackend(); _ = m.Close() }, nil
}

// blockList reads "3,7" or "0-3,7".
func blockList(text string) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(strings.TrimSpace(from))
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(strings.TrimSpace(to))
		}
		const most = 4096 // blocks
		if err != nil || a < 0 || b < a || b > most {
			return nil, fmt.Errorf("%q is no list of blocks (write 3,7 or 0-3,7)", text)
		}
		for i := a; i <= b; i++ {
			out = append(out, i)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(out))), nil
}

// sayForward says how long a pass will take and what its states need, if that is
// long: the rate is that of one product with the shape of the model's.
func sayForward(ctx context.Context, t *terminal, b kernels.Backend, m *loaded, tokens int) error {
	const rows = 32
	c := m.Config()
	x, errX := kernels.Of(make([]float32, rows*c.Width), rows, c.Width, c.Width)
	w, errW := kernels.Of(make([]float32, min(c.Inner, 512)*c.Width), min(c.Inner, 512), c.Width, c.Width)
	y, errY := kernels.Of(make([]float32, rows*w.Rows), rows, w.Rows, w.Rows)
	for _, err := range []error{errX, errW, errY} {
		if err != nil {
			return err
		}
	}
	begun := time.Now()
	if err := b.Matmul(ctx, []kernels.Matrix{y}, []kernels.Matrix{x}, []kernels.Matrix{w}, kernels.NT, 1, 0, kernels.Options{}); err != nil {
		return err
	}
	perFlop := time.Since(begun).Seconds() / (2 * rows * float64(w.Rows) * float64(w.Cols))
	weights := 0.0 // of the maps in a block
	for _, x := range m.Weights(0) {
		if len(x.Shape) == 2 {
			weights += float64(x.Shape[0]) * float64(x.Shape[1])
		}
	}
	seconds := 2 * weights * float64(c.Blocks) * float64(tokens) * perFlop
	if seconds < longRun {
		return nil
	}
	states := uint64(tokens) * uint64(c.Width) * 4 //nolint:gosec // sizes
	fmt.Fprintf(t.talk, "about %s for %d tokens, %s of memory for their states\n", time.Duration(seconds*float64(time.Second)).Round(time.Second), tokens, bytesText(states))
	return nil
}
