package kerneltest

import (
	"math"
	"slices"

	"github.com/cambium-kernels/cambium/kernels"
)

// kernelRef is a kernel matrix in twice the precision, with the gauge of every
// entry: the lower triangle, row by row.
type kernelRef struct {
	n int
	k []dd
	g []float64
}

func newKernelRef(n int) kernelRef {
	return kernelRef{n, make([]dd, n*(n+1)/2), make([]float64, n*(n+1)/2)}
}

// fill sets every entry (i, j), j <= i.
func (r kernelRef) fill(entry func(i, j int) (dd, float64)) kernelRef {
	at := 0
	for i := range r.n {
		for j := range i + 1 {
			r.k[at], r.g[at] = entry(i, j)
			at++
		}
	}
	return r
}

// centeredRows returns the rows of g less the column means, in twice the
// precision.
func centeredRows(g *guarded) [][]dd {
	cols := colsOf(g)
	out := make([][]dd, g.m.Rows)
	for i := range out {
		out[i] = make([]dd, g.m.Cols)
	}
	for k, col := range cols {
		mean, _ := columnMean(col)
		for i, v := range col {
			out[i][k] = exact(v).minus(mean)
		}
	}
	return out
}

// linearKernel returns K = x·xᵀ of the centred features.
func linearKernel(g *guarded) kernelRef {
	rows := centeredRows(g)
	if g.m.DType == kernels.Float64 {
		return newKernelRef(len(rows)).fill(func(i, j int) (dd, float64) {
			var sum dd
			var gauge float64
			for k, v := range rows[i] {
				p := v.times(rows[j][k])
				sum = sum.plus(p)
				gauge += math.Abs(p.hi)
			}
			return sum, gauge
		})
	}
	high := make([][]float64, len(rows))
	for i, row := range rows {
		high[i] = make([]float64, len(row))
		for k, v := range row {
			high[i][k] = v.hi
		}
	}
	return newKernelRef(len(rows)).fill(func(i, j int) (dd, float64) {
		var sum compensated // two roundings of each term are left, of centring and product
		gauge, other := 0.0, high[j]
		for k, v := range high[i] {
			sum.add(v * other[k])
			gauge += math.Abs(v * other[k])
		}
		return sum.dd(), gauge
	})
}

// estimated is a kernel as an estimator needs it: centred for a biased
// estimate, with a diagonal of zeros and the sums of its rows for an unbiased one.
type estimated struct {
	kernelRef
	e      kernels.Estimator
	row    []dd
	gRow   []float64
	total  dd
	gTotal float64
}

func estimate(e kernels.Estimator, r kernelRef) estimated {
	s := estimated{kernelRef: kernelRef{r.n, slices.Clone(r.k), slices.Clone(r.g)}, e: e, row: make([]dd, r.n), gRow: make([]float64, r.n)}
	for i, at := 0, 0; i < r.n; i++ {
		for j := range i + 1 {
			switch {
			case i != j:
				s.row[j], s.gRow[j] = s.row[j].plus(s.k[at]), s.gRow[j]+s.g[at]
			case e == kernels.Unbiased:
				s.k[at], s.g[at] = dd{}, 0
			}
			s.row[i], s.gRow[i] = s.row[i].plus(s.k[at]), s.gRow[i]+s.g[at]
			at++
		}
	}
	for i, v := range s.row {
		s.total, s.gTotal = s.total.plus(v), s.gTotal+s.gRow[i]
	}
	if e == kernels.Unbiased {
		return s
	}
	n := exact(float64(r.n)) // H·K·H
	all := s.total.over(n).over(n)
	mean := make([]dd, r.n)
	for i, v := range s.row {
		mean[i] = v.over(n)
	}
	for i, at := 0, 0; i < r.n; i++ {
		for j := range i + 1 {
			s.k[at] = s.k[at].minus(mean[i]).minus(mean[j]).plus(all)
			at++
		}
	}
	return s
}

// with evaluates the estimator for a pair as it is defined.
func (s estimated) with(o estimated) reference {
	var sum, diagonal dd
	gauge, gDiagonal := 0.0, 0.0
	for i, at := 0, 0; i < s.n; i++ {
		for range i {
			sum = sum.plus(s.k[at].times(o.k[at]))
			gauge += s.g[at] * o.g[at]
			at++
		}
		diagonal = diagonal.plus(s.k[at].times(o.k[at]))
		gDiagonal += s.g[at] * o.g[at]
		at++
	}
	value, gauge := exact(2).times(sum).plus(diagonal), 2*gauge+gDiagonal
	n := float64(s.n)
	if s.e == kernels.Biased {
		f := (n - 1) * (n - 1)
		return reference{value.over(exact(f)), gauge / f}
	}
	var cross dd
	gCross := 0.0
	for i, v := range s.row {
		cross = cross.plus(v.times(o.row[i]))
		gCross += s.gRow[i] * o.gRow[i]
	}
	value = value.plus(s.total.times(o.total).over(exact((n - 1) * (n - 2)))).minus(exact(2).times(cross).over(exact(n - 2)))
	gauge += s.gTotal*o.gTotal/((n-1)*(n-2)) + 2/(n-2)*gCross
	return reference{value.over(exact(n * (n - 3))), gauge / (n * (n - 3))}
}
