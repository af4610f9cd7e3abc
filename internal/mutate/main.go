// Command mutate measures how much the tests of a package notice. It makes
// one small mistake at a time in the code (a mutant), runs the tests, and
// reports the mistakes that no test caught.
//
//	go run ./internal/mutate ./cpu --seed 7 --test-pkgs ./cpu/...
//	go run ./internal/mutate ./kernels --test-cmd "go test ./kernels/emu" --in-copy
//
// The existing Go tools (gremlins, go-mutesting, ooze) know the mistakes of
// application code. Kernels go wrong in other ways, for which they have no
// operators: an index off by one, cols in place of stride, a double narrowed to
// float, a mirror left unwritten, and in CUDA sources a dropped barrier.
//
// Go mutants are type-checked before they are drawn and reach the compiler
// through the -overlay flag of the go command: the tree is never modified.
// GOFLAGS is respected and CGO_ENABLED is 0 unless it is set.
//
// CUDA sources (.cu, .cuh) are mutated as text and tested by --test-cmd, which
// a shell runs in the module's root. The command learns of the mutant by
//
//	CAMBIUM_MUTANT_OVERLAY=ORIGINAL=MUTATED
//
// two absolute paths: whatever would read the first has to read the second, and
// has to find the headers beside the first, for the second lies elsewhere.
// With --in-copy it runs in a copy of the module that holds the mutant instead,
// for commands that do not know the variable and for headers. Either way each
// file is first tried with a syntax error in it, so that a command that does
// not read the file, or hides the compiler's message, is an error and not a
// score. The command exits with 0 when the tests pass, with 125 when the mutant
// does not compile (or prints the compiler's FILE:LINE:COLUMN: error), with
// anything else when a test failed. Branches of #if that the host does not
// compile are left alone: --define names the macros set there.
//
// Every mutant is killed (a test failed), timeout (counts as killed) or
// survived. A survivor that no test can tell from the original is explained in
// the file named by --explain, one a line; the report prints the lines to copy:
//
//	FILE OPERATOR "OLD" -> "NEW" in FUNCTION at "SOURCE LINE" [#N] : REASON
//
// The part from "at" may be left out where the rest is unambiguous. Explained
// survivors leave the score; an explanation that fits no mutant is an error.
//
// Exit status: 0 done, 1 score below --min-score or a failure, 2 usage,
// 130 interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"time"
)

// A config holds the command line.
type config struct {
	dir       string // where relative patterns start
	patterns  []string
	seed      uint64
	count     int
	jobs      int
	timeout   time.Duration
	files     *regexp.Regexp
	exclude   *regexp.Regexp
	operators *regexp.Regexp
	testArgs  []string
	testPkgs  []string
	testCmd   string
	inCopy    bool
	defines   []string
	log       string
	minScore  float64
	list      bool
	explain   string
	memory    uint64
}

var (
	errUsage = errors.New("usage")
	errScore = errors.New("score too low")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), interrupts()...)
	code := run(ctx, os.Args[1:], ".", os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit status.
func run(ctx context.Context, args []string, dir string, stdout, stderr io.Writer) int {
	c, err := parseFlags(args, stderr)
	if err == nil {
		c.dir = dir
		if err = limitMemory(c.memory); err == nil {
			err = mutate(ctx, c, stdout)
		}
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case ctx.Err() != nil:
		say(stderr, "mutate: interrupted: the report is incomplete")
		return 130
	}
	say(stderr, err)
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

// parseFlags accepts flags before, between and after the packages.
func parseFlags(args []string, stderr io.Writer) (*config, error) {
	c := &config{}
	fs := flag.NewFlagSet("mutate", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		say(stderr, "usage: mutate [flags] PACKAGE...")
		fs.PrintDefaults()
	}
	fs.Uint64Var(&c.seed, "seed", 1, "seed of the sample")
	fs.IntVar(&c.count, "count", 200, "mutants to try; 0 tries all")
	fs.IntVar(&c.jobs, "jobs", 2, "mutants tried at once")
	fs.DurationVar(&c.timeout, "timeout", 120*time.Second, "time for one mutant, its compilation included")
	pattern(fs, &c.files, "files", "only files whose module-relative path matches `REGEX`")
	pattern(fs, &c.exclude, "exclude", "no files whose module-relative path matches `REGEX`")
	pattern(fs, &c.operators, "operators", "only operators that match `REGEX`")
	testArgs := fs.String("test-args", "", "arguments for go test, split at white space")
	testPkgs := fs.String("test-pkgs", "", "comma-separated `packages` to test besides the mutated one")
	fs.StringVar(&c.testCmd, "test-cmd", "", "mutate .cu and .cuh files, tested by this shell `command`")
	fs.BoolVar(&c.inCopy, "in-copy", false, "run --test-cmd in a copy of the module that holds the mutant")
	defines := fs.String("define", "CUDA_EMU", "comma-separated `macros` set where --test-cmd compiles .cu files")
	fs.StringVar(&c.log, "log", "", "also write the report to `FILE`")
	fs.Float64Var(&c.minScore, "min-score", 0.95, "fail below this share of killed mutants")
	fs.BoolVar(&c.list, "list", false, "list the mutants that would be tried, try none")
	fs.StringVar(&c.explain, "explain", "", "`FILE` of known equivalent mutants")
	fs.Uint64Var(&c.memory, "memory", 16, "GiB of address space for each process (Linux); 0, which -race needs, for no limit")
	for rest := args; ; {
		if err := fs.Parse(rest); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, fmt.Errorf("mutate: %w: %w", errUsage, err)
		}
		if rest = fs.Args(); len(rest) == 0 {
			break
		}
		c.patterns = append(c.patterns, rest[0])
		rest = rest[1:]
	}
	c.testArgs = strings.Fields(*testArgs)
	c.testPkgs = splitList(*testPkgs)
	c.defines = splitList(*defines)
	switch {
	case len(c.patterns) == 0:
		return nil, fmt.Errorf("mutate: %w: no package given", errUsage)
	case c.count < 0, c.jobs < 1, c.timeout <= 0, c.memory > 1<<20:
		return nil, fmt.Errorf("mutate: %w: --count %d --jobs %d --timeout %v --memory %d: want at least 0, 1, 1ns and at most %d GiB",
			errUsage, c.count, c.jobs, c.timeout, c.memory, 1<<20)
	case !(c.minScore >= 0 && c.minScore <= 1):
		return nil, fmt.Errorf("mutate: %w: --min-score %v: want a share between 0 and 1", errUsage, c.minScore)
	}
	return c, nil
}

// say writes a line to standard error; there is nowhere to say that it failed.
func say(w io.Writer, what any) { _, _ = fmt.Fprintln(w, what) }

func pattern(fs *flag.FlagSet, to **regexp.Regexp, name, usage string) {
	fs.Func(name, usage, func(s string) (err error) {
		*to, err = regexp.Compile(s)
		return err
	})
}

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
