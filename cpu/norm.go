package cpu

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/cambium-kernels/cambium/kernels"
)

// Norm implements kernels.LayerOps.
func (b *Backend) Norm(ctx context.Context, dst, x kernels.Matrix, p kernels.NormParams, alpha, beta float64, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpNorm, kernels.CheckNorm(kernels.Device{}, dst, x, p, alpha, beta, o)); err != nil {
		return err
	}
	defer b.end()
	if x.Empty() {
		return nil
	}
	width := x.Cols / max(p.Groups, 1)
	sc := b.scratch(kernels.OpNorm)
	defer sc.release()
	both, err := sc.floats(2, width)
	if err != nil {
		return err
	}
	weight, bias := both[:width], both[width:]
	fill(weight, 1)
	if !p.Weight.Empty() {
		loadRow(weight, p.Weight, 0, 0)
	}
	if !p.Bias.Empty() {
		loadRow(bias, p.Bias, 0, 0)
	}
	for i := range weight {
		weight[i] += p.Offset
	}
	return b.eachRow(ctx, kernels.OpNorm, o, x.Rows, x.Cols, 2, func(ws *workspace, i int) {
		line, old := grow(&ws.vector[0], x.Cols), grow(&ws.vector[1], x.Cols)
		if alpha == 0 { // x is not read
			clear(line)
			accumulateRow(dst, i, 0, line, 1, beta, old)
			return
		}
		loadRow(line, x, i, 0)
		for j := 0; j < len(line); j += width {
			normalize(line[j:j+width], weight, bias, p.Kind, p.Epsilon)
		}
		accumulateRow(dst, i, 0, line, alpha, beta, old)
	})
}

// normalize applies one normalisation to v.
func normalize(v, weight, bias []float64, kind kernels.NormKind, epsilon float64) {
	n := float64(len(v))
	if kind == kernels.LayerNorm {
		mean := meanOf(v)
		for i := range v {
			v[i] -= mean
		}
	}
	root := math.Sqrt(sumSquares(v)/n + epsilon)
	for i, x := range v {
		v[i] = x/root*weight[i] + bias[i]
	}
}

// RowNormalize implements kernels.LayerOps.
func (b *Backend) RowNormalize(ctx context.Context, dst, x kernels.Matrix, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpRowNormalize, kernels.CheckRowNormalize(kernels.Device{}, dst, x, o)); err != nil {
		return err
	}
	defer b.end()
	var mu sync.Mutex
	var zero []int
	err := b.eachRow(ctx, kernels.OpRowNormalize, o, x.Rows, x.Cols, 1, func(ws *workspace, i int) {
		line := grow(&ws.vector[0], x.Cols)
		loadRow(line, x, i, 0)
		square := sumSquares(line)
		if square < 0x1p-960 || math.IsInf(square, 1) { // the squares leave float64's range
			rescale(line)
			square = sumSquares(line)
		}
		if square == 0 {
			mu.Lock()
			zero = append(zero, i)
			mu.Unlock()
		}
		root := math.Sqrt(square / float64(len(line)))
		for k, v := range line {
			line[k] = v / root
		}
		storeRow(dst, i, 0, line)
	})
	if err != nil {
		return err
	}
	slices.Sort(zero)
	return kernels.Degenerate(kernels.OpRowNormalize, "a row is zero", zero)
}

// rescale brings the largest magnitude of v into [1/2, 1) by a power of two,
// unless it is 0 or infinite.
func rescale(v []float64) {
	largest := 0.0
	for _, x := range v {
		largest = max(largest, math.Abs(x))
	}
	_, e := math.Frexp(largest) // 0 for 0, Inf and NaN
	for i, x := range v {
		v[i] = math.Ldexp(x, -e)
	}
}
