package cpu

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// requireOrSkip skips a test, or fails it where nothing may be left out.
func requireOrSkip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CAMBIUM_REQUIRE") == "all" {
		t.Fatalf("left out, with CAMBIUM_REQUIRE=all: %s", why)
	}
	t.Skip(why)
}

// filtered reports whether -run or -skip chose among the tests.
func filtered() bool {
	for _, name := range []string{"test.run", "test.skip"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return true
		}
	}
	return false
}

func TestTierChoice(t *testing.T) {
	t.Setenv(TierVariable, "generic")
	b, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Info().Name; got != "cpu/generic" {
		t.Errorf("name %q", got)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	t.Setenv(TierVariable, "abacus")
	_, err = New(Options{})
	if !errors.Is(err, kernels.ErrUnsupported) || !strings.Contains(err.Error(), `"abacus"`) || !strings.Contains(err.Error(), "generic") {
		t.Errorf("unknown tier in the environment: %v", err)
	}
	if b, err = New(Options{Tier: "generic"}); err != nil { // the option wins
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestTierOrder(t *testing.T) {
	lacking := tier{name: "future", missing: func() string { return "an instruction" }}
	table := append([]tier{lacking}, tiers...)
	got, err := chooseFrom(table, "")
	if err != nil || got.name != tiers[0].name {
		t.Errorf("default with an unusable first tier: %q, %v", got.name, err)
	}
	if _, err := chooseFrom(table, "future"); !errors.Is(err, kernels.ErrUnsupported) || !strings.Contains(err.Error(), "an instruction") {
		t.Errorf("an unusable tier by name: %v", err)
	}
	for _, info := range describe(table) {
		if info.Usable != (info.Reason == "") {
			t.Errorf("%+v", info)
		}
	}
}

func TestOptionErrors(t *testing.T) {
	for _, o := range []Options{{Workers: -1}, {Workers: MaxWorkers + 1}} {
		if _, err := New(o); !errors.Is(err, kernels.ErrShape) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestFingerprint(t *testing.T) {
	b := open(t, Options{})
	info := b.Info()
	if !strings.HasPrefix(info.Fingerprint, info.Name+"/") {
		t.Errorf("fingerprint %q of %q", info.Fingerprint, info.Name)
	}
	if !fuses(1+0x1p-30, -1) { // the sum is not zero either way
		t.Error("x·x + y is zero for y = −1")
	}
	seen := map[string]bool{}
	for _, f := range Features() {
		if f == "" || seen[f] {
			t.Errorf("feature %q", f)
		}
		seen[f] = true
	}
}

// TestFingerprintTellsMathApart runs this test again as a process whose math
// functions may not use the CPU's fused multiply-add. Where that changes results
// it must change the fingerprint.
func TestFingerprintTellsMathApart(t *testing.T) {
	const variable = "CAMBIUM_TEST_FINGERPRINT"
	report := func() string {
		x := make([]float64, 400)
		for i := range x {
			x[i] = float64(i-200) / 31
		}
		b := open(t, Options{Tier: "generic"})
		if err := b.Activate(context.Background(), dense(t, x, 20, 20), dense(t, x, 20, 20), kernels.SiLU, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		h := fnv.New64a()
		for _, v := range x {
			h.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
		}
		return fmt.Sprintf("%s %x", b.Info().Fingerprint, h.Sum64())
	}
	if os.Getenv(variable) != "" {
		fmt.Printf("report: %s\n", report())
		return
	}
	if !strings.Contains(report(), runtime.Version()) {
		t.Errorf("%q does not name Go's version, whose math functions may differ", report())
	}
	if runtime.GOARCH != "amd64" {
		return // only there can fused multiply-add be switched off; and a test under emulation cannot start itself
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestFingerprintTellsMathApart$")
	cmd.Env = append(os.Environ(), variable+"=1", "GODEBUG=cpu.fma=off")
	out, err := cmd.CombinedOutput()
	_, other, found := strings.Cut(string(out), "report: ")
	if err != nil || !found {
		t.Fatalf("%v: %s", err, out)
	}
	other, _, _ = strings.Cut(other, "\n")
	mine, hash, _ := strings.Cut(report(), " ")
	theirs, otherHash, _ := strings.Cut(other, " ")
	if (hash != otherHash) && mine == theirs {
		t.Errorf("bits differ without fused multiply-add, and both fingerprints are %q", mine)
	}
	t.Logf("%s with it, %s without", report(), other)
}
