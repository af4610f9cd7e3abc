package cpu

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"runtime"
	"strings"
	"sync"

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
const arithmetic = 2

// fingerprint names what results depend on: tier, version of the arithmetic,
// architecture, whether the compiler fuses multiplication and addition (arm64,
// or amd64 built with GOAMD64=v3), Go's version, and the bits of the math
// functions that the backend uses, some of which look at the CPU.
func fingerprint(tier string) string {
	mode := "separate"
	if fuses(1+0x1p-30, -1-0x1p-29) {
		mode = "fused"
	}
	return fmt.Sprintf("cpu/%s/%d/%s/%s/%s/%016x", tier, arithmetic, runtime.GOARCH, mode, runtime.Version(), mathBits())
}

// mathBits hashes values of the math functions that results go through. On
// amd64 alone, math.Exp is another sequence of instructions where the CPU has FMA.
var mathBits = sync.OnceValue(func() uint64 {
	h := fnv.New64a()
	var word [8]byte
	for i := range 256 {
		x := float64(i-128) / 7.3
		sin, cos := math.Sincos(1000 * x)
		for _, v := range []float64{
			math.Exp(x), math.Expm1(x / 16), math.Tanh(x / 8), math.Erfc(x / 4), sin, cos, math.Hypot(1, x),
			math.Sqrt(math.Abs(x)), math.FMA(x, x, -1), math.Log(1 + math.Abs(x)), // the last for rand's normal numbers
		} {
			binary.LittleEndian.PutUint64(word[:], math.Float64bits(v))
			h.Write(word[:]) //nolint:gosec // never fails
		}
	}
	return h.Sum64()
})

// fuses reports whether x·x + y is rounded once: with x = 1 + 2⁻³⁰ and
// y = −1 − 2⁻²⁹ the separately rounded sum is exactly zero.
//
//go:noinline
func fuses(x, y float64) bool {
	s := y
	s += x * x
	return s != 0
}
