package kernels

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arguments are those of any operation; lists holds the matrices in the order of
// checkCase.names.
type arguments struct {
	lists [][]Matrix
	o     Options

	storage   Storage
	form      Form
	stats     []RowStats
	values    []HSICValue
	table     HSICTable
	kernel    Kernel
	estimator Estimator
	bandwidth Bandwidth
	used      []float64
	rotation  []RotationValue
	scale     []float32
	segments  []int32
	ids       []int32
	svd       SVDParams
	norm      NormParams
	positions []int32
	rope      RoPEParams
	attention AttentionParams
	act       Activation
	quantized Quantized
}

// adapters joins lists 2 and 3.
func (a *arguments) adapters() []Adapter {
	set := make([]Adapter, min(len(a.lists[2]), len(a.lists[3])))
	for i := range set {
		set[i] = Adapter{A: a.lists[2][i], B: a.lists[3][i], Scale: 1}
	}
	return set
}

// breakage makes valid arguments wrong in one place. says is the whole message
// between the operation's name and the sentinel's text.
type breakage struct {
	name string
	edit func(a *arguments)
	want error // nil: an unusual call that must pass
	says string
}

// checkCase is a valid call of a Check function and the ways to break it.
type checkCase struct {
	op        Op
	names     []string // of the matrix lists; [] at the end marks a batch
	make      func(m *maker) arguments
	check     func(dev Device, a *arguments) error
	noOptions bool
	broken    []breakage
}

// maker makes matrices on a device, with padding between rows.
type maker struct {
	dev  Device
	next uintptr
}

func (m *maker) mat(dt DType, rows, cols int) Matrix {
	stride := cols + 2
	if m.dev != (Device{}) {
		m.next += 1 << 16
		return must(Foreign(m.dev, cudaAddress+m.next, dt, rows, cols, stride, nil))
	}
	n := rows * stride
	switch dt {
	case Float64:
		return must(Of(make([]float64, n), rows, cols, stride))
	case Float32:
		return must(Of(make([]float32, n), rows, cols, stride))
	default:
		return must(OfBits(dt, make([]uint16, n), rows, cols, stride))
	}
}

func (m *maker) quantized(q QuantType, rows, cols int) Quantized {
	if m.dev != (Device{}) {
		m.next += 1 << 16
		return must(ForeignQuantized(m.dev, cudaAddress+m.next, q, rows, cols, nil))
	}
	return must(OfQuantized(q, make([]byte, rows*cols/q.BlockSize()*q.BlockBytes()), rows, cols))
}

func (c *checkCase) label(list, i int) string {
	if name, batch := strings.CutSuffix(c.names[list], "[]"); batch {
		return name + "[" + strconv.Itoa(i) + "]"
	}
	return c.names[list]
}

// want compares the whole message.
func (c *checkCase) want(t *testing.T, what string, err, want error, says string) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Errorf("%s: %v, want no error", what, err)
		}
		return
	}
	if err == nil {
		t.Errorf("%s: accepted, want %v", what, want)
		return
	}
	wantError(t, err, want, "")
	if full := "kernels: " + c.op.String() + ": " + says + ": " + want.Error(); err.Error() != full {
		t.Errorf("%s:\n got %q\nwant %q", what, err, full)
	}
}

func (c *checkCase) run(t *testing.T, dev Device) {
	t.Helper()
	build := func(on Device) *arguments {
		a := c.make(&maker{dev: on})
		return &a
	}
	c.want(t, "valid", c.check(dev, build(dev)), nil, "")
	c.want(t, "all on the host", c.check(dev, build(Device{})), nil, "")
	for _, b := range c.broken {
		a := build(dev)
		b.edit(a)
		c.want(t, b.name, c.check(dev, a), b.want, b.says)
	}
	if !c.noOptions {
		for _, p := range []Precision{Fast, Strict, 3} {
			a := build(dev)
			a.o.Precision = p
			var want error
			if p > Strict {
				want = ErrUnsupported
			}
			c.want(t, "precision", c.check(dev, a), want, "precision 3 is unknown")
		}
		a := build(dev)
		a.o.Stream = 0x2a
		if dev.Kind == Host {
			c.want(t, "stream", c.check(dev, a), ErrUnsupported, "stream 0x2a: the host has no streams")
		} else {
			c.want(t, "stream", c.check(dev, a), nil, "")
		}
	}
	for l := range c.names {
		c.breakMatrices(t, dev, l)
	}
}

// breakMatrices breaks each matrix of a list by itself.
func (c *checkCase) breakMatrices(t *testing.T, dev Device, list int) {
	t.Helper()
	valid := c.make(&maker{dev: dev})
	for i, m := range valid.lists[list] {
		label := c.label(list, i)
		try := func(what string, stream uintptr, edit func(*Matrix), want error, says string) {
			t.Helper()
			a := c.make(&maker{dev: dev})
			a.o.Stream = stream
			edit(&a.lists[list][i])
			c.want(t, label+" "+what, c.check(dev, &a), want, label+says)
		}
		try("type", 0, func(m *Matrix) { m.DType = 9 }, ErrUnsupported, ": element type dtype(9)")
		try("negative", 0, func(m *Matrix) { m.Rows = -1 }, ErrShape, ": size -1 x "+strconv.Itoa(m.Cols)+" is negative")
		try("stride", 0, func(m *Matrix) { m.Stride = 0 }, ErrShape, ": stride 0 < cols "+strconv.Itoa(m.Cols))
		other := maker{dev: cuda1}
		try("elsewhere", 0, func(m *Matrix) { *m = other.mat(m.DType, m.Rows, m.Cols) }, ErrDevice,
			" is on cuda:1, the backend on "+dev.String()+" (stream 0x0)")
		if dev.Kind != Host && !c.noOptions {
			host := maker{}
			try("on the host, with a stream", 7, func(m *Matrix) { *m = host.mat(m.DType, m.Rows, m.Cols) }, ErrDevice,
				" is on host, the backend on "+dev.String()+" (stream 0x7)")
		}
	}
}

func TestChecks(t *testing.T) {
	var seen []Op
	for _, c := range slices.Concat(dataChecks, analysisChecks, adapterChecks, layerChecks, attentionChecks) {
		seen = append(seen, c.op)
		for _, dev := range []Device{{}, cuda0} {
			t.Run(c.op.String()+"/"+dev.String(), func(t *testing.T) { c.run(t, dev) })
		}
	}
	for _, op := range Ops() {
		if op != OpAlloc && !slices.Contains(seen, op) {
			t.Errorf("%s is not tested", op)
		}
	}
}

// remove returns an edit that drops the last matrix of a list.
func remove(list int) func(*arguments) {
	return func(a *arguments) { a.lists[list] = a.lists[list][:len(a.lists[list])-1] }
}

// replace returns an edit that puts another matrix, on the same device, in place
// of item i.
func replace(list, i int, dt DType, rows, cols int) func(*arguments) {
	return func(a *arguments) {
		m := maker{dev: a.lists[list][i].Device, next: 1<<24 + uintptr(list)<<20 + uintptr(i)<<17}
		a.lists[list][i] = m.mat(dt, rows, cols)
	}
}

// alias returns an edit that makes item i of a list a view on item j of another,
// of the same size as before.
func alias(list, i, from, j int) func(*arguments) {
	return func(a *arguments) {
		m, rows, cols := a.lists[from][j], a.lists[list][i].Rows, a.lists[list][i].Cols
		m.Rows, m.Cols, m.Stride = rows, cols, max(cols, min(m.Stride, m.span/m.DType.Size()/rows))
		a.lists[list][i] = m
	}
}

// retype returns an edit that makes item 0 of a list the memory of item 0 of
// another with the other 16-bit type: in place, but for the type.
func retype(list, from int) func(*arguments) {
	return func(a *arguments) {
		m := a.lists[from][0]
		m.DType = BFloat16
		a.lists[list][0] = m
	}
}

// empty is an edit that empties all lists.
func empty(a *arguments) {
	for i := range a.lists {
		a.lists[i] = nil
	}
}
