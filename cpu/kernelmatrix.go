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

// rowNormsCentered fills norms.
func (k *kernelMatrix) rowNormsCentered(ws *workspace, from, to int) {
	line := grow(&ws.vector[0], k.op.m.Cols)
	for i := from; i < to; i++ {
		k.op.load(line, i, 0)
		k.norms[i] = sumSquares(line)
	}
}

// prepare finds means and norms of the layers that need them.
func (b *Backend) prepare(ctx context.Context, op kernels.Op, layers []*kernelMatrix, norms bool) error {
	var x []kernels.Matrix
	var mean [][]float64
	for _, l := range layers {
		if l.kind == kernels.Precomputed {
			continue
		}
		l.op.mean = make([]float64, l.op.m.Cols)
		x, mean = append(x, l.op.m), append(mean, l.op.mean)
	}
	if err := b.means(ctx, op, x, mean); err != nil {
		return err
	}
	var list []tileRef
	for item, l := range layers {
		if l.kind == kernels.Precomputed || !norms && l.kind == kernels.Linear {
			continue
		}
		l.norms = make([]float64, l.n())
		per, n := strips(l.n(), l.op.m.Cols)
		for s := range n {
			list = append(list, tileRef{item, s * per, min((s+1)*per, l.n())})
		}
	}
	return b.tiles(ctx, op, kernels.Options{}, len(list), func(ws *workspace, i int) {
		layers[list[i].item].rowNormsCentered(ws, list[i].i0, list[i].j0)
	})
}

// center finds the shifts that centre the kernels: H·K·H for Biased, the
// U-centring of Székely & Rizzo (2014) for Unbiased. Linear kernels of centred
// features need none, or the diagonal alone.
func (b *Backend) center(ctx context.Context, op kernels.Op, layers []*kernelMatrix, e kernels.Estimator) error {
	for _, l := range layers {
		n := float64(l.n())
		var sums []float64
		switch {
		case l.kind == kernels.Linear && e == kernels.Biased:
			continue
		case l.kind == kernels.Linear: // rows of K sum to zero, so those without the diagonal to −K_ii
			sums = make([]float64, len(l.norms))
			for i, q := range l.norms {
				sums[i] = -q
			}
		default:
			var err error
			if sums, err = b.rowSums(ctx, op, l, e == kernels.Unbiased); err != nil {
				return err
			}
		}
		total := 0.0
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

// rowSums returns the row sums of a kernel matrix from its lower triangle; each
// row of tiles has a vector of its own, and these are added in order.
func (b *Backend) rowSums(ctx context.Context, op kernels.Op, l *kernelMatrix, zero bool) ([]float64, error) {
	n := l.n()
	strips := (n + tileRows - 1) / tileRows
	release, err := b.mem.reserveFloats(op, strips, n)
	if err != nil {
		return nil, err
	}
	defer release()
	parts := make([][]float64, strips)
	err = b.tiles(ctx, op, kernels.Options{}, strips, func(ws *workspace, s int) {
		sum := make([]float64, n)
		i0 := s * tileRows
		ni := min(tileRows, n-i0)
		for j0 := 0; j0 <= i0; j0 += tileCols {
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
		parts[s] = sum
	})
	if err != nil {
		return nil, err
	}
	sums := make([]float64, n)
	for _, p := range parts {
		for i, v := range p {
			sums[i] += v
		}
	}
	return sums, nil
}
