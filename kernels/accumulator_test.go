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

// exactOf evaluates the chunks of a sum that is a number.
func exactOf(a *Accumulator) float64 {
	sum, unit := new(big.Int), new(big.Int)
	for k, c := range a.chunks {
		sum.Add(sum, unit.Lsh(unit.SetInt64(c), uint(32*k)))
	}
	f, _ := new(big.Rat).SetFrac(sum, new(big.Int).Lsh(big.NewInt(1), 1075)).Float64()
	return f
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
	r := seeded(t, 4)
	fixed := [][]float64{
		{},
		{0},
		{math.Copysign(0, -1)},
		{1, 0x1p-53},
		{1, 0x1p-53, 0x1p-1074},
		{1 + 0x1p-52, 0x1p-53},
		{1, -1, 0x1p-1074},
		{-1, -0x1p-53, -0x1p-1074},
		{0x1p-1074, 0x1p-1074, -0x1p-1073},
		{math.MaxFloat64, math.MaxFloat64},
		{-math.MaxFloat64, -math.MaxFloat64, -1},
		{math.MaxFloat64, 0x1p970},
		{math.MaxFloat64, 0x1.fffffffffffffp969},
		{math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64},
		{0x1p-1022, -0x1p-1074},
		{0x1.8p-1023, 0x1p-1074},
		{1e16, 1, -1e16},
		{0x1p1023, -0x1p970, 0x1p-1074},
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
		{[]float64{1, inf}, inf},
		{[]float64{-inf, 5}, -inf},
		{[]float64{inf, inf}, inf},
		{[]float64{inf, -inf}, math.NaN()},
		{[]float64{math.NaN(), 1}, math.NaN()},
		{[]float64{math.NaN(), inf}, math.NaN()},
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
	r := seeded(t, 5)
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
}

// The largest change of a chunk, up to the last addition before the carry: the
// chunks are checked one by one, and the carry must leave the sum as it was.
func TestAccumulatorFillsChunks(t *testing.T) {
	worst := math.Ldexp(1-0x1p-53, 32*20+31-1022) // exponent field 32·20 + 31: the longest shift
	for _, v := range []float64{worst, -worst} {
		var a Accumulator
		for range addsPerCarry - 1 {
			a.Add(v)
		}
		if a.adds != addsPerCarry-1 || a.chunks[21] == 0 || (a.chunks[21] > 0) != (v > 0) {
			t.Fatalf("after %d additions: %d pending, chunk 21 is %d", addsPerCarry-1, a.adds, a.chunks[21])
		}
		a.Add(v)
		if a.adds != 0 {
			t.Errorf("%d additions pending after %d", a.adds, addsPerCarry)
		}
		for k, c := range a.chunks[:chunkCount-1] {
			if c < 0 || c > chunkMask {
				t.Errorf("chunk %d is %d after the carry", k, c)
			}
		}
		if got, want := a.Sum(), v*addsPerCarry; math.Abs(got-want) > math.Abs(want)*0x1p-53 {
			t.Errorf("sum %v, want %v", got, want)
		}
		for range 100_000 {
			a.Add(v)
		}
		for range 100_000 + addsPerCarry {
			a.Add(-v)
		}
		if !bytes.Equal(encode(t, &a), make([]byte, accumulatorBytes)) {
			t.Error("taking all away leaves something")
		}
	}
}

func TestAccumulatorCapacity(t *testing.T) {
	for _, sign := range []float64{1, -1} {
		a, b := accumulate([]float64{sign * math.MaxFloat64}), accumulate([]float64{-sign * math.MaxFloat64})
		for range 76 { // up to 2¹¹⁰⁰, far beyond float64
			a.Merge(a)
			b.Merge(b)
		}
		var back Accumulator
		if err := back.UnmarshalBinary(encode(t, a)); err != nil || back.Sum() != math.Inf(int(sign)) {
			t.Errorf("2⁷⁶ of the largest: %v, %v, want %v", back.Sum(), err, math.Inf(int(sign)))
		}
		back.Merge(b)
		back.Add(0.5)
		if got := back.Sum(); got != 0.5 {
			t.Errorf("there and back gives %v, want 0.5", got)
		}
		a.Merge(a)
		if got := a.Sum(); !math.IsNaN(got) {
			t.Errorf("beyond capacity: %v, want NaN", got)
		}
		a.Merge(b)
		if got := a.Sum(); !math.IsNaN(got) {
			t.Errorf("beyond capacity and back: %v, want NaN", got)
		}
	}
}

func TestAccumulatorMerge(t *testing.T) {
	a, b := accumulate([]float64{1, 0x1p-60}), accumulate([]float64{-3, 1e300})
	before := *b
	a.Merge(nil)
	a.Merge(new(Accumulator))
	a.Merge(b)
	if *b != before {
		t.Error("Merge changes its argument")
	}
	if want := accumulate([]float64{1e300, 0x1p-60, -3, 1}); !bytes.Equal(encode(t, a), encode(t, want)) {
		t.Errorf("merging gives %v, want %v", a.Sum(), want.Sum())
	}
	if pending := *accumulate([]float64{5, 6}); pending.adds != 2 || pending.Sum() != 11 || pending.adds != 2 {
		t.Error("Sum writes to the accumulator")
	}
	data, err := b.AppendBinary([]byte("head"))
	if err != nil || string(data[:4]) != "head" || !bytes.Equal(data[4:], encode(t, b)) {
		t.Errorf("AppendBinary gives %d bytes, %v", len(data), err)
	}
}

// TestAccumulatorSpecialBytes: what was seen besides an infinity or a NaN, and
// in which order, leaves no trace.
func TestAccumulatorSpecialBytes(t *testing.T) {
	inf := math.Inf(1)
	for _, same := range [][][]float64{
		{{math.NaN()}, {math.Float64frombits(0xfff0000000000001), 3}, {inf, -inf}, {-inf, 7, inf}, {inf, math.NaN(), 1e300}},
		{{inf}, {3, inf}, {inf, inf, -1e308}},
		{{-inf}, {-inf, 4}, {0x1p-1074, -inf, -inf}},
		{{}, {0}, {math.Copysign(0, -1)}, {1e300, -1e300}},
	} {
		want := encode(t, accumulate(same[0]))
		for _, values := range same {
			a := new(Accumulator)
			for i := len(values) - 1; i >= 0; i-- {
				a.Merge(accumulate(values[i : i+1]))
			}
			if !bytes.Equal(encode(t, accumulate(values)), want) || !bytes.Equal(encode(t, a), want) {
				t.Errorf("%v encodes unlike %v", values, same[0])
			}
		}
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
	for _, v := range [][]float64{{math.NaN()}, {math.Inf(-1)}, {-math.MaxFloat64, -math.MaxFloat64}, {0x1p-1074}, {1, -0x1p-53, 0x1p-1000}} {
		data, err := accumulate(v).MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var a Accumulator
		if a.UnmarshalBinary(data) != nil {
			return
		}
		if got := encode(t, &a); !bytes.Equal(got, data) {
			t.Fatal("what is accepted is not canonical")
		}
		sum := a.Sum()
		if want := exactOf(&a); a.saw == 0 && math.Float64bits(sum) != math.Float64bits(want) {
			t.Fatalf("sum %v, want %v", sum, want)
		}
		a.Merge(accumulate([]float64{1, -1}))
		if again := a.Sum(); math.Float64bits(again) != math.Float64bits(sum) {
			t.Fatalf("adding zero changes %v to %v", sum, again)
		}
	})
}

// BenchmarkAccumulatorAdd adds values of many exponents.
func BenchmarkAccumulatorAdd(b *testing.B) {
	r := rand.New(rand.NewPCG(6, 0))
	values := make([]float64, 1024)
	for i := range values {
		values[i] = math.Ldexp(r.NormFloat64(), r.IntN(40)-20)
	}
	var a Accumulator
	b.SetBytes(8)
	i := 0
	for b.Loop() {
		a.Add(values[i%len(values)])
		i++
	}
}

func BenchmarkAccumulatorSum(b *testing.B) {
	a := accumulate([]float64{1e300, -1, 0x1p-1000})
	for b.Loop() {
		a.Sum()
	}
}
