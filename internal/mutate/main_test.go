package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestMain lets the test binary stand in for the compiler and tests of .cu
// files: see fakeCompiler.
func TestMain(m *testing.M) {
	if mode := os.Getenv(fakeMode); mode != "" {
		os.Exit(fakeCompiler(mode))
	}
	os.Exit(m.Run())
}

// runMutate runs the command and returns its exit status and output.
func runMutate(t *testing.T, dir string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), append([]string{"--memory", "0"}, args...), dir, &out, &errs)
	return status, out.String(), errs.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantText := strings.ReplaceAll(string(want), "\r\n", "\n")
	if got == wantText {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(wantText, "\n")
	for _, l := range wantLines {
		if !slices.Contains(gotLines, l) {
			t.Errorf("%s: missing: %s", name, l)
		}
	}
	for _, l := range gotLines {
		if !slices.Contains(wantLines, l) {
			t.Errorf("%s: not wanted: %s", name, l)
		}
	}
	t.Fatalf("%s: the list differs (go test -update rewrites it)", name)
}

func TestListGo(t *testing.T) {
	status, out, errs := runMutate(t, ".", "--list", "--count", "0", "./testdata/operators")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	golden(t, "operators.golden", out)
	for _, operator := range []string{
		"index+1", "index-1", "relational", "arithmetic", "swap-operands", "swap-arguments", "loop+1", "loop-1",
		"stride", "drop-store", "drop-call", "narrow", "negate-if", "logical", "min-max", "bool",
	} {
		if !strings.Contains(out, "  "+operator+"  ") {
			t.Errorf("no mutant by %s", operator)
		}
	}
	for _, absent := range []string{"generated.go", "ignored.go", "KeepAlive", `"1+1"`, "x/y", "_ = y", `"x < lo" -> "x <= lo"`} {
		if strings.Contains(out, absent) {
			t.Errorf("a mutant of what is to be left alone: %s", absent)
		}
	}
}

func TestStrongTestKillsAll(t *testing.T) {
	status, out, errs := runMutate(t, ".", "./testdata/small", "--files", "scatter", "--count", "0", "--test-args", "-run Strong")
	if status != 0 || strings.Contains("\n"+out, "\nsurvived ") {
		t.Fatalf("status %d: %s\n%s", status, errs, out)
	}
	if n := strings.Count(out, "\nkilled ") + 1; n < 15 || !strings.Contains(out, fmt.Sprintf("score 1.0000: %d of %d", n, n)) {
		t.Errorf("%d killed and this report:\n%s", n, out)
	}
}

func TestWeakTestLeavesSurvivors(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	status, out, errs := runMutate(t, ".", "--files", "scatter", "--operators", "^(narrow|drop-store|relational)$",
		"--test-args", "-run Weak", "--seed", "7", "--log", log, "./testdata/small")
	if status != 1 || !strings.Contains(errs, "score too low: 0.6667 < 0.9500: 1 survivors") {
		t.Fatalf("status %d: %s\n%s", status, errs, out)
	}
	for _, want := range []string{
		`small/scatter.go narrow "x[i] - dst[i*stride]" -> "float64(float32(x[i] - dst[i*stride]))" in Scatter at "dst[i*stride] = x[i] - dst[i*stride]" : ` + "\n",
		"total                  2        0         1          0   66.7%",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the report:\n%s", want, out)
		}
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	header, body, _ := strings.Cut(string(text), "\n\n")
	if body != out {
		t.Errorf("log and standard output differ:\n%s\n%s", body, out)
	}
	for _, want := range []string{"package  ./testdata/small", "tests    go test -run Weak", "seed     7", "go       go1.", "machine  " + runtime.GOOS} {
		if !strings.Contains(header, want) {
			t.Errorf("no %q in the log's header:\n%s", want, header)
		}
	}
}

func TestExplainedSurvivorsLeaveTheScore(t *testing.T) {
	const file = "internal/mutate/testdata/small/mirror.go "
	explain := filepath.Join(t.TempDir(), "equivalent.txt")
	lines := "# comment\n\n" +
		file + `loop+1 "i := 0" -> "i := 1" in Mirror : row 0 has nothing below the diagonal` + "\n" +
		file + `loop-1 "i := 0" -> "i := -1" in Mirror : a negative range is empty` + "\n" +
		file + `loop+1 "for j := range i" -> "for j := range i+1" in Mirror at "for j := range i {" : the diagonal mirrors itself` + "\n"
	if err := os.WriteFile(explain, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, errs := runMutate(t, ".", "--files", "mirror", "--operators", "^loop", "--count", "0",
		"--test-args", "-run=Strong", "--explain", explain, "./testdata/small")
	if status != 0 {
		t.Fatalf("status %d: %s\n%s", status, errs, out)
	}
	for _, want := range []string{"score 1.0000: 3 of 3", "total                  3        0         0          3  100.0%", ": the diagonal mirrors itself"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the report:\n%s", want, out)
		}
	}
}

func TestFailingTestsAreNoBaseline(t *testing.T) {
	status, out, errs := runMutate(t, ".", "--count", "1", "--test-args", "-run=Strong -nosuchflag", "./testdata/small")
	if status != 1 || !strings.Contains(errs, "the unmutated tests fail") || out != "" {
		t.Fatalf("status %d: %s\n%s", status, errs, out)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--no-such-flag", "./testdata/small"},
		{"--jobs", "0", "./testdata/small"},
		{"--timeout", "-1s", "./testdata/small"},
		{"--min-score", "1.5", "./testdata/small"},
		{"--min-score", "NaN", "./testdata/small"},
		{"--files", "(", "./testdata/small"},
		{"./testdata/cuda"}, // no --test-cmd
	} {
		if status, _, errs := runMutate(t, ".", args...); status != 2 {
			t.Errorf("%q: status %d, want 2: %s", args, status, errs)
		}
	}
	if status, _, errs := runMutate(t, ".", "--list", "--files", "nothing", "./testdata/small"); status != 1 || !strings.Contains(errs, "nothing to mutate") {
		t.Errorf("status %d: %s", status, errs)
	}
	if status, _, errs := runMutate(t, ".", "--list", "./testdata/nosuchdir"); status != 1 || !strings.Contains(errs, "go list") {
		t.Errorf("status %d: %s", status, errs)
	}
}

// kernelModule makes a module of its own that holds the .cu fixture.
func kernelModule(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	src, err := os.ReadFile(filepath.Join("testdata", "cuda", "kernel.cu"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"go.mod": []byte("module fixture\n"), "k/kernel.cu": src, ".git/HEAD": []byte("not copied\n"),
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// testCommand is the command line that runs this binary as fakeCompiler.
func testCommand(t *testing.T, mode string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(fakeMode, mode)
	return `"` + exe + `"`
}

func TestListCUDA(t *testing.T) {
	status, out, errs := runMutate(t, kernelModule(t), "--list", "--count", "0", "k")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	golden(t, "cuda.golden", out)
}

func TestRunCUDA(t *testing.T) {
	for _, mode := range []string{"overlay", "copy"} {
		t.Run(mode, func(t *testing.T) {
			t.Setenv(heartbeat, filepath.Join(t.TempDir(), "heartbeat"))
			args := []string{
				"--test-cmd", testCommand(t, mode), "--operators", "^(drop|narrow|relational)", "--count", "0",
				"--timeout", "3s", "--min-score", "0.1", "k",
			}
			if mode == "copy" {
				args = append(args, "--in-copy")
			}
			root := kernelModule(t)
			before := treeText(t, root)
			status, out, errs := runMutate(t, root, args...)
			if status != 0 {
				t.Fatalf("status %d: %s\n%s", status, errs, out)
			}
			for operator, want := range map[string]string{
				`drop-barrier  "__syncthreads();"`:       "timeout",
				`drop-barrier  "__syncwarp();"`:          "survived",
				`drop-store  "out[blockIdx.x] = sum;"`:   "killed",
				`narrow  "double sum" -> "float sum"`:    "killed",
				`drop-barrier  "cp_async_wait<0>();"`:    "survived",
				`drop-store  "*out = reduce<float>(sum,`: "survived",
			} {
				if !verdictIs(out, operator, want) {
					t.Errorf("want %s for %s:\n%s", want, operator, out)
				}
			}
			if strings.Contains(out, "relational  ") && strings.Contains(out, `"t == 0" -> "t != 0"  (`) {
				t.Errorf("a mutant that does not compile has a verdict:\n%s", out)
			}
			if after := treeText(t, root); after != before {
				t.Errorf("the tree has changed:\n%s\n%s", before, after)
			}
			assertSilent(t, os.Getenv(heartbeat))
		})
	}
}

// treeText lists the files below root with their contents.
func treeText(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s\n%s\n", path, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func verdictIs(report, mutant, want string) bool {
	for line := range strings.Lines(report) {
		if strings.Contains(line, mutant) && strings.HasSuffix(line, "s)\n") {
			return strings.HasPrefix(line, want+" ")
		}
	}
	return false
}

// assertSilent checks that the process a mutant left running has ended: its
// file has grown, and grows no more.
func assertSilent(t *testing.T, path string) {
	t.Helper()
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatalf("the process never ran: %v", err)
		}
		return info.Size()
	}
	before := size()
	time.Sleep(300 * time.Millisecond)
	if after := size(); after != before || before == 0 {
		t.Errorf("%s grew from %d to %d bytes: a process outlives its mutant", path, before, after)
	}
}

func TestCanaryRefusesBlindCommands(t *testing.T) {
	for mode, want := range map[string]string{
		"blind": "it passes with a syntax error in the file",
		"mute":  "killed on a syntax error: exit with 125",
	} {
		status, out, errs := runMutate(t, kernelModule(t), "--test-cmd", testCommand(t, mode), "--count", "1", "k")
		if status != 1 || !strings.Contains(errs, want) || strings.Contains(out, "\nscore ") {
			t.Errorf("%s: status %d: %s\n%s", mode, status, errs, out)
		}
	}
}

func TestInterruptLeavesNothing(t *testing.T) {
	scratch, beat := t.TempDir(), filepath.Join(t.TempDir(), "heartbeat")
	t.Setenv("TMPDIR", scratch)
	t.Setenv("TMP", scratch)
	t.Setenv(heartbeat, beat)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // stop once the mutant runs
		for ctx.Err() == nil {
			if _, err := os.Stat(beat); err == nil {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	var out, errs bytes.Buffer
	args := []string{"--memory", "0", "--test-cmd", testCommand(t, "overlay"), "--operators", "drop-barrier", "--count", "0", "k"}
	if status := run(ctx, args, kernelModule(t), &out, &errs); status != 130 {
		t.Fatalf("status %d: %s\n%s", status, errs.String(), out.String())
	}
	if !strings.Contains(out.String(), "\nincomplete\n") || strings.Contains(out.String(), "score 0") {
		t.Errorf("an interrupted run gives a verdict:\n%s", out.String())
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	assertSilent(t, beat)
}
