package cka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/cambium-kernels/cambium/kernels"
)

// The sentinels of states.
var (
	// ErrMismatch: two states, or a state and a batch, do not belong to the same
	// comparison: other layers, rows, batch size, kernel, or backend fingerprint.
	ErrMismatch = errors.New("states do not belong together")
	// ErrOverlap: a batch would be counted twice.
	ErrOverlap = errors.New("batch counted twice")
	// ErrIncomplete: batches are missing.
	ErrIncomplete = errors.New("batches are missing")
	// ErrFormat: the bytes are no encoded state.
	ErrFormat = errors.New("malformed state")
)

// A Plan fixes a comparison by minibatches before the first one: what is
// compared, and how the rows are divided. Batch k holds the rows from k·Batch on,
// whoever computes it; shards of the work are made of whole batches.
type Plan struct {
	X []string `json:"x"`           // names of the layers
	Y []string `json:"y,omitempty"` // nil: all pairs within x

	// Data names the data, a digest of it for instance: states of different Data do
	// not merge. The package itself never looks at whole files.
	Data string `json:"data,omitempty"`

	Rows  int `json:"rows"`  // examples in all
	Batch int `json:"batch"` // rows of a batch, 4 or more; the last one may be shorter

	Kernel kernels.KernelKind `json:"kernel"` // Linear or Gaussian
	// Variance is the σ² of each layer, y's after x's, for the Gaussian kernel. It
	// has to be known beforehand: a rule applied to each batch would give each batch
	// another kernel.
	Variance []float64 `json:"variance,omitempty"`
}

// Batches returns the number of batches that count. A last batch of fewer than
// four rows, for which HSIC_1 is not defined, is dropped; see [Plan.Dropped].
func (p *Plan) Batches() int {
	if p.Batch < 1 || p.Rows < 1 {
		return 0
	}
	n := p.Rows / p.Batch
	if p.Rows%p.Batch >= kernels.Unbiased.MinRows() {
		n++
	}
	return n
}

// Dropped returns the rows at the end that no batch holds.
func (p *Plan) Dropped() int {
	if p.Batch < 1 || p.Rows < 1 {
		return 0
	}
	if rest := p.Rows % p.Batch; rest < kernels.Unbiased.MinRows() {
		return rest
	}
	return 0
}

// Range returns the rows [from, to) of a batch.
func (p *Plan) Range(batch int) (from, to int) {
	from = batch * p.Batch
	return from, min(from+p.Batch, p.Rows)
}

// pairs returns l, m and the number of HSIC values that are kept for them.
func (p *Plan) pairs() (l, m, values int) {
	l, m = len(p.X), len(p.Y)
	if p.Y == nil {
		return l, l, l * (l + 1) / 2
	}
	return l, m, l*m + l + m
}

// Limits that no honest plan meets; they keep sizes far from overflow.
const (
	maxLayers  = 1 << 15
	maxRows    = 1 << 31
	maxBatches = 1 << 28
)

func (p *Plan) check() error {
	_, _, values := p.pairs()
	switch {
	case len(p.X) == 0 || p.Y != nil && len(p.Y) == 0:
		return fmt.Errorf("no layers: %w", kernels.ErrShape)
	case len(p.X) > maxLayers || len(p.Y) > maxLayers:
		return fmt.Errorf("%d and %d layers, want at most %d: %w", len(p.X), len(p.Y), maxLayers, kernels.ErrShape)
	case values > math.MaxInt/(2*accumulatorBytes):
		return fmt.Errorf("%d pairs: %w", values, kernels.ErrMemory)
	case p.Batch < kernels.Unbiased.MinRows():
		return fmt.Errorf("batches of %d rows, want %d or more: %w", p.Batch, kernels.Unbiased.MinRows(), kernels.ErrShape)
	case p.Rows < kernels.Unbiased.MinRows() || int64(p.Rows) > maxRows || p.Batches() > maxBatches:
		return fmt.Errorf("%d rows in batches of %d, want %d to %d rows and at most %d batches: %w",
			p.Rows, p.Batch, kernels.Unbiased.MinRows(), int64(maxRows), maxBatches, kernels.ErrShape)
	case p.Kernel != kernels.Linear && p.Kernel != kernels.Gaussian:
		return fmt.Errorf("kernel %d, want linear or Gaussian: %w", p.Kernel, kernels.ErrUnsupported)
	}
	want := 0
	if p.Kernel == kernels.Gaussian {
		want = len(p.X) + len(p.Y)
	}
	if len(p.Variance) != want {
		return fmt.Errorf("%d bandwidths for %d layers: minibatches need that of each layer beforehand: %w", len(p.Variance), want, kernels.ErrShape)
	}
	for i, v := range p.Variance {
		if !(v > 0) || math.IsInf(v, 1) {
			return fmt.Errorf("bandwidth %v of layer %d is no positive number: %w", v, i, kernels.ErrShape)
		}
	}
	for _, name := range slices.Concat(p.X, p.Y, []string{p.Data}) {
		if !utf8.ValidString(name) {
			return fmt.Errorf("name %q is not UTF-8: %w", name, kernels.ErrShape)
		}
	}
	return nil
}

func (p *Plan) equal(q *Plan) bool {
	return slices.Equal(p.X, q.X) && (p.Y == nil) == (q.Y == nil) && slices.Equal(p.Y, q.Y) &&
		p.Data == q.Data && p.Rows == q.Rows && p.Batch == q.Batch && p.Kernel == q.Kernel && slices.Equal(p.Variance, q.Variance)
}

// clone returns a plan that shares nothing with p.
func (p *Plan) clone() Plan {
	q := *p
	q.X, q.Variance = slices.Clone(p.X), slices.Clone(p.Variance)
	if p.Y != nil {
		q.Y = append([]string{}, p.Y...)
	}
	return q
}

// A State accumulates debiased (minibatch) CKA: for each pair the sum over
// batches of HSIC_1, divided once at the end (Nguyen et al. 2021, equation 4).
// Every batch weighs the same.
//
// The sums are exact. Any division of the batches over states, any order of
// adding and merging, and any number of refused repetitions give a state of
// equal bytes. A state keeps the fingerprint of the backend that computed it;
// states of different fingerprints, whose terms differ in the last place, do not
// merge.
//
// A State must not be used by two goroutines at once.
type State struct {
	plan        Plan
	fingerprint string   // "" until the first batch
	seen        []uint64 // one bit a batch
	sums        []kernels.Accumulator
	floors      []kernels.Accumulator // for each layer the sum of what rounding may leave of HSIC with itself
	bad         []int32               // for each layer the first batch with NaN or Inf in HSIC with itself, or −1
}

// NewState returns an empty state. Errors: [kernels.ErrShape] or
// [kernels.ErrUnsupported] for a plan that cannot be carried out.
func NewState(p Plan) (*State, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("cka: NewState: %w", err)
	}
	_, _, values := p.pairs()
	s := &State{
		plan:   p.clone(),
		seen:   make([]uint64, (p.Batches()+63)/64),
		sums:   make([]kernels.Accumulator, values),
		floors: make([]kernels.Accumulator, len(p.X)+len(p.Y)),
		bad:    make([]int32, len(p.X)+len(p.Y)),
	}
	for i := range s.bad {
		s.bad[i] = -1
	}
	return s, nil
}

// Plan returns a copy of the plan.
func (s *State) Plan() Plan { return s.plan.clone() }

// Fingerprint returns that of the backend; "" before the first batch.
func (s *State) Fingerprint() string { return s.fingerprint }

// Seen returns the number of batches in the sums.
func (s *State) Seen() int {
	n := 0
	for _, w := range s.seen {
		n += bits.OnesCount64(w)
	}
	return n
}

// Has reports whether a batch is in the sums.
func (s *State) Has(batch int) bool {
	return batch >= 0 && batch < s.plan.Batches() && s.seen[batch/64]>>(batch%64)&1 == 1
}

// Missing returns up to limit batches that are not in the sums, ascending.
func (s *State) Missing(limit int) []int {
	var out []int
	for k := 0; k < s.plan.Batches() && len(out) < limit; k++ {
		if !s.Has(k) {
			out = append(out, k)
		}
	}
	return out
}

// Add computes the terms of one batch and adds them. x and y hold the rows
// [Plan.Range] of every layer, in the plan's order. After an error the state is
// as before: the batch may be tried again. Errors: [ErrOverlap] for a batch that
// is in the sums already, [ErrMismatch] for another backend, [kernels.ErrShape]
// for matrices that do not fit the plan; those of [kernels.Backend.HSICMatrix].
func (s *State) Add(ctx context.Context, b kernels.Backend, batch int, x, y []kernels.Matrix, o kernels.Options) error {
	if batch < 0 || batch >= s.plan.Batches() {
		return fmt.Errorf("cka: Add: batch %d of %d: %w", batch, s.plan.Batches(), kernels.ErrShape)
	}
	if s.Has(batch) {
		return fmt.Errorf("cka: Add: batch %d: %w", batch, ErrOverlap)
	}
	if len(x) != len(s.plan.X) || len(y) != len(s.plan.Y) || (y == nil) != (s.plan.Y == nil) {
		return fmt.Errorf("cka: Add: %d and %d layers, the plan has %d and %d: %w", len(x), len(y), len(s.plan.X), len(s.plan.Y), kernels.ErrShape)
	}
	from, to := s.plan.Range(batch)
	for i, m := range join(x, y) {
		if m.Rows != to-from {
			return fmt.Errorf("cka: Add: batch %d, layer %d: %d rows, want %d: %w", batch, i, m.Rows, to-from, kernels.ErrShape)
		}
	}
	fingerprint := b.Info().Fingerprint
	if s.fingerprint != "" && s.fingerprint != fingerprint {
		return fmt.Errorf("cka: Add: backend %s, the state was begun on %s: %w", fingerprint, s.fingerprint, ErrMismatch)
	}
	terms, err := s.terms(ctx, b, x, y, o)
	if err != nil {
		return fmt.Errorf("cka: Add: batch %d: %w", batch, err)
	}
	floors, err := noiseFloors(ctx, b, join(x, y), Options{Estimator: kernels.Unbiased, Kernel: s.plan.Kernel})
	if err != nil {
		return fmt.Errorf("cka: Add: batch %d: %w", batch, err)
	}
	if after := b.Info().Fingerprint; after != fingerprint { // a fallback took over on the way
		return fmt.Errorf("cka: Add: batch %d: backend changed from %s to %s: %w", batch, fingerprint, after, ErrMismatch)
	}
	s.fingerprint = fingerprint
	s.seen[batch/64] |= 1 << (batch % 64)
	s.addTerms(terms, batch)
	for i, f := range floors {
		s.floors[i].Add(f)
	}
	return nil
}

// terms computes HSIC_1 of one batch.
func (s *State) terms(ctx context.Context, b kernels.Backend, x, y []kernels.Matrix, o kernels.Options) (kernels.HSICTable, error) {
	l, m, _ := s.plan.pairs()
	table := kernels.HSICTable{XY: make([]float64, l*m), XX: make([]float64, l)}
	if s.plan.Y != nil {
		table.YY = make([]float64, m)
	}
	k := kernels.Kernel{Kind: s.plan.Kernel, Bandwidth: kernels.Bandwidth{Variance: s.plan.Variance}}
	return table, b.HSICMatrix(ctx, table, x, y, k, kernels.Unbiased, o)
}

// addTerms adds a batch's values in the order in which sums holds them: XY by
// rows, only j <= i within one set, then XX and YY between two.
func (s *State) addTerms(t kernels.HSICTable, batch int) {
	l, m, _ := s.plan.pairs()
	k := 0
	next := func(v float64) {
		s.sums[k].Add(v)
		k++
	}
	for i := range l {
		row := t.XY[i*m : (i+1)*m]
		if s.plan.Y == nil {
			row = row[:i+1]
		}
		for _, v := range row {
			next(v)
		}
	}
	if s.plan.Y != nil {
		for _, v := range slices.Concat(t.XX, t.YY) {
			next(v)
		}
	}
	for i, v := range slices.Concat(t.XX, t.YY) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			s.bad[i] = earlier(s.bad[i], int32(batch)) //nolint:gosec // at most maxBatches
		}
	}
}

// earlier returns the smaller of two batches; −1 is none.
func earlier(a, b int32) int32 {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// Merge adds the batches of other, which is not changed. After an error s is as
// before. Errors: [ErrMismatch], [ErrOverlap].
func (s *State) Merge(other *State) error {
	switch {
	case other == nil:
		return nil
	case !s.plan.equal(&other.plan):
		return fmt.Errorf("cka: Merge: %s: %w", s.plan.difference(&other.plan), ErrMismatch)
	case s.fingerprint != "" && other.fingerprint != "" && s.fingerprint != other.fingerprint:
		return fmt.Errorf("cka: Merge: computed on %s and on %s: %w", s.fingerprint, other.fingerprint, ErrMismatch)
	}
	for w, b := range other.seen {
		if both := s.seen[w] & b; both != 0 {
			return fmt.Errorf("cka: Merge: batch %d is in both: %w", 64*w+bits.TrailingZeros64(both), ErrOverlap)
		}
	}
	if s.fingerprint == "" {
		s.fingerprint = other.fingerprint
	}
	for w, b := range other.seen {
		s.seen[w] |= b
	}
	for k := range s.sums {
		s.sums[k].Merge(&other.sums[k])
	}
	for i := range s.floors {
		s.floors[i].Merge(&other.floors[i])
	}
	for i, b := range other.bad {
		s.bad[i] = earlier(s.bad[i], b)
	}
	return nil
}

// difference names the first field in which two plans differ.
func (p *Plan) difference(q *Plan) string {
	switch {
	case p.Rows != q.Rows:
		return fmt.Sprintf("%d rows and %d rows", p.Rows, q.Rows)
	case p.Batch != q.Batch:
		return fmt.Sprintf("batches of %d rows and of %d", p.Batch, q.Batch)
	case p.Kernel != q.Kernel:
		return "linear and Gaussian kernel"
	case !slices.Equal(p.Variance, q.Variance):
		return "different bandwidths"
	case p.Data != q.Data:
		return fmt.Sprintf("data %s and data %s", p.Data, q.Data)
	default:
		return fmt.Sprintf("layers %q, %q and %q, %q", p.X, p.Y, q.X, q.Y)
	}
}

// Result divides the sums. The HSIC values in it are means over batches. Errors:
// [ErrIncomplete] if a batch of the plan is missing.
func (s *State) Result() (*Result, error) {
	if missing := s.Missing(5); len(missing) > 0 {
		return nil, fmt.Errorf("cka: Result: %d of %d batches, the first missing are %v: %w", s.Seen(), s.plan.Batches(), missing, ErrIncomplete)
	}
	l, m, _ := s.plan.pairs()
	r := &Result{Rows: s.plan.Rows - s.plan.Dropped(), L: l, M: m, XY: make([]float64, l*m), XX: make([]float64, l), Variance: slices.Clone(s.plan.Variance)}
	k := 0
	next := func() float64 {
		v := s.sums[k].Sum() / float64(s.plan.Batches())
		k++
		return v
	}
	for i := range l {
		for j := range m {
			if s.plan.Y == nil && j > i {
				break
			}
			r.XY[i*m+j] = next()
			if s.plan.Y == nil {
				r.XY[j*m+i] = r.XY[i*m+j]
			}
		}
	}
	for i := range l {
		if s.plan.Y == nil {
			r.XX[i] = r.XY[i*m+i]
		} else {
			r.XX[i] = next()
		}
	}
	if s.plan.Y != nil {
		r.YY = make([]float64, m)
		for j := range m {
			r.YY[j] = next()
		}
	}
	floors := make([]float64, len(s.floors))
	for i := range floors { // NaN where features are, and HSIC with them
		floors[i] = s.floors[i].Sum() / float64(s.plan.Batches())
	}
	r.divide(s.plan.Y != nil, kernels.Unbiased, floors, func(layer int, self float64) string {
		if b := s.bad[layer]; b >= 0 {
			from, to := s.plan.Range(int(b))
			return fmt.Sprintf("NaN, infinite or overflowing features, first in batch %d (rows %d to %d)", b, from, to-1)
		}
		return selfReason(self, kernels.Unbiased)
	})
	return r, nil
}
