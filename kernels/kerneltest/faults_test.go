package kerneltest_test

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/cambium-kernels/cambium/kernels"
)

// faults are what a broken backend may do, with the group that must notice.
var faults = []struct{ name, group string }{
	{"none", "Gram"},
	{singleFault, "HSIC"},
	{"gram element", "Gram"},
	{"gram mirror", "Gram"},
	{"gram padding", "Gram"},
	{"gram reads dst", "Gram"},
	{"gram reads x", "Gram"},
	{"gram zeros", "Gram"},
	{"matmul tail", "Matmul"},
	{"matmul rounds twice", "Matmul"},
	{"center mean", "Center"},
	{"hsic swapped", "HSIC"},
	{"hsic diagonal", "HSICMatrix"},
	{"rbf diagonal", "RBF"},
	{"rotation cancels", "Rotation"},
	{"lowrank rewrites", "LowRank"},
	{"adapters touch", "ApplyAdapters"},
	{"svd sign", "SVD"},
	{"norm element", "LayerOps"},
	{"dequantize nibble", "LayerOps"},
	{"panics", "Arguments"},
	{"touches before it checks", "Arguments"},
	{"skips zeros", "Propagation"},
	{"changes from run to run", "Determinism"},
	{"ignores the context", "Cancellation"},
	{"reports twice", "Cancellation"},
	{"serves when closed", "Lifecycle"},
	{"copies numbers", "Memory"},
	{"truncates", "Convert"},
	{"center joins a batch", "Batches"},
	{"lowrank joins a batch", "Batches"},
	{"svd joins a batch", "Batches"},
	{"matmul wants equal shapes", "Batches"},
	{"rotation wants equal shapes", "Batches"},
	{"first scale for all", "Batches"},
	{"first stats for all", "Batches"},
	{"first tensor for all", "Batches"},
	{"first variance for all", "Batches"},
	{"first bandwidth for all", "Batches"},
	{"order of the batch", "Determinism"},
	{"order of the layers", "Batches"},
	{"order of the pair", "HSIC"},
	{"drops nan: HSIC", "Propagation"},
	{"drops nan: HSICMatrix", "Propagation"},
	{"drops nan: RBF", "Propagation"},
	{"drops nan: Rotation", "Propagation"},
	{"drops nan: LowRank", "Propagation"},
	{"drops nan: ApplyAdapters", "Propagation"},
	{"drops nan: Add", "Propagation"},
	{"trusts: Gram dst", "Arguments"},
	{"trusts: RBF dst", "Arguments"},
	{"trusts: Center dst", "Arguments"},
	{"trusts: LowRank w", "Arguments"},
	{"trusts: LowRank a", "Arguments"},
	{"trusts: HSIC x", "Arguments"},
	{"trusts: HSICMatrix y", "Arguments"},
	{"trusts: Rotation w0", "Arguments"},
	{"trusts: SVD u", "Arguments"},
	{"trusts: SVD s", "Arguments"},
	{"trusts: SVD v", "Arguments"},
	{"trusts: adapter A", "Arguments"},
	{"trusts: adapter B", "Arguments"},
	{"trusts: Norm weight", "Arguments"},
	{"trusts: Norm bias", "Arguments"},
	{"trusts: Attention k", "Arguments"},
	{"trusts: Gate up", "Arguments"},
	{"clears: HSIC", "Arguments"},
	{"clears: HSICMatrix", "Arguments"},
	{"clears: RBF", "Arguments"},
	{"clears: Rotation", "Arguments"},
	{"rbf of one row", "RBF"},
	{"wide strides", "LowRank"},
	{"hsic by algebra", "HSIC"},
	{"silent features", "Cancellation"},
	{"ignores the bandwidth", "HSICMatrix"},
	{"reads the upper triangle", "HSICMatrix"},
	{"second tile", "HSICMatrix"},
	{"integers in bfloat16", "Gram"},
	{"mean in one chain", "Center"},
	{"row mean in one chain", "LayerOps"},
	{"rotation by differences", "Rotation"},
	{"rotation of tiny tensors", "Rotation"},
	{"svd of tiny matrices", "SVD"},
	{"huge sides", "Huge"},
	{"refuses float64", "Gram"},
	{deviceFault, "Gram"},
}

// singleFault is none: HSIC in float32 throughout but for the sums, as a device
// computes it, must pass.
const singleFault = "none, in single precision"

// deviceFault is none: a device may refuse float64, and the suite says how often.
const deviceFault = "none, a device without float64"

// careless is a sound backend with one fault of the kinds that a suite of single
// items, sound arguments and finite numbers would not notice.
type careless struct {
	kernels.Backend
	fault string
}

// trusts reports whether the fault is to believe an argument that is wrong: the
// call then does nothing and succeeds.
func (c *careless) trusts(name string, list ...kernels.Matrix) bool {
	return c.fault == "trusts: "+name && slices.ContainsFunc(list, func(m kernels.Matrix) bool {
		return m.Validate() != nil || m.Device != kernels.Device{}
	})
}

// one panics if the fault is that a batch has one item.
func (c *careless) one(name string, items int) {
	if c.fault == name+" joins a batch" && items > 1 {
		panic("a batch of " + name)
	}
}

// equal panics if the fault is that all items have one shape.
func (c *careless) equal(name string, list []kernels.Matrix) {
	for _, m := range list {
		if c.fault == name+" wants equal shapes" && (m.Rows != list[0].Rows || m.Cols != list[0].Cols) {
			panic("a ragged batch of " + name)
		}
	}
}

// number replaces NaN by 0 if that is the fault.
func (c *careless) number(op string, values ...*float64) {
	for _, v := range values {
		if c.fault == "drops nan: "+op && math.IsNaN(*v) {
			*v = 0
		}
	}
}

// numbers does the same in a float32 matrix.
func (c *careless) numbers(op string, m kernels.Matrix) {
	data := floats(m)
	for i := range data {
		if c.fault == "drops nan: "+op && i%m.Stride < m.Cols && data[i] != data[i] {
			data[i] = 0
		}
	}
}

func (c *careless) Info() kernels.Info {
	info := c.Backend.Info()
	if c.fault == deviceFault {
		info.Device.Kind = kernels.CUDA
	}
	return info
}

func (c *careless) Gram(ctx context.Context, dst, x []kernels.Matrix, alpha, beta float64, out kernels.Storage, o kernels.Options) error {
	switch {
	case c.trusts("Gram dst", dst...):
		return nil
	case (c.fault == "refuses float64" || c.fault == deviceFault) && len(x) > 0 && x[0].DType == kernels.Float64:
		return fmt.Errorf("careless: Gram: float64: %w", kernels.ErrUnsupported)
	}
	err := c.Backend.Gram(ctx, dst, x, alpha, beta, out, o)
	if err == nil && c.fault == "integers in bfloat16" && o.Precision == kernels.Fast {
		for _, m := range dst {
			for i := range floats(m) {
				if i%m.Stride < m.Cols {
					floats(m)[i] = kernels.BFloat16ToFloat32(kernels.Float32ToBFloat16(floats(m)[i]))
				}
			}
		}
	}
	return err
}

func (c *careless) Matmul(ctx context.Context, dst, a, b []kernels.Matrix, form kernels.Form, alpha, beta float64, o kernels.Options) error {
	c.equal("matmul", dst)
	return c.Backend.Matmul(ctx, dst, a, b, form, alpha, beta, o)
}

func (c *careless) Center(ctx context.Context, dst, x []kernels.Matrix, stats []kernels.RowStats, o kernels.Options) error {
	c.one("center", len(x))
	if c.trusts("Center dst", dst...) {
		return nil
	}
	var before [][]float64
	if c.fault == "mean in one chain" {
		for _, m := range x {
			before = append(before, doubles(m))
		}
	}
	err := c.Backend.Center(ctx, dst, x, stats, o)
	switch {
	case err != nil:
	case c.fault == "first stats for all" && len(stats) > 1:
		clear(stats[1].Mean)
	case c.fault == "mean in one chain":
		for i := range stats {
			oneChain(stats[i].Mean, before[i], x[i])
		}
	}
	return err
}

// doubles copies the elements of a float64 matrix, padding included.
func doubles(m kernels.Matrix) []float64 {
	data, err := kernels.Floats[float64](m)
	if err != nil {
		return nil
	}
	return slices.Clone(data)
}

// oneChain computes column means from the differences to the first row.
func oneChain(mean, x []float64, m kernels.Matrix) {
	for k := range mean {
		if len(x) == 0 {
			return
		}
		sum := 0.0
		for i := range m.Rows {
			sum += x[i*m.Stride+k] - x[k]
		}
		mean[k] = x[k] + sum/float64(m.Rows)
	}
}

func (c *careless) HSIC(ctx context.Context, dst []kernels.HSICValue, x, y []kernels.Matrix, e kernels.Estimator, o kernels.Options) error {
	if c.trusts("HSIC x", x...) {
		return nil
	}
	if c.fault == "clears: HSIC" {
		clear(dst)
	}
	if c.fault == "silent features" && len(x) == 1 && x[0].Cols < x[0].Rows/2 {
		o.Progress = nil
	}
	err := c.Backend.HSIC(ctx, dst, x, y, e, o)
	if err != nil {
		return err
	}
	for i := range dst {
		v := &dst[i]
		c.number("HSIC", &v.XY, &v.XX, &v.YY)
		switch {
		case c.fault == "order of the pair" && x[i].Cols > y[i].Cols:
			v.XY = math.Nextafter(v.XY, 2)
		case c.fault == "order of the batch" && i == 1:
			v.XY = math.Nextafter(v.XY, 2)
		case c.fault == "hsic by algebra" && x[i].DType == kernels.Float32 && x[i].Rows > 0:
			*v = c.stored(ctx, x[i], y[i], e)
		case c.fault == singleFault && x[i].DType == kernels.Float32 && x[i].Rows > 0:
			*v = c.stored(ctx, c.centered(ctx, x[i]), c.centered(ctx, y[i]), e)
		}
	}
	return nil
}

// centered centres features and stores them in float32.
func (c *careless) centered(ctx context.Context, m kernels.Matrix) kernels.Matrix {
	out := first(kernels.Of(make([]float32, m.Rows*m.Cols), m.Rows, m.Cols, m.Cols))
	if err := c.Backend.Center(ctx, []kernels.Matrix{out}, []kernels.Matrix{m}, nil, kernels.Options{}); err != nil {
		panic(err)
	}
	return out
}

// stored takes Gram matrices in float32, centres those and goes on in float64:
// wrong for raw features, sound for centred ones.
func (c *careless) stored(ctx context.Context, x, y kernels.Matrix, e kernels.Estimator) kernels.HSICValue {
	gram := func(m kernels.Matrix) []kernels.Matrix {
		n := m.Rows
		k := []kernels.Matrix{first(kernels.Of(make([]float32, n*n), n, n, n))}
		if err := c.Backend.Gram(ctx, k, []kernels.Matrix{m}, 1, 0, kernels.Full, kernels.Options{}); err != nil {
			panic(err)
		}
		return k
	}
	table := kernels.HSICTable{XY: make([]float64, 1), XX: make([]float64, 1), YY: make([]float64, 1)}
	if err := c.Backend.HSICMatrix(ctx, table, gram(x), gram(y), kernels.Kernel{Kind: kernels.Precomputed}, e, kernels.Options{}); err != nil {
		panic(err)
	}
	return kernels.HSICValue{XY: table.XY[0], XX: table.XX[0], YY: table.YY[0]}
}

func (c *careless) HSICMatrix(ctx context.Context, dst kernels.HSICTable, x, y []kernels.Matrix, k kernels.Kernel, e kernels.Estimator, o kernels.Options) error {
	switch {
	case c.trusts("HSICMatrix y", y...):
		return nil
	case c.fault == "clears: HSICMatrix":
		clear(dst.XY)
	case c.fault == "ignores the bandwidth" && k.Bandwidth.Variance == nil:
		k.Bandwidth = kernels.Bandwidth{}
	case c.fault == "reads the upper triangle" && k.Kind == kernels.Precomputed:
		x, y = flipped(x), flipped(y)
	}
	err := c.Backend.HSICMatrix(ctx, dst, x, y, k, e, o)
	if err != nil {
		return err
	}
	for i := range dst.XY {
		c.number("HSICMatrix", &dst.XY[i])
	}
	for i := range dst.XX {
		c.number("HSICMatrix", &dst.XX[i])
	}
	switch {
	case c.fault == "order of the layers" && len(x) > 1 && x[1].Cols > x[0].Cols && y == nil:
		dst.XX[0] = math.Nextafter(dst.XX[0], math.Inf(1))
	case c.fault == "second tile" && len(x) > 0 && x[0].Rows > 192:
		dst.XY[0] *= 1 + 1e-6
	}
	return nil
}

// flipped transposes float32 matrices; others stay.
func flipped(list []kernels.Matrix) []kernels.Matrix {
	out := slices.Clone(list)
	for n, m := range list {
		data := floats(m)
		if data == nil || m.Rows != m.Cols {
			continue
		}
		flip := make([]float32, m.Rows*m.Cols)
		for i := range m.Rows {
			for j := range m.Cols {
				flip[j*m.Rows+i] = data[i*m.Stride+j]
			}
		}
		out[n] = first(kernels.Of(flip, m.Rows, m.Cols, m.Cols))
	}
	return out
}

func (c *careless) RBF(ctx context.Context, dst, x []kernels.Matrix, b kernels.Bandwidth, used []float64, o kernels.Options) error {
	switch {
	case c.trusts("RBF dst", dst...):
		return nil
	case c.fault == "clears: RBF":
		clear(used)
	case c.fault == "first variance for all" && len(b.Variance) > 1:
		b.Variance = slices.Repeat(b.Variance[:1], len(b.Variance))
	case c.fault == "rbf of one row" && len(x) > 0 && x[0].Rows < 2:
		panic("too few rows")
	}
	err := c.Backend.RBF(ctx, dst, x, b, used, o)
	if err == nil {
		for _, m := range dst {
			c.numbers("RBF", m)
		}
		if c.fault == "first bandwidth for all" && len(used) > 1 {
			used[1] = used[0]
		}
	}
	return err
}
