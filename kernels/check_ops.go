package kernels

import "math"

// The Check functions are the argument checks of the operations of the same
// name. dev is the backend's device. A backend calls them before it does
// anything else.

// CheckAlloc checks the arguments of [Backend.Alloc].
func CheckAlloc(dt DType, rows, cols int) error {
	c := newChecker(OpAlloc, Device{}, Options{})
	c.that(dt.Valid(), ErrUnsupported, "element type %s", dt)
	c.that(rows >= 0 && cols >= 0, ErrShape, "size %d x %d is negative", rows, cols)
	if c.ok() && rows > 0 && cols > 0 {
		c.that(rows <= math.MaxInt/8/cols, ErrMemory, "%d x %d %s has more bytes than an address can count", rows, cols, dt)
	}
	return c.err
}

// CheckCopy checks the arguments of [Backend.Copy].
func CheckCopy(dev Device, dst, src Matrix) error {
	c := newChecker(OpCopy, dev, Options{})
	d, s := oneDst("dst", dst), one("src", src)
	c.valid(d, s)
	c.shape("src", src, dst.Rows, dst.Cols)
	c.that(dst.DType == src.DType, ErrUnsupported, "src is %s, dst %s (use Convert)", src.DType, dst.DType)
	c.disjoint(false, d, s)
	return c.err
}

// CheckConvert checks the arguments of [Backend.Convert].
func CheckConvert(dev Device, dst, src Matrix) error {
	c := newChecker(OpConvert, dev, Options{})
	d, s := oneDst("dst", dst), one("src", src)
	c.valid(d, s)
	c.shape("src", src, dst.Rows, dst.Cols)
	c.disjoint(false, d, s)
	return c.err
}

// CheckGram checks the arguments of [Backend.Gram].
func CheckGram(dev Device, dst, x []Matrix, alpha, beta float64, out Storage, o Options) error {
	c := newChecker(OpGram, dev, o)
	d, s := manyDst("dst", dst), many("x", x)
	c.that(out <= PackedLower, ErrUnsupported, "storage %d is unknown", out)
	c.lengths(d, s)
	c.valid(d, s)
	for i := 0; c.ok() && i < len(dst); i++ {
		if n := x[i].Rows; out == Full {
			c.shape(d.label(i), dst[i], n, n)
		} else {
			c.shape(d.label(i), dst[i], 1, packedLen(n))
		}
		c.resultType(d.label(i), dst[i], x[i])
	}
	c.disjoint(false, d, s)
	return c.err
}

// ProductShape returns m, n and k of op(a)·op(b) in the given form; ok is false
// if the operands do not fit together or the form is unknown.
func ProductShape(a, b Matrix, form Form) (m, n, k int, ok bool) {
	switch form {
	case NT:
		return a.Rows, b.Rows, a.Cols, a.Cols == b.Cols
	case TN:
		return a.Cols, b.Cols, a.Rows, a.Rows == b.Rows
	case NN:
		return a.Rows, b.Cols, a.Cols, a.Cols == b.Rows
	default:
		return 0, 0, 0, false
	}
}

// CheckMatmul checks the arguments of [Backend.Matmul].
func CheckMatmul(dev Device, dst, a, b []Matrix, form Form, alpha, beta float64, o Options) error {
	c := newChecker(OpMatmul, dev, o)
	d, pa, pb := manyDst("dst", dst), many("a", a), many("b", b)
	c.that(form <= NN, ErrUnsupported, "form %d is unknown", form)
	c.lengths(d, pa, pb)
	c.valid(d, pa, pb)
	for i := 0; c.ok() && i < len(dst); i++ {
		m, n, _, ok := ProductShape(a[i], b[i], form)
		c.that(ok, ErrShape, "%s: %s is %d x %d, %s is %d x %d", form, pa.label(i), a[i].Rows, a[i].Cols, pb.label(i), b[i].Rows, b[i].Cols)
		c.shape(d.label(i), dst[i], m, n)
		c.resultType(d.label(i), dst[i], a[i], b[i])
	}
	c.disjoint(false, d, pa, pb)
	return c.err
}

// CheckCenter checks the arguments of [Backend.Center].
func CheckCenter(dev Device, dst, x []Matrix, stats []RowStats, o Options) error {
	c := newChecker(OpCenter, dev, o)
	d, s := manyDst("dst", dst), many("x", x)
	c.lengths(d, s)
	c.that(stats == nil || len(stats) == len(dst), ErrShape, "%d stats for %d dst", len(stats), len(dst))
	c.valid(d, s)
	for i := 0; c.ok() && i < len(dst); i++ {
		c.shape(s.label(i), x[i], dst[i].Rows, dst[i].Cols)
		if stats != nil {
			c.slice("stats[%d].Mean", i, stats[i].Mean, x[i].Cols)
			c.slice("stats[%d].SquaredNorm", i, stats[i].SquaredNorm, x[i].Rows)
			c.slice("stats[%d].ColumnSquares", i, stats[i].ColumnSquares, x[i].Cols)
		}
	}
	c.disjoint(true, d, s)
	return c.err
}

// slice checks the length of an optional result.
func (c *checker) slice(name string, i int, s []float64, want int) {
	if s != nil {
		c.that(len(s) == want, ErrShape, name+" has length %d, want %d", i, len(s), want)
	}
}

// CheckHSIC checks the arguments of [Backend.HSIC].
func CheckHSIC(dev Device, dst []HSICValue, x, y []Matrix, e Estimator, o Options) error {
	c := newChecker(OpHSIC, dev, o)
	px, py := many("x", x), many("y", y)
	c.that(e <= Unbiased, ErrUnsupported, "estimator %d is unknown", e)
	c.lengths(px, py)
	c.that(len(dst) == len(x), ErrShape, "%d dst for %d x", len(dst), len(x))
	c.valid(px, py)
	for i := 0; c.ok() && i < len(x); i++ {
		c.that(x[i].Rows == y[i].Rows, ErrShape, "x[%d] has %d rows, y[%d] %d", i, x[i].Rows, i, y[i].Rows)
	}
	return c.err
}

// CheckHSICMatrix checks the arguments of [Backend.HSICMatrix].
func CheckHSICMatrix(dev Device, dst HSICTable, x, y []Matrix, k Kernel, e Estimator, o Options) error {
	c := newChecker(OpHSICMatrix, dev, o)
	c.that(e <= Unbiased, ErrUnsupported, "estimator %d is unknown", e)
	c.that(k.Kind <= Precomputed, ErrUnsupported, "kernel %d is unknown", k.Kind)
	l, m, total := len(x), len(y), len(x)+len(y)
	if y == nil {
		m = l
	}
	c.that(l == 0 || m <= math.MaxInt/8/l, ErrShape, "%d x %d pairs are more than memory can hold", l, m)
	c.that(!c.ok() || len(dst.XY) == l*m, ErrShape, "dst.XY has length %d, want %d x %d", len(dst.XY), l, m)
	c.that(dst.XX == nil || len(dst.XX) == l, ErrShape, "dst.XX has length %d, want %d", len(dst.XX), l)
	c.that(dst.YY == nil || y != nil && len(dst.YY) == m, ErrShape, "dst.YY has length %d for %d y", len(dst.YY), len(y))
	c.that(dst.Variance == nil || k.Kind == Gaussian && len(dst.Variance) == total, ErrShape, "dst.Variance has length %d for %d matrices", len(dst.Variance), total)
	px, py := many("x", x), many("y", y)
	c.valid(px, py)
	for _, p := range []operands{px, py} {
		for i := 0; c.ok() && i < len(p.list); i++ {
			rows := p.list[i].Rows
			var n int
			if l > 0 {
				n = x[0].Rows
			} else {
				n = y[0].Rows
			}
			c.that(rows == n, ErrShape, "%s has %d rows, the first matrix %d", p.label(i), rows, n)
			c.that(k.Kind != Precomputed || p.list[i].Cols == rows, ErrShape, "%s is %d x %d, not square", p.label(i), rows, p.list[i].Cols)
		}
	}
	if k.Kind == Gaussian {
		c.bandwidth(k.Bandwidth, total)
	}
	return c.err
}

// bandwidth checks the rule, or one σ² for each of n matrices.
func (c *checker) bandwidth(b Bandwidth, n int) {
	c.that(b.Variance == nil || len(b.Variance) == n, ErrShape, "%d variances for %d matrices", len(b.Variance), n)
	for i, v := range b.Variance {
		c.that(v > 0 && !math.IsInf(v, 0), ErrShape, "variance[%d] is %v, want a positive number", i, v)
	}
	c.that(b.Fraction >= 0 && !math.IsInf(b.Fraction, 0), ErrShape, "fraction %v, want a positive number, or 0 for 1", b.Fraction)
	const least, most = 0x1p-500, 0x1p500
	c.that(b.Fraction == 0 || b.Fraction >= least && b.Fraction <= most, ErrShape, "fraction %v: its square leaves float64's range, want %.0e to %.0e", b.Fraction, least, most)
	c.that(b.Sample >= 0, ErrShape, "sample %d is negative", b.Sample)
}

// CheckRBF checks the arguments of [Backend.RBF].
func CheckRBF(dev Device, dst, x []Matrix, b Bandwidth, used []float64, o Options) error {
	c := newChecker(OpRBF, dev, o)
	d, s := manyDst("dst", dst), many("x", x)
	c.that(used == nil || len(used) == len(x), ErrShape, "used has length %d for %d x", len(used), len(x))
	if dst != nil || used == nil {
		c.lengths(d, s)
	}
	c.valid(d, s)
	for i := 0; c.ok() && i < len(dst); i++ {
		c.shape(d.label(i), dst[i], x[i].Rows, x[i].Rows)
		c.resultType(d.label(i), dst[i], x[i])
	}
	c.bandwidth(b, len(x))
	c.disjoint(false, d, s)
	return c.err
}

// CheckRotation checks the arguments of [Backend.Rotation].
func CheckRotation(dev Device, dst []RotationValue, w0, wt []Matrix, o Options) error {
	c := newChecker(OpRotation, dev, o)
	p0, pt := many("w0", w0), many("wt", wt)
	c.lengths(p0, pt)
	c.that(len(dst) == len(w0), ErrShape, "%d dst for %d w0", len(dst), len(w0))
	c.valid(p0, pt)
	for i := 0; c.ok() && i < len(w0); i++ {
		c.shape(pt.label(i), wt[i], w0[i].Rows, w0[i].Cols)
	}
	return c.err
}

// CheckLowRank checks the arguments of [Backend.LowRank].
func CheckLowRank(dev Device, w, b, a []Matrix, scale []float32, o Options) error {
	c := newChecker(OpLowRank, dev, o)
	pw, pb, pa := manyDst("w", w), many("b", b), many("a", a)
	c.lengths(pw, pb, pa)
	c.that(len(scale) == len(w), ErrShape, "%d scales for %d w", len(scale), len(w))
	c.valid(pw, pb, pa)
	for i := 0; c.ok() && i < len(w); i++ {
		c.that(b[i].Cols == a[i].Rows, ErrShape, "b[%d] has %d cols, a[%d] %d rows: no common rank", i, b[i].Cols, i, a[i].Rows)
		c.shape(pw.label(i), w[i], b[i].Rows, a[i].Cols)
	}
	c.disjoint(false, pw, pb, pa)
	return c.err
}

// CheckApplyAdapters checks the arguments of [Backend.ApplyAdapters].
func CheckApplyAdapters(dev Device, y, x Matrix, segments, ids []int32, set []Adapter, o Options) error {
	c := newChecker(OpApplyAdapters, dev, o)
	py, px := oneDst("y", y), one("x", x)
	c.valid(py, px)
	c.that(x.Rows == y.Rows, ErrShape, "x has %d rows, y %d", x.Rows, y.Rows)
	c.offsets("segments", segments, x.Rows)
	c.that(len(segments) == len(ids)+1, ErrShape, "%d segments bounds for %d ids, want one more", len(segments), len(ids))
	for i, id := range ids {
		c.that(id >= -1 && int(id) < len(set), ErrShape, "ids[%d] is %d, with %d adapters", i, id, len(set))
	}
	as, bs := adapterMatrices(set)
	pa, pb := many("A", as), many("B", bs)
	c.valid(pa, pb)
	for i := 0; c.ok() && i < len(set); i++ {
		c.that(as[i].Cols == x.Cols, ErrShape, "A[%d] has %d cols, x %d", i, as[i].Cols, x.Cols)
		c.shape(pb.label(i), bs[i], y.Cols, as[i].Rows)
	}
	c.disjoint(false, py, px, pa, pb)
	return c.err
}

// adapterMatrices returns the matrices A and B of all adapters.
func adapterMatrices(set []Adapter) (as, bs []Matrix) {
	as, bs = make([]Matrix, len(set)), make([]Matrix, len(set))
	for i := range set {
		as[i], bs[i] = set[i].A, set[i].B
	}
	return as, bs
}

// offsets checks a list of bounds: it starts at 0, does not fall, ends at n.
func (c *checker) offsets(name string, list []int32, n int) {
	if len(list) == 0 {
		c.that(false, ErrShape, "%s is empty, want 0, ..., %d", name, n)
		return
	}
	c.that(list[0] == 0 && int(list[len(list)-1]) == n, ErrShape, "%s runs from %d to %d, want 0 to %d", name, list[0], list[len(list)-1], n)
	for i := 1; i < len(list); i++ {
		c.that(list[i] >= list[i-1], ErrShape, "%s[%d] = %d is below %d", name, i, list[i], list[i-1])
	}
}

// CheckSVD checks the arguments of [Backend.SVD].
func CheckSVD(dev Device, u, s, v, w []Matrix, p SVDParams, o Options) error {
	c := newChecker(OpSVD, dev, o)
	pu, ps, pv, pw := manyDst("u", u), manyDst("s", s), manyDst("v", v), many("w", w)
	c.lengths(pw, pu, ps, pv)
	c.valid(pu, ps, pv, pw)
	c.that(p.Oversample >= 0 && p.Iterations >= 0, ErrShape, "oversample %d, iterations %d: negative", p.Oversample, p.Iterations)
	for i := 0; c.ok() && i < len(w); i++ {
		m, n, r := w[i].Rows, w[i].Cols, u[i].Cols
		c.that(r <= min(m, n), ErrShape, "rank %d of w[%d], which is %d x %d", r, i, m, n)
		c.shape(pu.label(i), u[i], m, r)
		c.shape(ps.label(i), s[i], 1, r)
		c.shape(pv.label(i), v[i], n, r)
		for _, t := range []operands{pu, ps, pv} {
			dt := t.list[i].DType
			c.that(dt == Float32 || dt == Float64, ErrUnsupported, "%s is %s, want f32 or f64", t.label(i), dt)
		}
	}
	c.disjoint(false, pu, ps, pv, pw)
	return c.err
}
