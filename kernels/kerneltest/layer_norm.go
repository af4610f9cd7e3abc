package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// normCase is one call of Norm. Weight and bias may be nil.
type normCase struct {
	p               kernels.NormParams
	x, weight, bias *guarded
	dst             *guarded
	scale           scale
}

func testNorm(s *suite, t *testing.T) {
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for _, shape := range s.layerShapes() {
			c := randomNorm(t, r, kernels.Float32, kernels.Float32, shape[0], shape[1])
			if shape[0]*shape[1] > 0 && r.IntN(8) == 0 {
				c.x.set(r.IntN(shape[0]), r.IntN(shape[1]), math.NaN())
			}
			s.norm(t, c)
		}
	})
	t.Run("types", func(t *testing.T) {
		r := s.rng(t)
		for _, types := range typePairs() {
			for _, shape := range [][2]int{{1, 1}, {3, 17}, {17, 64}, {2, 500}} {
				s.norm(t, randomNorm(t, r, types[0], types[1], shape[0], shape[1]))
			}
		}
	})
	t.Run("unread", func(t *testing.T) { s.normUnread(t) })
	t.Run("large offset", func(t *testing.T) {
		r := s.rng(t)
		for _, dt := range []kernels.DType{kernels.Float32, kernels.Float64} {
			for _, kind := range []kernels.NormKind{kernels.RMSNorm, kernels.LayerNorm} {
				x := placed(t, r, dt, 9, 500, func() float64 { return 1000 + r.NormFloat64() })
				s.norm(t, normCase{p: kernels.NormParams{Kind: kind, Epsilon: 1e-5}, x: x, dst: unset(t, r, dt, 9, 500), scale: scale{1, 0}})
			}
		}
	})
	t.Run("outlier", func(t *testing.T) { // one element thousands of times the others
		r := s.rng(t)
		for _, dt := range []kernels.DType{kernels.Float32, kernels.Float64} {
			for _, kind := range []kernels.NormKind{kernels.RMSNorm, kernels.LayerNorm} {
				x := placed(t, r, dt, 4, 4099, gaussian(r))
				for row, at := range []int{0, 1, 2050, 4098} {
					x.set(row, at, 25000.0/3)
				}
				s.norm(t, normCase{p: kernels.NormParams{Kind: kind, Epsilon: 1e-5}, x: x, dst: unset(t, r, dt, 4, 4099), scale: scale{1, 0}})
			}
		}
	})
	t.Run("zero row", func(t *testing.T) {
		r := s.rng(t)
		for _, kind := range []kernels.NormKind{kernels.RMSNorm, kernels.LayerNorm} {
			for _, epsilon := range []float64{0, 1e-6} { // 0/0 is NaN, 0/√ε is 0
				x := placed(t, r, kernels.Float32, 3, 40, gaussian(r))
				for k := range 40 {
					x.set(1, k, 0)
				}
				s.norm(t, normCase{p: kernels.NormParams{Kind: kind, Epsilon: epsilon}, x: x, dst: unset(t, r, kernels.Float32, 3, 40), scale: scale{1, 0}})
			}
		}
	})
}

// randomNorm draws everything but the sizes.
func randomNorm(t testing.TB, r *rand.Rand, src, dst kernels.DType, rows, cols int) normCase {
	t.Helper()
	c := normCase{p: kernels.NormParams{
		Kind:    pick(r, []kernels.NormKind{kernels.RMSNorm, kernels.LayerNorm}),
		Offset:  pick(r, []float64{0, 0, 1}),
		Epsilon: pick(r, []float64{1e-5, 1e-6, 1e-12}),
	}, scale: pick(r, scales)}
	if g := pick(r, []int{0, 1, 2, 3, 4, 8}); g == 0 || cols%g == 0 {
		c.p.Groups = g
	}
	width := cols / max(c.p.Groups, 1)
	if r.IntN(4) > 0 {
		c.weight = placed(t, r, pick(r, dtypes[:1+r.IntN(len(dtypes))]), 1, width, gaussian(r))
	}
	if c.p.Kind == kernels.LayerNorm && r.IntN(2) == 0 {
		c.bias = placed(t, r, pick(r, dtypes[:1+r.IntN(len(dtypes))]), 1, width, gaussian(r))
	}
	center, spread := pick(r, []float64{0, 0, 3, -40}), pick(r, []float64{1, 1e-3, 200})
	c.x = placed(t, r, src, rows, cols, func() float64 { return spread * (center + r.NormFloat64()) })
	c.dst = outOf(t, r, c.x, dst, c.scale.beta != 0)
	return c
}

// normUnread checks that alpha = 0 leaves x alone and beta = 0 dst: both hold NaN.
func (s *suite) normUnread(t *testing.T) {
	r := s.rng(t)
	weight := placed(t, r, kernels.Float32, 1, 24, gaussian(r))
	for _, sc := range []scale{{0, 0.5}, {0, 1}, {0, 0}, {1, 0}} {
		c := normCase{p: kernels.NormParams{Epsilon: 1e-6}, weight: weight, scale: sc}
		c.x = unset(t, r, kernels.Float32, 5, 24)
		if sc.alpha != 0 {
			c.x.fill(gaussian(r))
		}
		c.dst = unset(t, r, kernels.Float32, 5, 24)
		if sc.beta != 0 {
			c.dst.fill(gaussian(r))
		}
		s.norm(t, c)
	}
}

// norm runs a case and compares it with the definition.
func (s *suite) norm(t *testing.T, c normCase) {
	t.Helper()
	rows, cols := c.x.m.Rows, c.x.m.Cols
	what := fmt.Sprintf("Norm kind %d, %d x %d in %d groups, %s to %s, weight %s, bias %s, offset %v, ε %v, alpha %v, beta %v, in place %v",
		c.p.Kind, rows, cols, c.p.Groups, c.x.m.DType, c.dst.m.DType, typeOf(c.weight), typeOf(c.bias), c.p.Offset, c.p.Epsilon, c.scale.alpha, c.scale.beta, c.dst == c.x)
	c.p.Weight, c.p.Bias = view(c.weight), view(c.bias)
	wants := normRows(c)
	compute := computes(c.x, c.weight, c.bias)
	if c.scale.beta != 0 {
		compute = computes(c.x, c.weight, c.bias, c.dst)
	}
	sources := watch(t, c.dst, c.x, c.weight, c.bias)
	err := s.b.Norm(background(), c.dst.m, c.x.m, c.p, c.scale.alpha, c.scale.beta, kernels.Options{})
	if !s.do(t, err, computes(c.x, c.weight, c.bias, c.dst)) {
		return
	}
	sources(what)
	width := cols / max(c.p.Groups, 1)
	j := s.judge(t, what, kernels.OpNorm, kernels.Problem{Terms: width, Compute: compute, Out: c.dst.m.DType})
	j.matrix(c.dst, want(wants))
	if width > 1 && c.scale != (scale{}) {
		j.done()
	}
}

func typeOf(g *guarded) string {
	if g == nil {
		return "none"
	}
	return g.m.DType.String()
}

// normRows computes all references, before dst is written.
func normRows(c normCase) [][]reference {
	groups := max(c.p.Groups, 1)
	width := c.x.m.Cols / groups
	var weight, bias []float64
	if c.weight != nil {
		weight = c.weight.floats()
	}
	if c.bias != nil {
		bias = c.bias.floats()
	}
	xs, olds := rowsOf(c.x), rowsOf(c.dst)
	out := make([][]reference, len(xs))
	for i, x := range xs {
		for g := range groups {
			part := make([]reference, width)
			if c.scale.alpha != 0 {
				part = normGroup(c.p, x[g*width:(g+1)*width], weight, bias)
			}
			out[i] = append(out[i], part...)
		}
		for k := range out[i] {
			out[i][k] = out[i][k].combined(c.scale, olds[i][k])
		}
	}
	return out
}

// combined returns alpha·r + beta·old; a factor of zero hides its value.
func (r reference) combined(sc scale, old float64) reference {
	var out reference
	if sc.alpha != 0 {
		out = reference{exact(sc.alpha).times(r.want), math.Abs(sc.alpha) * r.gauge}
	}
	if sc.beta != 0 {
		out.want = out.want.plus(exact(sc.beta).times(exact(old)))
		out.gauge += math.Abs(sc.beta * old)
	}
	return out
}

// normGroup normalises one group by the definition.
func normGroup(p kernels.NormParams, x, weight, bias []float64) []reference {
	n := exact(float64(len(x)))
	var mean dd
	magnitude := 0.0
	for _, v := range x {
		mean = mean.plus(exact(v))
		magnitude += math.Abs(v)
	}
	mean = mean.over(n)
	magnitude /= float64(len(x))
	if p.Kind == kernels.RMSNorm {
		mean = dd{}
	}
	var squares dd
	for _, v := range x {
		c := exact(v).minus(mean)
		squares = squares.plus(c.times(c))
	}
	deviation := squares.over(n).plus(exact(p.Epsilon)).sqrt()
	out := make([]reference, len(x))
	for k, v := range x {
		w, b := exact(1), 0.0
		if weight != nil {
			w = exact(weight[k])
		}
		w = w.plus(exact(p.Offset))
		if bias != nil {
			b = bias[k]
		}
		out[k].want = exact(v).minus(mean).over(deviation).times(w).plus(exact(b))
		out[k].gauge = math.Abs(w.hi)*(math.Abs(v)+magnitude)/deviation.hi + math.Abs(b)
	}
	return out
}
