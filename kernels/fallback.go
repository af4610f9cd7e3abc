package kernels

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// WithFallback returns a backend that computes on primary until that reports
// [ErrLost], and on secondary from then on.
//
// The operation that meets the loss is done again on secondary if its operands
// are all on the host and Stream is 0; a failing device is then seen in
// [Info] alone: the secondary's, with the loss as Fallback. An operation with an
// operand on the lost device returns [ErrLost], now and later, because its
// content is gone. All other errors pass through unchanged, those of a cancelled
// context among them. The results of an operation done again have the
// secondary's fingerprint, not the primary's.
//
// Calls may be in flight on primary when another one finds it lost; each of
// them is done again as it fails. No call that starts later reaches primary, save
// Close, which closes both.
//
// An operation that reads what it overwrites (beta not 0, LowRank, Add,
// ApplyAdapters, in place) must start again from the old content. While primary
// serves, the elements of such a host destination are copied beforehand: that
// takes as much memory as the destination, and time to read and write it once.
// Destinations that are only written, and those on a device, are not copied.
//
// A nil backend is left out: the other one is returned as it is.
func WithFallback(primary, secondary Backend) Backend {
	if primary == nil {
		return secondary
	}
	if secondary == nil {
		return primary
	}
	info := primary.Info()
	return &fallback{primary: primary, secondary: secondary, name: info.Name, device: info.Device}
}

type fallback struct {
	primary, secondary Backend

	// Of the primary, which must not be asked any more when it is lost.
	name   string
	device Device

	lost   atomic.Pointer[error] // what the primary reported first; nil while it serves
	closed sync.Once
}

// Info describes the backend that serves now.
func (f *fallback) Info() Info {
	lost := f.lost.Load()
	if lost == nil {
		return f.primary.Info()
	}
	info := f.secondary.Info()
	reason := fmt.Errorf("%s serves instead of %s: %w", info.Name, f.name, *lost)
	if info.Fallback != nil { // the secondary has a story of its own
		reason = errors.Join(reason, info.Fallback)
	}
	info.Fallback = reason
	return info
}

// Close closes both backends.
func (f *fallback) Close() error {
	var err error
	f.closed.Do(func() { err = errors.Join(f.primary.Close(), f.secondary.Close()) })
	return err
}

// redo makes a call on the primary and, if that is or gets lost, on the
// secondary. update says that the operation reads the old content of its
// destinations.
func (f *fallback) redo(op Op, o Options, update bool, call func(Backend, Options) error, args ...operands) error {
	var done atomic.Int64 // the tiles reported so far
	if f.lost.Load() == nil {
		redoable := o.Stream == 0 && allOnHost(args)
		var saved []savedMatrix
		if redoable {
			saved = saveUpdated(update, args)
		}
		err := call(f.primary, withProgress(o, &done))
		if !errors.Is(err, ErrLost) {
			return err
		}
		f.lost.CompareAndSwap(nil, &err)
		if !redoable {
			return err
		}
		for _, s := range saved {
			s.restore()
		}
	} else if name, found := f.onLostDevice(args); found {
		return opError(op, ErrLost, "%s is on %s, which %s lost; make it anew on the host or by Alloc", name, f.device, f.name)
	}
	return call(f.secondary, withProgress(o, &done))
}

// onLostDevice returns the first operand on the primary's device.
func (f *fallback) onLostDevice(args []operands) (name string, found bool) {
	if f.device.Kind == Host {
		return "", false // losing a backend does not lose host memory
	}
	for _, p := range args {
		if i := slices.IndexFunc(p.list, func(m Matrix) bool { return m.Device == f.device }); i >= 0 {
			return p.label(i), true
		}
	}
	return "", false
}

func allOnHost(args []operands) bool {
	for _, p := range args {
		if slices.ContainsFunc(p.list, func(m Matrix) bool { return m.Device != Device{} }) {
			return false
		}
	}
	return true
}

// withProgress lets done grow over both attempts: the tiles of the second one
// are counted on top of those that the first one reported.
func withProgress(o Options, done *atomic.Int64) Options {
	if report := o.Progress; report != nil {
		before := int(done.Load())
		o.Progress = func(n, total int) {
			done.Store(int64(before + n))
			report(before+n, before+total)
		}
	}
	return o
}

// savedMatrix holds the rows of a host matrix, without the padding between
// them: that may belong to another operation's destination.
type savedMatrix struct {
	matrix Matrix
	rows   []byte
}

// saveUpdated copies the destinations that the operation also reads: all of
// them if update is set, else those that are the view of a source too.
func saveUpdated(update bool, args []operands) []savedMatrix {
	var saved []savedMatrix
	for _, p := range args {
		for i, m := range p.list {
			// What the operation will refuse is never overwritten.
			if !p.dst || m.Empty() || m.Validate() != nil || !update && !isSource(m, i, args) {
				continue
			}
			s := savedMatrix{m, make([]byte, 0, m.Rows*m.Cols*m.DType.Size())}
			for r := range m.Rows {
				s.rows = append(s.rows, m.rowBytes(r)...)
			}
			saved = append(saved, s)
		}
	}
	return saved
}

func (s savedMatrix) restore() {
	width := s.matrix.Cols * s.matrix.DType.Size()
	for r := range s.matrix.Rows {
		copy(s.matrix.rowBytes(r), s.rows[r*width:])
	}
}

// isSource reports whether a destination is in place: the view of a source of
// the same index.
func isSource(dst Matrix, index int, args []operands) bool {
	return slices.ContainsFunc(args, func(p operands) bool {
		return !p.dst && index < len(p.list) && sameView(dst, p.list[index])
	})
}

func (f *fallback) Alloc(ctx context.Context, dt DType, rows, cols int) (Buffer, error) {
	var buffer Buffer
	err := f.redo(OpAlloc, Options{}, false, func(b Backend, _ Options) (err error) {
		buffer, err = b.Alloc(ctx, dt, rows, cols)
		return err
	})
	return buffer, err
}

func (f *fallback) Copy(ctx context.Context, dst, src Matrix) error {
	return f.redo(OpCopy, Options{}, false, func(b Backend, _ Options) error {
		return b.Copy(ctx, dst, src)
	}, oneDst("dst", dst), one("src", src))
}

func (f *fallback) Convert(ctx context.Context, dst, src Matrix) error {
	return f.redo(OpConvert, Options{}, false, func(b Backend, _ Options) error {
		return b.Convert(ctx, dst, src)
	}, oneDst("dst", dst), one("src", src))
}

func (f *fallback) Gram(ctx context.Context, dst, x []Matrix, alpha, beta float64, out Storage, o Options) error {
	return f.redo(OpGram, o, beta != 0, func(b Backend, o Options) error {
		return b.Gram(ctx, dst, x, alpha, beta, out, o)
	}, manyDst("dst", dst), many("x", x))
}

func (f *fallback) Matmul(ctx context.Context, dst, a, b []Matrix, form Form, alpha, beta float64, o Options) error {
	return f.redo(OpMatmul, o, beta != 0, func(k Backend, o Options) error {
		return k.Matmul(ctx, dst, a, b, form, alpha, beta, o)
	}, manyDst("dst", dst), many("a", a), many("b", b))
}

func (f *fallback) Center(ctx context.Context, dst, x []Matrix, stats []RowStats, o Options) error {
	return f.redo(OpCenter, o, false, func(b Backend, o Options) error {
		return b.Center(ctx, dst, x, stats, o)
	}, manyDst("dst", dst), many("x", x))
}

func (f *fallback) HSIC(ctx context.Context, dst []HSICValue, x, y []Matrix, e Estimator, o Options) error {
	return f.redo(OpHSIC, o, false, func(b Backend, o Options) error {
		return b.HSIC(ctx, dst, x, y, e, o)
	}, many("x", x), many("y", y))
}

func (f *fallback) HSICMatrix(ctx context.Context, dst HSICTable, x, y []Matrix, k Kernel, e Estimator, o Options) error {
	return f.redo(OpHSICMatrix, o, false, func(b Backend, o Options) error {
		return b.HSICMatrix(ctx, dst, x, y, k, e, o)
	}, many("x", x), many("y", y))
}

func (f *fallback) RBF(ctx context.Context, dst, x []Matrix, w Bandwidth, used []float64, o Options) error {
	return f.redo(OpRBF, o, false, func(b Backend, o Options) error {
		return b.RBF(ctx, dst, x, w, used, o)
	}, manyDst("dst", dst), many("x", x))
}

func (f *fallback) Rotation(ctx context.Context, dst []RotationValue, w0, wt []Matrix, o Options) error {
	return f.redo(OpRotation, o, false, func(b Backend, o Options) error {
		return b.Rotation(ctx, dst, w0, wt, o)
	}, many("w0", w0), many("wt", wt))
}

func (f *fallback) LowRank(ctx context.Context, w, b, a []Matrix, scale []float32, o Options) error {
	return f.redo(OpLowRank, o, true, func(k Backend, o Options) error {
		return k.LowRank(ctx, w, b, a, scale, o)
	}, manyDst("w", w), many("b", b), many("a", a))
}

func (f *fallback) ApplyAdapters(ctx context.Context, y, x Matrix, segments, ids []int32, set []Adapter, o Options) error {
	as, bs := adapterMatrices(set)
	return f.redo(OpApplyAdapters, o, true, func(b Backend, o Options) error {
		return b.ApplyAdapters(ctx, y, x, segments, ids, set, o)
	}, oneDst("y", y), one("x", x), many("A", as), many("B", bs))
}

func (f *fallback) SVD(ctx context.Context, u, s, v, w []Matrix, p SVDParams, o Options) error {
	return f.redo(OpSVD, o, false, func(b Backend, o Options) error {
		return b.SVD(ctx, u, s, v, w, p, o)
	}, manyDst("u", u), manyDst("s", s), manyDst("v", v), many("w", w))
}

func (f *fallback) Norm(ctx context.Context, dst, x Matrix, p NormParams, alpha, beta float64, o Options) error {
	return f.redo(OpNorm, o, beta != 0, func(b Backend, o Options) error {
		return b.Norm(ctx, dst, x, p, alpha, beta, o)
	}, oneDst("dst", dst), one("x", x), one("weight", p.Weight), one("bias", p.Bias))
}

func (f *fallback) RoPE(ctx context.Context, dst, x Matrix, positions []int32, p RoPEParams, o Options) error {
	return f.redo(OpRoPE, o, false, func(b Backend, o Options) error {
		return b.RoPE(ctx, dst, x, positions, p, o)
	}, oneDst("dst", dst), one("x", x))
}

func (f *fallback) Attention(ctx context.Context, dst, q, k, v Matrix, p AttentionParams, o Options) error {
	return f.redo(OpAttention, o, false, func(b Backend, o Options) error {
		return b.Attention(ctx, dst, q, k, v, p, o)
	}, oneDst("dst", dst), one("q", q), one("k", k), one("v", v))
}

func (f *fallback) Activate(ctx context.Context, dst, x Matrix, fn Activation, o Options) error {
	return f.redo(OpActivate, o, false, func(b Backend, o Options) error {
		return b.Activate(ctx, dst, x, fn, o)
	}, oneDst("dst", dst), one("x", x))
}

func (f *fallback) Gate(ctx context.Context, dst, gate, up Matrix, fn Activation, o Options) error {
	return f.redo(OpGate, o, false, func(b Backend, o Options) error {
		return b.Gate(ctx, dst, gate, up, fn, o)
	}, oneDst("dst", dst), one("gate", gate), one("up", up))
}

func (f *fallback) Add(ctx context.Context, dst, x Matrix, alpha float64, o Options) error {
	return f.redo(OpAdd, o, true, func(b Backend, o Options) error {
		return b.Add(ctx, dst, x, alpha, o)
	}, oneDst("dst", dst), one("x", x))
}

func (f *fallback) Gather(ctx context.Context, dst, table Matrix, ids []int32, alpha, beta float64, o Options) error {
	return f.redo(OpGather, o, beta != 0, func(b Backend, o Options) error {
		return b.Gather(ctx, dst, table, ids, alpha, beta, o)
	}, oneDst("dst", dst), one("table", table))
}

func (f *fallback) Dequantize(ctx context.Context, dst Matrix, src Quantized, ids []int32, o Options) error {
	return f.redo(OpDequantize, o, false, func(b Backend, o Options) error {
		return b.Dequantize(ctx, dst, src, ids, o)
	}, oneDst("dst", dst), one("src", Matrix{Device: src.Device}))
}

func (f *fallback) RowNormalize(ctx context.Context, dst, x Matrix, o Options) error {
	return f.redo(OpRowNormalize, o, false, func(b Backend, o Options) error {
		return b.RowNormalize(ctx, dst, x, o)
	}, oneDst("dst", dst), one("x", x))
}
