package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// A report collects verdicts and writes them to standard output and the log.
type report struct {
	c         *config
	explained map[string]string // key of a mutant -> reason
	out       io.Writer
	log       *os.File
	trials    []*trial
	err       error // of the first failed write
}

func newReport(ctx context.Context, c *config, root string, stdout io.Writer, explained map[string]string) (*report, error) {
	r := &report{c: c, explained: explained, out: stdout}
	if c.log == "" {
		return r, nil
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("mutate: opening the log: %w", err)
	}
	r.log = log
	tests := strings.Join(append(append([]string{"go test"}, c.testArgs...), c.testPkgs...), " ")
	if c.testCmd != "" {
		tests = c.testCmd
	}
	_, r.err = fmt.Fprintf(log, "package  %s\ntests    %s\nseed     %d\ncount    %d\ndate     %s\ncommit   %s\ngo       %s\nmachine  %s\n\n",
		strings.Join(c.patterns, " "), tests, c.seed, c.count, time.Now().UTC().Format(time.RFC3339),
		commit(ctx, root), goVersion(ctx, root), machine())
	r.out = io.MultiWriter(stdout, log)
	return r, nil
}

// close ends the log and returns the first error met in writing.
func (r *report) close() error {
	if r.log != nil {
		if err := r.log.Close(); r.err == nil {
			r.err = err
		}
	}
	if r.err != nil {
		return fmt.Errorf("mutate: writing the report: %w", r.err)
	}
	return nil
}

func (r *report) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(r.out, format, args...); r.err == nil {
		r.err = err
	}
}

func (r *report) add(t *trial) {
	r.trials = append(r.trials, t)
	m := t.mutant
	r.printf("%-8s  %s  %s  %s  (%.1fs)\n", t.verdict, m.position(), m.operator, m.change(), t.seconds)
}

// A tally counts verdicts. Explained survivors stand outside the score.
type tally struct{ killed, timeout, survived, explained int }

func (n *tally) add(v verdict, explained bool) {
	switch {
	case v == killed:
		n.killed++
	case v == timeout:
		n.timeout++
	case explained:
		n.explained++
	default:
		n.survived++
	}
}

// score is the share caught of those that could be; -1 when there are none.
func (n *tally) score() float64 {
	caught := n.killed + n.timeout
	if caught+n.survived == 0 {
		return -1
	}
	return float64(caught) / float64(caught+n.survived)
}

func (n *tally) percent() string {
	if s := n.score(); s >= 0 {
		return fmt.Sprintf("%.1f%%", 100*s)
	}
	return "-"
}

// summarise prints the totals and the survivors. The score is judged only when
// the run is complete.
func (r *report) summarise(complete bool) error {
	var total tally
	byOperator := map[string]*tally{}
	var survivors, explained, refuted []*trial
	for _, t := range r.trials {
		_, known := r.explained[t.mutant.key()]
		if byOperator[t.mutant.operator] == nil {
			byOperator[t.mutant.operator] = &tally{}
		}
		byOperator[t.mutant.operator].add(t.verdict, known)
		total.add(t.verdict, known)
		switch {
		case t.verdict == survived && known:
			explained = append(explained, t)
		case t.verdict == survived:
			survivors = append(survivors, t)
		case known:
			refuted = append(refuted, t)
		}
	}
	r.printf("\n%-16s %7s %8s %9s %10s %7s\n", "operator", "killed", "timeout", "survived", "explained", "score")
	for _, operator := range sortedKeys(byOperator) {
		r.row(operator, byOperator[operator])
	}
	r.row("total", &total)
	if len(survivors) > 0 {
		r.printf("\nsurvivors (with a reason after the colon, these lines explain them):\n")
	}
	for _, t := range survivors {
		r.printf("# %s\n%s : \n", t.mutant.position(), t.mutant.key())
	}
	if len(explained) > 0 {
		r.printf("\nexplained survivors:\n")
	}
	for _, t := range explained {
		r.printf("%s  %s  %s : %s\n", t.mutant.position(), t.mutant.operator, t.mutant.change(), r.explained[t.mutant.key()])
	}
	if len(refuted) > 0 {
		r.printf("\nexplained as equivalent, but caught (remove the explanation):\n")
	}
	for _, t := range refuted {
		r.printf("%s  %s  %s\n", t.mutant.position(), t.mutant.operator, t.mutant.change())
	}
	if !complete {
		r.printf("\nincomplete\n")
		return nil
	}
	return r.judge(&total)
}

func (r *report) row(name string, n *tally) {
	r.printf("%-16s %7d %8d %9d %10d %7s\n", name, n.killed, n.timeout, n.survived, n.explained, n.percent())
}

// judge compares the score with the one asked for.
func (r *report) judge(total *tally) error {
	score := total.score()
	if score < 0 {
		if total.explained > 0 {
			r.printf("\nscore -: every mutant tried is explained\n")
			return nil
		}
		return fmt.Errorf("mutate: %w: none of the mutants drawn compiled", errScore)
	}
	caught := total.killed + total.timeout
	r.printf("\nscore %.4f: %d of %d, wanted %.4f, seed %d\n", score, caught, caught+total.survived, r.c.minScore, r.c.seed)
	if score < r.c.minScore {
		return fmt.Errorf("mutate: %w: %.4f < %.4f: %d survivors want a test or an explanation",
			errScore, score, r.c.minScore, total.survived)
	}
	return nil
}

// commit names the revision of the tree, "unknown" outside a repository.
func commit(ctx context.Context, root string) string {
	return output(ctx, root, "git", "describe", "--always", "--dirty")
}

func goVersion(ctx context.Context, root string) string {
	return output(ctx, root, "go", "env", "GOVERSION")
}

func output(ctx context.Context, dir, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return string(bytes.TrimSpace(out))
}

// machine describes the host: system, architecture, processors.
func machine() string {
	text := fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return text
	}
	for lines := bufio.NewScanner(bytes.NewReader(info)); lines.Scan(); {
		if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
			return text + "," + value
		}
	}
	return text
}
