package cpu

import (
	"context"
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
	for i, m := range x {
		layers[i] = &kernelMatrix{kind: kernels.Gaussian, op: operand{m: m}}
	}
	if err := b.prepare(ctx, kernels.OpRBF, layers, true); err != nil {
		return err
	}
	if err := b.variances(ctx, kernels.OpRBF, layers, bw); err != nil {
		return err
	}
	var bad []int
	for i, l := range layers {
		if used != nil {
			used[i] = l.variance
		}
		if l.variance == 0 {
			bad = append(bad, i)
			l.variance = math.NaN()
		}
	}
	var list []tileRef
	for item := range dst {
		list = lowerTiles(list, item, x[item].Rows)
	}
	err := b.tiles(ctx, kernels.OpRBF, o, len(list), func(ws *workspace, i int) {
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
	return kernels.Degenerate(kernels.OpRBF, "median squared distance is 0", bad)
}

// variances sets σ² of each layer, given or by the median rule; 0 means that the
// median is 0, NaN that a row is not finite or that there is none.
func (b *Backend) variances(ctx context.Context, op kernels.Op, layers []*kernelMatrix, bw kernels.Bandwidth) error {
	fraction := bw.Fraction
	if fraction == 0 {
		fraction = 1
	}
	for i, l := range layers {
		if bw.Variance != nil {
			l.variance = bw.Variance[i]
			continue
		}
		median, err := b.medianDistance(ctx, op, l, bw.Sample)
		if err != nil {
			return err
		}
		l.variance = fraction * fraction * median
	}
	return nil
}

// medianDistance returns the median of the squared distances of all ordered
// pairs of rows, each row with itself included.
func (b *Backend) medianDistance(ctx context.Context, op kernels.Op, l *kernelMatrix, sample int) (float64, error) {
	if sample > 0 && sample < l.n() {
		var release func()
		var err error
		if l, release, err = b.sampled(op, l, sample); err != nil {
			return 0, err
		}
		defer release()
	}
	n := l.n()
	half, other := n/2, max(n-1, 0) // n(n−1)/2 without its overflow
	if n%2 == 1 {
		half, other = n, other/2
	}
	release, err := b.mem.reserveFloats(op, half, other)
	if err != nil {
		return 0, err
	}
	defer release()
	all := make([]float64, half*other) // below the diagonal, row by row
	list := lowerTiles(nil, 0, n)
	err = b.tiles(ctx, op, kernels.Options{}, len(list), func(ws *workspace, i int) {
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
	return medianOfPairs(all, n), nil
}

// sampled returns a layer of evenly spaced rows of l, copied and centred.
func (b *Backend) sampled(op kernels.Op, l *kernelMatrix, sample int) (*kernelMatrix, func(), error) {
	n, d := l.n(), l.op.m.Cols
	release, err := b.mem.reserveFloats(op, sample, d)
	if err != nil {
		return nil, nil, err
	}
	data := make([]float64, sample*d)
	norms := make([]float64, sample)
	for i := range sample {
		from := int(int64(i) * int64(n) / int64(sample))
		line := data[i*d : (i+1)*d]
		l.op.load(line, from, 0)
		norms[i] = l.norms[from]
	}
	m, err := kernels.Of(data, sample, d, d)
	if err != nil {
		release()
		return nil, nil, err
	}
	return &kernelMatrix{kind: kernels.Gaussian, op: operand{m: m}, norms: norms}, release, nil
}

// medianOfPairs returns the median of n zeros and of every value of pairs twice;
// the mean of the middle two if n² is even. NaN if a value is NaN or there is
// none. pairs is reordered; its values are not negative.
func medianOfPairs(pairs []float64, n int) float64 {
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
		return quickselect(pairs, (p-n)/2)
	}
	total := n * n
	if total%2 == 1 {
		return at(total / 2)
	}
	low, high := at(total/2-1), at(total/2)
	return low + (high-low)/2
}

// quickselect returns the k-th smallest value (Hoare 1961, median of three).
func quickselect(v []float64, k int) float64 {
	lo, hi := 0, len(v)-1
	for lo < hi {
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
