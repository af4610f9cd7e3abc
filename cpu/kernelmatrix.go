package cpu

import (
	"context"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// kernelMatrix is an n x n kernel matrix that is computed tile by tile and never
// stored: K of a layer's features, or a precomputed one. shift, if set, is
// subtracted along rows and columns: element (i, j) becomes K_ij − shift_i − shift_j.
type kernelMatrix struct {
	kind     kernels.KernelKind
	op       operand
	norms    []float64 // squared norms of the centred rows, for Gaussian and Unbiased
	variance float64   // σ² of Gaussian
	shift    []float64
}

func (k *kernelMatrix) n() int { return k.op.m.Rows }

// tile computes the ni x nj block at (i0, j0), i0 >= j0, into out, rows nj apart.
// Blocks on the diagonal are symmetric; zero clears their diagonal.
//
// A Gaussian kernel gives exp(…) − 1: a constant changes no HSIC, and a wide
// kernel, whose values are all near 1, keeps its digits.
func (k *kernelMatrix) tile(b *Backend, ws *workspace, out []float64, i0, ni, j0, nj int, zero bool) {
	switch k.kind {
	case kernels.Precomputed:
		k.precomputedTile(out, i0, ni, j0, nj)
	default:
		c := b.tier.product(ws, k.op, k.op, i0, ni, j0, nj)
		for r := range ni {
			line := out[r*nj : (r+1)*nj]
			copy(line, c[r*tileCols:])
			if k.kind == kernels.Gaussian {
				k.distances(line, i0+r, j0)
				for s, d := range line {
					line[s] = math.Expm1(-d / (2 * k.variance))
				}
			}
		}
	}
	if k.shift != nil {
		for r := range ni {
			line, own := out[r*nj:(r+1)*nj], k.shift[i0+r]
			for s, v := range k.shift[j0 : j0+nj] {
				line[s] -= own + v
			}
		}
	}
	if zero && i0 == j0 {
		for r := range min(ni, nj) {
			out[r*nj+r] = 0
		}
	}
}

// distances turns inner products of row i with rows j0, j0+1, ... into squared
// distances. Norms and products are summed in the same order, so equal rows are
// at distance zero.
func (k *kernelMatrix) distances(line []float64, i, j0 int) {
	q := k.norms[j0 : j0+len(line)]
	own := k.norms[i]
	for s, g := range line {
		d := own + q[s] - 2*g
		if d < 0 { // NaN stays
			d = 0
		}
		line[s] = d
	}
	if s := i - j0; s >= 0 && s < len(line) && !math.IsNaN(line[s]) {
		line[s] = 0
	}
}

// precomputedTile reads a block of the lower triangle.
func (k *kernelMatrix) precomputedTile(out []float64, i0, ni, j0, nj int) {
	for r := range ni {
		live := min(nj, i0+r-j0+1)
		loadRow(out[r*nj:r*nj+live], k.op.m, i0+r, j0)
	}
	if i0 != j0 {
		return
	}
	for r := range ni {
		for s := r + 1; s < nj; s++ {
			out[r*nj+s] = out[s*nj+r]
		}
	}
}

// preparation is what precedes the use of kernel matrices: the column means and
// row norms of the layers that need them.
type preparation struct {
	layers        []*kernelMatrix
	norms         bool // of linear layers too
	columns, rows []tileRef
}

func planPreparation(layers []*kernelMatrix, norms bool) preparation {
	p := preparation{norms: norms}
	var x []kernels.Matrix
	for _, l := range layers {
		if l.kind != kernels.Precomputed {
			p.layers, x = append(p.layers, l), append(x, l.op.m)
		}
	}
	p.columns = columnBlocks(x)
	for item, l := range p.layers {
		if p.needsNorms(l) {
			per, n := strips(l.n(), l.op.m.Cols)
			for s := range n {
				p.rows = append(p.rows, tileRef{item, s * per, min((s+1)*per, l.n())})
			}
		}
	}
	return p
}

func (p preparation) needsNorms(l *kernelMatrix) bool { return p.norms || l.kind == kernels.Gaussian }

func (p preparation) tiles() int { return len(p.columns) + len(p.rows) }

// prepare fills means and norms; their memory is s's.
func (b *Backend) prepare(ctx context.Context, s *scratch, run *phases, p preparation) error {
	for _, l := range p.layers {
		if l.op.m.Rows == 0 {
			continue
		}
		var err error
		if l.op.mean, err = s.floats(1, l.op.m.Cols); err != nil {
			return err
		}
		if p.needsNorms(l) {
			if l.norms, err = s.floats(1, l.n()); err != nil {
				return err
			}
		}
	}
	err := b.tiles(ctx, s.op, run.next(len(p.columns)), len(p.columns), func(ws *workspace, i int) {
		t := p.columns[i]
		l := p.layers[t.item]
		columnMeans(ws, l.op.mean[t.j0:min(t.j0+meanCols, l.op.m.Cols)], l.op.m, t.j0)
	})
	if err != nil {
		return err
	}
	return b.tiles(ctx, s.op, run.next(len(p.rows)), len(p.rows), func(ws *workspace, i int) {
		t := p.rows[i]
		l := p.layers[t.item]
		for r := t.i0; r < t.j0; r++ {
			l.norms[r] = l.op.rowSquares(ws, r)
		}
	})
}

// needsRowSums reports whether centring the kernel takes the sums of its rows.
// Those of linear kernels of centred features are known.
func (k *kernelMatrix) needsRowSums() bool { return k.kind != kernels.Linear }

// rowSumTiles returns how many tiles [Backend.rowSums] takes.
func (k *kernelMatrix) rowSumTiles() int { return (k.n() + tileRows - 1) / tileRows }

// center finds the shifts that centre the kernels: H·K·H for Biased, the
// U-centring of Székely & Rizzo (2014) for Unbiased. Linear kernels of centred
// features need none, or the diagonal alone. The shifts' memory is s's.
func (b *Backend) center(ctx context.Context, s *scratch, run *phases, layers []*kernelMatrix, e kernels.Estimator) error {
	for _, l := range layers {
		if l.kind == kernels.Linear && e == kernels.Biased {
			continue
		}
		sums, err := s.floats(1, l.n())
		if err != nil {
			return err
		}
		if l.needsRowSums() {
			if err := b.rowSums(ctx, s.op, run, l, e == kernels.Unbiased, sums); err != nil {
				return err
			}
		} else { // rows of K sum to zero, so those without the diagonal to −K_ii
			for i, q := range l.norms {
				sums[i] = -q
			}
		}
		n, total := float64(l.n()), 0.0
		for _, v := range sums {
			total += v
		}
		per, all := 1/n, total/(2*n*n)
		if e == kernels.Unbiased {
			per, all = 1/(n-2), total/(2*(n-1)*(n-2))
		}
		for i, v := range sums {
			sums[i] = v*per - all
		}
		l.shift = sums
	}
	return nil
}

// rowSums adds the row sums of a kernel matrix to sums, from its lower triangle;
// each row of tiles has a vector of its own, and these are added in order.
func (b *Backend) rowSums(ctx context.Context, op kernels.Op, run *phases, l *kernelMatrix, zero bool, sums []float64) error {
	n, strips := l.n(), l.rowSumTiles()
	sc := b.scratch(op)
	defer sc.release()
	parts, err := sc.floats(strips, n)
	if err != nil {
		return err
	}
	err = b.tiles(ctx, op, run.next(strips), strips, func(ws *workspace, s int) {
		sum := parts[s*n : (s+1)*n]
		i0 := s * tileRows
		ni := min(tileRows, n-i0)
		for j0 := 0; j0 <= i0 && !ws.stopped(); j0 += tileCols {
			nj := min(tileCols, n-j0)
			t := grow(&ws.tile[1], ni*nj)
			l.tile(b, ws, t, i0, ni, j0, nj, zero)
			for r := range ni {
				for c, v := range t[r*nj : (r+1)*nj] {
					sum[i0+r] += v
					if i0 != j0 {
						sum[j0+c] += v
					}
				}
			}
		}
	})
	if err != nil {
		return err
	}
	for s := range strips {
		add(sums, parts[s*n:(s+1)*n])
	}
	return nil
}
