package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a number of bytes on the command line.
type byteSize uint64

// UnmarshalText reads "1500000", "512M", "512MiB", "1.5G" and the like; K, M, G
// and T are powers of 1024.
func (s *byteSize) UnmarshalText(text []byte) error {
	word := strings.ToUpper(strings.TrimSpace(string(text)))
	number := strings.TrimSuffix(strings.TrimSuffix(word, "B"), "I")
	shift := 0
	if i := strings.IndexAny(number, "KMGT"); i >= 0 && i == len(number)-1 {
		shift = 10 * (strings.IndexByte("KMGT", number[i]) + 1)
		number = number[:i]
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v >= 0) || v*math.Exp2(float64(shift)) >= math.MaxUint64/2 {
		return fmt.Errorf("%q is no amount of memory (write 1500000, 512M or 2GiB)", text)
	}
	*s = byteSize(v * math.Exp2(float64(shift)))
	return nil
}
