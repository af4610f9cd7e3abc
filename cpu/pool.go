package cpu

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/cambium-kernels/cambium/kernels"
)

// pool owns the worker goroutines of a backend. They sleep on a channel between
// operations; the goroutine that calls run works too, so an operation always
// gets on even when other calls keep the workers busy.
type pool struct {
	workers int
	jobs    chan *job
	ended   sync.WaitGroup

	scratch sync.Pool // *workspace
}

func newPool(workers int) *pool {
	p := &pool{workers: workers, jobs: make(chan *job, workers)}
	p.scratch.New = func() any { return new(workspace) }
	for range workers - 1 {
		p.ended.Add(1)
		go func() {
			defer p.ended.Done()
			for j := range p.jobs {
				if j.enter() {
					j.work(p)
					j.leave()
				}
			}
		}()
	}
	return p
}

// stop ends the workers. No run may be in progress.
func (p *pool) stop() {
	close(p.jobs)
	p.ended.Wait()
}

// job is one call of run.
type job struct {
	ctx      context.Context //nolint:containedctx // the job is the call; it does not outlive it
	n        int
	tile     func(ws *workspace, i int)
	next     atomic.Int64
	progress func(done, total int)

	mu     sync.Mutex
	done   int
	err    error // the first that a tile reported
	inside sync.WaitGroup
	over   bool
}

// run calls tile for 0 <= i < n, each once, on at most p.workers goroutines at
// a time, and returns when all calls have returned. If ctx ends first, each
// goroutine finishes the tile it is at, or leaves it where the tile asks
// [workspace.stopped], and run returns the context's error. A tile that fails
// calls [workspace.fail]; run then returns the first such error. progress, if
// not nil, is called after each tile, one call at a time.
func (p *pool) run(ctx context.Context, n int, progress func(done, total int), tile func(ws *workspace, i int)) error {
	if n == 0 {
		return ctx.Err()
	}
	j := &job{ctx: ctx, n: n, tile: tile, progress: progress}
	for range min(p.workers, n) - 1 {
		select {
		case p.jobs <- j:
			continue
		default: // every worker has a job waiting already
		}
		break
	}
	j.work(p)
	j.mu.Lock()
	j.over = true // a worker that takes the job only now must not touch the caller's memory
	j.mu.Unlock()
	j.inside.Wait()
	if j.err != nil {
		return j.err
	}
	if j.done < n {
		return ctx.Err()
	}
	return nil
}

// enter registers a worker unless the call is over.
func (j *job) enter() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.over {
		return false
	}
	j.inside.Add(1)
	return true
}

func (j *job) leave() { j.inside.Done() }

// work computes tiles until none is left, one failed, or the context ends.
func (j *job) work(p *pool) {
	ws := p.scratch.Get().(*workspace) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	ws.job = j
	defer func() {
		ws.job = nil
		ws.trim()
		p.scratch.Put(ws)
	}()
	for j.ctx.Err() == nil {
		i := int(j.next.Add(1)) - 1
		if i >= j.n {
			return
		}
		j.tile(ws, i)
		if !j.finish() {
			return
		}
	}
}

// finish counts a tile; false if there is no point in going on. A tile during
// which the context ended may have left early: it does not count.
func (j *job) finish() bool {
	if j.ctx.Err() != nil {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return false
	}
	j.done++
	if j.progress != nil {
		j.progress(j.done, j.n)
	}
	return true
}

// stopped reports whether the call's context has ended. A long tile asks now
// and then, and may leave its work undone: the call returns the context's error.
func (ws *workspace) stopped() bool { return ws.job != nil && ws.job.ctx.Err() != nil }

// fail makes the call return err, unless another tile failed first.
func (ws *workspace) fail(err error) {
	ws.job.mu.Lock()
	defer ws.job.mu.Unlock()
	if ws.job.err == nil {
		ws.job.err = err
	}
}

// phases makes consecutive runs of tiles report as one operation of total tiles.
type phases struct {
	o           kernels.Options
	done, total int
}

// next returns the options of the next run, of n tiles.
func (p *phases) next(n int) kernels.Options {
	o := p.o
	if report := o.Progress; report != nil {
		start := p.done
		o.Progress = func(done, _ int) { report(start+done, p.total) }
	}
	p.done += n
	return o
}
