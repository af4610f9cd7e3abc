// Command cambium looks into neural networks with Cambium's kernels.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/cambium-kernels/cambium"
	"github.com/cambium-kernels/cambium/cpu"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// common are the flags of every command.
type common struct {
	Backend    string   `enum:"auto,cpu,cuda" default:"auto" help:"Backend: auto, cpu or cuda."`
	Device     int      `default:"0" help:"Index of the CUDA device."`
	Memory     byteSize `placeholder:"LIMIT" help:"Most memory to use: bytes, or with K, M, G, KiB, MiB, GiB."`
	Strict     bool     `help:"Fail instead of falling back from the device to the CPU."`
	Workers    int      `default:"0" help:"Goroutines of the CPU backend; 0: one per processor."`
	Seed       uint64   `default:"1" help:"Seed of everything random."`
	JSON       bool     `name:"json" help:"Print one JSON document on stdout."`
	Quiet      bool     `help:"No talk on stderr."`
	CPUProfile string   `name:"cpuprofile" placeholder:"FILE" help:"Write a CPU profile."`
}

// Validate refuses numbers that no backend takes, as wrong usage.
func (c *common) Validate() error {
	if c.Device < 0 {
		return fmt.Errorf("--device %d is no index of a device (give 0 or more)", c.Device)
	}
	if c.Workers < 0 || c.Workers > cpu.MaxWorkers {
		return fmt.Errorf("--workers %d: a backend has at most %d (give 1 to %d, or 0 for one per processor)", c.Workers, cpu.MaxWorkers, cpu.MaxWorkers)
	}
	return nil
}

// config returns what the flags say about the backend.
func (c *common) config() cambium.Config {
	return cambium.Config{Backend: c.Backend, Device: c.Device, Memory: uint64(c.Memory), Strict: c.Strict, Workers: c.Workers}
}

// app is one run of the command.
type app struct {
	common

	CKA     ckaCommand     `cmd:"" name:"cka" help:"Compare layers: CKA of all pairs within one file or between two."`
	Demo    demoCommand    `cmd:"" help:"Compare the blocks of a small model, on embedded hidden states."`
	Model   modelCommand   `cmd:"" help:"Look at transformer models: shapes, hidden states, perplexity, multiple choice."`
	Devices devicesCommand `cmd:"" help:"List backends and tiers, and why one is not usable."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// terminal is where a command writes: data to out, talk to talk.
type terminal struct {
	out, talk io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// exit carries kong's wish to end (after --help) out of the parser.
type exit int

// run parses and runs one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	var a app
	parser, err := kong.New(&a, kong.Name("cambium"), kong.UsageOnError(), kong.Writers(stdout, stderr), kong.Help(help),
		kong.Description("Compute kernels for looking into neural networks, and tools on top of them."),
		kong.Exit(func(code int) { panic(exit(code)) }), //nolint:forbidigo // recovered below: the parser must not go on
	)
	if err != nil {
		return complain(stderr, err, exitFailed)
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case exit:
			code = int(p)
		default:
			panic(p) //nolint:forbidigo // not ours
		}
	}()
	kctx, err := parser.Parse(args)
	if err != nil {
		return complain(stderr, fmt.Errorf("usage: %w (see cambium --help)", err), exitUsage)
	}
	talk := stderr
	if a.Quiet {
		talk = io.Discard
	}
	stopProfile, err := profile(a.CPUProfile)
	if err == nil {
		kctx.BindTo(ctx, (*context.Context)(nil))
		err = errors.Join(kctx.Run(&a.common, &terminal{stdout, talk}), stopProfile())
	}
	return finish(ctx, stderr, err)
}

// finish says how a command ended and returns the exit code.
func finish(ctx context.Context, stderr io.Writer, err error) int {
	var unsaved *unsavedError
	switch {
	case err == nil:
		return exitDone
	case ctx.Err() != nil && errors.As(err, &unsaved):
		return complain(stderr, fmt.Errorf("interrupted, and the state was not kept: %w", unsaved), exitInterrupted)
	case ctx.Err() != nil:
		return complain(stderr, errors.New("interrupted"), exitInterrupted)
	default:
		return complain(stderr, err, exitFailed)
	}
}

// help prints the help of a command. One that can be called without a subcommand
// shows what it does then, and the subcommands below.
func help(o kong.HelpOptions, ctx *kong.Context) error {
	node := ctx.Selected()
	if node == nil || node.DefaultCmd == nil {
		return kong.DefaultHelpPrinter(o, ctx)
	}
	plain := *ctx
	plain.Path = append(slices.Clone(ctx.Path), &kong.Path{Parent: node, Command: node.DefaultCmd})
	err := kong.DefaultHelpPrinter(o, &plain)
	for _, sub := range node.Children {
		if sub != node.DefaultCmd {
			fmt.Fprintf(ctx.Stdout, "\nSee also: cambium %s --help\n    %s\n", sub.Path(), sub.Help)
		}
	}
	return err
}

// complain prints an error as one line and returns the code.
func complain(w io.Writer, err error, code int) int {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "cambium: "), "Open: ") // the library's names
	fmt.Fprintf(w, "cambium: %s\n", strings.ReplaceAll(text, "\n", "; "))
	return code
}

// profile starts a CPU profile, if a file is named, and returns what ends it.
func profile(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
