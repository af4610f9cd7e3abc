package kernels

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactSum returns the sum rounded once, by arithmetic of unlimited precision.
func exactSum(values []float64) float64 {
	sum := new(big.Float).SetPrec(4096)
	for _, v := range values {
		sum.Add(sum, new(big.Float).SetPrec(4096).SetFloat64(v))
	}
	f, _ := sum.Float64()
	return f + 0 // −0 has one representation here: +0
}

func accumulate(values []float64) *Accumulator {
	a := new(Accumulator)
	for _, v := range values {
		a.Add(v)
	}
	return a
}

func encode(t *testing.T, a *Accumulator) []byte {
	t.Helper()
	data, err := a.MarshalBinary()
	if err != nil || len(data) != accumulatorBytes {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	return data
}

// wild draws from the whole range of float64, subnormal numbers included.
func wild(r *rand.Rand) float64 {
	for {
		v := math.Float64frombits(r.Uint64())
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
	}
}

func TestAccumulatorSums(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	fixed := [][]float64{
		{}, {0}, {math.Copysign(0, -1)}, {1, 0x1p-53}, {1, 0x1p-53, 0x1p-1074}, {1 + 0x1p-52, 0x1p-53}, {1, -1, 0x1p-1074},
		{-1, -0x1p-53, -0x1p-1074}, {0x1p-1074, 0x1p-1074, -0x1p-1073}, {math.MaxFloat64, math.MaxFloat64}, {-math.MaxFloat64, -math.MaxFloat64, -1},
		{math.MaxFloat64, 0x1p970}, {math.MaxFloat64, 0x1.fffffffffffffp969}, {math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64},
		{0x1p-1022, -0x1p-1074}, {0x1.8p-1023, 0x1p-1074}, {1e16, 1, -1e16}, {0x1p1023, -0x1p970, 0x1p-1074},
	}
	for i, values := range fixed {
		if got, want := accumulate(values).Sum(), exactSum(values); math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("case %d %v: %v, want %v", i, values, got, want)
		}
	}
	for trial := range 3000 {
		values := make([]float64, 1+r.IntN(40))
		narrow := r.IntN(2) == 0
		for i := range values {
			if values[i] = wild(r); narrow {
				values[i] = math.Ldexp(r.NormFloat64(), r.IntN(80)-40)
			}
			if i > 0 && r.IntN(3) == 0 {
				values[i] = -values[r.IntN(i)] // cancellation
			}
		}
		if got, want := accumulate(values).Sum(), exactSum(values); math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("trial %d %v: %v, want %v", trial, values, got, want)
		}
	}
}

func TestAccumulatorSpecials(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{1, inf}, inf}, {[]float64{-inf, 5}, -inf}, {[]float64{inf, inf}, inf}, {[]float64{inf, -inf}, math.NaN()},
		{[]float64{math.NaN(), 1}, math.NaN()}, {[]float64{math.NaN(), inf}, math.NaN()},
	} {
		a := accumulate(c.values)
		var back Accumulator
		if err := back.UnmarshalBinary(encode(t, a)); err != nil {
			t.Fatal(err)
		}
		for _, got := range []float64{a.Sum(), back.Sum()} {
			if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
				t.Errorf("%v: %v, want %v", c.values, got, c.want)
			}
		}
	}
}

// A thousand orders, groupings and detours over bytes of one set of values.
func TestAccumulatorOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	values := make([]float64, 300)
	for i := range values {
		values[i] = wild(r)
	}
	want := encode(t, accumulate(values))
	for trial := range 1000 {
		r.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		total := new(Accumulator)
		for from := 0; from < len(values); {
			to := min(len(values), from+1+r.IntN(100))
			part := accumulate(values[from:to])
			if r.IntN(2) == 0 {
				var copied Accumulator
				if err := copied.UnmarshalBinary(encode(t, part)); err != nil {
					t.Fatal(err)
				}
				part = &copied
			}
			total.Merge(part)
			from = to
		}
		if got := encode(t, total); !bytes.Equal(got, want) {
			t.Fatalf("trial %d: other bytes", trial)
		}
	}
}

// Carries: more additions than a chunk could hold without them.
func TestAccumulatorCarries(t *testing.T) {
	for _, v := range []float64{math.MaxFloat64 / 2, -math.MaxFloat64 / 2, 0x1.fffffffffffffp30, -0x1.fffffffffffffp-1000} {
		a := new(Accumulator)
		const n = 3*addsPerCarry + 5
		for range n {
			a.Add(v)
		}
		for range n - 1 {
			a.Add(-v)
		}
		if got := a.Sum(); got != v {
			t.Errorf("%v added %d times and taken away once less: %v", v, n, got)
		}
	}
	a := accumulate([]float64{math.MaxFloat64})
	for range 200 { // doubling leaves the capacity: never a wrong number
		twice := *a
		a.Merge(&twice)
	}
	if got := a.Sum(); !math.IsNaN(got) && !math.IsInf(got, 1) {
		t.Errorf("beyond the capacity: %v", got)
	}
}

func TestAccumulatorRefuses(t *testing.T) {
	good := encode(t, accumulate([]float64{3, -7.5}))
	change := func(at int, b byte) []byte {
		c := bytes.Clone(good)
		c[at] = b
		return c
	}
	before := accumulate([]float64{42})
	for i, data := range [][]byte{nil, good[:535], append(bytes.Clone(good), 0), change(0, 1), change(7, 0x80), change(5, 1), change(15, 0xff)} {
		a := *before
		if err := a.UnmarshalBinary(data); !errors.Is(err, ErrShape) {
			t.Errorf("case %d: %v", i, err)
		}
		if a.Sum() != 42 {
			t.Errorf("case %d: the sum changed to %v", i, a.Sum())
		}
	}
	special := encode(t, accumulate([]float64{math.NaN()}))
	special[100] = 1
	if err := new(Accumulator).UnmarshalBinary(special); !errors.Is(err, ErrShape) {
		t.Errorf("a mark with other chunks: %v", err)
	}
}

func FuzzAccumulator(f *testing.F) {
	seed, err := accumulate([]float64{1, -0x1p-1074, 1e300}).MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(make([]byte, accumulatorBytes))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a Accumulator
		if a.UnmarshalBinary(data) != nil {
			return
		}
		if got := encode(t, &a); !bytes.Equal(got, data) {
			t.Fatal("what is accepted is not canonical")
		}
		sum := a.Sum()
		a.Merge(accumulate([]float64{1, -1}))
		if again := a.Sum(); math.Float64bits(again) != math.Float64bits(sum) {
			t.Fatalf("adding zero changes %v to %v", sum, again)
		}
	})
}

func BenchmarkAccumulator(b *testing.B) {
	var a Accumulator
	v := 1.0
	for b.Loop() {
		a.Add(v)
		v = -v * 1.0000001
	}
}
