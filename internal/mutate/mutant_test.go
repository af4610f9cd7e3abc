package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// crowd makes mutants of several operators and files, unevenly spread.
func crowd() []mutant {
	var ms []mutant
	for o, operator := range []string{"index+1", "narrow", "relational", "stride"} {
		for f := range 3 {
			for i := range 1 + 20*o + 5*f {
				ms = append(ms, mutant{
					operator: operator, file: fmt.Sprintf("f%d.go", f), start: 100*o + i, end: 100*o + i + 1, text: "x",
					line: i + 1, old: "a", new: "b", function: "F", source: "a",
				})
			}
		}
	}
	return settle(ms)
}

func TestDrawDependsOnTheSeedAlone(t *testing.T) {
	keys := func(seed uint64) (out []string) {
		for _, m := range draw(crowd(), seed) {
			out = append(out, m.key())
		}
		return out
	}
	first := keys(1)
	if !slices.Equal(first, keys(1)) {
		t.Error("seed 1 gave two orders")
	}
	if slices.Equal(first, keys(2)) {
		t.Error("seeds 1 and 2 gave the same order")
	}
	distinct := slices.Compact(slices.Sorted(slices.Values(first)))
	if len(distinct) != len(crowd()) {
		t.Errorf("%d distinct mutants drawn of %d", len(distinct), len(crowd()))
	}
}

func TestDrawTakesTurns(t *testing.T) {
	for seed := range uint64(20) {
		count := map[string]int{}
		for _, m := range draw(crowd(), seed)[:12] {
			count[m.operator]++
			count[m.operator+m.file]++
		}
		for _, operator := range []string{"index+1", "narrow", "relational", "stride"} {
			if count[operator] != 3 {
				t.Errorf("seed %d: %d of 12 draws are %s, want 3", seed, count[operator], operator)
			}
			for f := range 3 {
				if n := count[operator+fmt.Sprintf("f%d.go", f)]; n != 1 {
					t.Errorf("seed %d: %s drawn %d times from file %d, want once", seed, operator, n, f)
				}
			}
		}
	}
}

func TestSettleNumbersTwinsAndDropsRepeats(t *testing.T) {
	m := mutant{file: "f.go", operator: "index+1", old: "x[i]", new: "x[i+1]", function: "F", source: "x[i]*x[i]", start: 3, end: 3, text: "+1"}
	second := m
	second.start, second.end = 8, 8
	got := settle([]mutant{second, m, m})
	if len(got) != 2 || got[0].start != 3 || got[0].nth != 1 || got[1].nth != 2 || !strings.HasSuffix(got[1].key(), " #2") {
		t.Fatalf("got %+v", got)
	}
}

func TestExplanations(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"p/f.go", "p/f_arm64.go", "q/g.go"} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(source string, start int) mutant {
		return mutant{
			file: "p/f.go", operator: "index+1", old: "x[i]", new: "x[i+1]", function: "T.F", source: source,
			start: start, end: start, text: "+1", line: start,
		}
	}
	all := settle([]mutant{at("s += x[i]*x[i]", 1), at("s += x[i]*x[i]", 2), at("return x[i]", 9)})
	const line = `p/f.go index+1 "x[i]" -> "x[i+1]" in T.F`
	for _, c := range []struct{ line, want string }{
		{line + ` at "return x[i]" : reason: two`, ""},
		{line + ` at "s += x[i]*x[i]" #2 : reason`, ""},
		{"# " + line, ""},
		{`p/f_arm64.go index+1 "x" -> "y" in F : another platform`, ""},
		{`q/g.go index+1 "x" -> "y" in F : another package`, ""},
		{line + " : reason", "it fits 3 mutants"},
		{line + ` at "return y[i]" : reason`, "no mutant of p/f.go fits it"},
		{line + ` at "s += x[i]*x[i]" #3 : reason`, "no mutant of p/f.go fits it"},
		{strings.Replace(line, "T.F", "T.G", 1) + " : reason", "no mutant of p/f.go fits it"},
		{`q/gone.go index+1 "x" -> "y" in F : reason`, "no mutant of q/gone.go fits it"},
		{line + ` at "return x[i]" : one` + "\n" + line + ` at "return x[i]" : two`, "explained twice"},
		{line + ` at "return x[i]" :`, "no reason given"},
		{line + ` at "return x[i]"`, "want FILE OPERATOR"},
		{line + ` at "return x[i]" #x : reason`, "want FILE OPERATOR"},
		{strings.Replace(line, `"x[i]"`, "x[i]", 1) + " : reason", "want FILE OPERATOR"},
	} {
		path := filepath.Join(root, "equivalent.txt")
		if err := os.WriteFile(path, []byte("\n"+c.line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		reasons, err := loadExplanations(path, root, all)
		if c.want != "" {
			if !errors.Is(err, errExplanation) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "equivalent.txt:") {
				t.Errorf("%s\ngot %v, want %s", c.line, err, c.want)
			}
			continue
		}
		want := 0
		if strings.HasPrefix(c.line, "p/f.go") {
			want = 1
		}
		if err != nil || len(reasons) != want {
			t.Errorf("%s\ngot %v, %v", c.line, reasons, err)
		}
		for key, reason := range reasons {
			if !strings.HasPrefix(c.line, key+" : "+reason) {
				t.Errorf("%s\nfiled under %s : %s", c.line, key, reason)
			}
		}
	}
}

func TestStaleExplanationFailsTheRun(t *testing.T) {
	explain := filepath.Join(t.TempDir(), "equivalent.txt")
	stale := `internal/mutate/testdata/small/mirror.go index+1 "x[k]" -> "x[k+1]" in Mirror : gone` + "\n"
	if err := os.WriteFile(explain, []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, errs := runMutate(t, ".", "--explain", explain, "--count", "1", "./testdata/small")
	if status != 1 || out != "" || !strings.Contains(errs, "equivalent.txt:1: bad explanation: no mutant") {
		t.Fatalf("status %d: %s\n%s", status, errs, out)
	}
}

func TestJudgeGo(t *testing.T) {
	for _, c := range []struct {
		o    outcome
		want verdict
		ok   bool
	}{
		{outcome{status: 0, text: "ok  \tp\t0.1s\n"}, survived, true},
		{outcome{status: 1, text: "--- FAIL: TestX (0.00s)\nFAIL\tp\t0.01s\n"}, killed, true},
		{outcome{status: 1, text: "panic: runtime error: index out of range\nFAIL\tp\t0.01s\n"}, killed, true},
		{outcome{status: 1, text: "signal: killed\nFAIL\tp\t3.2s\nFAIL\n"}, killed, true},
		{outcome{status: 1, text: "# p\n./f.go:3:1: x\nFAIL\tp [build failed]\nFAIL\n"}, refused, true},
		{outcome{status: 1, text: "FAIL\tp [build failed]\n--- FAIL: TestX (0.00s)\nFAIL\tq\t0.1s\n"}, killed, true},
		{outcome{status: -1, timedOut: true}, timeout, true},
		{outcome{status: 1, text: "go: no space left on device\n"}, "", false},
	} {
		if v, ok := judgeGo(c.o); v != c.want || ok != c.ok {
			t.Errorf("%+v: got %q, %v, want %q, %v", c.o, v, ok, c.want, c.ok)
		}
	}
}

// scripted gives the verdicts it is told, by a mutant's line.
type scripted struct {
	verdict func(line int) verdict
	tried   atomic.Int64
}

func (s *scripted) mutants() []mutant { return crowd() }

func (s *scripted) compiles(m *mutant) bool { return m.line%3 != 0 }

func (s *scripted) check(context.Context, time.Duration) error { return nil }

func (s *scripted) try(_ context.Context, m *mutant, _ string) (verdict, error) {
	s.tried.Add(1)
	return s.verdict(m.line), nil
}

func TestRefusedMutantsAreReplaced(t *testing.T) {
	for _, jobs := range []int{1, 2, 5} {
		s := &scripted{verdict: func(line int) verdict {
			if line%4 == 0 {
				return refused
			}
			return killed
		}}
		c := &config{count: 40, jobs: jobs, timeout: time.Minute, minScore: 1}
		r := &report{c: c, out: io.Discard}
		if err := tryAll(t.Context(), c, s, draw(s.mutants(), 3), t.TempDir(), r); err != nil {
			t.Fatal(err)
		}
		if len(r.trials) != 40 {
			t.Errorf("%d jobs: %d verdicts, want 40", jobs, len(r.trials))
		}
		for _, tr := range r.trials {
			if tr.mutant.line%3 == 0 || tr.mutant.line%4 == 0 {
				t.Errorf("%d jobs: a mutant that does not compile counts: line %d", jobs, tr.mutant.line)
			}
		}
	}
}

func TestBrokenBuildEndsTheRun(t *testing.T) {
	s := &scripted{verdict: func(int) verdict { return refused }}
	c := &config{count: 40, jobs: 2, timeout: time.Minute}
	err := tryAll(t.Context(), c, s, draw(s.mutants(), 3), t.TempDir(), &report{c: c, out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "look at the build") || s.tried.Load() > maxRefusals+2 {
		t.Fatalf("after %d trials: %v", s.tried.Load(), err)
	}
}

func TestScore(t *testing.T) {
	for _, c := range []struct {
		n    tally
		want float64
	}{
		{tally{killed: 3, survived: 1}, 0.75},
		{tally{killed: 2, timeout: 1, survived: 1, explained: 5}, 0.75},
		{tally{explained: 2}, -1},
		{tally{}, -1},
	} {
		if got := c.n.score(); got != c.want {
			t.Errorf("%+v: got %v, want %v", c.n, got, c.want)
		}
	}
	r := &report{c: &config{minScore: 0}, out: io.Discard}
	if err := r.judge(&tally{}); !errors.Is(err, errScore) {
		t.Errorf("no verdict at all passes: %v", err)
	}
}

func TestReport(t *testing.T) {
	var out strings.Builder
	trials := crowd()
	r := &report{c: &config{minScore: 0.75, seed: 5}, out: &out, explained: map[string]string{
		trials[1].key(): "equivalent", trials[2].key(): "wrong", trials[3].key(): "wrong too",
	}}
	for i, v := range []verdict{survived, survived, killed, timeout, killed} {
		r.add(&trial{mutant: &trials[i], verdict: v, seconds: 1.25})
	}
	if err := r.summarise(true); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.golden", out.String())
	r.c.minScore = 0.76
	if err := r.summarise(true); !errors.Is(err, errScore) {
		t.Errorf("3 of 4 pass for 0.76: %v", err)
	}
	if err := r.summarise(false); err != nil {
		t.Errorf("an incomplete run is judged: %v", err)
	}
	zero := tally{survived: 1}
	if got := zero.percent(); got != "0.0%" {
		t.Errorf("percent of nothing caught: %s", got)
	}
}

func TestShownText(t *testing.T) {
	long := strings.Repeat("a", 200) + strings.Repeat("\u00e9", 200)
	if got, want := oneLine(long), strings.Repeat("a", 66)+"..."+strings.Repeat("\u00e9", 25); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := oneLine("a\n\t b"); got != "a b" {
		t.Errorf("got %q", got)
	}
	for offset, want := range []string{"one", "one", "one", "one", "two", "two", "two", "two"} {
		if got := lineOf("one\n two", offset); got != want {
			t.Errorf("line at %d: got %q, want %q", offset, got, want)
		}
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	out := &tail{limit: 8}
	for i := range 100 {
		if _, err := fmt.Fprintf(out, "%02d,", i); err != nil {
			t.Fatal(err)
		}
	}
	if s := out.String(); len(s) > 16 || !strings.HasSuffix(s, "98,99,") {
		t.Errorf("got %q", s)
	}
}
