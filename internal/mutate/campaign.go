package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A campaign tries mutants until enough have a verdict.
type campaign struct {
	subject subject
	report  *report
	order   []mutant
	count   int // verdicts wanted

	mu       sync.Mutex
	next     int // index into order
	judged   int
	flying   int
	refusals int
	trials   []*trial // as drawn
	shown    int
	err      error
}

// A trial is one mutant's run; done once it has a verdict.
type trial struct {
	mutant  *mutant
	verdict verdict
	seconds float64
	done    bool
}

// maxRefusals is how many mutants that passed the cheap check the compiler may
// refuse, beyond one for each verdict, before something else must be wrong.
const maxRefusals = 20

// tryAll checks the unmutated code, tries the mutants in order and completes
// the report.
func tryAll(ctx context.Context, c *config, s subject, order []mutant, scratch string, r *report) error {
	if err := checkUnmutated(ctx, c, s); err != nil {
		return err
	}
	k := &campaign{subject: s, report: r, order: order, count: c.count}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for i := range c.jobs {
		slot := filepath.Join(scratch, fmt.Sprintf("job%d", i))
		if err := os.Mkdir(slot, 0o700); err != nil {
			return fmt.Errorf("mutate: %w", err)
		}
		wg.Go(func() {
			if err := k.work(ctx, slot); err != nil {
				k.fail(err)
				stop()
			}
		})
	}
	wg.Wait()
	if err := k.report.summarise(k.err == nil); k.err == nil {
		return err
	}
	return k.err
}

// checkUnmutated allows a cold build more time than a mutant gets, and then
// wants the tests to fit.
func checkUnmutated(ctx context.Context, c *config, s subject) error {
	start := time.Now()
	if err := s.check(ctx, 10*c.timeout); err != nil {
		return err
	}
	if time.Since(start) <= c.timeout {
		return nil
	}
	return s.check(ctx, c.timeout)
}

// fail keeps the first error: those after it come from stopping the others.
func (k *campaign) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = err
	}
}

func (k *campaign) work(ctx context.Context, slot string) error {
	for {
		t := k.take(ctx)
		if t == nil {
			return ctx.Err()
		}
		start := time.Now()
		v, err := k.subject.try(ctx, t.mutant, slot)
		if err != nil {
			return err
		}
		t.seconds = time.Since(start).Seconds()
		if err := k.finish(t, v); err != nil {
			return err
		}
	}
}

// take draws the next mutant that passes the cheap check, nil when those in
// flight may suffice. A refusal leaves room for another draw to the worker that
// met it.
func (k *campaign) take(ctx context.Context) *trial {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.judged+k.flying < k.count && k.next < len(k.order) && ctx.Err() == nil {
		m := &k.order[k.next]
		k.next++
		if k.subject.compiles(m) {
			k.flying++
			t := &trial{mutant: m}
			k.trials = append(k.trials, t)
			return t
		}
	}
	return nil
}

// finish records a verdict and reports all that are complete, as drawn.
func (k *campaign) finish(t *trial, v verdict) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flying--
	t.verdict, t.done = v, true
	if v == refused {
		if k.refusals++; k.refusals > maxRefusals+k.judged {
			return fmt.Errorf("mutate: the compiler refused %d of the mutants tried, the last %s %s: look at the build, not at the mutants",
				k.refusals, t.mutant.position(), t.mutant.change())
		}
	} else {
		k.judged++
	}
	for ; k.shown < len(k.trials) && k.trials[k.shown].done; k.shown++ {
		if t := k.trials[k.shown]; t.verdict != refused {
			k.report.add(t)
		}
	}
	return nil
}
