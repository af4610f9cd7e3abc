//go:build unix

package main

import (
	"context"
	"os"
	"os/exec"
	"syscall"
)

// interrupts are the signals that end a run early. A reader of the report that
// goes away is one: it must not keep the scratch directory from being removed.
func interrupts() []os.Signal {
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE}
}

// newGroup makes cmd the leader of a process group of its own.
func newGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends cmd and everything it started.
func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// sweepGroup ends what cmd, which has been waited for, left running.
func sweepGroup(cmd *exec.Cmd) { _ = killGroup(cmd) } // no such process is the rule

// shell returns the command that runs line.
func shell(ctx context.Context, line string) *exec.Cmd {
	return exec.CommandContext(ctx, "sh", "-c", line)
}
