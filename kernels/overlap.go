package kernels

import (
	"cmp"
	"slices"
	"strconv"
)

// operands is a named argument of an operation, for messages and alias checks.
type operands struct {
	name  string
	list  []Matrix
	dst   bool
	batch bool // name the index in messages
}

func (p operands) label(i int) string {
	if !p.batch {
		return p.name
	}
	return p.name + "[" + strconv.Itoa(i) + "]"
}

// region is one matrix of one operand, by the addresses it spans.
type region struct {
	arg    *operands
	index  int
	lo, hi uintptr
}

func (r region) matrix() Matrix { return r.arg.list[r.index] }

// findOverlap returns two overlapping regions of which at least one is a
// destination. With inPlace, a destination may be the very view of a source of
// the same index. Regions are swept in address order, so that a batch of many
// disjoint matrices costs a sort.
func findOverlap(args []operands, inPlace bool) (a, b region, found bool) {
	var rs []region
	for i := range args {
		for j, m := range args[i].list {
			if lo, hi := m.byteRange(); lo < hi {
				rs = append(rs, region{&args[i], j, lo, hi})
			}
		}
	}
	slices.SortFunc(rs, func(p, q region) int { return cmp.Compare(p.lo, q.lo) })
	var open []region
	for _, r := range rs {
		open = slices.DeleteFunc(open, func(o region) bool { return o.hi <= r.lo })
		for _, o := range open {
			if !o.arg.dst && !r.arg.dst || !overlap(o.matrix(), r.matrix()) {
				continue
			}
			if inPlace && o.index == r.index && o.arg.dst != r.arg.dst && sameView(o.matrix(), r.matrix()) {
				continue
			}
			return o, r, true
		}
		open = append(open, r)
	}
	return region{}, region{}, false
}

func sameView(a, b Matrix) bool {
	return a.Address() == b.Address() && a.Device == b.Device && a.DType == b.DType &&
		a.Rows == b.Rows && a.Cols == b.Cols && (a.Stride == b.Stride || a.Rows <= 1)
}

// overlap reports whether two valid views share a byte. It is exact: column
// blocks of one matrix interleave without overlapping. Such blocks have equal
// strides, and are many in a batch; they take no loop over rows.
func overlap(a, b Matrix) bool {
	aLo, aHi := a.byteRange()
	bLo, bHi := b.byteRange()
	if a.Device != b.Device || aLo >= bHi || bLo >= aHi {
		return false
	}
	aStep, bStep := uintptr(a.Stride*a.DType.Size()), uintptr(b.Stride*b.DType.Size())
	aWidth, bWidth := uintptr(a.Cols*a.DType.Size()), uintptr(b.Cols*b.DType.Size())
	if aStep == bStep {
		if aLo > bLo {
			return overlap(b, a)
		}
		// b's first row starts d bytes into the step of a's row q, and reaches
		// into the next one if it is long; its other rows lie alike.
		q, d := (bLo-aLo)/aStep, (bLo-aLo)%aStep
		return q < uintptr(a.Rows) && d < aWidth || q+1 < uintptr(a.Rows) && d+bWidth > aStep
	}
	for i, j := 0, 0; i < a.Rows && j < b.Rows; {
		p, q := aLo+uintptr(i)*aStep, bLo+uintptr(j)*bStep
		switch {
		case p+aWidth <= q: // skip a's rows that end before b's row j
			i += max(1, int((q-p-aWidth)/aStep))
		case q+bWidth <= p:
			j += max(1, int((p-q-bWidth)/bStep))
		default:
			return true
		}
	}
	return false
}
