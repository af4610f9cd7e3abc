package cpu

import (
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/kernels/kerneltest"
)

// TestConformance runs the contract's suite on every tier that this CPU has.
func TestConformance(t *testing.T) {
	ran := 0
	for _, tier := range Tiers() {
		t.Run(tier.Name, func(t *testing.T) {
			if !tier.Usable {
				requireOrSkip(t, "this CPU lacks "+tier.Reason)
			}
			target := kerneltest.Target{OneRounding: tier.Name == "generic", Open: func(t testing.TB, workers int) kernels.Backend {
				b, err := New(Options{Workers: workers, Tier: tier.Name})
				if err != nil {
					t.Fatal(err)
				}
				return b
			}}
			if testing.Short() {
				kerneltest.Short(t, target)
			} else {
				kerneltest.Run(t, target)
			}
			ran++
		})
	}
	usable := 0
	for _, tier := range Tiers() {
		if tier.Usable {
			usable++
		}
	}
	// -run may choose one tier; a whole run must not lose one silently.
	if !t.Failed() && ran < usable && !filtered() {
		t.Errorf("%d of %d usable tiers were tested", ran, usable)
	}
}
