package cpu

import (
	"unsafe"

	"github.com/cambium-kernels/cambium/kernels"
)

// The arguments of an operation were checked before these run, so the views
// are known to lie within their memory.

// row returns n elements of row i of m, from column j on, in the matrix's own
// element type T.
func row[T float32 | float64 | uint16](m kernels.Matrix, i, j, n int) []T {
	if n == 0 {
		return nil
	}
	var zero T
	base := m.Pointer()
	return unsafe.Slice((*T)(unsafe.Add(base, (i*m.Stride+j)*int(unsafe.Sizeof(zero)))), n)
}

// loadRow reads len(dst) elements of row i of m, from column j on, as float64.
// It is exact.
func loadRow(dst []float64, m kernels.Matrix, i, j int) {
	n := len(dst)
	switch m.DType {
	case kernels.Float32:
		for k, v := range row[float32](m, i, j, n) {
			dst[k] = float64(v)
		}
	case kernels.Float64:
		copy(dst, row[float64](m, i, j, n))
	case kernels.Float16:
		for k, v := range row[uint16](m, i, j, n) {
			dst[k] = float64(kernels.Float16ToFloat32(v))
		}
	case kernels.BFloat16:
		for k, v := range row[uint16](m, i, j, n) {
			dst[k] = float64(kernels.BFloat16ToFloat32(v))
		}
	}
}

// storeRow writes src to row i of m, from column j on, each value rounded once.
func storeRow(m kernels.Matrix, i, j int, src []float64) {
	n := len(src)
	switch m.DType {
	case kernels.Float32:
		dst := row[float32](m, i, j, n)
		for k, v := range src {
			dst[k] = float32(v)
		}
	case kernels.Float64:
		copy(row[float64](m, i, j, n), src)
	case kernels.Float16:
		dst := row[uint16](m, i, j, n)
		for k, v := range src {
			dst[k] = kernels.Float64ToFloat16(v)
		}
	case kernels.BFloat16:
		dst := row[uint16](m, i, j, n)
		for k, v := range src {
			dst[k] = kernels.Float64ToBFloat16(v)
		}
	}
}

// accumulateRow writes alpha·src + beta·(old row) to row i of m. With beta = 0
// the old row is not read. src is overwritten.
func accumulateRow(m kernels.Matrix, i, j int, src []float64, alpha, beta float64, old []float64) {
	if alpha != 1 {
		for k := range src {
			src[k] *= alpha
		}
	}
	if beta != 0 {
		old = old[:len(src)]
		loadRow(old, m, i, j)
		for k, v := range old {
			src[k] += beta * v
		}
	}
	storeRow(m, i, j, src)
}
