//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"fmt"
	"math"
	"unsafe"

	"gorgonia.org/cu"

	"github.com/cambium-kernels/cambium/kernels"
)

// The layout of kernels/rotation.cu.
const (
	rotationChunk = 32768 // elements
	rotationSums  = 5
)

// rotationItem is RotationItem.
type rotationItem struct {
	w0, wt           uint64
	rows, cols       int64
	stride0, strideT int64
	type0, typeT     uint32
	firstChunk       uint32
	chunks           uint32
}

// rotationValues is what the kernel writes for an item.
type rotationValues [4]float64

// Rotation implements kernels.Backend: one launch for all tensors on the device,
// and one for each 64 MiB of those on the host. A tile is a pair of tensors.
func (b *backend) Rotation(ctx context.Context, dst []kernels.RotationValue, w0, wt []kernels.Matrix, o kernels.Options) error {
	values := make([]rotationValues, len(w0))
	err := b.call(ctx, kernels.OpRotation, o, kernels.CheckRotation(b.where, dst, w0, wt, o), func(r *run) error {
		return r.all(rotationPieces(r.strip, values, w0, wt))
	})
	if err != nil {
		return err
	}
	var zero []int
	for i, v := range values {
		dst[i] = kernels.RotationValue{Dot: v[0], Norm0: v[1], NormT: v[2], Distance: v[3]}
		if v[1] == 0 || v[2] == 0 {
			zero = append(zero, i)
		}
	}
	return kernels.Degenerate(kernels.OpRotation, "a tensor is zero or empty", zero)
}

// rotationPieces groups tensors so that those on the host pass in strips.
func rotationPieces(bytes int, values []rotationValues, w0, wt []kernels.Matrix) []piece {
	var list []piece
	from, staged := 0, 0
	for i := range w0 {
		size := 0
		for _, m := range []kernels.Matrix{w0[i], wt[i]} {
			if onHost(m) {
				size += m.Rows * m.Cols * m.DType.Size()
			}
		}
		if staged > 0 && staged+size > bytes {
			list = append(list, rotationPiece(values[from:i], w0[from:i], wt[from:i]))
			from, staged = i, 0
		}
		staged += size
	}
	if from < len(w0) {
		list = append(list, rotationPiece(values[from:], w0[from:], wt[from:]))
	}
	return list
}

func rotationPiece(values []rotationValues, w0, wt []kernels.Matrix) piece {
	var results cu.DevicePtr
	p := piece{
		launch: func(f *flight, v []view) (err error) {
			results, err = f.launchRotation(v)
			return err
		},
		finish: func(f *flight) error {
			words := unsafe.Slice(&values[0][0], len(values)*len(values[0]))
			return f.downloadFloats(words, results)
		},
		halve: func() []piece {
			n := len(w0) / 2
			if n == 0 {
				return nil
			}
			return []piece{rotationPiece(values[:n], w0[:n], wt[:n]), rotationPiece(values[n:], w0[n:], wt[n:])}
		},
	}
	for i := range w0 {
		p.operands = append(p.operands, source(w0[i]), source(wt[i]))
	}
	return p
}

// launchRotation compares v[0] with v[1], v[2] with v[3] and so on. It returns
// where the values will be.
func (f *flight) launchRotation(v []view) (results cu.DevicePtr, err error) {
	n, total := len(v)/2, 0
	items := make([]rotationItem, n)
	for i := range items {
		a, b := v[2*i], v[2*i+1]
		chunks := max(1, (a.rows*a.cols+rotationChunk-1)/rotationChunk)
		if total+chunks > math.MaxUint32 {
			return 0, fmt.Errorf("more than 2^32 chunks of %d elements: %w", rotationChunk, kernels.ErrMemory)
		}
		items[i] = rotationItem{
			w0: pointer(a.ptr), wt: pointer(b.ptr), rows: int64(a.rows), cols: int64(a.cols), stride0: int64(a.stride), strideT: int64(b.stride),
			type0: uint32(a.dtype), typeT: uint32(b.dtype), firstChunk: uint32(total), chunks: uint32(chunks), //nolint:gosec // below 2^32, see above
		}
		total += chunks
	}
	table, err := f.uploadTable(unsafe.Slice((*uint64)(unsafe.Pointer(&items[0])), n*int(unsafe.Sizeof(items[0]))/8))
	if err != nil {
		return 0, err
	}
	slots, err := f.alloc(total * rotationSums * 8)
	if err != nil {
		return 0, err
	}
	tickets, err := f.alloc(n * 4)
	if err != nil {
		return 0, err
	}
	if err := check("cuMemsetD8Async", cu.MemsetD8Async(tickets, 0, int64(n*4), f.stream)); err != nil {
		return 0, err
	}
	if results, err = f.alloc(n * int(unsafe.Sizeof(rotationValues{}))); err != nil {
		return 0, err
	}
	return results, f.launch("rotation", blocksFor(total), pointer(table), integer(n), pointer(slots), pointer(tickets), pointer(results))
}
