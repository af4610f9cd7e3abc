//go:build !unix && !windows

package main

import (
	"context"
	"os"
	"os/exec"
)

// interrupts are the signals that end a run early.
func interrupts() []os.Signal { return []os.Signal{os.Interrupt} }

func newGroup(*exec.Cmd) {}

// killGroup ends cmd alone: this system has no process groups.
func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }

// sweepGroup does nothing: the children of a process that has ended cannot be
// found here.
func sweepGroup(*exec.Cmd) {}

// shell returns the command that runs line.
func shell(ctx context.Context, line string) *exec.Cmd {
	return exec.CommandContext(ctx, "sh", "-c", line)
}
