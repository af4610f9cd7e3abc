package kernels

import "testing"

var adapterChecks = []checkCase{
	{
		op: OpLowRank, names: []string{"w[]", "b[]", "a[]"},
		make: func(m *maker) arguments {
			return arguments{
				lists: [][]Matrix{
					{m.mat(BFloat16, 6, 5), m.mat(Float64, 4, 3)},
					{m.mat(Float32, 6, 2), m.mat(Float32, 4, 1)},
					{m.mat(Float16, 2, 5), m.mat(Float32, 1, 3)},
				},
				scale: []float32{1, 2},
			}
		},
		check: func(dev Device, a *arguments) error {
			return CheckLowRank(dev, a.lists[0], a.lists[1], a.lists[2], a.scale, a.o)
		},
		broken: []breakage{
			{"empty batch", func(a *arguments) { empty(a); a.scale = nil }, nil, ""},
			{"b missing", remove(1), ErrShape, "1 b for 2 w"},
			{"a missing", remove(2), ErrShape, "1 a for 2 w"},
			{"scale", func(a *arguments) { a.scale = a.scale[:1] }, ErrShape, "1 scales for 2 w"},
			{"rank", replace(2, 0, Float16, 3, 5), ErrShape, "b[0] has 2 cols, a[0] 3 rows: no common rank"},
			{"rows", replace(0, 1, Float64, 5, 3), ErrShape, "w[1] is 5 x 3, want 4 x 3"},
			{"cols", replace(0, 0, Float64, 6, 4), ErrShape, "w[0] is 6 x 4, want 6 x 5"},
			{"alias", alias(1, 1, 0, 0), ErrAlias, "w[0] overlaps b[1]"},
			{"two destinations", func(a *arguments) {
				for _, l := range a.lists {
					l[1] = l[0]
				}
			}, ErrAlias, "w[0] overlaps w[1]"},
			{"one adapter for two", func(a *arguments) {
				replace(0, 1, Float32, 6, 5)(a)
				a.lists[1][1], a.lists[2][1] = a.lists[1][0], a.lists[2][0]
			}, nil, ""},
		},
	},
	{
		op: OpApplyAdapters, names: []string{"y", "x", "A[]", "B[]"},
		make: func(m *maker) arguments {
			return arguments{
				lists: [][]Matrix{
					{m.mat(Float32, 7, 6)},
					{m.mat(Float16, 7, 5)},
					{m.mat(Float32, 2, 5), m.mat(BFloat16, 3, 5)},
					{m.mat(Float32, 6, 2), m.mat(BFloat16, 6, 3)},
				},
				segments: []int32{0, 3, 3, 7}, ids: []int32{1, -1, 0},
			}
		},
		check: func(dev Device, a *arguments) error {
			return CheckApplyAdapters(dev, a.lists[0][0], a.lists[1][0], a.segments, a.ids, a.adapters(), a.o)
		},
		broken: []breakage{
			{"rows", replace(1, 0, Float16, 8, 5), ErrShape, "x has 8 rows, y 7"},
			{"no segments", func(a *arguments) { a.segments = nil }, ErrShape, "segments is empty, want 0, ..., 7"},
			{"start", func(a *arguments) { a.segments[0] = 1 }, ErrShape, "segments runs from 1 to 7, want 0 to 7"},
			{"end", func(a *arguments) { a.segments[3] = 8 }, ErrShape, "segments runs from 0 to 8, want 0 to 7"},
			{"falls", func(a *arguments) { a.segments[2] = 2 }, ErrShape, "segments[2] = 2 is below 3"},
			{"negative", func(a *arguments) { a.segments[1] = -1 }, ErrShape, "segments[1] = -1 is below 0"},
			{"ids", func(a *arguments) { a.ids = a.ids[:2] }, ErrShape, "4 segments bounds for 2 ids, want one more"},
			{"id", func(a *arguments) { a.ids[1] = 2 }, ErrShape, "ids[1] is 2, with 2 adapters"},
			{"negative id", func(a *arguments) { a.ids[2] = -2 }, ErrShape, "ids[2] is -2, with 2 adapters"},
			{"in", replace(2, 1, Float32, 3, 4), ErrShape, "A[1] has 4 cols, x 5"},
			{"out", replace(3, 0, Float32, 5, 2), ErrShape, "B[0] is 5 x 2, want 6 x 2"},
			{"rank", replace(3, 1, Float32, 6, 2), ErrShape, "B[1] is 6 x 2, want 6 x 3"},
			{"alias", alias(0, 0, 1, 0), ErrAlias, "y overlaps x"},
			{"alias of an adapter", alias(3, 1, 0, 0), ErrAlias, "y overlaps B[1]"},
		},
	},
	{
		op: OpSVD, names: []string{"u[]", "s[]", "v[]", "w[]"},
		make: func(m *maker) arguments {
			return arguments{
				lists: [][]Matrix{
					{m.mat(Float32, 6, 2), m.mat(Float64, 3, 3)},
					{m.mat(Float32, 1, 2), m.mat(Float32, 1, 3)},
					{m.mat(Float64, 5, 2), m.mat(Float64, 8, 3)},
					{m.mat(Float16, 6, 5), m.mat(Float32, 3, 8)},
				},
				svd: SVDParams{Oversample: 10, Iterations: 4},
			}
		},
		check: func(dev Device, a *arguments) error {
			return CheckSVD(dev, a.lists[0], a.lists[1], a.lists[2], a.lists[3], a.svd, a.o)
		},
		broken: []breakage{
			{"empty batch", empty, nil, ""},
			{"u missing", remove(0), ErrShape, "1 u for 2 w"},
			{"s missing", remove(1), ErrShape, "1 s for 2 w"},
			{"v missing", remove(2), ErrShape, "1 v for 2 w"},
			{"w missing", remove(3), ErrShape, "2 u for 1 w"},
			{"oversample", func(a *arguments) { a.svd.Oversample = -1 }, ErrShape, "oversample -1, iterations 4: negative"},
			{"iterations", func(a *arguments) { a.svd.Iterations = -2 }, ErrShape, "oversample 10, iterations -2: negative"},
			{"rank", replace(0, 1, Float32, 3, 4), ErrShape, "rank 4 of w[1], which is 3 x 8"},
			{"u", replace(0, 0, Float32, 5, 2), ErrShape, "u[0] is 5 x 2, want 6 x 2"},
			{"s", replace(1, 0, Float32, 2, 1), ErrShape, "s[0] is 2 x 1, want 1 x 2"},
			{"v", replace(2, 1, Float32, 8, 2), ErrShape, "v[1] is 8 x 2, want 8 x 3"},
			{"type of u", replace(0, 0, Float16, 6, 2), ErrUnsupported, "u[0] is f16, want f32 or f64"},
			{"type of s", replace(1, 1, BFloat16, 1, 3), ErrUnsupported, "s[1] is bf16, want f32 or f64"},
			{"type of v", replace(2, 0, Float16, 5, 2), ErrUnsupported, "v[0] is f16, want f32 or f64"},
			{"alias", alias(0, 1, 3, 1), ErrAlias, "u[1] overlaps w[1]"},
			{"two destinations", alias(1, 0, 2, 0), ErrAlias, "s[0] overlaps v[0]"},
		},
	},
}

var layerChecks = []checkCase{
	{
		op: OpNorm, names: []string{"dst", "x", "weight", "bias"},
		make: func(m *maker) arguments {
			return arguments{
				lists: [][]Matrix{{m.mat(Float32, 3, 8)}, {m.mat(Float16, 3, 8)}, {m.mat(Float32, 1, 4)}, {m.mat(Float32, 1, 4)}},
				norm:  NormParams{Kind: LayerNorm, Groups: 2, Epsilon: 1e-5},
			}
		},
		check: func(dev Device, a *arguments) error {
			a.norm.Weight, a.norm.Bias = a.lists[2][0], a.lists[3][0]
			return CheckNorm(dev, a.lists[0][0], a.lists[1][0], a.norm, 1, 0, a.o)
		},
		broken: []breakage{
			{"in place", func(a *arguments) { a.lists[0] = a.lists[1] }, nil, ""},
			{"no weight or bias", func(a *arguments) { a.lists[2][0], a.lists[3][0] = Matrix{}, Matrix{} }, nil, ""},
			{"no groups is one", func(a *arguments) {
				a.norm.Groups = 0
				replace(2, 0, Float32, 1, 8)(a)
				replace(3, 0, Float32, 1, 8)(a)
			}, nil, ""},
			{"RMSNorm", func(a *arguments) { a.norm.Kind, a.lists[3][0] = RMSNorm, Matrix{} }, nil, ""},
			{"kind", func(a *arguments) { a.norm.Kind = 2 }, ErrUnsupported, "norm 2 is unknown"},
			{"shape", replace(0, 0, Float32, 3, 7), ErrShape, "x is 3 x 8, want 3 x 7"},
			{"groups", func(a *arguments) { a.norm.Groups = 3 }, ErrShape, "3 groups in 8 cols"},
			{"negative groups", func(a *arguments) { a.norm.Groups = -2 }, ErrShape, "-2 groups in 8 cols"},
			{"weight", replace(2, 0, Float32, 1, 8), ErrShape, "weight is 1 x 8, want 1 x 4"},
			{"weight rows", replace(2, 0, Float32, 2, 4), ErrShape, "weight is 2 x 4, want 1 x 4"},
			{"bias", replace(3, 0, Float32, 1, 3), ErrShape, "bias is 1 x 3, want 1 x 4"},
			{"bias with RMSNorm", func(a *arguments) { a.norm.Kind = RMSNorm }, ErrUnsupported, "bias with RMSNorm"},
			{"offset", func(a *arguments) { a.norm.Offset = nan }, ErrShape, "offset is NaN"},
			{"epsilon", func(a *arguments) { a.norm.Epsilon = inf }, ErrShape, "epsilon is +Inf"},
			{"negative epsilon", func(a *arguments) { a.norm.Epsilon = -1e-5 }, ErrShape, "epsilon -1e-05 is negative"},
			{"in place, but for the type", retype(0, 1), ErrAlias, "dst overlaps x"},
			{"alias of the weight", alias(2, 0, 0, 0), ErrAlias, "dst overlaps weight"},
		},
	},
	{
		op: OpRoPE, names: []string{"dst", "x"},
		make: func(m *maker) arguments {
			return arguments{
				lists:     [][]Matrix{{m.mat(Float32, 3, 12)}, {m.mat(Float16, 3, 12)}},
				positions: []int32{0, 1, 5}, rope: RoPEParams{HeadDim: 6, InvFreq: []float64{1, 0.5, 0.25}},
			}
		},
		check: func(dev Device, a *arguments) error {
			return CheckRoPE(dev, a.lists[0][0], a.lists[1][0], a.positions, a.rope, a.o)
		},
		broken: []breakage{
			{"in place", func(a *arguments) { a.lists[0] = a.lists[1] }, nil, ""},
			{"partial", func(a *arguments) { a.rope.InvFreq = nil }, nil, ""},
			{"shape", replace(0, 0, Float32, 2, 12), ErrShape, "x is 3 x 12, want 2 x 12"},
			{"positions", func(a *arguments) { a.positions = a.positions[:2] }, ErrShape, "2 positions for 3 rows"},
			{"head", func(a *arguments) { a.rope.HeadDim = 5 }, ErrShape, "head dimension 5 in 12 cols"},
			{"no head", func(a *arguments) { a.rope.HeadDim = 0 }, ErrShape, "head dimension 0 in 12 cols"},
			{"frequencies", func(a *arguments) { a.rope.InvFreq = make([]float64, 4) }, ErrShape, "4 frequencies for a head dimension of 6"},
			{"frequency", func(a *arguments) { a.rope.InvFreq[1] = nan }, ErrShape, "inverse frequency 1 is NaN"},
			{"infinite frequency", func(a *arguments) { a.rope.InvFreq[2] = inf }, ErrShape, "inverse frequency 2 is +Inf"},
			{"scale", func(a *arguments) { a.rope.Scale = inf }, ErrShape, "scale is +Inf"},
			{"in place, but for the type", retype(0, 1), ErrAlias, "dst overlaps x"},
		},
	},
	{
		op: OpActivate, names: []string{"dst", "x"},
		make: func(m *maker) arguments {
			return arguments{lists: [][]Matrix{{m.mat(Float32, 3, 4)}, {m.mat(Float16, 3, 4)}}}
		},
		check: func(dev Device, a *arguments) error {
			return CheckActivate(dev, a.lists[0][0], a.lists[1][0], a.act, a.o)
		},
		broken: []breakage{
			{"in place", func(a *arguments) { a.lists[0] = a.lists[1] }, nil, ""},
			{"function", func(a *arguments) { a.act = 5 }, ErrUnsupported, "activation 5 is unknown"},
			{"shape", replace(1, 0, Float16, 3, 5), ErrShape, "x is 3 x 5, want 3 x 4"},
			{"in place, but for the type", retype(0, 1), ErrAlias, "dst overlaps x"},
		},
	},
	{
		op: OpGate, names: []string{"dst", "gate", "up"},
		make: func(m *maker) arguments {
			return arguments{lists: [][]Matrix{{m.mat(Float32, 3, 4)}, {m.mat(Float16, 3, 4)}, {m.mat(Float32, 3, 4)}}}
		},
		check: func(dev Device, a *arguments) error {
			return CheckGate(dev, a.lists[0][0], a.lists[1][0], a.lists[2][0], a.act, a.o)
		},
		broken: []breakage{
			{"in place of gate", func(a *arguments) { a.lists[0] = a.lists[1] }, nil, ""},
			{"in place of up", func(a *arguments) { a.lists[0] = a.lists[2] }, nil, ""},
			{"function", func(a *arguments) { a.act = 200 }, ErrUnsupported, "activation 200 is unknown"},
			{"gate", replace(1, 0, Float16, 2, 4), ErrShape, "gate is 2 x 4, want 3 x 4"},
			{"up", replace(2, 0, Float16, 3, 3), ErrShape, "up is 3 x 3, want 3 x 4"},
			{"in place, but for the type", retype(0, 1), ErrAlias, "dst overlaps gate"},
		},
	},
	{
		op: OpAdd, names: []string{"dst", "x"},
		make: func(m *maker) arguments {
			return arguments{lists: [][]Matrix{{m.mat(Float32, 3, 4)}, {m.mat(Float16, 3, 4)}}}
		},
		check: func(dev Device, a *arguments) error { return CheckAdd(dev, a.lists[0][0], a.lists[1][0], 1, a.o) },
		broken: []breakage{
			{"bias", replace(1, 0, Float64, 1, 4), nil, ""},
			{"rows", replace(1, 0, Float16, 2, 4), ErrShape, "x is 2 x 4, want 3 x 4"},
			{"cols of the bias", replace(1, 0, Float16, 1, 3), ErrShape, "x is 1 x 3, want 1 x 4"},
			{"in place", func(a *arguments) { a.lists[0] = a.lists[1] }, ErrAlias, "dst overlaps x"},
		},
	},
	{
		op: OpGather, names: []string{"dst", "table"},
		make: func(m *maker) arguments {
			return arguments{lists: [][]Matrix{{m.mat(Float32, 3, 4)}, {m.mat(Float16, 9, 4)}}, ids: []int32{8, 0, 8}}
		},
		check: func(dev Device, a *arguments) error {
			return CheckGather(dev, a.lists[0][0], a.lists[1][0], a.ids, 1, 0, a.o)
		},
		broken: []breakage{
			{"rows", func(a *arguments) { a.ids = a.ids[:2] }, ErrShape, "dst is 3 x 4, want 2 x 4"},
			{"cols", replace(0, 0, Float32, 3, 5), ErrShape, "dst is 3 x 5, want 3 x 4"},
			{"id", func(a *arguments) { a.ids[1] = 9 }, ErrShape, "ids[1] is 9, with 9 rows"},
			{"negative id", func(a *arguments) { a.ids[2] = -1 }, ErrShape, "ids[2] is -1, with 9 rows"},
			{"alias", alias(0, 0, 1, 0), ErrAlias, "dst overlaps table"},
		},
	},
	{
		op: OpRowNormalize, names: []string{"dst", "x"},
		make: func(m *maker) arguments {
			return arguments{lists: [][]Matrix{{m.mat(Float32, 3, 4)}, {m.mat(Float16, 3, 4)}}}
		},
		check: func(dev Device, a *arguments) error {
			return CheckRowNormalize(dev, a.lists[0][0], a.lists[1][0], a.o)
		},
		broken: []breakage{
			{"in place", func(a *arguments) { a.lists[0] = a.lists[1] }, nil, ""},
			{"shape", replace(1, 0, Float16, 4, 4), ErrShape, "x is 4 x 4, want 3 x 4"},
			{"in place, but for the type", retype(0, 1), ErrAlias, "dst overlaps x"},
		},
	},
	{
		op: OpDequantize, names: []string{"dst"},
		make: func(m *maker) arguments {
			return arguments{lists: [][]Matrix{{m.mat(BFloat16, 2, 64)}}, quantized: m.quantized(Q4_0, 5, 64), ids: []int32{4, 0}}
		},
		check: func(dev Device, a *arguments) error {
			return CheckDequantize(dev, a.lists[0][0], a.quantized, a.ids, a.o)
		},
		broken: []breakage{
			{"all rows", func(a *arguments) { a.ids = nil; replace(0, 0, Float32, 5, 64)(a) }, nil, ""},
			{"no rows", func(a *arguments) { a.ids = []int32{}; a.lists[0][0].Rows = 0 }, nil, ""},
			{"rows", func(a *arguments) { a.ids = append(a.ids, 1) }, ErrShape, "dst is 2 x 64, want 3 x 64"},
			{"not all rows", func(a *arguments) { a.ids = nil }, ErrShape, "dst is 2 x 64, want 5 x 64"},
			{"cols", replace(0, 0, Float32, 2, 32), ErrShape, "dst is 2 x 32, want 2 x 64"},
			{"id", func(a *arguments) { a.ids[0] = 5 }, ErrShape, "ids[0] is 5, with 5 rows"},
			{"negative id", func(a *arguments) { a.ids[1] = -3 }, ErrShape, "ids[1] is -3, with 5 rows"},
			{"format", func(a *arguments) { a.quantized.Type = 77 }, ErrUnsupported, "src: format QuantType(77)"},
			{"src", func(a *arguments) { a.quantized.Rows = 6 }, ErrShape, "src: 6 x 64 Q4_0 does not fit memory of 180 bytes"},
		},
	},
}

// TestCheckDequantizeOverlap covers what the table cannot: memory shared by two
// kinds of view, and the message that names the device.
func TestCheckDequantizeOverlap(t *testing.T) {
	weights := must(ForeignQuantized(cuda0, cudaAddress, Q4_0, 5, 64, nil)) // 180 bytes
	for _, c := range []struct {
		name string
		at   int
		want error
	}{
		{"last bytes of dst", -252, ErrAlias}, // a dst of 256 bytes
		{"just before", -256, nil},
		{"last bytes of src", 176, ErrAlias},
		{"just behind", 180, nil},
		{"inside", 16, ErrAlias},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := must(Foreign(cuda0, uintptr(cudaAddress+c.at), Float32, 1, 64, 64, nil))
			wantError(t, CheckDequantize(cuda0, dst, weights, []int32{2}, Options{}), c.want, "kernels: Dequantize: dst overlaps src")
		})
	}
	dst := must(Foreign(cuda0, cudaAddress+1<<20, Float32, 1, 64, 64, nil))
	src := must(ForeignQuantized(cuda1, cudaAddress, Q4_0, 1, 64, nil))
	wantError(t, CheckDequantize(cuda0, dst, src, nil, Options{}), ErrDevice, "kernels: Dequantize: src is on cuda:1, the backend on cuda:0 (stream 0x0)")
	host := must(OfQuantized(Q4_0, make([]byte, 36), 1, 64))
	wantError(t, CheckDequantize(cuda0, dst, host, nil, Options{}), nil, "")
	wantError(t, CheckDequantize(cuda0, dst, host, nil, Options{Stream: 3}), ErrDevice, "src is on host, the backend on cuda:0 (stream 0x3)")
}

// TestCheckNormOmittedWeightOnStream: an omitted weight is no host operand.
func TestCheckNormOmittedWeightOnStream(t *testing.T) {
	m := maker{dev: cuda0}
	x := m.mat(Float32, 2, 4)
	wantError(t, CheckNorm(cuda0, x, x, NormParams{}, 1, 0, Options{Stream: 1}), nil, "")
	p := NormParams{Weight: (&maker{}).mat(Float32, 1, 4)}
	wantError(t, CheckNorm(cuda0, x, x, p, 1, 0, Options{Stream: 1}), ErrDevice, "kernels: Norm: weight is on host, the backend on cuda:0 (stream 0x1)")
}
