package kerneltest

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cambium-kernels/cambium/kernels"
)

func floatBits(v float64) uint64 { return math.Float64bits(v) }

// allCalls returns the calls on fresh data, the same values for every placement.
func (s *suite) allCalls(t testing.TB, offset, pad int) []*call {
	b := &builder{t: t, r: rand.New(rand.NewPCG(s.seed, 99)), offset: offset, pad: pad}
	return b.calls()
}

// newCalls returns those of the operations that the backend has.
func (s *suite) newCalls(t testing.TB, offset, pad int) []*call {
	return slices.DeleteFunc(s.allCalls(t, offset, pad), func(c *call) bool { return !s.has(c.op) })
}

// testDeterminism runs every operation 100 times over worker counts, placements
// in memory and concurrent callers, and compares all bits.
func testDeterminism(s *suite, t *testing.T) {
	want := make(map[kernels.Op]uint64)
	for _, c := range s.newCalls(t, 0, 0) {
		s.do(t, c.run(background(), s.b, kernels.Options{}), kernels.Float32)
		want[c.op] = c.hash()
	}
	for _, op := range kernels.Ops() {
		if _, ok := want[op]; !ok && op != kernels.OpAlloc && s.has(op) {
			t.Errorf("%s has no call", op)
		}
	}
	r := s.rng(t)
	runs := 100
	if s.short {
		runs = 20
	}
	workers := []int{1, 2, 3, 4, 7, 16}
	backends := make(map[int]kernels.Backend)
	for run := range runs {
		n := workers[run%len(workers)]
		if backends[n] == nil {
			backends[n] = s.open(t, n)
		}
		offset, pad := r.IntN(16), r.IntN(5)
		list := s.newCalls(t, offset, pad)
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if !s.short && run >= 30 {
			list = list[:min(4, len(list))] // of a random order: every operation is drawn often enough
		}
		for _, c := range list {
			s.do(t, c.run(background(), backends[n], kernels.Options{}), kernels.Float32)
			if got := c.hash(); got != want[c.op] {
				t.Fatalf("%s: run %d with %d workers, offset %d, padding %d: other bits", c.op, run, n, offset, pad)
			}
		}
	}
	var wg sync.WaitGroup
	for range 4 { // callers side by side
		list := s.newCalls(t, 1, 1)
		wg.Go(func() {
			for _, c := range list {
				if err := c.run(background(), s.b, kernels.Options{}); err != nil {
					t.Errorf("%s: %v", c.op, err)
				} else if c.hash() != want[c.op] {
					t.Errorf("%s: other bits beside other callers", c.op)
				}
			}
		})
	}
	wg.Wait()
}

// testCancellation counts tiles by their progress reports.
func testCancellation(s *suite, t *testing.T) {
	before := runtime.NumGoroutine()
	for i, c := range s.newCalls(t, 0, 0) {
		if c.silent {
			s.cancelled(t, c)
			continue
		}
		t.Run(c.op.String(), func(t *testing.T) {
			total := s.progress(t, c)
			for _, at := range []int{1, 2, total / 2} {
				if at < 1 || at >= total {
					continue
				}
				fresh := s.newCalls(t, 0, 0)[i]
				ctx, cancel := context.WithCancel(background())
				seen := 0
				err := fresh.run(ctx, s.b, kernels.Options{Progress: func(int, int) {
					if seen++; seen == at {
						cancel()
					}
				}})
				cancel()
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("cancelled at tile %d of %d: %v", at, total, err)
				}
				if further := seen - at; further > s.info.Workers {
					t.Fatalf("%d further tiles after the cancellation, with %d workers", further, s.info.Workers)
				}
			}
			s.cancelled(t, s.newCalls(t, 0, 0)[i])
		})
	}
	settle(t, before)
}

// progress runs a call, checks its reports, and returns the number of tiles.
func (s *suite) progress(t *testing.T, c *call) int {
	t.Helper()
	last, total := 0, 0
	var inside sync.Mutex
	err := c.run(background(), s.b, kernels.Options{Progress: func(done, n int) {
		if !inside.TryLock() {
			t.Error("two reports at once")
			return
		}
		defer inside.Unlock()
		if done != last+1 || total != 0 && n != total {
			t.Errorf("report %d of %d after %d of %d", done, n, last, total)
		}
		last, total = done, n
	}})
	s.do(t, err, kernels.Float32)
	if last != total || total < 2 {
		t.Fatalf("%d of %d tiles reported; a call of several tiles is wanted", last, total)
	}
	return total
}

// cancelled checks that a context that has ended keeps everything untouched.
func (s *suite) cancelled(t *testing.T, c *call) {
	t.Helper()
	ctx, cancel := context.WithCancel(background())
	cancel()
	var snaps [][]uint64
	for _, g := range c.dst {
		snaps = append(snaps, g.snapshot())
	}
	if err := c.run(ctx, s.b, kernels.Options{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("%s with an ended context: %v", c.op, err)
	}
	for i, g := range c.dst {
		g.unchanged(t, c.op.String()+": dst", snaps[i])
	}
}

// settle waits until no more goroutines run than before.
func settle(t *testing.T, before int) {
	t.Helper()
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// testLifecycle closes backends.
func testLifecycle(s *suite, t *testing.T) {
	before := runtime.NumGoroutine()
	b := s.Open(t, 3)
	list := s.newCalls(t, 0, 0)
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	for _, c := range list {
		var snaps [][]uint64
		for _, g := range c.dst {
			snaps = append(snaps, g.snapshot())
		}
		if err := c.run(background(), b, kernels.Options{}); !errors.Is(err, kernels.ErrClosed) {
			t.Errorf("%s on a closed backend: %v", c.op, err)
		}
		for i, g := range c.dst {
			g.unchanged(t, c.op.String()+": dst", snaps[i])
		}
	}
	if _, err := b.Alloc(background(), kernels.Float32, 1, 1); !errors.Is(err, kernels.ErrClosed) {
		t.Errorf("Alloc on a closed backend: %v", err)
	}
	if b.Info().Name != s.info.Name {
		t.Errorf("Info of a closed backend: %+v", b.Info())
	}
	settle(t, before)

	busy := s.Open(t, 2) // close while operations run: they finish, or find it closed
	var wg sync.WaitGroup
	for range 3 {
		calls := s.newCalls(t, 0, 0)
		wg.Go(func() {
			for _, c := range calls {
				if err := c.run(background(), busy, kernels.Options{}); err != nil && !errors.Is(err, kernels.ErrClosed) {
					t.Errorf("%s beside Close: %v", c.op, err)
				}
			}
		})
	}
	time.Sleep(5 * time.Millisecond)
	if err := busy.Close(); err != nil {
		t.Errorf("close beside operations: %v", err)
	}
	wg.Wait()
	settle(t, before)
}
