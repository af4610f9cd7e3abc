package cpu

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/cambium-kernels/cambium/kernels"
)

// tier is one set of micro-kernels for one class of CPU.
type tier struct {
	name    string
	missing func() string // what this CPU lacks for the tier; "" if it is usable
	kernel  microKernel
}

// tiers lists all tiers of this build, the fastest first. The first usable one
// is the default.
var tiers = []tier{
	{name: "generic", missing: func() string { return "" }, kernel: generic},
}

// Tier describes a tier for reports.
type Tier struct {
	Name   string
	Usable bool
	Reason string // what the CPU lacks, if it is not usable
}

// Tiers returns the tiers of this build, the fastest first.
func Tiers() []Tier { return describe(tiers) }

func describe(table []tier) []Tier {
	out := make([]Tier, len(table))
	for i, t := range table {
		reason := t.missing()
		out[i] = Tier{Name: t.name, Usable: reason == "", Reason: reason}
	}
	return out
}

// chooseTier returns the tier of that name, or the fastest usable one for "".
func chooseTier(name string) (tier, error) { return chooseFrom(tiers, name) }

func chooseFrom(table []tier, name string) (tier, error) {
	var known []string
	for _, t := range table {
		known = append(known, t.name)
		reason := t.missing()
		switch {
		case name == "" && reason == "":
			return t, nil
		case name == t.name && reason != "":
			return tier{}, fmt.Errorf("tier %q: this CPU lacks %s: %w", name, reason, kernels.ErrUnsupported)
		case name == t.name:
			return t, nil
		}
	}
	return tier{}, fmt.Errorf("tier %q is not in this build, which has %s: %w", name, strings.Join(known, ", "), kernels.ErrUnsupported)
}

// arithmetic is raised whenever a change of this package may change a result's bits.
const arithmetic = 1

// fingerprint names what results depend on: tier, version of the arithmetic,
// architecture (math.Exp and others differ), and whether the compiler fuses
// multiplication and addition (arm64, or amd64 built with GOAMD64=v3).
func fingerprint(tier string) string {
	mode := "separate"
	if fuses(1+0x1p-30, -1-0x1p-29) {
		mode = "fused"
	}
	return fmt.Sprintf("cpu/%s/%d/%s/%s", tier, arithmetic, runtime.GOARCH, mode)
}

// fuses reports whether x·x + y is rounded once: with x = 1 + 2⁻³⁰ and
// y = −1 − 2⁻²⁹ the separately rounded sum is exactly zero.
//
//go:noinline
func fuses(x, y float64) bool {
	s := y
	s += x * x
	return s != 0
}
