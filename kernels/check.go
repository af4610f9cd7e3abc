package kernels

import (
	"fmt"
	"math"
)

// checker collects the first error of an operation's arguments.
type checker struct {
	op  Op
	dev Device
	o   Options
	err error
}

func newChecker(op Op, dev Device, o Options) *checker {
	c := &checker{op: op, dev: dev, o: o}
	c.that(o.Precision <= Strict, ErrUnsupported, "precision %d is unknown", o.Precision)
	c.that(o.Stream == 0 || dev.Kind != Host, ErrUnsupported, "stream %#x: the host has no streams", o.Stream)
	return c
}

// that records an error unless ok holds or there is one already.
func (c *checker) that(ok bool, sentinel error, format string, args ...any) {
	if !ok && c.err == nil {
		c.err = opError(c.op, sentinel, format, args...)
	}
}

// ok reports whether nothing was found yet, so that later checks may rely on
// earlier ones.
func (c *checker) ok() bool { return c.err == nil }

// valid checks each matrix of each argument by itself.
func (c *checker) valid(args ...operands) {
	for _, p := range args {
		for i, m := range p.list {
			if c.err != nil {
				return
			}
			if err := m.Validate(); err != nil {
				c.err = fmt.Errorf("kernels: %s: %s: %w", c.op, p.label(i), err)
				return
			}
			c.placed(p.label(i), m.Device, m.Empty())
		}
	}
}

// placed checks that an operand lies on the host or on the backend's device. An
// empty one, such as an omitted weight, may be on the host even with a stream.
func (c *checker) placed(name string, d Device, empty bool) {
	c.that(d == c.dev || d == Device{} && (empty || c.o.Stream == 0), ErrDevice, "%s is on %s, the backend on %s (stream %#x)", name, d, c.dev, c.o.Stream)
}

// lengths checks that all arguments of a batch are equally long.
func (c *checker) lengths(args ...operands) {
	for _, p := range args[1:] {
		c.that(len(p.list) == len(args[0].list), ErrShape, "%d %s for %d %s", len(p.list), p.name, len(args[0].list), args[0].name)
	}
}

// shape checks a matrix against the wanted size.
func (c *checker) shape(name string, m Matrix, rows, cols int) {
	c.that(m.Rows == rows && m.Cols == cols, ErrShape, "%s is %d x %d, want %d x %d", name, m.Rows, m.Cols, rows, cols)
}

// disjoint checks that no destination overlaps another argument.
func (c *checker) disjoint(inPlace bool, args ...operands) {
	if c.err != nil {
		return
	}
	if a, b, found := findOverlap(args, inPlace); found {
		c.that(false, ErrAlias, "%s overlaps %s", a.arg.label(a.index), b.arg.label(b.index))
	}
}

// resultType checks dst's type against the sources': Float64 if and only if one
// of them is.
func (c *checker) resultType(name string, dst Matrix, sources ...Matrix) {
	want := ComputeType(sources...)
	c.that((dst.DType == Float64) == (want == Float64), ErrUnsupported, "%s is %s, but the sources compute in %s", name, dst.DType, want)
}

// finite checks a scalar parameter.
func (c *checker) finite(name string, v float64) {
	c.that(!math.IsNaN(v) && !math.IsInf(v, 0), ErrShape, "%s is %v", name, v)
}

// ComputeType returns the type in which an operation on the sources computes:
// Float64 if one of them is, else Float32.
func ComputeType(sources ...Matrix) DType {
	for _, m := range sources {
		if m.DType == Float64 {
			return Float64
		}
	}
	return Float32
}

func one(name string, m Matrix) operands { return operands{name: name, list: []Matrix{m}} }

func oneDst(name string, m Matrix) operands {
	return operands{name: name, list: []Matrix{m}, dst: true}
}

func many(name string, list []Matrix) operands { return operands{name: name, list: list, batch: true} }

func manyDst(name string, list []Matrix) operands {
	return operands{name: name, list: list, batch: true, dst: true}
}

// packedLen returns n(n+1)/2, or −1 if it overflows.
func packedLen(n int) int {
	if n < 0 || n > 0 && n >= math.MaxInt/n {
		return -1
	}
	return n * (n + 1) / 2
}
