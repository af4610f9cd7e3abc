//go:build cuda && cgo && linux

package cuda

import (
	"context"
	"fmt"
	"math"
	"unsafe"

	"github.com/cambium-kernels/cambium/kernels"
)

// storage is the Storage of kernels/product.cuh.
type storage uint8

const (
	general     storage = iota // all tiles
	symmetric                  // those of the lower triangle, mirrored
	packedLower                // those of the lower triangle, packed
)

// productItem is ProductItem of kernels/product.cuh.
type productItem struct {
	a, b, dst                   uint64
	strideA, strideB, strideDst int64
	rows, cols, terms           int32
	firstTile                   uint32
	typeA, typeB, typeDst       uint8
	form, storage               uint8
	_                           [3]uint8
}

// A product is one item of Matmul or Gram, or a part of one. All parts of an
// item have its rule, so that they have its bits.
type product struct {
	dst, a, b         kernels.Matrix
	rows, cols, terms int
	form              kernels.Form
	storage           storage
	same              bool // b is a
	rule              rule
	alpha, beta       float64
	stored            func() // what is left to do on the host, or nil
}

// Matmul implements kernels.Backend.
func (b *backend) Matmul(ctx context.Context, dst, x, y []kernels.Matrix, form kernels.Form, alpha, beta float64, o kernels.Options) error {
	const op = kernels.OpMatmul
	arguments := kernels.CheckMatmul(b.where, dst, x, y, form, alpha, beta, o)
	var list []product
	for i := 0; arguments == nil && i < len(dst); i++ {
		m, n, k, _ := kernels.ProductShape(x[i], y[i], form)
		list = append(list, product{
			dst: dst[i], a: x[i], b: y[i], rows: m, cols: n, terms: k, form: form, alpha: alpha, beta: beta,
			rule: productRule(form, x[i].DType, y[i].DType, m, n),
		})
		if kernels.ComputeType(x[i], y[i]) == kernels.Float64 {
			arguments = noFloat64(op)
		}
	}
	return b.multiply(ctx, op, o, arguments, list)
}

// Gram implements kernels.Backend.
func (b *backend) Gram(ctx context.Context, dst, x []kernels.Matrix, alpha, beta float64, out kernels.Storage, o kernels.Options) error {
	const op = kernels.OpGram
	arguments := kernels.CheckGram(b.where, dst, x, alpha, beta, out, o)
	layout := symmetric
	if out == kernels.PackedLower {
		layout = packedLower
	}
	var list []product
	for i := 0; arguments == nil && i < len(dst); i++ {
		n := x[i].Rows
		list = append(list, product{
			dst: dst[i], a: x[i], same: true, rows: n, cols: n, terms: x[i].Cols, storage: layout, alpha: alpha, beta: beta,
			rule: productRule(kernels.NT, x[i].DType, x[i].DType, n, n),
		})
		if x[i].DType == kernels.Float64 {
			arguments = noFloat64(op)
		}
	}
	return b.multiply(ctx, op, o, arguments, list)
}

// noFloat64 is the answer to operands that compute in float64.
func noFloat64(op kernels.Op) error {
	return fmt.Errorf("cuda: %s: float64 operands (convert them, or open backend cpu): %w", op, kernels.ErrUnsupported)
}

// multiply computes products. Those on the device are one launch for each
// kernel; those on the host pass in groups.
func (b *backend) multiply(ctx context.Context, op kernels.Op, o kernels.Options, arguments error, list []product) error {
	for i := range list {
		if p := &list[i]; arguments == nil && max(p.rows, p.cols, p.terms) > math.MaxInt32 {
			arguments = fmt.Errorf("cuda: %s: item %d has %d x %d sums of %d terms, the kernels count to 2^31 - 1: %w",
				op, i, p.rows, p.cols, p.terms, kernels.ErrUnsupported)
		}
	}
	return b.call(ctx, op, o, arguments, func(r *run) error { return r.all(productPieces(r.strip, list)) })
}

// tiles is the size of the grid that computes p.
func (p *product) tiles() int {
	t := func(n int) int { return (n + p.rule.tile - 1) / p.rule.tile }
	if p.storage == general {
		return t(p.rows) * t(p.cols)
	}
	return t(p.rows) * (t(p.rows) + 1) / 2
}

// hostBytes is what has to be brought to the device.
func (p *product) hostBytes() int {
	n := 0
	for _, m := range []kernels.Matrix{p.dst, p.a, p.b} {
		if onHost(m) {
			n += m.Rows * m.Cols * m.DType.Size()
		}
	}
	return n
}

// productPieces groups products: up to so many bytes from the host, and a grid that
// can be launched.
func productPieces(bytes int, list []product) []piece {
	var out []piece
	from, staged, tiles := 0, 0, 0
	for i := range list {
		p := &list[i]
		if i > from && (staged > 0 && staged+p.hostBytes() > bytes || tiles+p.tiles() > math.MaxInt32) {
			out = append(out, productPiece(list[from:i]))
			from, staged, tiles = i, 0, 0
		}
		staged += p.hostBytes()
		tiles += p.tiles()
	}
	if from < len(list) {
		out = append(out, productPiece(list[from:]))
	}
	return out
}

func productPiece(list []product) piece {
	piece := piece{
		launch: func(f *flight, v []view) error { return f.launchProducts(list, v) },
		halve:  func() []piece { return halveProducts(list) },
	}
	for i := range list {
		p := &list[i]
		reads := p.alpha != 0 && !p.dst.Empty() // with alpha 0 the sources are not even brought
		piece.operands = append(piece.operands, target(p.dst, p.beta != 0), operand{m: p.a, read: reads}, operand{m: p.b, read: reads && !p.same})
		if p.stored != nil {
			piece.finish = func(*flight) error {
				p.stored()
				return nil
			}
		}
	}
	return piece
}

// launchProducts queues one launch for each kernel that the products need; v
// holds three views for each.
func (f *flight) launchProducts(list []product, v []view) error {
	var order []string
	items := make(map[string][]productItem)
	tiles := make(map[string]int)
	for i := range list {
		p, dst, a, b := &list[i], v[3*i], v[3*i+1], v[3*i+2]
		if p.same {
			b = a
		}
		if p.tiles() == 0 {
			continue
		}
		k := p.rule.kernel
		if items[k] == nil {
			order = append(order, k)
		}
		items[k] = append(items[k], productItem{
			a: pointer(a.ptr), b: pointer(b.ptr), dst: pointer(dst.ptr),
			strideA: int64(a.stride), strideB: int64(b.stride), strideDst: int64(dst.stride),
			rows: int32(p.rows), cols: int32(p.cols), terms: int32(p.terms), //nolint:gosec // multiply has checked
			firstTile: uint32(tiles[k]), //nolint:gosec // productPieces keeps it below 2^31
			typeA:     uint8(a.dtype), typeB: uint8(b.dtype), typeDst: uint8(dst.dtype),
			form: uint8(p.form), storage: uint8(p.storage),
		})
		tiles[k] += p.tiles()
	}
	for _, k := range order {
		n := len(items[k])
		table, err := f.uploadTable(unsafe.Slice((*uint64)(unsafe.Pointer(&items[k][0])), n*int(unsafe.Sizeof(productItem{}))/8))
		if err != nil {
			return err
		}
		err = f.launch(k, tiles[k], pointer(table), integer(n), double(list[0].alpha), double(list[0].beta))
		if err != nil {
			return err
		}
	}
	return nil
}

// halveProducts cuts a batch, or a single product, in two or more.
func halveProducts(list []product) []piece {
	if n := len(list) / 2; n > 0 {
		return []piece{productPiece(list[:n]), productPiece(list[n:])}
	}
	parts := list[0].halves()
	var out []piece
	for i := range parts {
		out = append(out, productPiece(parts[i:i+1]))
	}
	return out
}

// halves cuts a product into parts, or returns nil if it is one tile. A Gram
// matrix is cut only if its result is on the host, where it can be put together.
func (p *product) halves() []product {
	half := func(n int) int { return (n/2 + p.rule.tile - 1) / p.rule.tile * p.rule.tile }
	switch {
	case p.storage != general:
		if p.rows <= p.rule.tile || !onHost(p.dst) {
			return nil
		}
		return p.gramHalves(half(p.rows))
	case p.rows >= p.cols && p.rows > p.rule.tile:
		h := half(p.rows)
		return []product{p.part(0, h, 0, p.cols), p.part(h, p.rows-h, 0, p.cols)}
	case p.cols > p.rule.tile:
		h := half(p.cols)
		return []product{p.part(0, p.rows, 0, h), p.part(0, p.rows, h, p.cols-h)}
	default:
		return nil
	}
}

// part is the product of some rows and columns of dst.
func (p *product) part(row, rows, col, cols int) product {
	q := *p
	q.rows, q.cols = rows, cols
	q.dst = window(p.dst, row, col, rows, cols)
	if p.form == kernels.TN {
		q.a = window(p.a, 0, row, p.terms, rows)
	} else {
		q.a = window(p.a, row, 0, rows, p.terms)
	}
	if p.form == kernels.NT {
		q.b = window(p.b, col, 0, cols, p.terms)
	} else {
		q.b = window(p.b, 0, col, p.terms, cols)
	}
	if p.stored != nil { // by the last part alone: parts are computed in order
		last := row+rows == p.rows && col+cols == p.cols
		if !last {
			q.stored = nil
		}
	}
	return q
}
