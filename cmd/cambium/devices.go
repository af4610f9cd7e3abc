package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/cambium-kernels/cambium"
	"github.com/cambium-kernels/cambium/cpu"
)

// devicesCommand lists what can compute.
type devicesCommand struct{}

// deviceReport is the JSON of devices.
type deviceReport struct {
	Backends []deviceRow `json:"backends"`
	Features []string    `json:"cpu_features"`
	Workers  int         `json:"workers"`
	Memory   uint64      `json:"memory_bytes"`
}

type deviceRow struct {
	Name    string `json:"name"`
	Usable  bool   `json:"usable"`
	Default bool   `json:"default"`
	Reason  string `json:"reason,omitempty"`
	Note    string `json:"note,omitempty"`
}

// Run prints the list.
func (devicesCommand) Run(c *common, t *terminal) error {
	b, err := cpu.New(cpu.Options{Workers: c.Workers, MemoryLimit: uint64(c.Memory)})
	if err != nil {
		return err
	}
	info := b.Info()
	if err := b.Close(); err != nil {
		return err
	}
	report := deviceReport{Features: cpu.Features(), Workers: info.Workers, Memory: info.Memory.Limit}
	for _, k := range cambium.Backends() {
		report.Backends = append(report.Backends, deviceRow{k.Name, k.Usable, k.Default, k.Reason, k.Note})
	}
	if c.JSON {
		return printJSON(t.out, report)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, r := range report.Backends {
		state := "usable"
		switch {
		case r.Default:
			state = "default"
		case !r.Usable:
			state = "not usable: " + r.Reason
		case r.Note != "":
			state += ", " + r.Note
		}
		fmt.Fprintf(w, "%s\t%s\n", r.Name, state)
	}
	fmt.Fprintf(w, "cpu features\t%s\n", strings.Join(report.Features, " "))
	fmt.Fprintf(w, "workers\t%d\n", report.Workers)
	fmt.Fprintf(w, "memory\t%.1f GiB\n", float64(report.Memory)/(1<<30))
	return w.Flush()
}

// versionCommand prints what this binary was built from.
type versionCommand struct{}

// versionReport is the JSON of version.
type versionReport struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Run prints the version.
func (versionCommand) Run(c *common, t *terminal) error {
	r := versionReport{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			r.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				r.Revision = s.Value
			case "vcs.modified":
				r.Modified = s.Value == "true"
			}
		}
	}
	if c.JSON {
		return printJSON(t.out, r)
	}
	_, err := fmt.Fprintf(t.out, "cambium %s %s %s\n", r.Version, r.Go, r.Platform)
	return err
}

// printJSON prints one indented document.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
