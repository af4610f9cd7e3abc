package cpu

import "github.com/cambium-kernels/cambium/kernels"

// blocking holds the tile sizes of the generic tier: an A and a B panel of
// tileRows x blockTerms float64 (2 x 144 KiB) stay in a 512 KiB L2, a B
// micro-panel of 4 x blockTerms (6 KiB) in L1. Measured in bench/results.
const (
	tileRows   = 96
	tileCols   = 96
	blockTerms = 192
)

// microKernel multiplies packed panels: c += Σ_k a_k·b_kᵀ.
type microKernel struct {
	mr, nr int // rows of a and of b in a micro-panel
	// run adds k products to the mr x nr block at c, whose rows are ldc apart. a
	// holds k·mr values, b k·nr.
	run func(k int, a, b, c []float64, ldc int)
}

var generic = microKernel{mr: 2, nr: 4, run: run2x4}

// workspace is one worker's scratch memory. What is bounded by the tile sizes
// and stripElems is the worker's own, less than 2 MiB; whoever needs more of a
// slice reserves it.
type workspace struct {
	job *job // the call at work

	a, b      []float64 // packed panels
	rows      []float64 // unpacked rows on their way into a panel
	tile      [2][]float64
	vector    [4][]float64
	layers    []float64 // tiles of several kernel matrices, values of attention
	attention []float64 // running sums of attention
}

// trim drops what grew beyond the worker's own share.
func (ws *workspace) trim() {
	for _, s := range []*[]float64{&ws.rows, &ws.vector[0], &ws.vector[1], &ws.vector[2], &ws.vector[3], &ws.layers, &ws.attention} {
		if cap(*s) > stripElems {
			*s = nil
		}
	}
}

// grow returns *s with length n; its content is undefined.
func grow(s *[]float64, n int) []float64 {
	if cap(*s) < n {
		*s = make([]float64, n)
	}
	*s = (*s)[:n]
	return *s
}

// operand reads a matrix as one side of a product: row i of the operand is row
// i of the matrix, or its column i if trans. On the way a mean, one value per
// column of the matrix, is subtracted, and values are multiplied by 2^exponent.
type operand struct {
	m        kernels.Matrix
	trans    bool
	mean     []float64
	exponent int
}

// rows returns the number of the operand's rows, terms their length.
func (p operand) rows() int {
	if p.trans {
		return p.m.Cols
	}
	return p.m.Rows
}

func (p operand) terms() int {
	if p.trans {
		return p.m.Rows
	}
	return p.m.Cols
}

// load reads part of one row of the matrix as float64, less the mean, scaled.
func (p *operand) load(dst []float64, line, from int) {
	loadRow(dst, p.m, line, from)
	if p.mean != nil {
		for k, v := range p.mean[from : from+len(dst)] {
			dst[k] -= v
		}
	}
	if p.exponent != 0 {
		scaleBy(dst, p.exponent)
	}
}

// pack copies terms [k0, k0+nk) of rows [i0, i0+ni) into micro-panels of the
// given width: value (i, k) goes to (i/width)·width·nk + k·width + i%width. Rows
// missing in the last micro-panel are zero.
func (p operand) pack(dst []float64, scratch *[]float64, i0, ni, k0, nk, width int) {
	if p.trans {
		p.packColumns(dst, scratch, i0, ni, k0, nk, width)
		return
	}
	buf := grow(scratch, width*nk)
	for i := 0; i < ni; i += width {
		live := min(width, ni-i)
		for r := range live {
			p.load(buf[r*nk:(r+1)*nk], i0+i+r, k0)
		}
		clear(buf[live*nk:])
		interleave(dst[i*nk:(i+width)*nk], buf, nk, width)
	}
}

// interleave transposes width rows of nk values.
func interleave(dst, src []float64, nk, width int) {
	switch width {
	case 2:
		r0, r1 := src[:nk], src[nk:2*nk]
		for k := range nk {
			d := dst[2*k : 2*k+2 : 2*k+2]
			d[0], d[1] = r0[k], r1[k]
		}
	case 4:
		r0, r1, r2, r3 := src[:nk], src[nk:2*nk], src[2*nk:3*nk], src[3*nk:4*nk]
		for k := range nk {
			d := dst[4*k : 4*k+4 : 4*k+4]
			d[0], d[1], d[2], d[3] = r0[k], r1[k], r2[k], r3[k]
		}
	default:
		for r := range width {
			for k, v := range src[r*nk : (r+1)*nk] {
				dst[k*width+r] = v
			}
		}
	}
}

// packColumns packs columns of the matrix: each matrix row holds one term of
// all of them.
func (p operand) packColumns(dst []float64, scratch *[]float64, i0, ni, k0, nk, width int) {
	padded := (ni + width - 1) / width * width
	buf := grow(scratch, padded)
	clear(buf[ni:])
	for k := range nk {
		p.load(buf[:ni], k0+k, i0)
		for i := 0; i < padded; i += width {
			copy(dst[i*nk+k*width:i*nk+(k+1)*width], buf[i:i+width])
		}
	}
}

// product returns the ni x nj block of a·bᵀ at (i0, j0): element (i, j) is at
// i·tileCols + j. It sums in blocks of blockTerms, in order, so that an element
// depends on its two rows alone, and not on which of them is a's. The block is
// the worker's first tile. It is incomplete if the context ends meanwhile.
func (t *tier) product(ws *workspace, a, b operand, i0, ni, j0, nj int) []float64 {
	c := grow(&ws.tile[0], tileRows*tileCols)
	clear(c)
	mr, nr := t.kernel.mr, t.kernel.nr
	terms := a.terms()
	for k0 := 0; k0 < terms && !ws.stopped(); k0 += blockTerms {
		nk := min(blockTerms, terms-k0)
		ap := grow(&ws.a, (tileRows+mr)*nk)
		bp := grow(&ws.b, (tileCols+nr)*nk)
		a.pack(ap, &ws.rows, i0, ni, k0, nk, mr)
		b.pack(bp, &ws.rows, j0, nj, k0, nk, nr)
		for j := 0; j < nj; j += nr {
			for i := 0; i < ni; i += mr {
				t.kernel.run(nk, ap[i*nk:(i+mr)*nk], bp[j*nk:(j+nr)*nk], c[i*tileCols+j:], tileCols)
			}
		}
	}
	return c
}

// run2x4 is the generic micro-kernel: eight independent sums, as many as Go
// keeps in registers on amd64 without spilling. Four terms at a time pay for the
// checks of the loop.
func run2x4(k int, a, b, c []float64, ldc int) {
	var c00, c01, c02, c03, c10, c11, c12, c13 float64
	a, b = a[:2*k], b[:4*k]
	for len(a) >= 8 && len(b) >= 16 {
		p, q := (*[8]float64)(a), (*[16]float64)(b)
		a0, a1 := p[0], p[1]
		v := q[0]
		c00 += a0 * v
		c10 += a1 * v
		v = q[1]
		c01 += a0 * v
		c11 += a1 * v
		v = q[2]
		c02 += a0 * v
		c12 += a1 * v
		v = q[3]
		c03 += a0 * v
		c13 += a1 * v
		a0, a1 = p[2], p[3]
		v = q[4]
		c00 += a0 * v
		c10 += a1 * v
		v = q[5]
		c01 += a0 * v
		c11 += a1 * v
		v = q[6]
		c02 += a0 * v
		c12 += a1 * v
		v = q[7]
		c03 += a0 * v
		c13 += a1 * v
		a0, a1 = p[4], p[5]
		v = q[8]
		c00 += a0 * v
		c10 += a1 * v
		v = q[9]
		c01 += a0 * v
		c11 += a1 * v
		v = q[10]
		c02 += a0 * v
		c12 += a1 * v
		v = q[11]
		c03 += a0 * v
		c13 += a1 * v
		a0, a1 = p[6], p[7]
		v = q[12]
		c00 += a0 * v
		c10 += a1 * v
		v = q[13]
		c01 += a0 * v
		c11 += a1 * v
		v = q[14]
		c02 += a0 * v
		c12 += a1 * v
		v = q[15]
		c03 += a0 * v
		c13 += a1 * v
		a, b = a[8:], b[16:]
	}
	for len(a) >= 2 && len(b) >= 4 {
		a0, a1 := a[0], a[1]
		c00 += a0 * b[0]
		c10 += a1 * b[0]
		c01 += a0 * b[1]
		c11 += a1 * b[1]
		c02 += a0 * b[2]
		c12 += a1 * b[2]
		c03 += a0 * b[3]
		c13 += a1 * b[3]
		a, b = a[2:], b[4:]
	}
	top := (*[4]float64)(c)
	top[0] += c00
	top[1] += c01
	top[2] += c02
	top[3] += c03
	low := (*[4]float64)(c[ldc:])
	low[0] += c10
	low[1] += c11
	low[2] += c12
	low[3] += c13
}
