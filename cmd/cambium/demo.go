package main

import (
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/cambium-kernels/cambium"
	"github.com/cambium-kernels/cambium/kernels"
)

// demoStates are hidden states of a small model; see demo/README.md.
//
//go:embed demo/states.f16
var demoStates []byte

const (
	demoBlocks = 12
	demoTokens = 126
	demoWidth  = 96
)

// demoCommand compares the input and output of every block by linear CKA, on
// embedded states, and names the blocks that change their input most.
type demoCommand struct {
	Top int `default:"4" help:"How many blocks to name."`
}

// demoReport is the JSON of demo.
type demoReport struct {
	Blocks   int         `json:"blocks"`
	Tokens   int         `json:"tokens"`
	Width    int         `json:"hidden_size"`
	Scores   []demoScore `json:"scores"`
	Selected []int       `json:"selected"`
	Backend  string      `json:"backend"`
}

type demoScore struct {
	Block    int     `json:"block"`
	CKA      float64 `json:"cka"`
	Debiased float64 `json:"cka_debiased"`
}

// Validate refuses a number of blocks that the model does not have.
func (d demoCommand) Validate() error {
	if d.Top < 1 || d.Top > demoBlocks {
		return fmt.Errorf("--top %d: the model has %d blocks (give 1 to %d)", d.Top, demoBlocks, demoBlocks)
	}
	return nil
}

// Run computes and prints the comparison.
func (d demoCommand) Run(ctx context.Context, c *common, t *terminal) (err error) {
	states, err := loadDemo(demoStates)
	if err != nil {
		return err
	}
	b, err := cambium.Open(ctx, c.config())
	if err != nil {
		return err
	}
	defer func() {
		if e := b.Close(); err == nil {
			err = e
		}
	}()
	info := b.Info()
	fmt.Fprintf(t.talk, "backend %s, %d workers", info.Name, info.Workers)
	if info.Fallback != nil {
		fmt.Fprintf(t.talk, " (%v)", info.Fallback)
	}
	fmt.Fprintln(t.talk)
	report := demoReport{Blocks: demoBlocks, Tokens: demoTokens, Width: demoWidth, Backend: info.Name}
	if report.Scores, err = demoScores(ctx, b, states); err != nil {
		return err
	}
	order := slices.Clone(report.Scores)
	slices.SortStableFunc(order, func(p, q demoScore) int {
		if p.CKA < q.CKA {
			return -1
		} else if p.CKA > q.CKA {
			return 1
		}
		return 0
	})
	for _, s := range order[:d.Top] {
		report.Selected = append(report.Selected, s.Block)
	}
	slices.Sort(report.Selected)
	if c.JSON {
		return printJSON(t.out, report)
	}
	return report.print(t.out)
}

// loadDemo returns the states at the input of each block and behind the last.
func loadDemo(data []byte) ([]kernels.Matrix, error) {
	const n = demoTokens * demoWidth
	if len(data) != (demoBlocks+1)*n*2 {
		return nil, fmt.Errorf("demo: %d bytes of states, want %d", len(data), (demoBlocks+1)*n*2)
	}
	var out []kernels.Matrix
	for ; len(data) > 0; data = data[2*n:] {
		bits := make([]uint16, n)
		for i := range bits {
			bits[i] = binary.LittleEndian.Uint16(data[2*i:])
		}
		m, err := kernels.OfBits(kernels.Float16, bits, demoTokens, demoWidth, demoWidth)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// demoScores returns CKA = HSIC(x, y) / √(HSIC(x, x)·HSIC(y, y)) of each block's
// input x and output y, by both estimators.
func demoScores(ctx context.Context, b kernels.Backend, states []kernels.Matrix) ([]demoScore, error) {
	out := make([]demoScore, len(states)-1)
	values := make([]kernels.HSICValue, len(out))
	for _, e := range []kernels.Estimator{kernels.Biased, kernels.Unbiased} {
		if err := b.HSIC(ctx, values, states[:len(out)], states[1:], e, kernels.Options{}); err != nil {
			return nil, err
		}
		for i, v := range values {
			cka := v.XY / math.Sqrt(v.XX*v.YY)
			if out[i].Block = i; e == kernels.Biased {
				out[i].CKA = cka
			} else {
				out[i].Debiased = cka
			}
		}
	}
	return out, nil
}

// print draws the table: one bar a block, longer where the block changes more.
func (r demoReport) print(w io.Writer) error {
	const width = 30
	most := 0.0
	for _, s := range r.Scores {
		most = max(most, 1-s.CKA)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Linear CKA between input and output of each block (%d tokens, %d features)\n\n", r.Tokens, r.Width)
	fmt.Fprintf(&b, "block     CKA  debiased  change\n")
	for _, s := range r.Scores {
		mark := " "
		if slices.Contains(r.Selected, s.Block) {
			mark = "*"
		}
		bar := strings.Repeat("#", int(math.Round(width*(1-s.CKA)/most)))
		fmt.Fprintf(&b, "%4d %s  %.4f    %.4f  %s\n", s.Block, mark, s.CKA, s.Debiased, bar)
	}
	fmt.Fprintf(&b, "\nThe %d blocks marked * change their input most: %s\n", len(r.Selected), strings.Trim(fmt.Sprint(r.Selected), "[]"))
	_, err := io.WriteString(w, b.String())
	return err
}
