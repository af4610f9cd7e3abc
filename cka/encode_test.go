package cka

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

func TestAccumulatorBytes(t *testing.T) {
	var a kernels.Accumulator
	data, err := a.MarshalBinary()
	if err != nil || len(data) != accumulatorBytes {
		t.Errorf("an accumulator takes %d bytes, %v; the format says %d", len(data), err, accumulatorBytes)
	}
}

// sealed is body with its checksum: what an attacker would write.
func sealed(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

// raw builds an encoding from its parts.
func raw(head string, seen []uint64, bad []int32, sums int) []byte {
	out := append([]byte(magic), binary.LittleEndian.AppendUint32(nil, uint32(len(head)))...)
	out = append(out, head...)
	for _, w := range seen {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	for _, b := range bad {
		out = binary.LittleEndian.AppendUint32(out, uint32(b))
	}
	return sealed(append(out, make([]byte, (sums+len(bad))*accumulatorBytes)...)) // floors too
}

const soundHead = `{"plan":{"x":["a"],"rows":8,"batch":4,"kernel":0},"fingerprint":"f"}`

func hostile() map[string][]byte {
	long := append([]byte(magic), 0xff, 0xff, 0xff, 0xff)
	badSum := raw(soundHead, []uint64{3}, []int32{-1}, 1)
	badSum = badSum[:len(badSum)-sha256.Size]
	badSum[len(badSum)-1] = 0x80 // a chunk that no sum has: top of the last one is free, so break an inner one
	badSum[len(badSum)-accumulatorBytes+15] = 0x80
	return map[string][]byte{
		"empty":              nil,
		"magic alone":        []byte(magic),
		"header too long":    sealed(long),
		"header no JSON":     raw(`{"plan"`, []uint64{3}, []int32{-1}, 1),
		"header with spaces": raw(strings.Replace(soundHead, ":", ": ", 1), []uint64{3}, []int32{-1}, 1),
		"unknown field":      raw(strings.Replace(soundHead, `"f"`, `"f","g":1`, 1), []uint64{3}, []int32{-1}, 1),
		"plan refused":       raw(strings.Replace(soundHead, `"batch":4`, `"batch":3`, 1), []uint64{3}, []int32{-1}, 1),
		"huge plan":          raw(strings.Replace(soundHead, `"rows":8`, `"rows":1000000000`, 1), []uint64{3}, []int32{-1}, 1),
		"too few sums":       raw(soundHead, []uint64{3}, []int32{-1}, 0),
		"too many sums":      raw(soundHead, []uint64{3}, []int32{-1}, 2),
		"batch beyond":       raw(soundHead, []uint64{7}, []int32{-1}, 1),
		"batch far beyond":   raw(strings.Replace(soundHead, `"rows":8`, `"rows":280`, 1), []uint64{1, 1 << 6}, []int32{-1}, 1),
		"seen, no backend":   raw(strings.Replace(soundHead, `"f"`, `""`, 1), []uint64{1}, []int32{-1}, 1),
		"backend, none seen": raw(soundHead, []uint64{0}, []int32{-1}, 1),
		"bad not seen":       raw(soundHead, []uint64{1}, []int32{1}, 1),
		"bad below -1":       raw(soundHead, []uint64{1}, []int32{-2}, 1),
		"sum not canonical":  sealed(badSum),
	}
}

func TestDecodeHostile(t *testing.T) {
	if _, err := Decode(raw(soundHead, []uint64{3}, []int32{-1}, 1)); err != nil {
		t.Fatalf("the sound one: %v", err)
	}
	for name, data := range hostile() {
		if _, err := Decode(data); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is accepted encodes to the same bytes again.
func FuzzDecode(f *testing.F) {
	f.Add(raw(soundHead, []uint64{3}, []int32{-1}, 1), false)
	for _, data := range hostile() {
		f.Add(data, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, reseal bool) {
		if reseal && len(data) > sha256.Size {
			data = sealed(data[:len(data)-sha256.Size])
		}
		s, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error without its sentinel: %v", err)
			}
			return
		}
		again, err := s.MarshalBinary()
		if err != nil || string(again) != string(data) {
			t.Fatalf("accepted, but encodes to other bytes (%v)", err)
		}
		_, _ = s.Result()
	})
}
