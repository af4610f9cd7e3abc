package cpu

import (
	"context"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// activate applies f to every element of v.
func activate(v []float64, f kernels.Activation) {
	switch f {
	case kernels.ReLU:
		for i, x := range v {
			if x < 0 { // NaN stays
				v[i] = 0
			}
		}
	case kernels.SiLU:
		for i, x := range v {
			v[i] = silu(x)
		}
	case kernels.GELU:
		for i, x := range v {
			v[i] = gelu(x)
		}
	case kernels.GELUTanh:
		for i, x := range v {
			v[i] = geluTanh(x)
		}
	default: // Identity
	}
}

func silu(x float64) float64 {
	if math.IsInf(x, -1) {
		return 0
	}
	return x / (1 + math.Exp(-x))
}

// gelu uses the complementary error function: 1 + erf loses the left tail.
func gelu(x float64) float64 {
	if math.IsInf(x, -1) {
		return 0
	}
	return x / 2 * math.Erfc(-x/math.Sqrt2)
}

// geluTanh uses 1 + tanh(z) = 2/(1 + exp(−2z)), which keeps the left tail.
func geluTanh(x float64) float64 {
	if math.IsInf(x, -1) {
		return 0
	}
	z := math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x)
	return x / (1 + math.Exp(-2*z))
}

// Activate implements kernels.LayerOps.
func (b *Backend) Activate(ctx context.Context, dst, x kernels.Matrix, f kernels.Activation, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpActivate, kernels.CheckActivate(kernels.Device{}, dst, x, f, o)); err != nil {
		return err
	}
	defer b.end()
	return b.eachPiece(ctx, kernels.OpActivate, o, x.Rows, x.Cols, func(ws *workspace, i, j, n int) {
		line := grow(&ws.vector[0], n)
		loadRow(line, x, i, j)
		activate(line, f)
		storeRow(dst, i, j, line)
	})
}

// Gate implements kernels.LayerOps.
func (b *Backend) Gate(ctx context.Context, dst, gate, up kernels.Matrix, f kernels.Activation, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpGate, kernels.CheckGate(kernels.Device{}, dst, gate, up, f, o)); err != nil {
		return err
	}
	defer b.end()
	return b.eachPiece(ctx, kernels.OpGate, o, dst.Rows, dst.Cols, func(ws *workspace, i, j, n int) {
		line, factor := grow(&ws.vector[0], n), grow(&ws.vector[1], n)
		loadRow(line, gate, i, j)
		loadRow(factor, up, i, j)
		activate(line, f)
		for k, v := range factor {
			line[k] *= v
		}
		storeRow(dst, i, j, line)
	})
}

// Add implements kernels.LayerOps.
func (b *Backend) Add(ctx context.Context, dst, x kernels.Matrix, alpha float64, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpAdd, kernels.CheckAdd(kernels.Device{}, dst, x, alpha, o)); err != nil {
		return err
	}
	defer b.end()
	if alpha == 0 {
		return nil
	}
	return b.eachPiece(ctx, kernels.OpAdd, o, dst.Rows, dst.Cols, func(ws *workspace, i, j, n int) {
		line, old := grow(&ws.vector[0], n), grow(&ws.vector[1], n)
		from := i
		if x.Rows == 1 {
			from = 0
		}
		loadRow(line, x, from, j)
		accumulateRow(dst, i, j, line, alpha, 1, old)
	})
}

// Gather implements kernels.LayerOps.
func (b *Backend) Gather(ctx context.Context, dst, table kernels.Matrix, ids []int32, alpha, beta float64, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpGather, kernels.CheckGather(kernels.Device{}, dst, table, ids, alpha, beta, o)); err != nil {
		return err
	}
	defer b.end()
	bits := alpha == 1 && beta == 0 && dst.DType == table.DType
	return b.eachPiece(ctx, kernels.OpGather, o, dst.Rows, dst.Cols, func(ws *workspace, i, j, n int) {
		if bits {
			copyBits(dst, i, table, int(ids[i]), j, n)
			return
		}
		line, old := grow(&ws.vector[0], n), grow(&ws.vector[1], n)
		if alpha == 0 { // the table is not read
			clear(line)
			accumulateRow(dst, i, j, line, 1, beta, old)
			return
		}
		loadRow(line, table, int(ids[i]), j)
		accumulateRow(dst, i, j, line, alpha, beta, old)
	})
}
