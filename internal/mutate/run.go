package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A verdict is what became of a mutant.
type verdict string

const (
	killed   verdict = "killed"
	survived verdict = "survived"
	timeout  verdict = "timeout"
	refused  verdict = "refused" // by the compiler: not a mutant
)

// A subject is the code under mutation and the way to try one mutant.
type subject interface {
	mutants() []mutant
	// compiles reports whether m passes a check that is cheaper than trying it.
	compiles(m *mutant) bool
	// check runs the tests on the code as it is: nil when they pass.
	check(ctx context.Context, limit time.Duration) error
	// try runs the tests on m. Calls with different slots run at once; a slot is
	// an existing, empty or reused directory.
	try(ctx context.Context, m *mutant, slot string) (verdict, error)
}

// mutate does the work of the command.
func mutate(ctx context.Context, c *config, stdout io.Writer) error {
	scratch, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return fmt.Errorf("mutate: %w", err)
	}
	err = mutateIn(ctx, c, stdout, scratch)
	if gone := os.RemoveAll(scratch); gone != nil {
		err = errors.Join(err, fmt.Errorf("mutate: left behind: %w", gone))
	}
	return err
}

// mutateIn keeps what it writes for its own use below scratch.
func mutateIn(ctx context.Context, c *config, stdout io.Writer, scratch string) error {
	root, err := moduleRoot(c.dir)
	if err != nil {
		return err
	}
	s, err := newSubject(ctx, c, root, scratch)
	if err != nil {
		return err
	}
	all := s.mutants()
	explained, err := loadExplanations(c.explain, root, all)
	if err != nil {
		return err
	}
	order := draw(slices.DeleteFunc(all, func(m mutant) bool { return !c.selects(&m) }), c.seed)
	if len(order) == 0 {
		return fmt.Errorf("mutate: %s: nothing to mutate: no Go or CUDA code there, or --files, --exclude and --operators leave none",
			strings.Join(c.patterns, " "))
	}
	if c.count == 0 {
		c.count = len(order)
	}
	if c.list {
		return list(stdout, s, order, c.count)
	}
	r, err := newReport(ctx, c, root, stdout, explained)
	if err != nil {
		return err
	}
	err = tryAll(ctx, c, s, order, scratch, r)
	return errors.Join(err, r.close())
}

// selects applies the command line's filters.
func (c *config) selects(m *mutant) bool {
	return (c.files == nil || c.files.MatchString(m.file)) &&
		(c.exclude == nil || !c.exclude.MatchString(m.file)) &&
		(c.operators == nil || c.operators.MatchString(m.operator))
}

// list prints the mutants that a run would try, by place.
func list(w io.Writer, s subject, order []mutant, count int) error {
	var chosen []mutant
	for i := range order {
		if len(chosen) < count && s.compiles(&order[i]) {
			chosen = append(chosen, order[i])
		}
	}
	for _, m := range settle(chosen) {
		if _, err := fmt.Fprintf(w, "%s  %s  %s  in %s\n", m.position(), m.operator, m.change(), m.function); err != nil {
			return fmt.Errorf("mutate: %w", err)
		}
	}
	return nil
}

// newSubject takes the packages as CUDA sources when there is a command to
// test those with, or when they hold no Go code.
func newSubject(ctx context.Context, c *config, root, scratch string) (subject, error) {
	env := os.Environ()
	if _, set := os.LookupEnv("CGO_ENABLED"); !set {
		env = append(env, "CGO_ENABLED=0")
	}
	if c.testCmd != "" || !slices.ContainsFunc(c.patterns, func(p string) bool { return holdsGo(filepath.Join(c.dir, p)) }) {
		return newCUDASubject(c, root, scratch, env)
	}
	pkgs, err := loadGo(ctx, c.dir, root, env, c.patterns)
	if err != nil {
		return nil, err
	}
	g := &goSubject{c: c, env: env, pkgs: pkgs, scratch: scratch, byPath: map[string]*goPackage{}}
	for _, p := range pkgs {
		for _, f := range p.files {
			g.byPath[f.path] = p
		}
	}
	return g, nil
}

// holdsGo reports whether pattern may name Go code: only a directory without
// any surely does not.
func holdsGo(pattern string) bool {
	entries, err := os.ReadDir(pattern)
	return err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return filepath.Ext(e.Name()) == ".go" })
}

// A goSubject mutates Go packages.
type goSubject struct {
	c       *config
	env     []string
	pkgs    []*goPackage
	byPath  map[string]*goPackage
	scratch string
}

func (g *goSubject) mutants() []mutant { return goMutants(g.pkgs) }

func (g *goSubject) compiles(m *mutant) bool { return g.byPath[m.path].compiles(m) }

func (g *goSubject) check(ctx context.Context, limit time.Duration) error {
	var targets []string
	for _, p := range g.pkgs {
		targets = append(targets, p.importPath)
	}
	o, err := g.test(ctx, limit, g.scratch, nil, targets)
	if err != nil {
		return err
	}
	return o.mustPass("go test "+strings.Join(targets, " "), limit)
}

func (g *goSubject) try(ctx context.Context, m *mutant, slot string) (verdict, error) {
	p := g.byPath[m.path]
	mutated := filepath.Join(slot, filepath.Base(m.path))
	overlay := filepath.Join(slot, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {m.path: mutated}})
	if err != nil {
		return "", fmt.Errorf("mutate: %w", err)
	}
	if err := errors.Join(writeScratch(mutated, m.mutated()), writeScratch(overlay, replace)); err != nil {
		return "", err
	}
	o, err := g.test(ctx, g.c.timeout, slot, []string{"-overlay=" + overlay, "-failfast"}, []string{p.importPath})
	if err != nil {
		return "", err
	}
	v, ok := judgeGo(o)
	if !ok {
		return "", fmt.Errorf("mutate: %s: go test failed without a failed test (exit status %d):\n%s", m.position(), o.status, o.text)
	}
	return v, nil
}

func (g *goSubject) test(ctx context.Context, limit time.Duration, slot string, flags, targets []string) (outcome, error) {
	args := append([]string{"test", "-vet=off", "-count=1", "-p=1", "-timeout=0"}, flags...)
	args = append(append(append(args, g.c.testArgs...), targets...), g.c.testPkgs...)
	return execute(ctx, limit, slot, func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env = g.c.dir, g.env
		return cmd
	})
}

var (
	goBuildFailed = regexp.MustCompile(`(?m)^FAIL\t\S+ \[(build|setup) failed\]$`)
	goTestFailed  = regexp.MustCompile(`(?m)^(\s*--- FAIL:|panic: |fatal error: |FAIL\t\S+\t\d)`)
	goFailed      = regexp.MustCompile(`(?m)^FAIL$|^FAIL\t`)
)

// judgeGo reads the verdict from what go test printed. It is not ok when go
// test failed for a reason that is neither a test nor the compiler.
func judgeGo(o outcome) (v verdict, ok bool) {
	switch {
	case o.timedOut:
		return timeout, true
	case o.status == 0:
		return survived, true
	case goTestFailed.MatchString(o.text):
		return killed, true
	case goBuildFailed.MatchString(o.text):
		return refused, true
	case goFailed.MatchString(o.text):
		return killed, true
	}
	return "", false
}

// writeScratch writes a file that lives as long as this process.
func writeScratch(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("mutate: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("mutate: %w", err)
	}
	return nil
}

// An outcome is how a test command ended.
type outcome struct {
	text     string // the end of what it printed
	status   int
	timedOut bool
	seconds  float64
}

// mustPass is nil for a passing outcome, else an error that shows it.
func (o outcome) mustPass(what string, limit time.Duration) error {
	switch {
	case o.timedOut:
		return fmt.Errorf("mutate: the unmutated tests did not end within %v: %s: raise --timeout or narrow --test-args", limit, what)
	case o.status != 0:
		return fmt.Errorf("mutate: the unmutated tests fail: %s: exit status %d:\n%s", what, o.status, o.text)
	}
	return nil
}

// execute runs a command in a process group of its own and kills the group
// when the limit passes or ctx ends. Its temporary files go below dir, where
// nothing stays.
func execute(ctx context.Context, limit time.Duration, dir string, build func(context.Context) *exec.Cmd) (outcome, error) {
	tmp, err := os.MkdirTemp(dir, "tmp")
	if err != nil {
		return outcome{}, fmt.Errorf("mutate: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }() // the whole scratch directory goes later
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := build(timed)
	newGroup(cmd)
	cmd.Env = append(slices.Clone(cmd.Env), "TMPDIR="+tmp, "TMP="+tmp, "TEMP="+tmp, "GOTMPDIR="+tmp)
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = 2 * time.Second
	out := &tail{limit: 64 << 10}
	cmd.Stdout, cmd.Stderr = out, out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return outcome{}, fmt.Errorf("mutate: %w", err)
	}
	err = cmd.Wait()
	sweepGroup(cmd)
	if ctx.Err() != nil {
		return outcome{}, fmt.Errorf("mutate: %w", ctx.Err())
	}
	if cmd.ProcessState == nil {
		return outcome{}, fmt.Errorf("mutate: %w", err)
	}
	return outcome{
		text: out.String(), status: cmd.ProcessState.ExitCode(), seconds: time.Since(start).Seconds(),
		timedOut: timed.Err() != nil && !cmd.ProcessState.Success(),
	}, nil
}

// A tail keeps the last bytes written to it: a mutant may print without end.
type tail struct {
	mu    sync.Mutex // a straggler may still write after Wait has given up on it
	buf   []byte
	limit int
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.limit {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-t.limit:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
