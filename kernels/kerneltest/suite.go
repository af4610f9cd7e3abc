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
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	// Missing are operations that a backend under construction does not have: the
	// suite wants kernels.ErrUnsupported from them, in float32 too, and never from
	// the others.
	Missing []kernels.Op
	// Weak names subtests, such as "Center/outlier", whose demands a backend under
	// construction is known not to meet, with the reason. They are skipped, and the
	// backend's documentation has to say the same.
	Weak map[string]string
}

// weak skips a subtest that the target declares weak.
func (s *suite) weak(t *testing.T, name string) {
	t.Helper()
	if reason, ok := s.Weak[name]; ok {
		t.Skipf("known weakness: %s", reason)
	}
}

// Run runs the whole suite: the full cross of shapes.
func Run(t *testing.T, target Target) { run(t, target, false) }

// Short runs the suite on a pairwise covering set of shapes: every pair of
// sizes of every pair of dimensions occurs.
func Short(t *testing.T, target Target) { run(t, target, true) }

// sizes straddle the edges of registers, vectors and tiles; the last is a prime
// beyond two tiles of any kernel.
var sizes = []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, 500, beyondTiles}

const beyondTiles = 521

// costlySizes serve in Short where the work grows with the third power of a
// size, so that an emulated device gets through: the large ones give way to a
// prime beyond two tiles of 128.
var costlySizes = []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, beyondTwoTiles}

const beyondTwoTiles = 263

// suite is one run.
type suite struct {
	Target
	short   bool
	seed    uint64
	b       kernels.Backend
	info    kernels.Info
	leftOut *tally
}

func run(t *testing.T, target Target, short bool) {
	s := &suite{Target: target, short: short, seed: 1, leftOut: &tally{count: make(map[string]int)}}
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
		name string
		test func(*suite, *testing.T)
	}{
		{"Operations", testOperations},
		{"Memory", testMemory},
		{"Convert", testConvert},
		{"Gram", testGram},
		{"Matmul", testMatmul},
		{"Center", testCenter},
		{"HSIC", testHSIC},
		{"HSICMatrix", testHSICMatrix},
		{"RBF", testRBF},
		{"Rotation", testRotation},
		{"LowRank", testLowRank},
		{"ApplyAdapters", testApplyAdapters},
		{"SVD", testSVD},
		{"LayerOps", testLayerOps},
		{"Batches", testBatches},
		{"Arguments", testArguments},
		{"Huge", testHuge},
		{"Propagation", testPropagation},
		{"Calls", testCalls},
		{"Determinism", testDeterminism},
		{"Cancellation", testCancellation},
		{"Lifecycle", testLifecycle},
	} {
		if slices.ContainsFunc(s.Missing, func(op kernels.Op) bool { return op.String() == group.name }) {
			continue // Operations holds the backend to that
		}
		t.Run(group.name, func(t *testing.T) { group.test(s, t) })
	}
	if list := s.leftOut.String(); list != "" {
		t.Logf("left out, because the backend does not support it: %s", list)
	}
}

// testOperations holds the backend to the list of what it lacks, so that nothing
// is left out of the tests below that it should have.
func testOperations(s *suite, t *testing.T) {
	for _, c := range s.newCalls(t, 0, 0) {
		err := c.run(background(), s.b, kernels.Options{})
		if missing := slices.Contains(s.Missing, c.op); missing != errors.Is(err, kernels.ErrUnsupported) {
			t.Errorf("%s: %v, and the target says that it is missing: %v", c.title(), err, missing)
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

// tally counts the cases that the backend refused, by test.
type tally struct {
	mu    sync.Mutex
	count map[string]int
}

// String lists the counts: "Gram/types in f64: 30 cases, ...".
func (y *tally) String() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	var list []string
	for _, name := range slices.Sorted(maps.Keys(y.count)) {
		list = append(list, name+": "+strconv.Itoa(y.count[name])+" cases")
	}
	return strings.Join(list, ", ")
}

// unsupported reports whether the backend refuses a legal call, and counts it. A
// device may refuse a type or an operation, the CPU may not.
func (s *suite) unsupported(t testing.TB, err error, compute kernels.DType) bool {
	if s.info.Device.Kind == kernels.Host || !errors.Is(err, kernels.ErrUnsupported) {
		return false
	}
	s.leftOut.mu.Lock()
	defer s.leftOut.mu.Unlock()
	s.leftOut.count[t.Name()+" in "+compute.String()]++
	return true
}

// do fails the test unless the operation succeeded; it returns false where the
// backend may refuse.
func (s *suite) do(t testing.TB, err error, compute kernels.DType) bool {
	t.Helper()
	if s.unsupported(t, err, compute) {
		return false
	}
	if err != nil {
		t.Fatalf("unexpected error: %v, seed %d", err, s.seed)
	}
	return true
}

// must is do for a test that stands and falls with one operation: it is skipped
// where the backend may refuse.
func (s *suite) must(t testing.TB, err error, compute kernels.DType) {
	t.Helper()
	if !s.do(t, err, compute) {
		t.Skipf("the backend does not support it: %v", err)
	}
}

func background() context.Context { return context.Background() }

// triples returns the shapes of a three-dimensional problem over a list of
// sizes: the full cross, or a Latin square, in which every pair of sizes occurs
// in every two dimensions.
func (s *suite) triples(list []int) [][3]int {
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

// costly returns the sizes of an operation whose reference or work is costly.
func (s *suite) costly() []int {
	if s.short {
		return costlySizes
	}
	return sizes
}

// pairs returns the shapes of a two-dimensional problem: always the full cross.
func pairs(list []int) [][2]int {
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
