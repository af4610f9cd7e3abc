package cka_test

import (
	"bytes"
	"context"
	"encoding"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/cka"
	"github.com/cambium-kernels/cambium/kernels"
)

func newState(t testing.TB, p cka.Plan) *cka.State {
	t.Helper()
	s, err := cka.NewState(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// addBatch adds batch k of whole layers.
func addBatch(t testing.TB, s *cka.State, b kernels.Backend, k int, x, y []kernels.Matrix) error {
	t.Helper()
	plan := s.Plan()
	from, to := plan.Range(k)
	part := func(layers []kernels.Matrix) []kernels.Matrix {
		if layers == nil {
			return nil
		}
		out := make([]kernels.Matrix, len(layers))
		for i, m := range layers {
			v, err := m.View(from, 0, to-from, m.Cols)
			if err != nil {
				t.Fatal(err)
			}
			out[i] = v
		}
		return out
	}
	return s.Add(t.Context(), b, k, part(x), part(y), kernels.Options{})
}

func encode(t testing.TB, s encoding.BinaryMarshaler) []byte {
	t.Helper()
	data, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestMinibatchGolden(t *testing.T) {
	b := backend(t)
	x, y := matrix(t, slices.Concat(sixX, secondX)), matrix(t, slices.Concat(sixY, secondY))
	for _, two := range []bool{true, false} {
		plan := cka.Plan{X: []string{"x"}, Y: []string{"y"}, Rows: 12, Batch: 6}
		layers, others := list(x), list(y)
		if !two {
			plan.X, plan.Y = []string{"x", "y"}, nil
			layers, others = list(x, y), nil
		}
		s := newState(t, plan)
		for k := range plan.Batches() {
			if err := addBatch(t, s, b, k, layers, others); err != nil {
				t.Fatal(err)
			}
		}
		r, err := s.Result()
		if err != nil {
			t.Fatal(err)
		}
		last := len(r.CKA) - r.M // the row of the last x
		near(t, "CKA", r.CKA[r.M-1], 0.3636379272568558, 1e-12)
		near(t, "HSIC xy", 2*r.XY[r.M-1], 1.37777777777777778, 1e-12)
		near(t, "HSIC xx", 2*r.XX[0], 3.77777777777777778, 1e-12)
		near(t, "HSIC yy", 2*r.YY[r.M-1], 3.8, 1e-12)
		if r.Rows != 12 || len(r.Undefined) != 0 || !two && r.CKA[last] != r.CKA[1] {
			t.Errorf("%+v", r)
		}
	}
}

// Unequal batches weigh alike, and a last one of fewer than four rows is dropped.
func TestMinibatchUnequal(t *testing.T) {
	b := backend(t)
	for _, c := range []struct{ rows, batch, batches, dropped int }{
		{20, 8, 3, 0}, {19, 8, 2, 3}, {17, 8, 2, 1}, {16, 8, 2, 0}, {5, 8, 1, 0}, {7, 4, 1, 3}, {8, 4, 2, 0},
	} {
		x, y := flat(t, normal(1, c.rows, 5), c.rows), flat(t, normal(2, c.rows, 3), c.rows)
		plan := cka.Plan{X: []string{"x"}, Y: []string{"y"}, Rows: c.rows, Batch: c.batch}
		if plan.Batches() != c.batches || plan.Dropped() != c.dropped {
			t.Errorf("%d rows by %d: %d batches, %d rows dropped, want %d and %d", c.rows, c.batch, plan.Batches(), plan.Dropped(), c.batches, c.dropped)
		}
		s := newState(t, plan)
		var xy, xx, yy float64
		for k := range plan.Batches() {
			if err := addBatch(t, s, b, k, list(x), list(y)); err != nil {
				t.Fatal(err)
			}
			from, to := plan.Range(k)
			xk, err1 := x.View(from, 0, to-from, 5)
			yk, err2 := y.View(from, 0, to-from, 3)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			r := compare(t, b, list(xk), list(yk), debiased)
			xy, xx, yy = xy+r.XY[0], xx+r.XX[0], yy+r.YY[0]
		}
		r, err := s.Result()
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("%d rows by %d", c.rows, c.batch), r.CKA[0], xy/math.Sqrt(xx*yy), 1e-13)
		if r.Rows != c.rows-c.dropped {
			t.Errorf("%d rows counted, want %d", r.Rows, c.rows-c.dropped)
		}
	}
}

// Whatever the division into shards, the order, and the repetitions, the bytes
// are the same.
func TestStateBytes(t *testing.T) {
	b := backend(t)
	rounds := 1000
	if testing.Short() {
		rounds = 60
	}
	const rows = 83
	x := list(flat(t, normal(1, rows, 2), rows), flat(t, normal(2, rows, 3), rows))
	y := list(flat(t, normal(3, rows, 2), rows))
	for _, others := range [][]kernels.Matrix{nil, y} {
		plan := cka.Plan{X: []string{"a", "b"}, Rows: rows, Batch: 5}
		if others != nil {
			plan.Y = []string{"c"}
		}
		n := plan.Batches()
		whole := newState(t, plan)
		single := make([][]byte, n) // each batch as a state of its own
		for k := range n {
			if err := addBatch(t, whole, b, k, x, others); err != nil {
				t.Fatal(err)
			}
			s := newState(t, plan)
			if err := addBatch(t, s, b, k, x, others); err != nil {
				t.Fatal(err)
			}
			single[k] = encode(t, s)
		}
		want := encode(t, whole)
		r := rand.New(rand.NewPCG(7, 7))
		for round := range rounds {
			if got := shardedSum(t, r, plan, single); !bytes.Equal(got, want) {
				t.Fatalf("round %d: another sum", round)
			}
		}
	}
}

// shardedSum deals the batches to random shards in random order, adds each with
// refused repetitions between, and merges the shards in random order.
func shardedSum(t *testing.T, r *rand.Rand, plan cka.Plan, single [][]byte) []byte {
	t.Helper()
	shards := make([]*cka.State, 1+r.IntN(6))
	for i := range shards {
		shards[i] = newState(t, plan)
	}
	for _, k := range r.Perm(len(single)) {
		one, err := cka.Decode(single[k])
		if err != nil {
			t.Fatal(err)
		}
		shard := shards[r.IntN(len(shards))]
		if err := shard.Merge(one); err != nil {
			t.Fatal(err)
		}
		if r.IntN(4) == 0 {
			before := encode(t, shard)
			if err := shard.Merge(one); !errors.Is(err, cka.ErrOverlap) {
				t.Fatalf("batch %d twice: %v", k, err)
			}
			if !bytes.Equal(before, encode(t, shard)) {
				t.Fatal("a refused batch changed the state")
			}
		}
	}
	total := newState(t, plan)
	for _, i := range r.Perm(len(shards)) {
		if err := total.Merge(shards[i]); err != nil {
			t.Fatal(err)
		}
	}
	return encode(t, total)
}

func TestMinibatchGaussian(t *testing.T) {
	b := backend(t)
	const rows = 24
	x, y := flat(t, normal(1, rows, 2), rows), flat(t, normal(2, rows, 3), rows)
	plan := cka.Plan{X: []string{"x"}, Y: []string{"y"}, Rows: rows, Batch: rows, Kernel: kernels.Gaussian, Variance: []float64{2, 3}}
	s := newState(t, plan)
	if err := addBatch(t, s, b, 0, list(x), list(y)); err != nil {
		t.Fatal(err)
	}
	r, err := s.Result()
	if err != nil {
		t.Fatal(err)
	}
	o := cka.Options{Estimator: kernels.Unbiased, Kernel: kernels.Gaussian, Bandwidth: kernels.Bandwidth{Variance: []float64{2, 3}}}
	near(t, "one batch of all rows", r.CKA[0], compare(t, b, list(x), list(y), o).CKA[0], 1e-15)
	if !slices.Equal(r.Variance, plan.Variance) {
		t.Errorf("σ² %v", r.Variance)
	}
	plan.Kernel, plan.Variance = kernels.Linear, nil
	if err := s.Merge(newState(t, plan)); !errors.Is(err, cka.ErrMismatch) || !strings.Contains(err.Error(), "Gaussian") {
		t.Errorf("another kernel: %v", err)
	}
}

func TestStateRefusals(t *testing.T) {
	b := backend(t)
	const rows = 12
	x, y := list(flat(t, normal(1, rows, 2), rows)), list(flat(t, normal(2, rows, 3), rows))
	plan := cka.Plan{X: []string{"x"}, Y: []string{"y"}, Rows: rows, Batch: 4}
	s := newState(t, plan)
	if _, err := s.Result(); !errors.Is(err, cka.ErrIncomplete) {
		t.Errorf("no batch: %v", err)
	}
	if err := addBatch(t, s, b, 1, x, y); err != nil {
		t.Fatal(err)
	}
	before := encode(t, s)
	if s.Fingerprint() != b.Info().Fingerprint || s.Seen() != 1 || !s.Has(1) || s.Has(0) || s.Has(-1) || s.Has(3) || !slices.Equal(s.Missing(9), []int{0, 2}) || !slices.Equal(s.Missing(1), []int{0}) {
		t.Errorf("after batch 1: %q, %d seen, missing %v", s.Fingerprint(), s.Seen(), s.Missing(9))
	}
	part := func(m kernels.Matrix, n int) []kernels.Matrix {
		v, err := m.View(0, 0, n, m.Cols)
		if err != nil {
			t.Fatal(err)
		}
		return list(v)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	other := relabelled{b, "another tier"}
	flaky := &changing{Backend: b}
	for _, c := range []struct {
		name  string
		ctx   context.Context //nolint:containedctx // a table
		b     kernels.Backend
		batch int
		x, y  []kernels.Matrix
		want  error
	}{
		{"a batch twice", t.Context(), b, 1, part(x[0], 4), part(y[0], 4), cka.ErrOverlap},
		{"a negative batch", t.Context(), b, -1, part(x[0], 4), part(y[0], 4), kernels.ErrShape},
		{"a batch too far", t.Context(), b, 3, part(x[0], 4), part(y[0], 4), kernels.ErrShape},
		{"too few rows", t.Context(), b, 0, part(x[0], 3), part(y[0], 4), kernels.ErrShape},
		{"too many rows", t.Context(), b, 0, part(x[0], 4), part(y[0], 5), kernels.ErrShape},
		{"a layer missing", t.Context(), b, 0, part(x[0], 4), nil, kernels.ErrShape},
		{"a layer too many", t.Context(), b, 0, append(part(x[0], 4), x[0]), part(y[0], 4), kernels.ErrShape},
		{"another backend", t.Context(), other, 0, part(x[0], 4), part(y[0], 4), cka.ErrMismatch},
		{"a backend that changes", t.Context(), flaky, 0, part(x[0], 4), part(y[0], 4), cka.ErrMismatch},
		{"cancelled", ended, b, 0, part(x[0], 4), part(y[0], 4), context.Canceled},
	} {
		if err := s.Add(c.ctx, c.b, c.batch, c.x, c.y, kernels.Options{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if !bytes.Equal(encode(t, s), before) {
			t.Fatalf("%s: the state changed", c.name)
		}
	}
	t.Run("merge", func(t *testing.T) {
		for _, c := range []struct {
			name   string
			change func(*cka.Plan)
			text   string
		}{
			{"layers", func(p *cka.Plan) { p.X = []string{"z"} }, "layers"},
			{"no y", func(p *cka.Plan) { p.Y = nil }, "layers"},
			{"data", func(p *cka.Plan) { p.Data = "digest" }, "data digest"},
			{"rows", func(p *cka.Plan) { p.Rows++ }, "13 rows"},
			{"batch", func(p *cka.Plan) { p.Batch = 6 }, "batches of 4 rows and of 6"},
			{"kernel", func(p *cka.Plan) { p.Kernel, p.Variance = kernels.Gaussian, []float64{1, 1} }, "kernel"},
		} {
			p := plan
			c.change(&p)
			if err := s.Merge(newState(t, p)); !errors.Is(err, cka.ErrMismatch) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		tier := newState(t, plan)
		if err := addBatch(t, tier, other, 0, x, y); err != nil {
			t.Fatal(err)
		}
		if err := s.Merge(tier); !errors.Is(err, cka.ErrMismatch) || !strings.Contains(err.Error(), "another tier") {
			t.Errorf("another tier: %v", err)
		}
		if err := s.Merge(s); !errors.Is(err, cka.ErrOverlap) || !strings.Contains(err.Error(), "batch 1") {
			t.Errorf("with itself: %v", err)
		}
		if err := s.Merge(nil); err != nil {
			t.Errorf("with nothing: %v", err)
		}
		if err := s.Merge(newState(t, plan)); err != nil {
			t.Errorf("with an empty one: %v", err)
		}
		if !bytes.Equal(encode(t, s), before) {
			t.Error("refused merges changed the state")
		}
	})
	if _, err := s.Result(); !errors.Is(err, cka.ErrIncomplete) || !strings.Contains(err.Error(), "[0 2]") {
		t.Errorf("two batches missing: %v", err)
	}
}

// relabelled is a backend with a fingerprint of its own.
type relabelled struct {
	kernels.Backend
	fingerprint string
}

func (r relabelled) Info() kernels.Info {
	info := r.Backend.Info()
	info.Fingerprint = r.fingerprint
	return info
}

// changing is a backend that is replaced by another one while it computes.
type changing struct {
	kernels.Backend
	used bool
}

func (c *changing) Info() kernels.Info {
	info := c.Backend.Info()
	if c.used {
		info.Fingerprint = "the fallback"
	}
	return info
}

func (c *changing) HSICMatrix(ctx context.Context, dst kernels.HSICTable, x, y []kernels.Matrix, k kernels.Kernel, e kernels.Estimator, o kernels.Options) error {
	c.used = true
	return c.Backend.HSICMatrix(ctx, dst, x, y, k, e, o)
}

func TestPlanRefusals(t *testing.T) {
	many := make([]string, 1<<15+1)
	for _, c := range []struct {
		name string
		plan cka.Plan
		want error
	}{
		{"nothing", cka.Plan{}, kernels.ErrShape},
		{"no x", cka.Plan{Rows: 8, Batch: 4}, kernels.ErrShape},
		{"empty y", cka.Plan{X: []string{"x"}, Y: []string{}, Rows: 8, Batch: 4}, kernels.ErrShape},
		{"too many layers", cka.Plan{X: many, Rows: 8, Batch: 4}, kernels.ErrShape},
		{"batch of 3", cka.Plan{X: []string{"x"}, Rows: 8, Batch: 3}, kernels.ErrShape},
		{"3 rows", cka.Plan{X: []string{"x"}, Rows: 3, Batch: 4}, kernels.ErrShape},
		{"negative rows", cka.Plan{X: []string{"x"}, Rows: -8, Batch: 4}, kernels.ErrShape},
		{"too many batches", cka.Plan{X: []string{"x"}, Rows: math.MaxInt32, Batch: 4}, kernels.ErrShape},
		{"unknown kernel", cka.Plan{X: []string{"x"}, Rows: 8, Batch: 4, Kernel: kernels.Precomputed}, kernels.ErrUnsupported},
		{"no bandwidth", cka.Plan{X: []string{"x"}, Rows: 8, Batch: 4, Kernel: kernels.Gaussian}, kernels.ErrShape},
		{"a bandwidth for linear", cka.Plan{X: []string{"x"}, Rows: 8, Batch: 4, Variance: []float64{1}}, kernels.ErrShape},
		{"bandwidth 0", cka.Plan{X: []string{"x"}, Rows: 8, Batch: 4, Kernel: kernels.Gaussian, Variance: []float64{0}}, kernels.ErrShape},
		{"bandwidth NaN", cka.Plan{X: []string{"x"}, Rows: 8, Batch: 4, Kernel: kernels.Gaussian, Variance: []float64{math.NaN()}}, kernels.ErrShape},
		{"bandwidth Inf", cka.Plan{X: []string{"x"}, Rows: 8, Batch: 4, Kernel: kernels.Gaussian, Variance: []float64{math.Inf(1)}}, kernels.ErrShape},
		{"bad name", cka.Plan{X: []string{"\xff"}, Rows: 8, Batch: 4}, kernels.ErrShape},
	} {
		if _, err := cka.NewState(c.plan); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if p := (cka.Plan{}); p.Dropped() != 0 || p.Batches() != 0 {
		t.Error("an empty plan has batches")
	}
}

// The plan given and the plan returned are copies.
func TestPlanCopies(t *testing.T) {
	plan := cka.Plan{X: []string{"x"}, Y: []string{"y"}, Rows: 8, Batch: 4, Kernel: kernels.Gaussian, Variance: []float64{1, 2}}
	s := newState(t, plan)
	plan.X[0], plan.Y[0], plan.Variance[0] = "z", "z", 9
	got := s.Plan()
	if got.X[0] != "x" || got.Y[0] != "y" || got.Variance[0] != 1 {
		t.Errorf("the state follows its plan's slices: %+v", got)
	}
	got.X[0] = "w"
	if s.Plan().X[0] != "x" {
		t.Error("the state follows a returned plan's slices")
	}
}

func TestStateUndefined(t *testing.T) {
	b := backend(t)
	const rows = 12
	data := normal(1, rows, 2)
	data[2*5] = math.NaN()   // row 5: batch 1
	data[2*9] = math.Inf(-1) // row 9: batch 2
	bad, good, constant := flat(t, data, rows), flat(t, normal(2, rows, 3), rows), flat(t, make([]float64, rows), rows)
	plan := cka.Plan{X: []string{"bad", "good"}, Y: []string{"constant"}, Rows: rows, Batch: 4}
	var want []byte
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		s := newState(t, plan)
		for _, k := range order {
			if err := addBatch(t, s, b, k, list(bad, good), list(constant)); err != nil {
				t.Fatal(err)
			}
		}
		got := encode(t, s)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("order %v gives other bytes", order)
		}
		r, err := s.Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Undefined) != 2 || !strings.Contains(r.Undefined[0].Reason, "batch 1 (rows 4 to 7)") || r.Undefined[0].Layer != 0 || r.Undefined[0].Y ||
			!strings.Contains(r.Undefined[1].Reason, "constant") || r.Undefined[1].Layer != 0 || !r.Undefined[1].Y {
			t.Errorf("undefined: %+v", r.Undefined)
		}
		if !math.IsNaN(r.At(0, 0)) || !math.IsNaN(r.At(1, 0)) {
			t.Errorf("values %v", r.CKA)
		}
	}
	// The earliest bad batch survives a merge, from either side.
	first, second := newState(t, plan), newState(t, plan)
	for k, s := range []*cka.State{first, first, second} {
		if err := addBatch(t, s, b, k, list(bad, good), list(constant)); err != nil {
			t.Fatal(err)
		}
	}
	if err := second.Merge(first); err != nil || !bytes.Equal(encode(t, second), want) {
		t.Errorf("merged: %v", err)
	}
}

func TestDecode(t *testing.T) {
	b := backend(t)
	const rows = 280 // 70 batches: more than one word of the set
	x, y := list(flat(t, normal(1, rows, 2), rows)), list(flat(t, normal(2, rows, 1), rows))
	plan := cka.Plan{X: []string{"x \u2603"}, Y: []string{"y"}, Rows: rows, Batch: 4, Kernel: kernels.Gaussian, Variance: []float64{0.1, 1. / 3}}
	s := newState(t, plan)
	for _, k := range []int{0, 69, 64} {
		if err := addBatch(t, s, b, k, x, y); err != nil {
			t.Fatal(err)
		}
	}
	data := encode(t, s)
	back, err := cka.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encode(t, back), data) || back.Seen() != 3 || !back.Has(69) || back.Fingerprint() != s.Fingerprint() {
		t.Error("a decoded state is another one")
	}
	// Every truncation and every flipped bit is noticed: there is a checksum.
	keep := newState(t, plan)
	kept := encode(t, keep)
	for n := range data {
		if err := keep.UnmarshalBinary(data[:n]); !errors.Is(err, cka.ErrFormat) {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
		flipped := slices.Clone(data)
		flipped[n] ^= 1 << (n % 8)
		if err := keep.UnmarshalBinary(flipped); !errors.Is(err, cka.ErrFormat) {
			t.Fatalf("bit in byte %d: %v", n, err)
		}
	}
	if !bytes.Equal(encode(t, keep), kept) {
		t.Error("a refused encoding changed the state")
	}
}

// Rows all equally far apart in every batch: what rounding leaves is no CKA, whole
// or in shards.
func TestMinibatchNoise(t *testing.T) {
	b := backend(t)
	const rows = 32
	for _, x := range []kernels.Matrix{oneHot(t, rows), single(t, oneHot(t, rows)), rotate(t, oneHot(t, rows), 0.7, 0.3, 11)} {
		y := flat(t, normal(1, rows, 3), rows)
		plan := cka.Plan{X: []string{"x"}, Y: []string{"y"}, Rows: rows, Batch: 8}
		total := newState(t, plan)
		for k := range plan.Batches() {
			part := newState(t, plan)
			if err := addBatch(t, part, b, k, list(x), list(y)); err != nil {
				t.Fatal(err)
			}
			decoded, err := cka.Decode(encode(t, part))
			if err != nil {
				t.Fatal(err)
			}
			if err := total.Merge(decoded); err != nil {
				t.Fatal(err)
			}
		}
		r, err := total.Result()
		if err != nil {
			t.Fatal(err)
		}
		if !math.IsNaN(r.CKA[0]) || len(r.Undefined) != 1 || !strings.Contains(r.Undefined[0].Reason, "equally far apart") {
			t.Errorf("CKA %v of HSIC %v, %+v", r.CKA[0], r.XX[0], r.Undefined)
		}
	}
}
