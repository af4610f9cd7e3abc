package kernels

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestOpsAreTheMethods compares the list with the interface: each operation has
// the name of a method, and only Info and Close are no operation.
func TestOpsAreTheMethods(t *testing.T) {
	var methods, names []string
	for m := range reflect.TypeFor[Backend]().Methods() {
		if m.Name != "Info" && m.Name != "Close" {
			methods = append(methods, m.Name)
		}
	}
	for i, op := range Ops() {
		if int(op) != i {
			t.Errorf("Ops()[%d] is %d", i, op)
		}
		names = append(names, op.String())
	}
	slices.Sort(names)
	if !slices.Equal(methods, names) {
		t.Errorf("operations %v, methods %v", names, methods)
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		got  fmt.Stringer
		want string
	}{
		{OpAlloc, "Alloc"},
		{OpRowNormalize, "RowNormalize"},
		{opCount, "Op(22)"},
		{Op(255), "Op(255)"},
		{NT, "NT"},
		{TN, "TN"},
		{NN, "NN"},
		{Form(3), "Form(3)"},
		{Identity, "identity"},
		{ReLU, "relu"},
		{SiLU, "silu"},
		{GELU, "gelu"},
		{GELUTanh, "gelu_tanh"},
		{activationCount, "Activation(5)"},
		{Float32, "f32"},
		{Float64, "f64"},
		{Float16, "f16"},
		{BFloat16, "bf16"},
		{DType(4), "dtype(4)"},
		{Host, "host"},
		{CUDA, "cuda"},
		{Kind(2), "kind(2)"},
		{Device{}, "host"},
		{cuda0, "cuda:0"},
		{cuda1, "cuda:1"},
		{Device{Host, 2}, "host:2"},
	} {
		if c.got.String() != c.want {
			t.Errorf("%#v is called %q, want %q", c.got, c.got, c.want)
		}
	}
}

// TestDTypes derives each type's figures from its conversions.
func TestDTypes(t *testing.T) {
	next := map[DType]func(float64) float64{ // the next number of the type
		Float64: func(x float64) float64 { return math.Nextafter(x, math.Inf(1)) },
		Float32: func(x float64) float64 { return float64(math.Nextafter32(float32(x), float32(math.Inf(1)))) },
		Float16: func(x float64) float64 { return float64(Float16ToFloat32(Float64ToFloat16(x) + 1)) },
		BFloat16: func(x float64) float64 {
			return float64(BFloat16ToFloat32(Float64ToBFloat16(x) + 1))
		},
	}
	sizes := map[DType]int{Float64: 8, Float32: 4, Float16: 2, BFloat16: 2}
	for dt, up := range next {
		if got, want := dt.UnitRoundoff(), (up(1)-1)/2; got != want {
			t.Errorf("%s: unit roundoff %v, want %v", dt, got, want)
		}
		if got, want := dt.smallest(), up(0); got != want {
			t.Errorf("%s: smallest number %v, want %v", dt, got, want)
		}
		if !dt.Valid() || dt.Size() != sizes[dt] {
			t.Errorf("%s: valid %v, size %d", dt, dt.Valid(), dt.Size())
		}
	}
	if bad := DType(len(next)); bad.Valid() || bad.Size() != 0 {
		t.Errorf("%s: valid %v, size %d", bad, bad.Valid(), bad.Size())
	}
}

func TestMinRows(t *testing.T) {
	if b, u := Biased.MinRows(), Unbiased.MinRows(); b != 2 || u != 4 {
		t.Errorf("fewest rows: biased %d, unbiased %d, want 2 and 4", b, u)
	}
}

func TestDegenerate(t *testing.T) {
	if err := Degenerate(OpSVD, "no reason", nil); err != nil {
		t.Errorf("no indices give %v", err)
	}
	for _, c := range []struct {
		indices []int
		want    string
	}{
		{[]int{3}, "kernels: Rotation: norm is 0 at index 3: undefined result"},
		{[]int{0, 7}, "kernels: Rotation: norm is 0 at index 0, 7: undefined result"},
		{[]int{1, 2, 3, 4, 5, 6, 7, 8}, "kernels: Rotation: norm is 0 at index 1, 2, 3, 4, 5, 6, 7, 8: undefined result"},
		{[]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, "kernels: Rotation: norm is 0 at index 1, 2, 3, 4, 5, 6, 7, 8 and 2 more: undefined result"},
	} {
		err := fmt.Errorf("layer 4: %w", Degenerate(OpRotation, "norm is 0", c.indices))
		if err.Error() != "layer 4: "+c.want {
			t.Errorf("got %q, want %q", err, c.want)
		}
		wantError(t, err, ErrDegenerate, "")
		var d *DegenerateError
		if !errors.As(err, &d) || d.Op != OpRotation || !slices.Equal(d.Indices, c.indices) || d.Reason != "norm is 0" {
			t.Errorf("errors.As gives %+v", d)
		}
	}
}

func TestSentinelsAreDistinct(t *testing.T) {
	for i, a := range sentinels {
		for j, b := range sentinels {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("errors.Is(%v, %v) is %v", a, b, i != j)
			}
		}
		if s := a.Error(); s == "" || s != strings.ToLower(s) {
			t.Errorf("sentinel says %q", s)
		}
	}
}
