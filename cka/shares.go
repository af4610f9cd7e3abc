package cka

import (
	"context"
	"fmt"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// Shares says how much of a layer's variation, the sum of squares about the
// column means, lies in one example and in one feature. In a layer of n rows
// and d columns without outliers they are about 1/n and 1/d; near 1, CKA
// compares that one row or column and little else.
//
// Large rows are known as attention sinks or massive activations, large columns
// as outlier dimensions.
type Shares struct {
	Row, Column           float64 // in [0, 1]; NaN for constant features and for NaN or Inf among them
	RowIndex, ColumnIndex int     // of the largest; −1 where the share is NaN
}

// LargestShares returns the shares of each layer. Errors: those of
// [kernels.Backend.Center] and [kernels.Backend.Alloc].
func LargestShares(ctx context.Context, b kernels.Backend, layers []kernels.Matrix, o kernels.Options) ([]Shares, error) {
	out := make([]Shares, len(layers))
	for i, x := range layers {
		rows, columns, err := squares(ctx, b, x, o)
		if err != nil {
			return nil, fmt.Errorf("cka: LargestShares: layer %d: %w", i, err)
		}
		out[i].Row, out[i].RowIndex = largest(rows)
		out[i].Column, out[i].ColumnIndex = largest(columns)
	}
	return out, nil
}

// squares returns the sums of squares of the centred layer along its rows and
// down its columns.
func squares(ctx context.Context, b kernels.Backend, x kernels.Matrix, o kernels.Options) (rows, columns []float64, err error) {
	dt := kernels.Float32
	if x.DType == kernels.Float64 {
		dt = kernels.Float64
	}
	centred, err := b.Alloc(ctx, dt, x.Rows, x.Cols)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if e := centred.Free(); err == nil {
			err = e
		}
	}()
	stats := kernels.RowStats{SquaredNorm: make([]float64, x.Rows), ColumnSquares: make([]float64, x.Cols)}
	err = b.Center(ctx, []kernels.Matrix{centred.Matrix()}, []kernels.Matrix{x}, []kernels.RowStats{stats}, o)
	return stats.SquaredNorm, stats.ColumnSquares, err
}

// largest returns the share of the largest value in the sum, and its index.
func largest(v []float64) (share float64, index int) {
	sum, most := 0.0, 0
	for i, s := range v {
		sum += s
		if s > v[most] {
			most = i
		}
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return math.NaN(), -1
	}
	return v[most] / sum, most
}
