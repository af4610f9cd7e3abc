package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cambium-kernels/cambium"
	"github.com/cambium-kernels/cambium/cka"
	"github.com/cambium-kernels/cambium/kernels"
)

// ckaCommand compares layers, or adds states of a comparison in shards.
type ckaCommand struct {
	Compare ckaCompare `cmd:"" default:"withargs" help:"Compare the layers of one file, or of two. The word compare may be left out."`
	Merge   ckaMerge   `cmd:"" help:"Add the states that shards wrote with --state."`
}

// ckaOutput are the flags for where the result goes besides stdout.
type ckaOutput struct {
	CSV  string `name:"csv" placeholder:"FILE" help:"Write the CKA matrix as CSV."`
	Plot string `placeholder:"FILE" help:"Write a heat map: .svg, .png or .html."`
}

// ckaCompare is cambium cka X [Y].
type ckaCompare struct {
	X string `arg:"" help:"Layers: .npy (n x d), .npz or .safetensors (every array of numbers, flattened to n x rest)."`
	Y string `arg:"" optional:"" help:"Other layers of the same n examples. Without them: all pairs within X."`

	Estimator    string  `enum:"biased,debiased," default:"" help:"biased (default) or debiased (default with --batch)."`
	Kernel       string  `enum:"linear,rbf" default:"linear" help:"linear or rbf."`
	RBFFraction  float64 `name:"rbf-fraction" default:"1.0" help:"Bandwidth of rbf: this fraction of the median distance."`
	Batch        number1 `placeholder:"N" help:"Minibatch CKA over batches of N rows, which alone are in memory (compressed .npz: the arrays too)."`
	Permutations number1 `placeholder:"N" help:"p-values by N random matchings of the rows."`
	Groups       string  `placeholder:"FILE" help:"Group of each row (.npy, integers): groups are permuted whole."`
	Shard        string  `placeholder:"I/N" help:"Only this part of the batches; counted from 0 or from 1. Needs --batch and --state."`
	State        string  `placeholder:"FILE" help:"Keep the sums over batches in FILE, and go on from them. Needs --batch."`
	ckaOutput

	shard, shards int // of Shard
}

// Validate refuses flags that contradict each other: wrong usage.
func (c *ckaCompare) Validate() error {
	switch {
	case c.Batch > 0 && int(c.Batch) < kernels.Unbiased.MinRows():
		return fmt.Errorf("--batch %d: the debiased estimator needs batches of %d rows or more", c.Batch, kernels.Unbiased.MinRows())
	case c.Batch > 0 && c.Estimator == "biased":
		return errors.New("--batch sums debiased terms: leave out --estimator biased")
	case c.Permutations > 0 && c.Batch > 0:
		return errors.New("--permutations needs all rows at once: leave out --batch")
	case c.Groups != "" && c.Permutations == 0:
		return errors.New("--groups are for --permutations N")
	case !(c.RBFFraction > 0) || math.IsInf(c.RBFFraction, 0):
		return fmt.Errorf("--rbf-fraction %v is no positive number", c.RBFFraction)
	case c.State != "" && c.Batch == 0:
		return errors.New("--state needs --batch N")
	case c.Shard != "" && c.State == "":
		return errors.New("--shard needs --state FILE, and cambium cka merge afterwards")
	case c.Shard != "" && (c.CSV != "" || c.Plot != ""):
		return errors.New("--csv and --plot come with the last step: cambium cka merge")
	}
	if err := c.parseShard(); err != nil {
		return err
	}
	return c.ckaOutput.Validate()
}

// number1 is a count of one or more on the command line.
type number1 int

// UnmarshalText reads a whole number from 1 on.
func (n *number1) UnmarshalText(text []byte) error {
	v, err := strconv.ParseInt(string(text), 10, 32)
	if err != nil || v < 1 {
		return fmt.Errorf("%q is no whole number from 1 on", text)
	}
	*n = number1(v)
	return nil
}

func (c *ckaCompare) parseShard() error {
	c.shard, c.shards = 0, 1
	if c.Shard == "" {
		return nil
	}
	var rest string
	n, _ := fmt.Sscanf(c.Shard, "%d/%d%s", &c.shard, &c.shards, &rest)
	if n != 2 || c.shards < 1 || c.shard < 0 || c.shard > c.shards {
		return fmt.Errorf("--shard %q: write I/N, such as 0/4 to 3/4 or 1/4 to 4/4", c.Shard)
	}
	c.shard %= c.shards // so that both ways of counting reach every part once
	return nil
}

// Run compares and prints.
func (c *ckaCompare) Run(ctx context.Context, common *common, t *terminal) error {
	if err := distinct(append(c.files(common), named{"X", c.X}, named{"Y", c.Y}, named{"--groups", c.Groups}, named{"--state", c.State})); err != nil {
		return fmt.Errorf("cka: %w", err)
	}
	in, err := openLayers(c.X, c.Y)
	if err != nil {
		return fmt.Errorf("cka: %w", err)
	}
	defer in.close()
	for _, note := range in.notes {
		fmt.Fprintln(t.talk, note)
	}
	b, done, err := openBackend(ctx, common, t)
	if err != nil {
		return err
	}
	defer done()
	if c.Batch > 0 {
		return c.minibatch(ctx, common, t, b, in)
	}
	return c.whole(ctx, common, t, b, in)
}

// openBackend opens the backend that the flags ask for and says which one serves.
func openBackend(ctx context.Context, c *common, t *terminal) (b kernels.Backend, done func(), err error) {
	b, err = cambium.Open(ctx, c.config())
	if err != nil {
		return nil, nil, err
	}
	info := b.Info()
	fmt.Fprintf(t.talk, "backend %s, %d workers", info.Name, info.Workers)
	if info.Fallback != nil {
		fmt.Fprintf(t.talk, " (%v)", info.Fallback)
	}
	fmt.Fprintln(t.talk)
	return b, func() { _ = b.Close() }, nil // nothing is left to be lost
}

// options returns the comparison that the flags describe.
func (c *ckaCompare) options() cka.Options {
	var o cka.Options
	if c.Estimator == "debiased" || c.Batch > 0 {
		o.Estimator = kernels.Unbiased
	}
	if c.Kernel == "rbf" {
		o.Kernel, o.Bandwidth.Fraction = kernels.Gaussian, c.RBFFraction
	}
	return o
}

// whole compares all rows at once.
func (c *ckaCompare) whole(ctx context.Context, common *common, t *terminal, b kernels.Backend, in *layers) error {
	groups, err := readGroups(c.Groups, in.rows)
	if err != nil {
		return fmt.Errorf("cka: %w", err)
	}
	if c.Permutations > 0 && groups == nil {
		fmt.Fprintln(t.talk, "rows are permuted one by one, which is valid only if they are independent of each other (else give --groups)")
	}
	if need := in.bytes(); common.Memory > 0 && need > uint64(common.Memory) {
		return fmt.Errorf("cka: the layers take %s, --memory allows %s (compare in batches: --batch 1024)", bytesText(need), bytesText(uint64(common.Memory)))
	}
	x, y, err := in.load(ctx, 0, in.rows)
	if err != nil {
		return fmt.Errorf("cka: %w", err)
	}
	o := c.options()
	if err := sayEstimate(ctx, t, b, x, y, o, int(c.Permutations)); err != nil {
		return err
	}
	bar := t.progress("comparing")
	o.Compute.Progress = bar.step
	r, err := cka.Compare(ctx, b, x, y, o)
	bar.end()
	if err != nil {
		return err
	}
	report := newReport(r, in, o)
	report.Backend = b.Info().Name
	if err := report.refuse(in.two()); err != nil {
		return err
	}
	if c.Permutations > 0 {
		bar := t.progress("permuting")
		o.Compute.Progress = bar.step
		p, err := cka.Permute(ctx, b, x, y, o, cka.Permutations{Count: int(c.Permutations), Seed: common.Seed, Groups: groups})
		bar.end()
		if err != nil {
			return err
		}
		report.permuted(p, int(c.Permutations))
	}
	o.Compute.Progress = nil
	if err := report.shares(ctx, b, x, y, o.Compute); err != nil {
		return err
	}
	return report.write(common, t, c.ckaOutput)
}

// minibatch adds up batches, those of one shard if asked, and keeps the sums.
func (c *ckaCompare) minibatch(ctx context.Context, common *common, t *terminal, b kernels.Backend, in *layers) error {
	plan := cka.Plan{X: in.names(in.x), Rows: in.rows, Batch: int(c.Batch)}
	var err error
	if plan.Data, err = in.digest(); err != nil {
		return fmt.Errorf("cka: %w", err)
	}
	if in.two() {
		plan.Y = in.names(in.y)
	}
	if c.Kernel == "rbf" {
		plan.Kernel = kernels.Gaussian
		if plan.Variance, err = c.bandwidths(ctx, b, in); err != nil {
			return err
		}
	}
	if plan.Batches() == 0 {
		return fmt.Errorf("cka: %d rows: the debiased estimator needs %d", in.rows, kernels.Unbiased.MinRows())
	}
	state, err := openState(c.State, plan)
	if err != nil {
		return err
	}
	if n := state.Seen(); n > 0 {
		fmt.Fprintf(t.talk, "%s holds %d of %d batches already\n", c.State, n, plan.Batches())
	}
	if c.State != "" {
		if err := writeState(c.State, state); err != nil { // a folder that is missing shows now and not at the end
			return err
		}
	}
	bar := t.progress("batches")
	err = c.addBatches(ctx, b, in, state, bar.step)
	bar.end()
	if c.State != "" && (err == nil || ctx.Err() != nil) { // what is done is kept
		if failed := writeState(c.State, state); failed != nil {
			return &unsavedError{failed}
		}
		if err != nil {
			fmt.Fprintf(t.talk, "%s holds %d of %d batches: the same command goes on from there\n", c.State, state.Seen(), plan.Batches())
		}
	}
	if err != nil {
		return err
	}
	if c.Shard != "" {
		return reportShard(common, t, c.State, state)
	}
	return reportState(common, t, state, b.Info().Name, c.ckaOutput)
}

// saveEvery is how much work is lost at most when the process is killed.
const saveEvery = 30 * time.Second

// addBatches adds the batches of the shard that the state lacks, and writes the
// state now and then.
func (c *ckaCompare) addBatches(ctx context.Context, b kernels.Backend, in *layers, state *cka.State, step func(done, total int)) error {
	plan := state.Plan()
	n := plan.Batches()
	from, to := n*c.shard/c.shards, n*(c.shard+1)/c.shards
	saved := time.Now()
	for k := from; k < to; k++ {
		if !state.Has(k) {
			first, last := plan.Range(k)
			x, y, err := in.load(ctx, first, last)
			if err != nil {
				return fmt.Errorf("cka: %w", err)
			}
			if err := state.Add(ctx, b, k, x, y, kernels.Options{}); err != nil {
				return err
			}
		}
		if c.State != "" && time.Since(saved) > saveEvery {
			if err := writeState(c.State, state); err != nil {
				return err
			}
			saved = time.Now()
		}
		step(k+1-from, to-from)
	}
	return nil
}

// bandwidthRows is how many rows, evenly spaced, the rule looks at where the
// rows are not all in memory.
const bandwidthRows = 2048

// bandwidths finds σ² of each layer. The same file gives the same values, whatever
// the shard.
func (c *ckaCompare) bandwidths(ctx context.Context, b kernels.Backend, in *layers) ([]float64, error) {
	var out []float64
	for _, l := range in.all() {
		m, err := l.sample(min(bandwidthRows, in.rows))
		if err != nil {
			return nil, fmt.Errorf("cka: %w", err)
		}
		used := make([]float64, 1)
		err = b.RBF(ctx, nil, []kernels.Matrix{m}, kernels.Bandwidth{Fraction: c.RBFFraction}, used, kernels.Options{})
		if err != nil && !errors.Is(err, kernels.ErrDegenerate) {
			return nil, err
		}
		if !(used[0] > 0) {
			return nil, fmt.Errorf("cka: layer %s: the median squared distance is %v, which gives no bandwidth (constant or repeated rows, or NaN among them)", l.name, used[0])
		}
		out = append(out, used[0])
	}
	return out, nil
}

// ckaMerge is cambium cka merge STATE...
type ckaMerge struct {
	States []string `arg:"" name:"state" help:"State files of all shards."`
	ckaOutput
}

// Validate refuses an unknown kind of picture: wrong usage.
func (c *ckaMerge) Validate() error { return c.ckaOutput.Validate() }

// Run adds the states and prints the result.
func (c *ckaMerge) Run(common *common, t *terminal) error {
	files := c.files(common)
	for _, name := range c.States {
		files = append(files, named{"STATE", name})
	}
	if err := distinct(files); err != nil {
		return fmt.Errorf("cka merge: %w", err)
	}
	var sum *cka.State
	for _, name := range c.States {
		s, err := readState(name)
		if err == nil && sum != nil {
			err = sum.Merge(s)
		} else if err == nil {
			sum = s
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return reportState(common, t, sum, "", c.ckaOutput)
}

// files are those that the command writes.
func (c *ckaOutput) files(common *common) []named {
	return []named{{"--csv", c.CSV}, {"--plot", c.Plot}, {"--cpuprofile", common.CPUProfile}}
}

// Validate refuses an unknown kind of picture: wrong usage.
func (c *ckaOutput) Validate() error {
	switch ext := strings.ToLower(filepath.Ext(c.Plot)); {
	case c.Plot == "", ext == ".svg", ext == ".png", ext == ".html":
		return nil
	default:
		return fmt.Errorf("--plot %s: a heat map is .svg, .png or .html", c.Plot)
	}
}

// bytesText prints a size for people.
func bytesText(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, suffix := float64(n), ""
	for _, s := range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if v /= unit; v < unit || s == "EiB" {
			suffix = s
			break
		}
	}
	return fmt.Sprintf("%.1f %s", v, suffix)
}
