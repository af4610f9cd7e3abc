package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/cambium-kernels/cambium/cka"
	"github.com/cambium-kernels/cambium/kernels"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// bar shows progress on a terminal, and nothing elsewhere.
type bar struct {
	what  string
	out   io.Writer
	shown *progressbar.ProgressBar
}

// progress returns a bar that appears with the first step. Its step function is
// for calls that do not overlap.
func (t *terminal) progress(what string) *bar { return &bar{what: what, out: t.talk} }

func (b *bar) step(done, total int) {
	if !isTerminal(b.out) {
		return
	}
	if b.shown == nil {
		b.shown = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(b.out), progressbar.OptionSetDescription(b.what), progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())
	}
	_ = b.shown.Set(done) // a bar that cannot be drawn is no reason to stop
}

func (b *bar) end() {
	if b.shown != nil {
		_ = b.shown.Finish()
	}
}

// longRun is from how many seconds an estimate is worth a line.
const longRun = 10

// sayEstimate says how much memory and time a comparison will take, if it will
// take long: the same work is done on a few rows and scaled by the operations.
func sayEstimate(ctx context.Context, t *terminal, b kernels.Backend, x, y []kernels.Matrix, o cka.Options, permutations int) error {
	const rows = 96
	all := append(append([]kernels.Matrix{}, x...), y...)
	pairs := float64(len(x)) * float64(len(x)+1) / 2
	if y != nil {
		pairs = float64(len(x)) * float64(len(y))
	}
	n := float64(all[0].Rows)
	if n < 4*rows {
		return nil
	}
	width := 0.0
	var bytes uint64
	for _, m := range all {
		width += float64(m.Cols)
		bytes += uint64(m.Rows) * uint64(m.Cols) * uint64(m.DType.Size()) //nolint:gosec // sizes
	}
	sample, err := all[0].View(0, 0, rows, all[0].Cols)
	if err != nil {
		return err
	}
	begun := time.Now()
	if _, err := cka.Compare(ctx, b, []kernels.Matrix{sample}, nil, o); err != nil {
		return err
	}
	perFlop := time.Since(begun).Seconds() / (rows * rows * (float64(sample.Cols) + 1))
	seconds := perFlop * n * n * (width + pairs)
	kept := 0.0
	if o.Kernel == kernels.Gaussian { // the distances whose median is wanted
		kept = 4 * n * n
	}
	if permutations > 0 { // one multiplication an entry of the triangle, without blocking
		seconds += 4 * perFlop * float64(permutations) * n * n / 2 * pairs
		kept = max(kept, 4*n*n*float64(len(x))+12*n*n)
	}
	if seconds < longRun {
		return nil
	}
	fmt.Fprintf(t.talk, "about %s, %s of memory for the layers and %s besides\n",
		time.Duration(seconds*float64(time.Second)).Round(time.Second), bytesText(bytes), bytesText(uint64(kept)+(16<<20)))
	return nil
}
