//go:build cuda && cgo && linux

package cuda

import "github.com/cambium-kernels/cambium/kernels"

// gramHalves cuts a Gram matrix on the host at row h into the two triangles on
// the diagonal and the rectangle between them. Their results go where they
// belong in dst if that is a view, else through a matrix of their own.
func (p *product) gramHalves(h int) []product {
	n := p.rows - h
	top, rest := *p, *p
	top.stored = nil
	top.rows, top.cols, top.a = h, h, strip(p.a, 0, h)
	rest.rows, rest.cols, rest.a = n, n, strip(p.a, h, n)
	rectangle := product{
		a: rest.a, b: top.a, rows: n, cols: h, terms: p.terms, form: kernels.NT, storage: general,
		rule: p.rule, alpha: p.alpha, beta: p.beta,
	}
	if p.storage == symmetric {
		top.dst = window(p.dst, 0, 0, h, h)
		rest.dst = window(p.dst, h, h, n, n)
		rectangle.dst = window(p.dst, h, 0, n, h)
		mirror := window(p.dst, 0, h, h, n)
		rectangle.stored = func() { transpose(mirror, rectangle.dst) }
		return []product{top, rectangle, rest}
	}
	// Rows before h are the beginning of a packed triangle; the others hold parts
	// of both the rectangle and the second triangle.
	top.dst = window(p.dst, 0, 0, 1, h*(h+1)/2)
	rest.dst, rectangle.dst = hostMatrix(p.dst.DType, 1, n*(n+1)/2), hostMatrix(p.dst.DType, n, h)
	exchange := func(copyRun func(whole, part kernels.Matrix, wholeAt, partRow, partAt, count int)) {
		for i := range n {
			row := (h + i) * (h + i + 1) / 2
			copyRun(p.dst, rectangle.dst, row, i, 0, h)
			copyRun(p.dst, rest.dst, row+h, 0, i*(i+1)/2, i+1)
		}
	}
	if p.beta != 0 {
		exchange(func(whole, part kernels.Matrix, wholeAt, partRow, partAt, count int) {
			copy(hostRow(part, chunk{partRow, partAt, 1, count}, 0), hostRow(whole, chunk{0, wholeAt, 1, count}, 0))
		})
	}
	after := p.stored
	rest.stored = func() {
		exchange(func(whole, part kernels.Matrix, wholeAt, partRow, partAt, count int) {
			copy(hostRow(whole, chunk{0, wholeAt, 1, count}, 0), hostRow(part, chunk{partRow, partAt, 1, count}, 0))
		})
		if after != nil {
			after()
		}
	}
	return []product{top, rectangle, rest}
}

// hostMatrix returns a new matrix on the host.
func hostMatrix(dt kernels.DType, rows, cols int) kernels.Matrix {
	var m kernels.Matrix
	var err error
	if dt == kernels.Float32 {
		m, err = kernels.Of(make([]float32, rows*cols), rows, cols, cols)
	} else {
		m, err = kernels.OfBits(dt, make([]uint16, rows*cols), rows, cols, cols)
	}
	if err != nil {
		return kernels.Matrix{} // cannot be: the sizes are those of the slice
	}
	return m
}

// transpose writes dst = srcᵀ, both on the host and of one type.
func transpose(dst, src kernels.Matrix) {
	size := src.DType.Size()
	for i := range src.Rows {
		row := hostRow(src, chunk{i, 0, 1, src.Cols}, 0)
		for j := range src.Cols {
			copy(hostRow(dst, chunk{j, i, 1, 1}, 0), row[j*size:(j+1)*size])
		}
	}
}
