package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// interrupts are the signals that end a run early.
func interrupts() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }

// newGroup makes cmd the leader of a process group of its own. The shell's
// command line, if there is one, is kept.
func newGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.CreationFlags = syscall.CREATE_NEW_PROCESS_GROUP
}

// killGroup ends cmd and everything it started.
func killGroup(cmd *exec.Cmd) error {
	return exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
}

// sweepGroup does nothing: the children of a process that has ended cannot be
// found here.
func sweepGroup(*exec.Cmd) {}

// shell returns the command that runs line; cmd.exe takes it unquoted.
func shell(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "cmd")
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd /s /c "` + line + `"`}
	return cmd
}
