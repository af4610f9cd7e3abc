package cka

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"

	"github.com/cambium-kernels/cambium/kernels"
)

// An encoded state, little endian:
//
//	magic     16 bytes
//	length    uint32, how many bytes of JSON follow
//	header    JSON: plan and fingerprint, as json.Marshal writes them
//	seen      uint64 per 64 batches
//	bad       int32 per layer
//	sums      536 bytes each, kernels.Accumulator
//	floors    536 bytes per layer, likewise
//	checksum  32 bytes, SHA-256 of all before
//
// There is one encoding of a state, so that equal states are equal files.
const (
	magic            = "cambium-cka-st1\n"
	accumulatorBytes = 536
)

var (
	_ encoding.BinaryMarshaler   = (*State)(nil)
	_ encoding.BinaryUnmarshaler = (*State)(nil)
)

type header struct {
	Plan        Plan   `json:"plan"`
	Fingerprint string `json:"fingerprint"`
}

// MarshalBinary returns the encoded state: equal bytes for equal states.
func (s *State) MarshalBinary() ([]byte, error) {
	head, err := json.Marshal(header{s.plan, s.fingerprint})
	if err != nil {
		return nil, fmt.Errorf("cka: MarshalBinary: %w", err)
	}
	out := []byte(magic)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(head))) //nolint:gosec // names of at most 2 maxLayers layers
	out = append(out, head...)
	for _, w := range s.seen {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	for _, b := range s.bad {
		out = binary.LittleEndian.AppendUint32(out, uint32(b)) //nolint:gosec // two's complement
	}
	for _, list := range [][]kernels.Accumulator{s.sums, s.floors} {
		for k := range list {
			if out, err = list[k].AppendBinary(out); err != nil {
				return nil, fmt.Errorf("cka: MarshalBinary: %w", err)
			}
		}
	}
	sum := sha256.Sum256(out)
	return append(out, sum[:]...), nil
}

// UnmarshalBinary replaces the state by an encoded one. Errors: [ErrFormat]; the
// state is then as before.
func (s *State) UnmarshalBinary(data []byte) error {
	decoded, err := decode(data)
	if err != nil {
		return fmt.Errorf("cka: %w: %w", err, ErrFormat)
	}
	*s = *decoded
	return nil
}

func decode(data []byte) (*State, error) {
	if len(data) < len(magic)+4+sha256.Size || string(data[:len(magic)]) != magic {
		return nil, fmt.Errorf("%d bytes do not begin as a state does", len(data))
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return nil, errors.New("checksum does not fit: the file is damaged or incomplete")
	}
	rest := body[len(magic):]
	length := binary.LittleEndian.Uint32(rest)
	if rest = rest[4:]; uint64(length) > uint64(len(rest)) {
		return nil, fmt.Errorf("header of %d bytes in %d", length, len(rest))
	}
	var h header
	if err := json.Unmarshal(rest[:length], &h); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if canonical, err := json.Marshal(h); err != nil || !bytes.Equal(canonical, rest[:length]) {
		return nil, errors.New("header is not written as a state's is")
	}
	if err := h.Plan.check(); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	rest = rest[length:]
	_, _, values := h.Plan.pairs()
	layers := len(h.Plan.X) + len(h.Plan.Y)
	if want := 8*((h.Plan.Batches()+63)/64) + 4*layers + accumulatorBytes*(values+layers); len(rest) != want { // check keeps it far from overflow
		return nil, fmt.Errorf("%d bytes of sums, want %d", len(rest), want)
	}
	s, err := NewState(h.Plan)
	if err != nil {
		return nil, err
	}
	s.fingerprint = h.Fingerprint
	if err := s.decodeSums(rest); err != nil {
		return nil, err
	}
	return s, nil
}

// decodeSums reads what follows the header; the lengths fit.
func (s *State) decodeSums(rest []byte) error {
	for w := range s.seen {
		s.seen[w] = binary.LittleEndian.Uint64(rest)
		rest = rest[8:]
	}
	batches := s.plan.Batches()
	if last := len(s.seen) - 1; last >= 0 && bits.Len64(s.seen[last]) > batches-64*last {
		return fmt.Errorf("a batch beyond the last of %d", batches)
	}
	if (s.fingerprint == "") != (s.Seen() == 0) {
		return fmt.Errorf("%d batches of backend %q", s.Seen(), s.fingerprint)
	}
	for i := range s.bad {
		s.bad[i] = int32(binary.LittleEndian.Uint32(rest)) //nolint:gosec // two's complement
		rest = rest[4:]
		if s.bad[i] != -1 && !s.Has(int(s.bad[i])) {
			return fmt.Errorf("layer %d: batch %d is not among those seen", i, s.bad[i])
		}
	}
	for _, list := range [][]kernels.Accumulator{s.sums, s.floors} {
		for k := range list {
			if err := list[k].UnmarshalBinary(rest[:accumulatorBytes]); err != nil {
				return fmt.Errorf("sum %d: %w", k, err)
			}
			rest = rest[accumulatorBytes:]
		}
	}
	return nil
}

// Decode returns an encoded state; see [State.UnmarshalBinary].
func Decode(data []byte) (*State, error) {
	s := new(State)
	if err := s.UnmarshalBinary(data); err != nil {
		return nil, err
	}
	return s, nil
}
