// Package kerneltest is the conformance suite of the contract in package
// kernels. A backend's own test is one call:
//
//	func TestConformance(t *testing.T) {
//		kerneltest.Run(t, kerneltest.Target{Open: func(t testing.TB, workers int) kernels.Backend { ... }})
//	}
//
// Results are compared element by element with a float64 reference (double the
// precision for float64 operations) against the bounds of kernels.BoundsOf;
// integer inputs must give exact results. Every buffer is surrounded by
// sentinels, also between rows. Illegal arguments must leave dst untouched.
package kerneltest

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// Target is a backend under test.
type Target struct {
	// Open returns a fresh backend that uses the given number of workers (0: its
	// default). The suite closes it.
	Open func(t testing.TB, workers int) kernels.Backend
	// OneRounding says that sums of float32 and narrower inputs are formed in
	// float64 and rounded once; the suite then holds the backend to that.
	OneRounding bool
	// Missing are operations that a backend under construction does not have. The
	// suite then wants kernels.ErrUnsupported from them, and the rest of the
	// contract from the others.
	Missing []kernels.Op
}

// has reports whether the backend has an operation.
func (t Target) has(op kernels.Op) bool { return !slices.Contains(t.Missing, op) }

// Run runs the whole suite: the full cross of shapes.
func Run(t *testing.T, target Target) { run(t, target, false) }

// Short runs the suite on a pairwise covering set of shapes: every pair of
// sizes of every pair of dimensions occurs.
func Short(t *testing.T, target Target) { run(t, target, true) }

// sizes straddle the edges of registers, vectors and tiles.
var sizes = []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, 500}

// beyondTiles is a prime beyond two tiles of any kernel.
const beyondTiles = 521

// suite is one run.
type suite struct {
	Target
	short bool
	seed  uint64
	b     kernels.Backend
	info  kernels.Info
}

func run(t *testing.T, target Target, short bool) {
	s := &suite{Target: target, short: short, seed: 1}
	if v := os.Getenv("CAMBIUM_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("CAMBIUM_SEED: %v", err)
		}
		s.seed = n
	}
	s.b = s.open(t, 0)
	s.info = s.b.Info()
	t.Logf("backend %s, %d workers, fingerprint %s, seed %d (CAMBIUM_SEED)", s.info.Name, s.info.Workers, s.info.Fingerprint, s.seed)
	for _, group := range []struct {
		op   kernels.Op // run if the backend has it; every backend has Alloc
		name string
		test func(*suite, *testing.T)
	}{
		{kernels.OpAlloc, "Memory", testMemory},
		{kernels.OpConvert, "Convert", testConvert},
		{kernels.OpGram, "Gram", testGram},
		{kernels.OpMatmul, "Matmul", testMatmul},
		{kernels.OpCenter, "Center", testCenter},
		{kernels.OpHSIC, "HSIC", testHSIC},
		{kernels.OpHSICMatrix, "HSICMatrix", testHSICMatrix},
		{kernels.OpRBF, "RBF", testRBF},
		{kernels.OpRotation, "Rotation", testRotation},
		{kernels.OpLowRank, "LowRank", testLowRank},
		{kernels.OpApplyAdapters, "ApplyAdapters", testApplyAdapters},
		{kernels.OpSVD, "SVD", testSVD},
		{kernels.OpAlloc, "LayerOps", testLayerOps},
		{kernels.OpAlloc, "Arguments", testArguments},
		{kernels.OpAlloc, "Propagation", testPropagation},
		{kernels.OpAlloc, "Determinism", testDeterminism},
		{kernels.OpAlloc, "Cancellation", testCancellation},
		{kernels.OpAlloc, "Lifecycle", testLifecycle},
		{kernels.OpAlloc, "Missing", testMissing},
	} {
		if s.has(group.op) {
			t.Run(group.name, func(t *testing.T) { group.test(s, t) })
		}
	}
}

// testMissing checks that an operation is missing openly.
func testMissing(s *suite, t *testing.T) {
	for _, c := range s.allCalls(t, 0, 0) {
		if s.has(c.op) {
			continue
		}
		var snaps [][]uint64
		for _, g := range c.dst {
			snaps = append(snaps, g.snapshot())
		}
		if err := c.run(background(), s.b, kernels.Options{}); !errors.Is(err, kernels.ErrUnsupported) {
			t.Errorf("%s, which is missing: %v", c.op, err)
		}
		for i, g := range c.dst {
			g.unchanged(t, c.op.String()+": dst", snaps[i])
		}
	}
}

// open returns a backend that is closed when the test ends.
func (s *suite) open(t testing.TB, workers int) kernels.Backend {
	t.Helper()
	b := s.Open(t, workers)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// rng returns a generator seeded by the suite's seed and the test's name, so
// that a single subtest repeats on its own.
func (s *suite) rng(t testing.TB) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(t.Name()))
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

// unsupported reports whether the backend may refuse this computation: a device
// may refuse float64, the CPU may not. Such a case is skipped.
func (s *suite) unsupported(err error, compute kernels.DType) bool {
	return s.info.Device.Kind != kernels.Host && compute == kernels.Float64 && errors.Is(err, kernels.ErrUnsupported)
}

// do fails the test unless the operation succeeded; it returns false where the
// backend may refuse.
func (s *suite) do(t testing.TB, err error, compute kernels.DType) bool {
	t.Helper()
	if s.unsupported(err, compute) {
		return false
	}
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
	return true
}

func background() context.Context { return context.Background() }

// triples returns the shapes of a three-dimensional problem: the full cross, or
// a Latin square, in which every pair of sizes occurs in every two dimensions.
func (s *suite) triples() [][3]int {
	list := append(append([]int{}, sizes...), beyondTiles)
	var out [][3]int
	for i, a := range list {
		for j, b := range list {
			if s.short {
				out = append(out, [3]int{a, b, list[(i+j)%len(list)]})
				continue
			}
			for _, c := range list {
				out = append(out, [3]int{a, b, c})
			}
		}
	}
	return out
}

// pairs returns the shapes of a two-dimensional problem: always the full cross.
func (s *suite) pairs() [][2]int {
	list := append(append([]int{}, sizes...), beyondTiles)
	var out [][2]int
	for _, a := range list {
		for _, b := range list {
			out = append(out, [2]int{a, b})
		}
	}
	return out
}

// dtypes are all element types.
var dtypes = []kernels.DType{kernels.Float32, kernels.Float64, kernels.Float16, kernels.BFloat16}
