package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	fakeMode  = "MUTATE_TEST_FAKE"
	heartbeat = "MUTATE_TEST_HEARTBEAT"
)

// fakeCompiler plays the part of --test-cmd. It fails where two lines of the
// kernel are missing, refuses one change as a compiler would, and for a missing
// barrier starts a process that writes to the heartbeat file and waits for it.
func fakeCompiler(mode string) int {
	src := fakeSource(mode)
	switch {
	case mode == "beat":
		return beat()
	case mode == "greedy":
		return greedy()
	case src == "" || mode == "blind":
		return 0
	case strings.HasPrefix(src, "#error") && mode == "mute":
		return 1
	case strings.HasPrefix(src, "#error"):
		fmt.Println("kernel.cu:1:2: error: #error mutation canary")
		return 1
	case strings.Contains(src, "if (t != 0)"):
		return doesNotCompile
	case !strings.Contains(src, "__syncthreads();"):
		return hang()
	case !strings.Contains(src, "out[blockIdx.x] = sum;"), !strings.Contains(src, "double sum"):
		fmt.Println("wrong sum")
		return 1
	}
	return 0
}

// fakeSource reads the kernel as the mode says; "" without a mutant.
func fakeSource(mode string) string {
	path := filepath.Join("k", "kernel.cu")
	if mode != "copy" {
		original, mutated, _ := strings.Cut(os.Getenv(overlayVariable), "=")
		if !strings.HasSuffix(original, path) {
			return ""
		}
		path = mutated
	} else if _, err := os.Stat(".git"); err == nil {
		return "#error" // not a copy
	}
	src, err := os.ReadFile(path)
	if err != nil {
		fmt.Println(err)
		return "" // passes, which the canary does not let pass
	}
	return string(src)
}

func hang() int {
	exe, err := os.Executable()
	if err != nil {
		return 2
	}
	child := exec.Command(exe)
	child.Env = append(os.Environ(), fakeMode+"=beat")
	child.Stdout = os.Stdout // as a test's own children do
	if err := child.Run(); err != nil {
		return 3
	}
	return 0
}

// greedy takes more memory than it allows itself.
func greedy() int {
	if err := limitMemory(2); err != nil {
		fmt.Println(err)
		return 0
	}
	for size := 1 << 28; ; size += 1 << 28 {
		fmt.Println(len(make([]byte, size)))
		if size > 1<<30+1<<29 { // at most 6 GiB in all
			return 0
		}
	}
}

// beat writes for a minute at most, so that a failing test leaves nothing.
func beat() int {
	f, err := os.OpenFile(os.Getenv(heartbeat), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 4
	}
	for range 1200 {
		if _, err := f.WriteString("."); err != nil {
			return 5
		}
		time.Sleep(50 * time.Millisecond)
	}
	return 0
}
