package main

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNaturalOrder(t *testing.T) {
	want := []string{
		"", "0", "1", "01", "2", "10", "9999999999999999999998", "9999999999999999999999", "a", "a.b",
		"layers.2.x", "layers.2.y", "layers.10.a", "layers.10.a1", "layers.10.a02", "layers.x", "m",
	}
	got := slices.Clone(want)
	for seed := range uint64(20) {
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortFunc(got, naturalOrder)
		if !slices.Equal(got, want) {
			t.Fatalf("%q", got)
		}
	}
	for _, a := range want { // an order: the remainder decides, and nothing equals anything else
		for _, b := range want {
			if naturalOrder(a, b) != -naturalOrder(b, a) || (naturalOrder(a, b) == 0) != (a == b) {
				t.Errorf("%q and %q: %d, %d", a, b, naturalOrder(a, b), naturalOrder(b, a))
			}
		}
	}
}
