//go:build !race

// The race detector needs more address space than the limit leaves.

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMemoryLimit lets a process of its own run into the limit.
func TestMemoryLimit(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), fakeMode+"=greedy", "GOGC=off")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "memory") {
		t.Fatalf("2 GiB did not bound the process: %v\n%.500s", err, out)
	}
}
