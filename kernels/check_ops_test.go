package kernels

import (
	"math"
	"testing"
)

func TestCheckAlloc(t *testing.T) {
	const most = math.MaxInt
	for _, c := range []struct {
		name       string
		dt         DType
		rows, cols int
		want       error
		says       string
	}{
		{"usual", Float32, 3, 4, nil, ""},
		{"empty", Float64, 0, most, nil, ""},
		{"empty cols", Float64, most, 0, nil, ""},
		{"largest", Float16, 1, most / 8, nil, ""},
		{"300 MiB on 32 bits too", Float64, 300 << 17, 1, nil, ""},
		{"type", 4, 3, 4, ErrUnsupported, "kernels: Alloc: element type dtype(4)"},
		{"rows", Float32, -3, 4, ErrShape, "size -3 x 4 is negative"},
		{"cols", Float32, 3, -4, ErrShape, "size 3 x -4 is negative"},
		{"too many bytes", Float64, most / 8, 2, ErrMemory, "f64 has more bytes than an address can count"},
		{"wraps", Float32, most, most, ErrMemory, "more bytes"},
		{"one too many", Float16, 1, most/8 + 1, ErrMemory, "more bytes"},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, CheckAlloc(c.dt, c.rows, c.cols), c.want, c.says) })
	}
}

func TestProductShape(t *testing.T) {
	m := maker{dev: cuda0}
	a, b := m.mat(Float32, 3, 5), m.mat(Float32, 7, 5)
	at, bt := m.mat(Float32, 5, 3), m.mat(Float32, 5, 7)
	for _, c := range []struct {
		a, b Matrix
		form Form
		ok   bool
	}{
		{a, b, NT, true},
		{at, bt, TN, true},
		{a, bt, NN, true},
		{a, bt, NT, false},
		{a, bt, TN, false},
		{a, b, NN, false},
		{a, b, 3, false},
	} {
		rows, cols, k, ok := ProductShape(c.a, c.b, c.form)
		if ok != c.ok || ok && (rows != 3 || cols != 7 || k != 5) {
			t.Errorf("%s of %d x %d and %d x %d: %d, %d, %d, %v", c.form, c.a.Rows, c.a.Cols, c.b.Rows, c.b.Cols, rows, cols, k, ok)
		}
	}
}

func TestComputeType(t *testing.T) {
	m := maker{dev: cuda0}
	for _, c := range []struct {
		types []DType
		want  DType
	}{
		{nil, Float32},
		{[]DType{Float16, BFloat16}, Float32},
		{[]DType{Float32, Float64}, Float64},
		{[]DType{Float64, Float16}, Float64},
	} {
		var ms []Matrix
		for _, dt := range c.types {
			ms = append(ms, m.mat(dt, 1, 1))
		}
		if got := ComputeType(ms...); got != c.want {
			t.Errorf("%v compute in %s, want %s", c.types, got, c.want)
		}
	}
}

func TestPackedLen(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 1, 2: 3, 100: 5050, -1: -1, math.MaxInt: -1, math.MaxInt - 1: -1, 1 << (intBits/2 + 1): -1} {
		if got := packedLen(n); got != want {
			t.Errorf("packedLen(%d) = %d, want %d", n, got, want)
		}
	}
}

var dataChecks = []checkCase{
	{
		op: OpCopy, names: []string{"dst", "src"}, noOptions: true,
		make: func(m *maker) arguments {
			return arguments{lists: [][]Matrix{{m.mat(Float16, 3, 4)}, {m.mat(Float16, 3, 4)}}}
		},
		check: func(dev Device, a *arguments) error { return CheckCopy(dev, a.lists[0][0], a.lists[1][0]) },
		broken: []breakage{
			{"rows", replace(1, 0, Float16, 2, 4), ErrShape, "src is 2 x 4, want 3 x 4"},
			{"cols", replace(1, 0, Float16, 3, 5), ErrShape, "src is 3 x 5, want 3 x 4"},
			{"type", replace(1, 0, BFloat16, 3, 4), ErrUnsupported, "src is bf16, dst f16 (use Convert)"},
			{"alias", alias(1, 0, 0, 0), ErrAlias, "dst overlaps src"},
		},
	},
	{
		op: OpConvert, names: []string{"dst", "src"}, noOptions: true,
		make: func(m *maker) arguments {
			return arguments{lists: [][]Matrix{{m.mat(Float16, 3, 4)}, {m.mat(Float64, 3, 4)}}}
		},
		check: func(dev Device, a *arguments) error { return CheckConvert(dev, a.lists[0][0], a.lists[1][0]) },
		broken: []breakage{
			{"shape", replace(1, 0, Float16, 4, 3), ErrShape, "src is 4 x 3, want 3 x 4"},
			{"alias", alias(0, 0, 1, 0), ErrAlias, "dst overlaps src"},
		},
	},
	{
		op: OpGram, names: []string{"dst[]", "x[]"},
		make: func(m *maker) arguments {
			return arguments{lists: [][]Matrix{
				{m.mat(Float32, 3, 3), m.mat(BFloat16, 4, 4), m.mat(Float64, 2, 2)},
				{m.mat(Float32, 3, 5), m.mat(Float16, 4, 2), m.mat(Float64, 2, 9)},
			}}
		},
		check: func(dev Device, a *arguments) error {
			return CheckGram(dev, a.lists[0], a.lists[1], 1, 0, a.storage, a.o)
		},
		broken: []breakage{
			{"empty batch", empty, nil, ""},
			{"storage", func(a *arguments) { a.storage = 2 }, ErrUnsupported, "storage 2 is unknown"},
			{"length", remove(1), ErrShape, "2 x for 3 dst"},
			{"length of dst", remove(0), ErrShape, "3 x for 2 dst"},
			{"rows", replace(0, 1, BFloat16, 3, 4), ErrShape, "dst[1] is 3 x 4, want 4 x 4"},
			{"cols", replace(0, 1, BFloat16, 4, 5), ErrShape, "dst[1] is 4 x 5, want 4 x 4"},
			{"not packed", func(a *arguments) { a.storage = PackedLower }, ErrShape, "dst[0] is 3 x 3, want 1 x 6"},
			{"packed", func(a *arguments) {
				a.storage = PackedLower
				replace(0, 0, Float32, 1, 6)(a)
				replace(0, 1, Float32, 1, 10)(a)
				replace(0, 2, Float64, 1, 3)(a)
			}, nil, ""},
			{"wide dst", replace(0, 0, Float64, 3, 3), ErrUnsupported, "dst[0] is f64, but the sources compute in f32"},
			{"narrow dst", replace(0, 2, Float32, 2, 2), ErrUnsupported, "dst[2] is f32, but the sources compute in f64"},
			{"in place", alias(0, 0, 1, 0), ErrAlias, "dst[0] overlaps x[0]"},
			{"another item's source", func(a *arguments) {
				a.lists[0][0] = must(a.lists[1][0].View(0, 0, 3, 3))
				a.lists[1][0] = a.lists[0][1]
				replace(1, 0, Float32, 3, 5)(a)
				a.lists[1][1] = must(a.lists[0][0].View(0, 0, 3, 2))
				replace(0, 1, Float32, 3, 3)(a)
			}, ErrAlias, "dst[0] overlaps x[1]"},
		},
	},
	{
		op: OpMatmul, names: []string{"dst[]", "a[]", "b[]"},
		make: func(m *maker) arguments {
			return arguments{lists: [][]Matrix{
				{m.mat(Float32, 3, 7), m.mat(Float64, 2, 2)},
				{m.mat(Float16, 3, 5), m.mat(Float32, 2, 6)},
				{m.mat(BFloat16, 7, 5), m.mat(Float64, 2, 6)},
			}}
		},
		check: func(dev Device, a *arguments) error {
			return CheckMatmul(dev, a.lists[0], a.lists[1], a.lists[2], a.form, 1, 0, a.o)
		},
		broken: []breakage{
			{"empty batch", empty, nil, ""},
			{"form", func(a *arguments) { a.form = 3 }, ErrUnsupported, "form 3 is unknown"},
			{"a missing", remove(1), ErrShape, "1 a for 2 dst"},
			{"b missing", remove(2), ErrShape, "1 b for 2 dst"},
			{"inner", replace(2, 1, Float64, 2, 5), ErrShape, "NT: a[1] is 2 x 6, b[1] is 2 x 5"},
			{"TN", func(a *arguments) { a.form = TN }, ErrShape, "TN: a[0] is 3 x 5, b[0] is 7 x 5"},
			{"NN", func(a *arguments) { a.form = NN }, ErrShape, "NN: a[0] is 3 x 5, b[0] is 7 x 5"},
			{"dst rows", replace(0, 0, Float32, 4, 7), ErrShape, "dst[0] is 4 x 7, want 3 x 7"},
			{"dst cols", replace(0, 1, Float64, 2, 3), ErrShape, "dst[1] is 2 x 3, want 2 x 2"},
			{"narrow dst", replace(0, 1, Float32, 2, 2), ErrUnsupported, "dst[1] is f32, but the sources compute in f64"},
			{"wide dst", replace(0, 0, Float64, 3, 7), ErrUnsupported, "dst[0] is f64, but the sources compute in f32"},
			{"alias", alias(0, 1, 2, 1), ErrAlias, "dst[1] overlaps b[1]"},
			{"twice the same source", func(a *arguments) { a.lists[1][1] = a.lists[2][1] }, nil, ""},
		},
	},
}

var analysisChecks = []checkCase{
	{
		op: OpCenter, names: []string{"dst[]", "x[]"},
		make: func(m *maker) arguments {
			return arguments{
				lists: [][]Matrix{{m.mat(Float32, 3, 4), m.mat(Float16, 2, 5)}, {m.mat(Float64, 3, 4), m.mat(Float16, 2, 5)}},
				stats: []RowStats{{Mean: make([]float64, 4), SquaredNorm: make([]float64, 3), ColumnSquares: make([]float64, 4)}, {}},
			}
		},
		check: func(dev Device, a *arguments) error {
			return CheckCenter(dev, a.lists[0], a.lists[1], a.stats, a.o)
		},
		broken: []breakage{
			{"no stats", func(a *arguments) { a.stats = nil }, nil, ""},
			{"in place", func(a *arguments) { a.lists[0][1] = a.lists[1][1] }, nil, ""},
			{"length", remove(1), ErrShape, "1 x for 2 dst"},
			{"stats", func(a *arguments) { a.stats = a.stats[:1] }, ErrShape, "1 stats for 2 dst"},
			{"shape", replace(0, 1, Float32, 2, 4), ErrShape, "x[1] is 2 x 5, want 2 x 4"},
			{"mean", func(a *arguments) { a.stats[1].Mean = make([]float64, 2) }, ErrShape, "stats[1].Mean has length 2, want 5"},
			{"norm", func(a *arguments) { a.stats[0].SquaredNorm = make([]float64, 4) }, ErrShape, "stats[0].SquaredNorm has length 4, want 3"},
			{"columns", func(a *arguments) { a.stats[0].ColumnSquares = make([]float64, 0) }, ErrShape, "stats[0].ColumnSquares has length 0, want 4"},
			{"alias", alias(0, 1, 1, 0), ErrAlias, "dst[1] overlaps x[0]"},
		},
	},
	{
		op: OpHSIC, names: []string{"x[]", "y[]"},
		make: func(m *maker) arguments {
			return arguments{
				lists:  [][]Matrix{{m.mat(Float32, 5, 2), m.mat(Float64, 6, 3)}, {m.mat(Float16, 5, 4), m.mat(Float32, 6, 1)}},
				values: make([]HSICValue, 2),
			}
		},
		check: func(dev Device, a *arguments) error {
			return CheckHSIC(dev, a.values, a.lists[0], a.lists[1], a.estimator, a.o)
		},
		broken: []breakage{
			{"unbiased", func(a *arguments) { a.estimator = Unbiased }, nil, ""},
			{"the same twice", func(a *arguments) { a.lists[1] = a.lists[0] }, nil, ""},
			{"estimator", func(a *arguments) { a.estimator = 2 }, ErrUnsupported, "estimator 2 is unknown"},
			{"length", remove(1), ErrShape, "1 y for 2 x"},
			{"dst", func(a *arguments) { a.values = a.values[:1] }, ErrShape, "1 dst for 2 x"},
			{"rows", replace(1, 1, Float32, 5, 1), ErrShape, "x[1] has 6 rows, y[1] 5"},
		},
	},
	{
		op: OpHSICMatrix, names: []string{"x[]", "y[]"},
		make: func(m *maker) arguments {
			return arguments{
				lists: [][]Matrix{{m.mat(Float32, 5, 5), m.mat(Float64, 5, 5)}, {m.mat(Float16, 5, 5), m.mat(Float32, 5, 5), m.mat(Float32, 5, 5)}},
				table: HSICTable{XY: make([]float64, 6), XX: make([]float64, 2), YY: make([]float64, 3)},
			}
		},
		check: func(dev Device, a *arguments) error {
			return CheckHSICMatrix(dev, a.table, a.lists[0], a.lists[1], a.kernel, a.estimator, a.o)
		},
		broken: hsicMatrixBreakages,
	},
	{
		op: OpRBF, names: []string{"dst[]", "x[]"},
		make: func(m *maker) arguments {
			return arguments{
				lists: [][]Matrix{{m.mat(Float32, 3, 3), m.mat(Float64, 4, 4)}, {m.mat(Float16, 3, 2), m.mat(Float64, 4, 7)}},
				used:  make([]float64, 2), bandwidth: Bandwidth{Fraction: 0.5, Sample: 3},
			}
		},
		check: func(dev Device, a *arguments) error {
			return CheckRBF(dev, a.lists[0], a.lists[1], a.bandwidth, a.used, a.o)
		},
		broken: []breakage{
			{"variances alone", func(a *arguments) { a.lists[0] = nil }, nil, ""},
			{"nothing asked for", func(a *arguments) { a.lists[0], a.used = nil, nil }, ErrShape, "2 x for 0 dst"},
			{"given", func(a *arguments) { a.bandwidth = Bandwidth{Variance: []float64{1, 2}} }, nil, ""},
			{"length", remove(1), ErrShape, "used has length 2 for 1 x"},
			{"length without used", func(a *arguments) { remove(1)(a); a.used = nil }, ErrShape, "1 x for 2 dst"},
			{"used", func(a *arguments) { a.used = a.used[:1] }, ErrShape, "used has length 1 for 2 x"},
			{"shape", replace(0, 1, Float64, 4, 7), ErrShape, "dst[1] is 4 x 7, want 4 x 4"},
			{"type", replace(0, 1, Float32, 4, 4), ErrUnsupported, "dst[1] is f32, but the sources compute in f64"},
			{"alias", alias(0, 0, 0, 1), ErrUnsupported, "dst[0] is f64, but the sources compute in f32"},
			{"variances", func(a *arguments) { a.bandwidth.Variance = []float64{1} }, ErrShape, "1 variances for 2 matrices"},
			{"zero", func(a *arguments) { a.bandwidth.Variance = []float64{1, 0} }, ErrShape, "variance[1] is 0, want a positive number"},
			{"overlap", alias(0, 1, 1, 1), ErrAlias, "dst[1] overlaps x[1]"},
		},
	},
	{
		op: OpRotation, names: []string{"w0[]", "wt[]"},
		make: func(m *maker) arguments {
			return arguments{
				lists:    [][]Matrix{{m.mat(Float32, 3, 4), m.mat(Float16, 2, 2)}, {m.mat(Float16, 3, 4), m.mat(Float64, 2, 2)}},
				rotation: make([]RotationValue, 2),
			}
		},
		check: func(dev Device, a *arguments) error {
			return CheckRotation(dev, a.rotation, a.lists[0], a.lists[1], a.o)
		},
		broken: []breakage{
			{"the same twice", func(a *arguments) { a.lists[1] = a.lists[0] }, nil, ""},
			{"length", remove(0), ErrShape, "2 wt for 1 w0"},
			{"dst", func(a *arguments) { a.rotation = nil }, ErrShape, "0 dst for 2 w0"},
			{"shape", replace(1, 0, Float32, 4, 3), ErrShape, "wt[0] is 4 x 3, want 3 x 4"},
		},
	},
}

var (
	nan = math.NaN()
	inf = math.Inf(1)
)

var hsicMatrixBreakages = []breakage{
	{"within x", func(a *arguments) {
		a.lists[1], a.table = nil, HSICTable{XY: make([]float64, 4)}
	}, nil, ""},
	{"no x", func(a *arguments) {
		a.lists[0], a.table = nil, HSICTable{}
	}, nil, ""},
	{"nothing", func(a *arguments) { empty(a); a.table = HSICTable{} }, nil, ""},
	{"precomputed", func(a *arguments) { a.kernel.Kind = Precomputed }, nil, ""},
	{"given variances", func(a *arguments) {
		a.kernel = Kernel{Gaussian, Bandwidth{Variance: []float64{1, 2, 3, 4, 5}}}
		a.table.Variance = make([]float64, 5)
	}, nil, ""},
	{"a linear kernel has no bandwidth", func(a *arguments) { a.kernel.Bandwidth.Fraction = nan }, nil, ""},
	{"estimator", func(a *arguments) { a.estimator = 9 }, ErrUnsupported, "estimator 9 is unknown"},
	{"kernel", func(a *arguments) { a.kernel.Kind = 3 }, ErrUnsupported, "kernel 3 is unknown"},
	{"XY", func(a *arguments) { a.table.XY = a.table.XY[:5] }, ErrShape, "dst.XY has length 5, want 2 x 3"},
	{"XY within x", func(a *arguments) { a.lists[1], a.table.YY = nil, nil }, ErrShape, "dst.XY has length 6, want 2 x 2"},
	{"XX", func(a *arguments) { a.table.XX = a.table.XX[:1] }, ErrShape, "dst.XX has length 1, want 2"},
	{"YY", func(a *arguments) { a.table.YY = a.table.YY[:2] }, ErrShape, "dst.YY has length 2 for 3 y"},
	{"YY without y", func(a *arguments) {
		a.lists[1], a.table = nil, HSICTable{XY: make([]float64, 4), YY: make([]float64, 2)}
	}, ErrShape, "dst.YY has length 2 for 0 y"},
	{"variance of a linear kernel", func(a *arguments) { a.table.Variance = make([]float64, 5) }, ErrShape, "dst.Variance has length 5 for 5 matrices"},
	{"variance", func(a *arguments) {
		a.kernel.Kind, a.table.Variance = Gaussian, make([]float64, 2)
	}, ErrShape, "dst.Variance has length 2 for 5 matrices"},
	{"rows of x", replace(0, 1, Float64, 4, 4), ErrShape, "x[1] has 4 rows, the first matrix 5"},
	{"rows of y", replace(1, 2, Float32, 6, 5), ErrShape, "y[2] has 6 rows, the first matrix 5"},
	{"rows of y alone", func(a *arguments) {
		replace(1, 2, Float32, 6, 5)(a)
		a.lists[0], a.table = nil, HSICTable{}
	}, ErrShape, "y[2] has 6 rows, the first matrix 5"},
	{"not square", func(a *arguments) {
		a.kernel.Kind = Precomputed
		replace(1, 0, Float32, 5, 4)(a)
	}, ErrShape, "y[0] is 5 x 4, not square"},
	{"variances", func(a *arguments) { a.kernel = Kernel{Gaussian, Bandwidth{Variance: make([]float64, 2)}} }, ErrShape, "2 variances for 5 matrices"},
	{"negative", func(a *arguments) { a.kernel = Kernel{Gaussian, Bandwidth{Variance: []float64{1, 1, -1, 1, 1}}} }, ErrShape, "variance[2] is -1, want a positive number"},
	{"NaN", func(a *arguments) { a.kernel = Kernel{Gaussian, Bandwidth{Variance: []float64{nan, 1, 1, 1, 1}}} }, ErrShape, "variance[0] is NaN, want a positive number"},
	{"infinite", func(a *arguments) { a.kernel = Kernel{Gaussian, Bandwidth{Variance: []float64{1, inf, 1, 1, 1}}} }, ErrShape, "variance[1] is +Inf, want a positive number"},
	{"fraction", func(a *arguments) { a.kernel = Kernel{Gaussian, Bandwidth{Fraction: -0.5}} }, ErrShape, "fraction -0.5, want a positive number, or 0 for 1"},
	{"fraction NaN", func(a *arguments) { a.kernel = Kernel{Gaussian, Bandwidth{Fraction: nan}} }, ErrShape, "fraction NaN, want a positive number, or 0 for 1"},
	{"fraction whose square is 0", func(a *arguments) { a.kernel = Kernel{Gaussian, Bandwidth{Fraction: 1e-170}} }, ErrShape, "fraction 1e-170: its square leaves float64's range, want 3e-151 to 3e+150"},
	{"fraction whose square is infinite", func(a *arguments) { a.kernel = Kernel{Gaussian, Bandwidth{Fraction: 1e200}} }, ErrShape, "fraction 1e+200: its square leaves float64's range, want 3e-151 to 3e+150"},
	{"fraction infinite", func(a *arguments) { a.kernel = Kernel{Gaussian, Bandwidth{Fraction: inf}} }, ErrShape, "fraction +Inf, want a positive number, or 0 for 1"},
	{"sample", func(a *arguments) { a.kernel = Kernel{Gaussian, Bandwidth{Sample: -1}} }, ErrShape, "sample -1 is negative"},
}
