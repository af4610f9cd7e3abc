package cka

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cambium-kernels/cambium/kernels"
)

// Permutations describe a permutation test.
type Permutations struct {
	Count int    // random permutations, 1 or more; 999 is usual
	Seed  uint64 // equal seeds give equal p-values
	// Groups is nil if the rows are independent of each other, or names the group
	// of each row: the tokens of one sequence, the frames of one film. Groups then
	// change places whole, each with others of its size, their rows in order.
	// Permuting single rows that depend on each other makes p-values far too small.
	Groups []int64
}

// Permute tests, for all pairs within x (y nil) or between x and y, the
// hypothesis that rows of x and rows of y were matched at random. It returns
// l x m p-values p = (1 + #{permuted HSIC >= observed HSIC}) / (1 + Count), NaN
// where HSIC is undefined. The p-value of CKA is the same: permuting rows changes
// neither HSIC(x, x) nor HSIC(y, y). (Gretton et al. 2008)
//
// The kernel matrices are formed once; a permutation costs O(n²) a pair and no
// product of features. Memory: 4·n² bytes for each of x and 12·n² besides. The
// result depends neither on the number of workers nor on the order of layers.
//
// Errors: [kernels.ErrShape] for a bad count, groups of another length than n, or
// groups of which no two have the same size; those of [kernels.Backend.Gram] and
// [kernels.Backend.RBF].
func Permute(ctx context.Context, b kernels.Backend, x, y []kernels.Matrix, o Options, p Permutations) ([]float64, error) {
	within := y == nil
	if within {
		y = x
	}
	test := permutationTest{ctx: ctx, backend: b, options: o, within: within}
	if err := test.prepare(x, y, p); err != nil {
		return nil, fmt.Errorf("cka: Permute: %w", err)
	}
	out := make([]float64, len(x)*len(y))
	for j := range y {
		count, err := test.column(x, y[j], j, p.Count)
		if err != nil {
			return nil, fmt.Errorf("cka: Permute: layer %d: %w", j, err)
		}
		for i, c := range count {
			v := math.NaN()
			if c >= 0 {
				v = float64(1+c) / float64(1+p.Count)
			}
			out[i*len(y)+j] = v
			if within {
				out[j*len(y)+i] = v
			}
		}
	}
	return out, nil
}

// permutationTest is one call of Permute.
type permutationTest struct {
	ctx     context.Context //nolint:containedctx // it is the call
	backend kernels.Backend
	options Options
	within  bool // y is x

	n     int
	left  [][]float64 // centred kernel matrices of x, lower triangles, packed
	order func(count int) []int32
	done  int
	total int
}

// prepare checks the arguments and forms the kernel matrices of x.
func (t *permutationTest) prepare(x, y []kernels.Matrix, p Permutations) error {
	if p.Count < 1 {
		return fmt.Errorf("%d permutations, want 1 or more: %w", p.Count, kernels.ErrShape)
	}
	layers := join(x, y)
	if len(layers) == 0 {
		return nil
	}
	t.n = layers[0].Rows
	for i, m := range layers {
		if m.Rows != t.n {
			return fmt.Errorf("layer %d has %d rows, the first %d: %w", i, m.Rows, t.n, kernels.ErrShape)
		}
	}
	var err error
	if t.order, err = shuffler(t.n, p); err != nil {
		return err
	}
	if err := t.memory(len(x)); err != nil {
		return err
	}
	t.total = len(y) * p.Count
	t.left = make([][]float64, len(x))
	for i, m := range x {
		square, err := t.centredKernel(m, i)
		if err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
		if square != nil {
			t.left[i] = packLower(square, t.n)
		}
	}
	return nil
}

// PermuteBytes returns the memory that [Permute] takes for l layers x of n rows,
// besides copies of the features of one layer in float64; ok is false if no
// machine has that much.
func PermuteBytes(n, l int) (bytes uint64, ok bool) {
	hi, square := bits.Mul64(uint64(n), uint64(n))    //nolint:gosec // a number of rows
	high, bytes := bits.Mul64(square, 4*uint64(l)+12) //nolint:gosec // a number of layers
	return bytes, hi == 0 && high == 0 && bytes < math.MaxInt
}

// memory refuses what does not fit a host backend's limit before any of it is
// allocated.
func (t *permutationTest) memory(layers int) error {
	info := t.backend.Info()
	bytes, ok := PermuteBytes(t.n, layers)
	if !ok || info.Device.Kind == kernels.Host && info.Memory.Limit > 0 && bytes > info.Memory.Limit {
		return fmt.Errorf("kernel matrices of %d layers of %d rows take %d bytes, the limit is %d (fewer rows or layers): %w",
			layers, t.n, bytes, info.Memory.Limit, kernels.ErrMemory)
	}
	return nil
}

// packLower copies the lower triangle of an n x n matrix, rows one after the other.
func packLower(square []float64, n int) []float64 {
	packed := make([]float64, 0, n*(n+1)/2)
	for r := range n {
		packed = append(packed, square[r*n:r*n+r+1]...)
	}
	return packed
}

// column returns for layer j of y and each layer of x how many permutations reach
// the observed value; −1 where it is undefined. Within one set only layers up to
// j are counted.
func (t *permutationTest) column(x []kernels.Matrix, y kernels.Matrix, j, count int) ([]int, error) {
	upTo := len(x)
	if t.within {
		upTo = j + 1
	}
	counts := make([]int, upTo)
	right, err := t.right(y, j, len(x))
	if err != nil {
		return nil, err
	}
	identity := make([]int32, t.n)
	for i := range identity {
		identity[i] = int32(i)
	}
	observed := make([]float64, upTo)
	row := make([]float64, t.n)
	if right != nil {
		t.inner(observed, right, identity, row)
	}
	// Permutations that change nothing, or that mirror the data, give the observed
	// value but for the rounding of sums in another order.
	limit := make([]float64, upTo)
	for i := range observed {
		if t.left[i] == nil || right == nil {
			counts[i] = -1
			continue
		}
		limit[i] = observed[i] - 1e-12*math.Sqrt(norm2Packed(t.left[i])*norm2(right))
	}
	if !slices.ContainsFunc(counts, func(c int) bool { return c >= 0 }) {
		t.report(count)
		return counts, nil
	}
	return counts, t.run(counts, limit, right, count)
}

// right returns the whole centred kernel matrix of layer j of y, which within one
// set is there already.
func (t *permutationTest) right(y kernels.Matrix, j, first int) ([]float64, error) {
	if !t.within {
		return t.centredKernel(y, first+j)
	}
	if t.left[j] == nil {
		return nil, nil
	}
	n := t.n
	square := make([]float64, n*n)
	for r := range n {
		for s, v := range t.left[j][r*(r+1)/2:][:r+1] {
			square[r*n+s], square[s*n+r] = v, v
		}
	}
	return square, nil
}

// run counts over all permutations, on as many goroutines as the backend has
// workers.
func (t *permutationTest) run(counts []int, limit, right []float64, count int) error {
	var next atomic.Int64
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range min(max(t.backend.Info().Workers, 1), count) {
		wait.Go(func() {
			own := make([]int, len(counts))
			sums := make([]float64, len(counts))
			row := make([]float64, t.n)
			for t.ctx.Err() == nil {
				k := int(next.Add(1)) - 1
				if k >= count {
					break
				}
				t.inner(sums, right, t.order(k), row)
				for i, s := range sums {
					if t.left[i] != nil && s >= limit[i] {
						own[i]++
					}
				}
				mu.Lock()
				t.report(1)
				mu.Unlock()
			}
			mu.Lock()
			defer mu.Unlock()
			for i, c := range own {
				if t.left[i] != nil {
					counts[i] += c
				}
			}
		})
	}
	wait.Wait()
	return t.ctx.Err()
}

func (t *permutationTest) report(steps int) {
	t.done += steps
	if f := t.options.Compute.Progress; f != nil {
		f(t.done, t.total)
	}
}

// inner fills sums with <K_i, P·L·Pᵀ> for the left kernels K_i and the permuted
// right one.
func (t *permutationTest) inner(sums, right []float64, order []int32, row []float64) {
	clear(sums)
	n := t.n
	for r := range n {
		line := right[int(order[r])*n : int(order[r])*n+n]
		w := row[:r+1]
		for s := range w {
			w[s] = 2 * line[order[s]]
		}
		w[r] /= 2
		start := r * (r + 1) / 2
		for i := range sums {
			if k := t.left[i]; k != nil {
				sums[i] += dot(k[start:start+r+1], w)
			}
		}
	}
}

// dot sums in four chains.
func dot(a, b []float64) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	k := 0
	for ; k+4 <= len(a); k += 4 {
		s0 += a[k] * b[k]
		s1 += a[k+1] * b[k+1]
		s2 += a[k+2] * b[k+2]
		s3 += a[k+3] * b[k+3]
	}
	for ; k < len(a); k++ {
		s0 += a[k] * b[k]
	}
	return (s0 + s1) + (s2 + s3)
}

func norm2(a []float64) float64 { return dot(a, a) }

// norm2Packed returns an upper bound of the squared norm of the whole matrix.
func norm2Packed(a []float64) float64 { return 2 * dot(a, a) }
