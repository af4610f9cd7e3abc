package cpu

import (
	"context"
	"fmt"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// RBF implements kernels.Backend. Rows are centred on the way into the product:
// distances do not change, and large offsets cost no digits.
func (b *Backend) RBF(ctx context.Context, dst, x []kernels.Matrix, bw kernels.Bandwidth, used []float64, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpRBF, kernels.CheckRBF(kernels.Device{}, dst, x, bw, used, o)); err != nil {
		return err
	}
	defer b.end()
	layers := make([]*kernelMatrix, len(x))
	var read []*kernelMatrix // those whose features are read
	for i, m := range x {
		layers[i] = &kernelMatrix{kind: kernels.Gaussian, op: operand{m: m}}
		if dst != nil || m.Cols > 0 {
			read = append(read, layers[i])
		}
	}
	var list []tileRef
	for item := range dst {
		list = lowerTiles(list, item, x[item].Rows)
	}
	s := b.scratch(kernels.OpRBF)
	defer s.release()
	prep := planPreparation(read, true)
	run := &phases{o: o, total: prep.tiles() + medianTiles(layers, bw) + len(list)}
	if err := b.prepare(ctx, s, run, prep); err != nil {
		return err
	}
	if err := b.variances(ctx, kernels.OpRBF, run, layers, bw); err != nil {
		return err
	}
	var bad []int
	for i, l := range layers {
		if used != nil {
			used[i] = l.variance
		}
		if l.undefined() {
			bad = append(bad, i)
			l.variance = math.NaN()
		}
	}
	err := b.tiles(ctx, kernels.OpRBF, run.next(len(list)), len(list), func(ws *workspace, i int) {
		t := list[i]
		l := layers[t.item]
		ni, nj := min(tileRows, l.n()-t.i0), min(tileCols, l.n()-t.j0)
		c := b.tier.product(ws, l.op, l.op, t.i0, ni, t.j0, nj)
		for r := range ni {
			line := c[r*tileCols : r*tileCols+nj]
			l.distances(line, t.i0+r, t.j0)
			for s, d := range line {
				line[s] = math.Exp(-d / (2 * l.variance))
			}
		}
		storeLower(ws, dst[t.item], c, t, ni, nj, 1, 0, kernels.Full)
	})
	if err != nil {
		return err
	}
	return kernels.Degenerate(kernels.OpRBF, noVariance, bad)
}

// noVariance is why a Gaussian kernel is undefined.
const noVariance = "σ² by the median rule is 0 or infinite"

// undefined reports whether the median rule found no σ² for a layer. NaN, from
// rows that are not finite, is not undefined but propagated.
func (k *kernelMatrix) undefined() bool { return k.variance == 0 || math.IsInf(k.variance, 1) }

// medianRows returns how many rows of a layer the median rule reads.
func medianRows(l *kernelMatrix, bw kernels.Bandwidth) int {
	if bw.Variance != nil || l.op.m.Empty() {
		return 0
	}
	if bw.Sample > 0 {
		return min(bw.Sample, l.n())
	}
	return l.n()
}

// medianTiles returns how many tiles [Backend.variances] takes.
func medianTiles(layers []*kernelMatrix, bw kernels.Bandwidth) int {
	total := 0
	for _, l := range layers {
		total += lowerCount(medianRows(l, bw))
	}
	return total
}

// variances sets σ² of each layer, given or by the median rule; 0 or Inf mean
// that the rule gives none, NaN that a row is not finite or that there is none.
func (b *Backend) variances(ctx context.Context, op kernels.Op, run *phases, layers []*kernelMatrix, bw kernels.Bandwidth) error {
	fraction := bw.Fraction
	if fraction == 0 {
		fraction = 1
	}
	for i, l := range layers {
		if bw.Variance != nil {
			l.variance = bw.Variance[i]
			continue
		}
		median, err := b.medianDistance(ctx, op, run, l, medianRows(l, bw))
		if err != nil {
			return err
		}
		l.variance = fraction * fraction * median
	}
	return nil
}

// medianDistance returns the median of the squared distances of all ordered
// pairs of the given number of rows, each row with itself included.
func (b *Backend) medianDistance(ctx context.Context, op kernels.Op, run *phases, l *kernelMatrix, rows int) (float64, error) {
	if l.n() == 0 {
		return math.NaN(), nil
	}
	if l.op.m.Cols == 0 {
		return 0, nil // rows of nothing are equal
	}
	sc := b.scratch(op)
	defer sc.release()
	if rows < l.n() {
		var err error
		if l, err = sampled(sc, l, rows); err != nil {
			return 0, err
		}
	}
	n := l.n()
	half, other := n/2, max(n-1, 0) // n(n−1)/2 without its overflow
	if n%2 == 1 {
		half, other = n, other/2
	}
	all, err := sc.floats(half, other) // below the diagonal, row by row
	if err != nil {
		return 0, err
	}
	list := lowerTiles(nil, 0, n)
	err = b.tiles(ctx, op, run.next(len(list)), len(list), func(ws *workspace, i int) {
		t := list[i]
		ni, nj := min(tileRows, n-t.i0), min(tileCols, n-t.j0)
		c := b.tier.product(ws, l.op, l.op, t.i0, ni, t.j0, nj)
		for r := range ni {
			row := t.i0 + r
			live := max(0, min(nj, row-t.j0))
			line := c[r*tileCols : r*tileCols+live]
			l.distances(line, row, t.j0)
			copy(all[row*(row-1)/2+t.j0:], line)
		}
	})
	if err != nil {
		return 0, err
	}
	median := medianOfPairs(ctx, all, n)
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("cpu: %s: %w", op, err)
	}
	return median, nil
}

// sampled returns a layer of evenly spaced rows of l, copied and centred, in
// memory of s.
func sampled(s *scratch, l *kernelMatrix, rows int) (*kernelMatrix, error) {
	n, d := l.n(), l.op.m.Cols
	data, err := s.floats(rows, d)
	if err != nil {
		return nil, err
	}
	norms, err := s.floats(rows, 1)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		from := int(int64(i) * int64(n) / int64(rows))
		l.op.load(data[i*d:(i+1)*d], from, 0)
		norms[i] = l.norms[from]
	}
	m, err := kernels.Of(data, rows, d, d)
	if err != nil {
		return nil, err
	}
	return &kernelMatrix{kind: kernels.Gaussian, op: operand{m: m}, norms: norms}, nil
}

// medianOfPairs returns the median of n zeros and of every value of pairs twice;
// the mean of the middle two if n² is even. NaN if a value is NaN or there is
// none. pairs is reordered; its values are not negative. If the context ends, the
// result means nothing.
func medianOfPairs(ctx context.Context, pairs []float64, n int) float64 {
	if n == 0 {
		return math.NaN()
	}
	for _, v := range pairs {
		if math.IsNaN(v) {
			return v
		}
	}
	at := func(p int) float64 { // the p-th smallest of all n²
		if p < n {
			return 0
		}
		return quickselect(ctx, pairs, (p-n)/2)
	}
	total := n * n
	if total%2 == 1 {
		return at(total / 2)
	}
	low, high := at(total/2-1), at(total/2)
	return low + (high-low)/2
}

// quickselect returns the k-th smallest value (Hoare 1961, median of three).
func quickselect(ctx context.Context, v []float64, k int) float64 {
	lo, hi := 0, len(v)-1
	for lo < hi && ctx.Err() == nil {
		a, b, c := v[lo], v[lo+(hi-lo)/2], v[hi]
		pivot := max(min(a, b), min(max(a, b), c))
		i, j := lo, hi
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for v[j] > pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return v[k]
		}
	}
	return v[k]
}
