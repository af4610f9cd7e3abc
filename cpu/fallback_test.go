package cpu

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/kernels/kerneltest"
)

// losing is a backend whose every operation overwrites its results and then
// finds the device lost.
type losing struct{ kernels.Backend }

// renewed makes a fallback for each call, so that each operation is the one that
// meets the loss.
type renewed struct{ primary, secondary kernels.Backend }

func (r renewed) fresh() kernels.Backend {
	return kernels.WithFallback(losing{r.primary}, r.secondary)
}

// lost turns success into a loss; other errors stay.
func lost(err error) error {
	if err != nil && !errors.Is(err, kernels.ErrDegenerate) {
		return err
	}
	return fmt.Errorf("losing: after the work: %w", kernels.ErrLost)
}

// silent drops the progress report: the second attempt makes it.
func silent(o kernels.Options) kernels.Options {
	o.Progress = nil
	return o
}

// TestFallbackConformance runs the suite on operations that are all done twice:
// results must be those of one clean run, old content of destinations included.
func TestFallbackConformance(t *testing.T) {
	kerneltest.Short(t, kerneltest.Target{OneRounding: true, Open: func(t testing.TB, workers int) kernels.Backend {
		var pair [2]kernels.Backend
		for i := range pair {
			b, err := New(Options{Workers: workers, Tier: "generic"})
			if err != nil {
				t.Fatal(err)
			}
			pair[i] = b
		}
		return renewed{pair[0], pair[1]}
	}})
}

func (r renewed) Info() kernels.Info { return r.secondary.Info() }

func (r renewed) Close() error { return errors.Join(r.primary.Close(), r.secondary.Close()) }

func (l losing) Alloc(ctx context.Context, dt kernels.DType, rows, cols int) (kernels.Buffer, error) {
	buf, err := l.Backend.Alloc(ctx, dt, rows, cols)
	if err != nil {
		return nil, err
	}
	return nil, lost(buf.Free())
}

func (r renewed) Alloc(ctx context.Context, dt kernels.DType, rows, cols int) (kernels.Buffer, error) {
	return r.fresh().Alloc(ctx, dt, rows, cols)
}

func (l losing) Copy(ctx context.Context, dst, src kernels.Matrix) error {
	return lost(l.Backend.Copy(ctx, dst, src))
}

func (r renewed) Copy(ctx context.Context, dst, src kernels.Matrix) error {
	return r.fresh().Copy(ctx, dst, src)
}

func (l losing) Convert(ctx context.Context, dst, src kernels.Matrix) error {
	return lost(l.Backend.Convert(ctx, dst, src))
}

func (r renewed) Convert(ctx context.Context, dst, src kernels.Matrix) error {
	return r.fresh().Convert(ctx, dst, src)
}

func (l losing) Gram(ctx context.Context, dst, x []kernels.Matrix, alpha, beta float64, out kernels.Storage, o kernels.Options) error {
	return lost(l.Backend.Gram(ctx, dst, x, alpha, beta, out, silent(o)))
}

func (r renewed) Gram(ctx context.Context, dst, x []kernels.Matrix, alpha, beta float64, out kernels.Storage, o kernels.Options) error {
	return r.fresh().Gram(ctx, dst, x, alpha, beta, out, o)
}

func (l losing) Matmul(ctx context.Context, dst, a, b []kernels.Matrix, form kernels.Form, alpha, beta float64, o kernels.Options) error {
	return lost(l.Backend.Matmul(ctx, dst, a, b, form, alpha, beta, silent(o)))
}

func (r renewed) Matmul(ctx context.Context, dst, a, b []kernels.Matrix, form kernels.Form, alpha, beta float64, o kernels.Options) error {
	return r.fresh().Matmul(ctx, dst, a, b, form, alpha, beta, o)
}

func (l losing) Center(ctx context.Context, dst, x []kernels.Matrix, stats []kernels.RowStats, o kernels.Options) error {
	return lost(l.Backend.Center(ctx, dst, x, stats, silent(o)))
}

func (r renewed) Center(ctx context.Context, dst, x []kernels.Matrix, stats []kernels.RowStats, o kernels.Options) error {
	return r.fresh().Center(ctx, dst, x, stats, o)
}

func (l losing) HSIC(ctx context.Context, dst []kernels.HSICValue, x, y []kernels.Matrix, e kernels.Estimator, o kernels.Options) error {
	return lost(l.Backend.HSIC(ctx, dst, x, y, e, silent(o)))
}

func (r renewed) HSIC(ctx context.Context, dst []kernels.HSICValue, x, y []kernels.Matrix, e kernels.Estimator, o kernels.Options) error {
	return r.fresh().HSIC(ctx, dst, x, y, e, o)
}

func (l losing) HSICMatrix(ctx context.Context, dst kernels.HSICTable, x, y []kernels.Matrix, k kernels.Kernel, e kernels.Estimator, o kernels.Options) error {
	return lost(l.Backend.HSICMatrix(ctx, dst, x, y, k, e, silent(o)))
}

func (r renewed) HSICMatrix(ctx context.Context, dst kernels.HSICTable, x, y []kernels.Matrix, k kernels.Kernel, e kernels.Estimator, o kernels.Options) error {
	return r.fresh().HSICMatrix(ctx, dst, x, y, k, e, o)
}

func (l losing) RBF(ctx context.Context, dst, x []kernels.Matrix, b kernels.Bandwidth, used []float64, o kernels.Options) error {
	return lost(l.Backend.RBF(ctx, dst, x, b, used, silent(o)))
}

func (r renewed) RBF(ctx context.Context, dst, x []kernels.Matrix, b kernels.Bandwidth, used []float64, o kernels.Options) error {
	return r.fresh().RBF(ctx, dst, x, b, used, o)
}

func (l losing) Rotation(ctx context.Context, dst []kernels.RotationValue, w0, wt []kernels.Matrix, o kernels.Options) error {
	return lost(l.Backend.Rotation(ctx, dst, w0, wt, silent(o)))
}

func (r renewed) Rotation(ctx context.Context, dst []kernels.RotationValue, w0, wt []kernels.Matrix, o kernels.Options) error {
	return r.fresh().Rotation(ctx, dst, w0, wt, o)
}

func (l losing) LowRank(ctx context.Context, w, b, a []kernels.Matrix, scale []float32, o kernels.Options) error {
	return lost(l.Backend.LowRank(ctx, w, b, a, scale, silent(o)))
}

func (r renewed) LowRank(ctx context.Context, w, b, a []kernels.Matrix, scale []float32, o kernels.Options) error {
	return r.fresh().LowRank(ctx, w, b, a, scale, o)
}

func (l losing) ApplyAdapters(ctx context.Context, y, x kernels.Matrix, segments, ids []int32, set []kernels.Adapter, o kernels.Options) error {
	return lost(l.Backend.ApplyAdapters(ctx, y, x, segments, ids, set, silent(o)))
}

func (r renewed) ApplyAdapters(ctx context.Context, y, x kernels.Matrix, segments, ids []int32, set []kernels.Adapter, o kernels.Options) error {
	return r.fresh().ApplyAdapters(ctx, y, x, segments, ids, set, o)
}

func (l losing) SVD(ctx context.Context, u, s, v, w []kernels.Matrix, p kernels.SVDParams, o kernels.Options) error {
	return lost(l.Backend.SVD(ctx, u, s, v, w, p, silent(o)))
}

func (r renewed) SVD(ctx context.Context, u, s, v, w []kernels.Matrix, p kernels.SVDParams, o kernels.Options) error {
	return r.fresh().SVD(ctx, u, s, v, w, p, o)
}

func (l losing) Norm(ctx context.Context, dst, x kernels.Matrix, p kernels.NormParams, alpha, beta float64, o kernels.Options) error {
	return lost(l.Backend.Norm(ctx, dst, x, p, alpha, beta, silent(o)))
}

func (r renewed) Norm(ctx context.Context, dst, x kernels.Matrix, p kernels.NormParams, alpha, beta float64, o kernels.Options) error {
	return r.fresh().Norm(ctx, dst, x, p, alpha, beta, o)
}

func (l losing) RoPE(ctx context.Context, dst, x kernels.Matrix, positions []int32, p kernels.RoPEParams, o kernels.Options) error {
	return lost(l.Backend.RoPE(ctx, dst, x, positions, p, silent(o)))
}

func (r renewed) RoPE(ctx context.Context, dst, x kernels.Matrix, positions []int32, p kernels.RoPEParams, o kernels.Options) error {
	return r.fresh().RoPE(ctx, dst, x, positions, p, o)
}

func (l losing) Attention(ctx context.Context, dst, q, k, v kernels.Matrix, p kernels.AttentionParams, o kernels.Options) error {
	return lost(l.Backend.Attention(ctx, dst, q, k, v, p, silent(o)))
}

func (r renewed) Attention(ctx context.Context, dst, q, k, v kernels.Matrix, p kernels.AttentionParams, o kernels.Options) error {
	return r.fresh().Attention(ctx, dst, q, k, v, p, o)
}

func (l losing) Activate(ctx context.Context, dst, x kernels.Matrix, f kernels.Activation, o kernels.Options) error {
	return lost(l.Backend.Activate(ctx, dst, x, f, silent(o)))
}

func (r renewed) Activate(ctx context.Context, dst, x kernels.Matrix, f kernels.Activation, o kernels.Options) error {
	return r.fresh().Activate(ctx, dst, x, f, o)
}

func (l losing) Gate(ctx context.Context, dst, gate, up kernels.Matrix, f kernels.Activation, o kernels.Options) error {
	return lost(l.Backend.Gate(ctx, dst, gate, up, f, silent(o)))
}

func (r renewed) Gate(ctx context.Context, dst, gate, up kernels.Matrix, f kernels.Activation, o kernels.Options) error {
	return r.fresh().Gate(ctx, dst, gate, up, f, o)
}

func (l losing) Add(ctx context.Context, dst, x kernels.Matrix, alpha float64, o kernels.Options) error {
	return lost(l.Backend.Add(ctx, dst, x, alpha, silent(o)))
}

func (r renewed) Add(ctx context.Context, dst, x kernels.Matrix, alpha float64, o kernels.Options) error {
	return r.fresh().Add(ctx, dst, x, alpha, o)
}

func (l losing) Gather(ctx context.Context, dst, table kernels.Matrix, ids []int32, alpha, beta float64, o kernels.Options) error {
	return lost(l.Backend.Gather(ctx, dst, table, ids, alpha, beta, silent(o)))
}

func (r renewed) Gather(ctx context.Context, dst, table kernels.Matrix, ids []int32, alpha, beta float64, o kernels.Options) error {
	return r.fresh().Gather(ctx, dst, table, ids, alpha, beta, o)
}

func (l losing) Dequantize(ctx context.Context, dst kernels.Matrix, src kernels.Quantized, ids []int32, o kernels.Options) error {
	return lost(l.Backend.Dequantize(ctx, dst, src, ids, silent(o)))
}

func (r renewed) Dequantize(ctx context.Context, dst kernels.Matrix, src kernels.Quantized, ids []int32, o kernels.Options) error {
	return r.fresh().Dequantize(ctx, dst, src, ids, o)
}

func (l losing) RowNormalize(ctx context.Context, dst, x kernels.Matrix, o kernels.Options) error {
	return lost(l.Backend.RowNormalize(ctx, dst, x, silent(o)))
}

func (r renewed) RowNormalize(ctx context.Context, dst, x kernels.Matrix, o kernels.Options) error {
	return r.fresh().RowNormalize(ctx, dst, x, o)
}
