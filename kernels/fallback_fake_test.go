package kernels

import (
	"context"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// fakeBackend stands for a device. In place of arithmetic it maps each byte of a
// destination: to 3·byte + 1 where the operation reads the old content, else to
// 9. That is enough to see which calls ran on which content.
type fakeBackend struct {
	name   string
	device Device
	failAt int64 // the call, from 1, with which errors begin; 0: none
	fail   error
	tiles  int // reported for progress: all, or half of them before a failure

	calls  atomic.Int64
	closes atomic.Int64
	close  error
	info   error // Info.Fallback
}

func newFake(name string, device Device) *fakeBackend {
	return &fakeBackend{name: name, device: device, fail: fmt.Errorf("kernels: %s: launch failed (719): %w", name, ErrLost), tiles: 4}
}

func (b *fakeBackend) run(o Options, update bool, args ...operands) error {
	failing := b.failAt > 0 && b.calls.Add(1) >= b.failAt
	if b.failAt == 0 {
		b.calls.Add(1)
	}
	tiles := b.tiles
	if failing {
		tiles /= 2
	}
	for i := 1; o.Progress != nil && i <= tiles; i++ {
		o.Progress(i, b.tiles)
	}
	for _, p := range args {
		for i, m := range p.list {
			if !p.dst || m.Device != (Device{}) {
				continue
			}
			for r := range m.Rows {
				for k, old := range m.rowBytes(r) {
					switch {
					case failing:
						m.rowBytes(r)[k] = byte(r*k) ^ 0xa5 // undefined content
					case update || inPlaceArgument(m, i, args):
						m.rowBytes(r)[k] = 3*old + 1
					default:
						m.rowBytes(r)[k] = 9
					}
				}
			}
		}
	}
	if failing {
		return b.fail
	}
	return nil
}

func inPlaceArgument(dst Matrix, i int, args []operands) bool {
	for _, p := range args {
		if !p.dst && i < len(p.list) && p.list[i].Address() == dst.Address() {
			return true
		}
	}
	return false
}

type fakeBuffer struct {
	owner string
	m     Matrix
}

func (b *fakeBuffer) Matrix() Matrix { return b.m }
func (b *fakeBuffer) Free() error    { return nil }

func (b *fakeBackend) Info() Info {
	return Info{Name: b.name, Device: b.device, Fingerprint: b.name, Fallback: b.info}
}

func (b *fakeBackend) Close() error {
	b.closes.Add(1)
	return b.close
}

func (b *fakeBackend) Alloc(_ context.Context, dt DType, rows, cols int) (Buffer, error) {
	if err := b.run(Options{}, false); err != nil {
		return nil, err
	}
	return &fakeBuffer{b.name, (&maker{dev: b.device}).mat(dt, rows, cols)}, nil
}

func (b *fakeBackend) Copy(_ context.Context, dst, src Matrix) error {
	return b.run(Options{}, false, oneDst("", dst), one("", src))
}

func (b *fakeBackend) Convert(_ context.Context, dst, src Matrix) error {
	return b.run(Options{}, false, oneDst("", dst), one("", src))
}

func (b *fakeBackend) Gram(_ context.Context, dst, x []Matrix, _, beta float64, _ Storage, o Options) error {
	return b.run(o, beta != 0, manyDst("", dst), many("", x))
}

func (b *fakeBackend) Matmul(_ context.Context, dst, x, y []Matrix, _ Form, _, beta float64, o Options) error {
	return b.run(o, beta != 0, manyDst("", dst), many("", x), many("", y))
}

func (b *fakeBackend) Center(_ context.Context, dst, x []Matrix, _ []RowStats, o Options) error {
	return b.run(o, false, manyDst("", dst), many("", x))
}

func (b *fakeBackend) HSIC(_ context.Context, _ []HSICValue, x, y []Matrix, _ Estimator, o Options) error {
	return b.run(o, false, many("", x), many("", y))
}

func (b *fakeBackend) HSICMatrix(_ context.Context, _ HSICTable, x, y []Matrix, _ Kernel, _ Estimator, o Options) error {
	return b.run(o, false, many("", x), many("", y))
}

func (b *fakeBackend) RBF(_ context.Context, dst, x []Matrix, _ Bandwidth, _ []float64, o Options) error {
	return b.run(o, false, manyDst("", dst), many("", x))
}

func (b *fakeBackend) Rotation(_ context.Context, _ []RotationValue, w0, wt []Matrix, o Options) error {
	return b.run(o, false, many("", w0), many("", wt))
}

func (b *fakeBackend) LowRank(_ context.Context, w, x, y []Matrix, _ []float32, o Options) error {
	return b.run(o, true, manyDst("", w), many("", x), many("", y))
}

func (b *fakeBackend) ApplyAdapters(_ context.Context, y, x Matrix, _, _ []int32, _ []Adapter, o Options) error {
	return b.run(o, true, oneDst("", y), one("", x))
}

func (b *fakeBackend) SVD(_ context.Context, u, s, v, w []Matrix, _ SVDParams, o Options) error {
	return b.run(o, false, manyDst("", u), manyDst("", s), manyDst("", v), many("", w))
}

func (b *fakeBackend) Norm(_ context.Context, dst, x Matrix, _ NormParams, _, beta float64, o Options) error {
	return b.run(o, beta != 0, oneDst("", dst), one("", x))
}

func (b *fakeBackend) RoPE(_ context.Context, dst, x Matrix, _ []int32, _ RoPEParams, o Options) error {
	return b.run(o, false, oneDst("", dst), one("", x))
}

func (b *fakeBackend) Attention(_ context.Context, dst, q, k, v Matrix, _ AttentionParams, o Options) error {
	return b.run(o, false, oneDst("", dst), one("", q), one("", k), one("", v))
}

func (b *fakeBackend) Activate(_ context.Context, dst, x Matrix, _ Activation, o Options) error {
	return b.run(o, false, oneDst("", dst), one("", x))
}

func (b *fakeBackend) Gate(_ context.Context, dst, gate, up Matrix, _ Activation, o Options) error {
	return b.run(o, false, oneDst("", dst), one("", gate), one("", up))
}

func (b *fakeBackend) Add(_ context.Context, dst, x Matrix, _ float64, o Options) error {
	return b.run(o, true, oneDst("", dst), one("", x))
}

func (b *fakeBackend) Gather(_ context.Context, dst, table Matrix, _ []int32, _, beta float64, o Options) error {
	return b.run(o, beta != 0, oneDst("", dst), one("", table))
}

func (b *fakeBackend) Dequantize(_ context.Context, dst Matrix, _ Quantized, _ []int32, o Options) error {
	return b.run(o, false, oneDst("", dst))
}

func (b *fakeBackend) RowNormalize(_ context.Context, dst, x Matrix, o Options) error {
	return b.run(o, false, oneDst("", dst), one("", x))
}

// invoke calls the operation with the arguments of a check case.
func (a *arguments) invoke(ctx context.Context, b Backend, op Op, beta float64) error {
	at := func(list int) Matrix { return a.lists[list][0] }
	switch op {
	case OpAlloc:
		_, err := b.Alloc(ctx, Float32, 2, 2)
		return err
	case OpCopy:
		return b.Copy(ctx, at(0), at(1))
	case OpConvert:
		return b.Convert(ctx, at(0), at(1))
	case OpGram:
		return b.Gram(ctx, a.lists[0], a.lists[1], 1, beta, a.storage, a.o)
	case OpMatmul:
		return b.Matmul(ctx, a.lists[0], a.lists[1], a.lists[2], a.form, 1, beta, a.o)
	case OpCenter:
		return b.Center(ctx, a.lists[0], a.lists[1], a.stats, a.o)
	case OpHSIC:
		return b.HSIC(ctx, a.values, a.lists[0], a.lists[1], a.estimator, a.o)
	case OpHSICMatrix:
		return b.HSICMatrix(ctx, a.table, a.lists[0], a.lists[1], a.kernel, a.estimator, a.o)
	case OpRBF:
		return b.RBF(ctx, a.lists[0], a.lists[1], a.bandwidth, a.used, a.o)
	case OpRotation:
		return b.Rotation(ctx, a.rotation, a.lists[0], a.lists[1], a.o)
	case OpLowRank:
		return b.LowRank(ctx, a.lists[0], a.lists[1], a.lists[2], a.scale, a.o)
	case OpApplyAdapters:
		return b.ApplyAdapters(ctx, at(0), at(1), a.segments, a.ids, a.adapters(), a.o)
	case OpSVD:
		return b.SVD(ctx, a.lists[0], a.lists[1], a.lists[2], a.lists[3], a.svd, a.o)
	case OpNorm:
		a.norm.Weight, a.norm.Bias = at(2), at(3)
		return b.Norm(ctx, at(0), at(1), a.norm, 1, beta, a.o)
	case OpRoPE:
		return b.RoPE(ctx, at(0), at(1), a.positions, a.rope, a.o)
	case OpAttention:
		return b.Attention(ctx, at(0), at(1), at(2), at(3), a.attention, a.o)
	case OpActivate:
		return b.Activate(ctx, at(0), at(1), a.act, a.o)
	case OpGate:
		return b.Gate(ctx, at(0), at(1), at(2), a.act, a.o)
	case OpAdd:
		return b.Add(ctx, at(0), at(1), 1, a.o)
	case OpGather:
		return b.Gather(ctx, at(0), at(1), a.ids, 1, beta, a.o)
	case OpDequantize:
		return b.Dequantize(ctx, at(0), a.quantized, a.ids, a.o)
	case OpRowNormalize:
		return b.RowNormalize(ctx, at(0), at(1), a.o)
	default:
		return fmt.Errorf("no operation %s", op)
	}
}

// memory returns all bytes behind the host matrices, padding included.
func (a *arguments) memory() [][]byte {
	var all [][]byte
	for _, list := range a.lists {
		for _, m := range list {
			all = append(all, unsafe.Slice((*byte)(m.host), m.span))
		}
	}
	return all
}
