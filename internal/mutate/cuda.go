package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// overlayVariable tells the test command which file to read in place of which.
const overlayVariable = "CAMBIUM_MUTANT_OVERLAY"

// doesNotCompile is the exit status for a mutant the compiler refuses, as in
// git bisect.
const doesNotCompile = 125

var errCanary = errors.New("test command cannot judge mutants")

// A cudaSubject mutates .cu and .cuh files, tested by a command.
type cudaSubject struct {
	c       *config
	env     []string
	root    string
	scratch string
	files   []cudaFile

	mu       sync.Mutex
	canaries map[string]*sync.Once // by path: the file's trial with a syntax error
	errs     map[string]error
}

type cudaFile struct{ name, path, src string }

var generatedText = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func newCUDASubject(c *config, root, scratch string, env []string) (*cudaSubject, error) {
	if c.testCmd == "" && !c.list {
		return nil, fmt.Errorf("mutate: %w: CUDA sources need --test-cmd", errUsage)
	}
	s := &cudaSubject{
		c: c, env: env, root: root, scratch: scratch,
		canaries: map[string]*sync.Once{}, errs: map[string]error{},
	}
	for _, p := range c.patterns {
		if err := s.add(p); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// add reads the CUDA files of a directory; DIR/... includes those below it.
func (s *cudaSubject) add(pattern string) error {
	dir, below := strings.CutSuffix(filepath.ToSlash(pattern), "/...")
	top, err := filepath.Abs(filepath.Join(s.c.dir, filepath.FromSlash(dir)))
	if err != nil {
		return fmt.Errorf("mutate: %w", err)
	}
	err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch ext := filepath.Ext(path); {
		case err != nil:
			return err
		case d.IsDir() && path != top && !below:
			return fs.SkipDir
		case d.IsDir() || ext != ".cu" && ext != ".cuh":
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.root, path)
		if err == nil && !generatedText.Match(src) {
			s.files = append(s.files, cudaFile{name: filepath.ToSlash(rel), path: path, src: string(src)})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("mutate: reading %s: %w", pattern, err)
	}
	return nil
}

func (s *cudaSubject) mutants() []mutant {
	var out []mutant
	for _, f := range s.files {
		out = append(out, cudaMutants(f.name, f.path, f.src, s.c.defines)...)
	}
	return settle(out)
}

// compiles is left to the test command.
func (s *cudaSubject) compiles(*mutant) bool { return true }

func (s *cudaSubject) check(ctx context.Context, limit time.Duration) error {
	slot, err := os.MkdirTemp(s.scratch, "check")
	if err != nil {
		return fmt.Errorf("mutate: %w", err)
	}
	defer func() { _ = os.RemoveAll(slot) }() // the whole scratch directory goes later
	o, err := s.test(ctx, limit, slot, "", nil)
	if err != nil {
		return err
	}
	return o.mustPass(s.c.testCmd, limit)
}

func (s *cudaSubject) try(ctx context.Context, m *mutant, slot string) (verdict, error) {
	if err := s.canary(ctx, m, slot); err != nil {
		return "", err
	}
	o, err := s.test(ctx, s.c.timeout, slot, m.path, m.mutated())
	if err != nil {
		return "", err
	}
	return judgeCommand(o), nil
}

// canary tries each file once with a syntax error in it. A command that passes
// does not read the file, and one whose failure looks like a failed test would
// count mutants that do not compile as killed.
func (s *cudaSubject) canary(ctx context.Context, m *mutant, slot string) error {
	s.mu.Lock()
	once := s.canaries[m.path]
	if once == nil {
		once = new(sync.Once)
		s.canaries[m.path] = once
	}
	s.mu.Unlock()
	once.Do(func() {
		o, err := s.test(ctx, s.c.timeout, slot, m.path, append([]byte("#error \"mutation canary\"\n"), m.src...))
		if err == nil {
			switch v := judgeCommand(o); v {
			case refused:
			case survived:
				err = fmt.Errorf("mutate: %s: %w: it passes with a syntax error in the file: have it read %s, or use --in-copy",
					m.file, errCanary, overlayVariable)
			default:
				err = fmt.Errorf("mutate: %s: %w: %s on a syntax error: exit with %d, or print the compiler's message:\n%s",
					m.file, errCanary, v, doesNotCompile, o.text)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.errs[m.path] = err
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errs[m.path]
}

var compilerMessage = regexp.MustCompile(`(?m)\.(cu|cuh|h|hpp|cc|cpp)(:\d+:\d+|\(\d+\)): (fatal )?error\b`)

// judgeCommand reads the verdict from how the test command ended.
func judgeCommand(o outcome) verdict {
	switch {
	case o.timedOut:
		return timeout
	case o.status == 0:
		return survived
	case o.status == doesNotCompile || compilerMessage.MatchString(o.text):
		return refused
	}
	return killed
}

// test runs the command with text in place of the file at path, or, where path
// is empty, on the tree as it is.
func (s *cudaSubject) test(ctx context.Context, limit time.Duration, slot, path string, text []byte) (outcome, error) {
	dir, env := s.root, s.env
	switch {
	case s.c.inCopy:
		dir = filepath.Join(slot, "tree")
		if err := copyTree(dir, s.root); err != nil {
			return outcome{}, err
		}
		if path != "" {
			rel, err := filepath.Rel(s.root, path)
			if err != nil {
				return outcome{}, fmt.Errorf("mutate: %w", err)
			}
			if err := writeScratch(filepath.Join(dir, rel), text); err != nil {
				return outcome{}, err
			}
		}
	case path != "":
		mutated := filepath.Join(slot, filepath.Base(path))
		if err := writeScratch(mutated, text); err != nil {
			return outcome{}, err
		}
		env = append(env[:len(env):len(env)], overlayVariable+"="+path+"="+mutated)
	}
	return execute(ctx, limit, slot, func(ctx context.Context) *exec.Cmd {
		cmd := shell(ctx, s.c.testCmd)
		cmd.Dir, cmd.Env = dir, env
		return cmd
	})
}

// copyTree makes to a fresh copy of the module at from, without directories
// whose names start with a dot. A new copy for each mutant costs little beside
// a compilation, and nothing a test wrote reaches the next one.
func copyTree(to, from string) error {
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("mutate: %w", err)
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir() && rel != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case !d.Type().IsRegular():
			return nil
		}
		return copyFile(target, path)
	})
	if err != nil {
		return fmt.Errorf("mutate: copying the module: %w", err)
	}
	return nil
}

// copyFile keeps the permission bits: scripts have to stay executable.
func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := writeScratch(to, data); err != nil {
		return err
	}
	return os.Chmod(to, info.Mode().Perm()|0o600)
}
