package cka_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/cka"
	"github.com/cambium-kernels/cambium/cpu"
	"github.com/cambium-kernels/cambium/kernels"
)

func permute(t *testing.T, b kernels.Backend, x, y []kernels.Matrix, o cka.Options, p cka.Permutations) []float64 {
	t.Helper()
	out, err := cka.Permute(context.Background(), b, x, y, o, p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Over all 720 orders of the six rows, 54 reach the observed value.
func TestPermuteExact(t *testing.T) {
	b := backend(t)
	const count = 20000
	p := permute(t, b, list(matrix(t, sixX)), list(matrix(t, sixY)), biased, cka.Permutations{Count: count, Seed: 1})
	near(t, "p-value", p[0], 0.075, 4*math.Sqrt(0.075*0.925/count))
	// Two classes of three: of 720 orders 72 keep them together, and all of those
	// tie with the observed value up to rounding.
	classes := matrix(t, [][]float64{{0.1}, {0.1}, {0.1}, {0.7}, {0.7}, {0.7}})
	for _, o := range []cka.Options{biased, debiased, gaussian(1)} {
		p = permute(t, b, list(classes), nil, o, cka.Permutations{Count: count, Seed: 2})
		near(t, "p-value with ties", p[0], 0.1, 4*math.Sqrt(0.1*0.9/count))
	}
}

// Related layers get the smallest p-value there is, unrelated ones a middling one.
func TestPermutePairs(t *testing.T) {
	b := backend(t)
	const n = 60
	x, noise := normal(1, n, 5), normal(2, n, 4)
	y := normal(3, n, 5)
	for i := range y {
		y[i] += x[i]
	}
	layers := list(flat(t, x, n), flat(t, noise, n), single(t, flat(t, y, n)))
	perms := cka.Permutations{Count: 99, Seed: 5}
	for _, o := range []cka.Options{biased, debiased, gaussian(1)} {
		within := permute(t, b, layers, nil, o, perms)
		if within[0*3+2] != 0.01 || within[2*3+0] != 0.01 || within[0] != 0.01 {
			t.Errorf("related layers: %v", within)
		}
		if within[1] < 0.03 || within[1] != within[3] {
			t.Errorf("unrelated layers: %v and %v", within[1], within[3])
		}
		two := permute(t, b, layers[:1], layers[1:], o, perms)
		if two[0] != within[1] || two[1] != within[2] {
			t.Errorf("the same pairs between two sets: %v, within one: %v", two, within)
		}
	}
}

func TestPermuteKernels(t *testing.T) {
	b := backend(t)
	const n = 30
	x, y := flat(t, normal(1, n, 3), n), flat(t, normal(11, n, 3), n)
	perms := cka.Permutations{Count: 199, Seed: 5}
	square := func(m kernels.Matrix) kernels.Matrix {
		k := flat(t, make([]float64, n*n), n)
		if err := b.Gram(context.Background(), list(k), list(m), 1, 0, kernels.Full, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		return k
	}
	linear := permute(t, b, list(x), list(y), biased, perms)
	given := permute(t, b, list(square(x)), list(square(y)), cka.Options{Kernel: kernels.Precomputed}, perms)
	if linear[0] != given[0] {
		t.Errorf("p-value of the linear kernel %v, of the same kernel given %v", linear[0], given[0])
	}
	if p := permute(t, b, list(padded(t, square(x))), list(square(y)), cka.Options{Kernel: kernels.Precomputed}, perms); p[0] != given[0] {
		t.Errorf("p-value of a padded kernel %v, want %v", p[0], given[0])
	}
	large := square(x)
	if err := b.Gram(context.Background(), list(large), list(x), 1e100, 0, kernels.Full, kernels.Options{}); err != nil {
		t.Fatal(err)
	}
	if p := permute(t, b, list(large), list(square(y)), cka.Options{Kernel: kernels.Precomputed}, perms); p[0] != given[0] {
		t.Errorf("p-value of a kernel times 1e100 %v, want %v", p[0], given[0])
	}
	rule := permute(t, b, list(x), list(y), gaussian(0.5), perms)
	used := compare(t, b, list(x), list(y), gaussian(0.5)).Variance
	fixed := cka.Options{Kernel: kernels.Gaussian, Bandwidth: kernels.Bandwidth{Variance: used}}
	if p := permute(t, b, list(x), list(y), fixed, perms); p[0] != rule[0] || p[0] == linear[0] {
		t.Errorf("p-value with given σ² %v, by the rule %v, linear %v", p[0], rule[0], linear[0])
	}
	// The observed statistic is HSIC: an identity-like kernel must not be mistaken for
	// the squared one.
	if linear[0] <= 0.005 || linear[0] > 1 {
		t.Errorf("p-value of unrelated layers is %v", linear[0])
	}
}

// Rows of a group depend on each other: permuting them one by one finds
// dependence where there is none.
func TestPermuteGroups(t *testing.T) {
	b := backend(t)
	const groups, each, n = 16, 6, 16 * 6
	spread := func(seed uint64) kernels.Matrix {
		centres := normal(seed, groups, 2)
		data := make([]float64, 0, n*2)
		for i := range n {
			g := i % groups // members are not neighbours
			data = append(data, centres[2*g], centres[2*g+1])
		}
		return flat(t, data, n)
	}
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = int64(100 - i%groups)
	}
	wrong, right := 0, 0
	for seed := range uint64(20) {
		x, y := spread(2*seed+50), spread(2*seed+51)
		if permute(t, b, list(x), list(y), biased, cka.Permutations{Count: 99, Seed: seed})[0] <= 0.05 {
			wrong++
		}
		if permute(t, b, list(x), list(y), biased, cka.Permutations{Count: 99, Seed: seed, Groups: ids})[0] <= 0.05 {
			right++
		}
	}
	if wrong < 12 || right > 4 {
		t.Errorf("false discoveries in 20 unrelated pairs: %d by rows, %d by groups", wrong, right)
	}
	// Only groups of equal size change places: here two of them, so two orders exist.
	x := matrix(t, [][]float64{{1}, {2}, {9}, {4}, {-3}, {7}, {0}})
	p := permute(t, b, list(x), nil, biased, cka.Permutations{Count: 1000, Seed: 3, Groups: []int64{7, 7, 3, 3, 5, 5, 5}})
	near(t, "p-value with two orders", p[0], 0.5, 0.07)
}

func TestPermuteDeterministic(t *testing.T) {
	x := list(flat(t, normal(1, 33, 3), 33), flat(t, normal(2, 33, 5), 33))
	y := list(flat(t, normal(3, 33, 2), 33))
	perms := cka.Permutations{Count: 57, Seed: 11}
	var want []float64
	for _, workers := range []int{1, 2, 3, 7, 64} {
		b, err := cpu.New(cpu.Options{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		got := permute(t, b, x, y, debiased, perms)
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d workers: %v, one: %v", workers, got, want)
		}
		if one := permute(t, b, x[1:], y, debiased, perms); one[0] != want[1] {
			t.Errorf("alone %v, together %v", one[0], want[1])
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPermuteUndefinedAndProgress(t *testing.T) {
	b := backend(t)
	good := flat(t, normal(1, 9, 3), 9)
	bad := normal(2, 9, 3)
	bad[4] = math.NaN()
	equal := flat(t, make([]float64, 9), 9)
	var steps, most int
	o := biased
	o.Compute.Progress = func(done, total int) { steps, most = max(steps, done), total }
	p := permute(t, b, list(good, flat(t, bad, 9)), list(good, flat(t, bad, 9)), o, cka.Permutations{Count: 19})
	if p[0] != 0.05 || !math.IsNaN(p[1]) || !math.IsNaN(p[2]) || !math.IsNaN(p[3]) {
		t.Errorf("p-values %v, want 0.05 and NaN", p)
	}
	if steps != 38 || most != 38 {
		t.Errorf("progress ended at %d of %d, want 38", steps, most)
	}
	if p := permute(t, b, list(good, flat(t, bad, 9)), nil, o, cka.Permutations{Count: 19}); p[0] != 0.05 || !math.IsNaN(p[1]) || !math.IsNaN(p[2]) || !math.IsNaN(p[3]) {
		t.Errorf("within one set: p-values %v, want 0.05 and NaN", p)
	}
	if p := permute(t, b, list(equal), list(good), gaussian(1), cka.Permutations{Count: 19}); !math.IsNaN(p[0]) {
		t.Errorf("bandwidth 0: %v", p)
	}
	if p := permute(t, b, list(flat(t, good3(t), 3)), nil, debiased, cka.Permutations{Count: 19}); !math.IsNaN(p[0]) {
		t.Errorf("three rows, debiased: %v", p)
	}
	for n := range 2 {
		if p := permute(t, b, list(flat(t, make([]float64, n), n)), nil, biased, cka.Permutations{Count: 19}); !math.IsNaN(p[0]) {
			t.Errorf("%d rows: %v", n, p)
		}
	}
	// The fewest rows for which the estimators are defined.
	if p := permute(t, b, list(flat(t, normal(1, 4, 2), 4)), nil, debiased, cka.Permutations{Count: 19}); math.IsNaN(p[0]) {
		t.Errorf("four rows, debiased: %v", p)
	}
	if p := permute(t, b, list(flat(t, []float64{1, 5}, 2)), nil, biased, cka.Permutations{Count: 19}); math.IsNaN(p[0]) {
		t.Errorf("two rows, biased: %v", p)
	}
	if p := permute(t, b, list(padded(t, good)), list(good), biased, cka.Permutations{Count: 19}); p[0] != 0.05 {
		t.Errorf("padded rows: %v", p)
	}
	if p := permute(t, b, nil, nil, biased, cka.Permutations{Count: 1}); len(p) != 0 {
		t.Errorf("no layers: %v", p)
	}
}

func good3(t *testing.T) []float64 {
	t.Helper()
	return normal(1, 3, 2)
}

func TestPermuteErrors(t *testing.T) {
	b := backend(t)
	x := matrix(t, sixX)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context //nolint:containedctx // a table
		y    kernels.Matrix
		o    cka.Options
		p    cka.Permutations
		want error
	}{
		{"no permutations", t.Context(), x, biased, cka.Permutations{}, kernels.ErrShape},
		{"unequal rows", t.Context(), flat(t, normal(1, 5, 2), 5), biased, cka.Permutations{Count: 1}, kernels.ErrShape},
		{"too few groups", t.Context(), x, biased, cka.Permutations{Count: 1, Groups: []int64{1, 2}}, kernels.ErrShape},
		{"groups all of different size", t.Context(), x, biased, cka.Permutations{Count: 1, Groups: []int64{1, 2, 2, 3, 3, 3}}, kernels.ErrShape},
		{"one group", t.Context(), x, biased, cka.Permutations{Count: 1, Groups: make([]int64, 6)}, kernels.ErrShape},
		{"unknown kernel", t.Context(), x, cka.Options{Kernel: 9}, cka.Permutations{Count: 1}, kernels.ErrUnsupported},
		{"kernel not square", t.Context(), x, cka.Options{Kernel: kernels.Precomputed}, cka.Permutations{Count: 1}, kernels.ErrShape},
		{"too few bandwidths", t.Context(), x, cka.Options{Kernel: kernels.Gaussian, Bandwidth: kernels.Bandwidth{Variance: []float64{1}}}, cka.Permutations{Count: 1}, kernels.ErrShape},
		{"cancelled", ended, x, biased, cka.Permutations{Count: 1}, context.Canceled},
	} {
		if _, err := cka.Permute(c.ctx, b, list(x), list(c.y), c.o, c.p); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := biased
	o.Compute.Progress = func(done, total int) {
		if done == 10 {
			cancel()
		}
	}
	if _, err := cka.Permute(ctx, b, list(x), nil, o, cka.Permutations{Count: math.MaxInt32}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled on the way: %v", err)
	}
}

// Which of three features depends on the target? HSIC with the Gaussian kernel
// sees dependence that correlation does not.
func ExamplePermute() {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	const n = 80
	noise := normal(1, n, 3)
	column := func(f func(i int) float64) kernels.Matrix {
		data := make([]float64, n)
		for i := range data {
			data[i] = f(i)
		}
		m, _ := kernels.Of(data, n, 1, 1)
		return m
	}
	features := []kernels.Matrix{
		column(func(i int) float64 { return noise[3*i] }),
		column(func(i int) float64 { return noise[3*i+1] }),
		column(func(i int) float64 { return noise[3*i+2] }),
	}
	target := []kernels.Matrix{column(func(i int) float64 { return noise[3*i+1] * noise[3*i+1] })}
	o := cka.Options{Estimator: kernels.Unbiased, Kernel: kernels.Gaussian}
	p, err := cka.Permute(context.Background(), b, features, target, o, cka.Permutations{Count: 999, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, v := range p {
		fmt.Printf("feature %d: p = %.3f\n", i, v)
	}
	// Output:
	// feature 0: p = 0.459
	// feature 1: p = 0.001
	// feature 2: p = 0.773
}

// What does not fit the limit is refused before it is allocated.
func TestPermuteMemory(t *testing.T) {
	if n, ok := cka.PermuteBytes(1000, 3); n != 24e6 || !ok {
		t.Errorf("3 layers of 1,000 rows: %d bytes, %v", n, ok)
	}
	if _, ok := cka.PermuteBytes(math.MaxInt32, math.MaxInt32); ok {
		t.Error("no machine has memory for 2^31 layers of 2^31 rows")
	}
	b, err := cpu.New(cpu.Options{Workers: 1, MemoryLimit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	x := list(flat(t, normal(1, 300, 1), 300))
	if _, err := cka.Permute(context.Background(), b, x, nil, biased, cka.Permutations{Count: 1}); !errors.Is(err, kernels.ErrMemory) {
		t.Errorf("300 rows in 1 MiB: %v", err)
	}
	if _, err := cka.Permute(context.Background(), b, list(flat(t, normal(1, 100, 1), 100)), nil, biased, cka.Permutations{Count: 1}); err != nil {
		t.Errorf("100 rows in 1 MiB: %v", err)
	}
}
