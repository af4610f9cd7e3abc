package cpu

import (
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// sum is a sum of float64 that carries its rounding errors along (Knuth's
// two-sum; Ogita, Rump & Oishi 2005): hi + lo is off by at most n²·2⁻¹⁰⁶ times the
// sum of the magnitudes, so that no term, however large, costs the others digits.
type sum struct{ hi, lo float64 }

func (t *sum) add(v float64) {
	s := t.hi + v
	b := s - t.hi
	t.lo += (t.hi - (s - b)) + (v - b)
	t.hi = s
}

// value returns the sum, rounded once. Inf and NaN stay what they are.
func (t sum) value() float64 {
	if !finite(t.hi) {
		return t.hi
	}
	return t.hi + t.lo
}

// over returns the sum divided by n, rounded once: the mean of a constant is the
// constant, exactly.
func (t sum) over(n float64) float64 {
	q := t.hi / n
	if !finite(q) {
		return q
	}
	return q + (math.FMA(-q, n, t.hi)+t.lo)/n
}

func finite(v float64) bool { return !math.IsInf(v, 0) && !math.IsNaN(v) }

// reduce keeps sums of numbers near the end of float64's range within it.
const reduce = 0x1p-64

// meanOf returns the mean of v, rounded once; v is not empty.
func meanOf(v []float64) float64 {
	mean := sumOf(v).over(float64(len(v)))
	if finite(mean) {
		return mean
	}
	var t sum
	for _, x := range v {
		t.add(x * reduce)
	}
	return t.over(float64(len(v))) / reduce
}

// sumOf returns the sum of v. Two chains take half the time of one: each
// addition waits for the one before it.
func sumOf(v []float64) sum {
	var h0, l0, h1, l1 float64
	for len(v) >= 2 {
		x, y := v[0], v[1]
		s, t := h0+x, h1+y
		b, c := s-h0, t-h1
		l0 += (h0 - (s - b)) + (x - b)
		l1 += (h1 - (t - c)) + (y - c)
		h0, h1 = s, t
		v = v[2:]
	}
	t := sum{h0, l0 + l1}
	t.add(h1)
	if len(v) > 0 {
		t.add(v[0])
	}
	return t
}

// columnMeans writes the means of columns [j0, j0+len(mean)) of m, each rounded
// once. It stops early when the context ends.
func columnMeans(ws *workspace, mean []float64, m kernels.Matrix, j0 int) {
	hi := mean
	lo := grow(&ws.vector[0], len(hi))
	line := grow(&ws.vector[1], len(hi))
	clear(hi)
	clear(lo)
	for i := range m.Rows {
		if i%lookRows == 0 && ws.stopped() {
			return
		}
		loadRow(line, m, i, j0)
		lo, hi := lo[:len(line)], hi[:len(line)]
		for k, v := range line { // sum.add
			h := hi[k]
			s := h + v
			b := s - h
			lo[k] += (h - (s - b)) + (v - b)
			hi[k] = s
		}
	}
	n := float64(m.Rows)
	for k := range mean {
		mean[k] = sum{hi[k], lo[k]}.over(n)
		if m.DType == kernels.Float64 && !finite(mean[k]) {
			mean[k] = reducedMean(m, j0+k)
		}
	}
}

// reducedMean is the mean of a column whose sum may leave float64's range.
func reducedMean(m kernels.Matrix, j int) float64 {
	var t sum
	var v [1]float64
	for i := range m.Rows {
		loadRow(v[:], m, i, j)
		t.add(v[0] * reduce)
	}
	return t.over(float64(m.Rows)) / reduce
}

// sumSquares returns Σ v².
func sumSquares(v []float64) float64 { return addInner(0, v, v) }

// inner returns Σ a·b.
func inner(a, b []float64) float64 { return addInner(0, a, b) }

// addInner returns total + Σ a·b, summed in blocks of blockTerms, so that its
// error stays that of short sums. A long sum may be made in pieces of a multiple
// of blockTerms.
func addInner(total float64, a, b []float64) float64 {
	for len(a) > 0 {
		n := min(len(a), blockTerms)
		s := 0.0
		q := b[:n]
		for k, v := range a[:n] {
			s += v * q[k]
		}
		total += s
		a, b = a[n:], b[n:]
	}
	return total
}

// rowSquares returns Σ v² of row i of the operand's matrix, less the mean, as
// [sumSquares] would.
func (p operand) rowSquares(ws *workspace, i int) float64 {
	total := 0.0
	for j := 0; j < p.m.Cols; j += stripElems {
		line := grow(&ws.vector[0], min(stripElems, p.m.Cols-j))
		p.load(line, i, j)
		total = addInner(total, line, line)
	}
	return total
}
