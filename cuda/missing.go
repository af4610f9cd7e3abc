//go:build cuda && cgo && linux

package cuda

import (
	"context"

	"github.com/cambium-kernels/cambium/kernels"
)

// refuse answers an operation that has no kernels: with what is wrong about its
// arguments or the backend, else with kernels.ErrUnsupported.
func (b *backend) refuse(ctx context.Context, op kernels.Op, arguments error, empty bool) error {
	if arguments != nil {
		return arguments
	}
	if err := b.enter(ctx, op); err != nil {
		return err
	}
	defer b.running.Done()
	if empty { // an empty batch is no error
		return nil
	}
	return notComputed(op)
}

// HSIC implements kernels.Backend.
func (b *backend) HSIC(ctx context.Context, dst []kernels.HSICValue, x, y []kernels.Matrix, e kernels.Estimator, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpHSIC, kernels.CheckHSIC(b.where, dst, x, y, e, o), len(x) == 0)
}

// HSICMatrix implements kernels.Backend.
func (b *backend) HSICMatrix(ctx context.Context, dst kernels.HSICTable, x, y []kernels.Matrix, k kernels.Kernel, e kernels.Estimator, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpHSICMatrix, kernels.CheckHSICMatrix(b.where, dst, x, y, k, e, o), len(x)+len(y) == 0)
}

// RBF implements kernels.Backend.
func (b *backend) RBF(ctx context.Context, dst, x []kernels.Matrix, w kernels.Bandwidth, used []float64, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpRBF, kernels.CheckRBF(b.where, dst, x, w, used, o), len(x) == 0)
}

// LowRank implements kernels.Backend.
func (b *backend) LowRank(ctx context.Context, w, l, a []kernels.Matrix, scale []float32, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpLowRank, kernels.CheckLowRank(b.where, w, l, a, scale, o), len(w) == 0)
}

// ApplyAdapters implements kernels.Backend.
func (b *backend) ApplyAdapters(ctx context.Context, y, x kernels.Matrix, segments, ids []int32, set []kernels.Adapter, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpApplyAdapters, kernels.CheckApplyAdapters(b.where, y, x, segments, ids, set, o), false)
}

// SVD implements kernels.Backend.
func (b *backend) SVD(ctx context.Context, u, s, v, w []kernels.Matrix, p kernels.SVDParams, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpSVD, kernels.CheckSVD(b.where, u, s, v, w, p, o), len(w) == 0)
}

// Norm implements kernels.Backend.
func (b *backend) Norm(ctx context.Context, dst, x kernels.Matrix, p kernels.NormParams, alpha, beta float64, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpNorm, kernels.CheckNorm(b.where, dst, x, p, alpha, beta, o), false)
}

// RoPE implements kernels.Backend.
func (b *backend) RoPE(ctx context.Context, dst, x kernels.Matrix, positions []int32, p kernels.RoPEParams, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpRoPE, kernels.CheckRoPE(b.where, dst, x, positions, p, o), false)
}

// Attention implements kernels.Backend.
func (b *backend) Attention(ctx context.Context, dst, q, k, v kernels.Matrix, p kernels.AttentionParams, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpAttention, kernels.CheckAttention(b.where, dst, q, k, v, p, o), false)
}

// Activate implements kernels.Backend.
func (b *backend) Activate(ctx context.Context, dst, x kernels.Matrix, fn kernels.Activation, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpActivate, kernels.CheckActivate(b.where, dst, x, fn, o), false)
}

// Gate implements kernels.Backend.
func (b *backend) Gate(ctx context.Context, dst, gate, up kernels.Matrix, fn kernels.Activation, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpGate, kernels.CheckGate(b.where, dst, gate, up, fn, o), false)
}

// Add implements kernels.Backend.
func (b *backend) Add(ctx context.Context, dst, x kernels.Matrix, alpha float64, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpAdd, kernels.CheckAdd(b.where, dst, x, alpha, o), false)
}

// Gather implements kernels.Backend.
func (b *backend) Gather(ctx context.Context, dst, table kernels.Matrix, rows []int32, alpha, beta float64, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpGather, kernels.CheckGather(b.where, dst, table, rows, alpha, beta, o), false)
}

// Dequantize implements kernels.Backend.
func (b *backend) Dequantize(ctx context.Context, dst kernels.Matrix, src kernels.Quantized, rows []int32, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpDequantize, kernels.CheckDequantize(b.where, dst, src, rows, o), false)
}

// RowNormalize implements kernels.Backend.
func (b *backend) RowNormalize(ctx context.Context, dst, x kernels.Matrix, o kernels.Options) error {
	return b.refuse(ctx, kernels.OpRowNormalize, kernels.CheckRowNormalize(b.where, dst, x, o), false)
}
