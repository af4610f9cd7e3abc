package kerneltest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// blockValue returns value e of a block of ggml's format, exactly: every product
// and difference below fits float64's 53 bits. Products are taken from the
// left, which decides the sign of a zero.
func blockValue(q kernels.QuantType, b []byte, e int) float64 {
	half := func(at int) float64 {
		return float64(kernels.Float16ToFloat32(binary.LittleEndian.Uint16(b[at:])))
	}
	nibble := func(at, value, of int) float64 { // the first half of the values are the low nibbles
		return float64(b[at+value%of] >> (4 * (value / of)) & 15)
	}
	bit := func(at, index int) float64 { return float64(b[at+index/8] >> (index % 8) & 1) }
	switch q {
	case kernels.Q8_0:
		return half(0) * float64(int8(b[2+e]))
	case kernels.Q4_0:
		return half(0) * (nibble(2, e, 16) - 8)
	case kernels.Q4_1:
		return half(0)*nibble(4, e, 16) + half(2)
	case kernels.Q5_0:
		return half(0) * (nibble(6, e, 16) + 16*bit(2, e) - 16)
	case kernels.Q5_1:
		return half(0)*(nibble(8, e, 16)+16*bit(4, e)) + half(2)
	default:
		return superBlockValue(q, b, e, half)
	}
}

// superBlockValue does the same for the formats of 256 values.
func superBlockValue(q kernels.QuantType, b []byte, e int, half func(at int) float64) float64 {
	l, plane := e%32, e%128/32 // position in a run of 32, run within 128 values
	crumb := func(at int) float64 { return float64(b[at+e/128*32+l] >> (2 * plane) & 3) }
	nibble := func(at int) float64 { return float64(b[at+e/64*32+l] >> (4 * (e / 32 % 2)) & 15) }
	high := func(at, index int) float64 { return float64(b[at+l] >> index & 1) }
	switch q {
	case kernels.Q2_K:
		s := b[e/16]
		return half(80)*float64(s&15)*crumb(16) - half(82)*float64(s>>4)
	case kernels.Q3_K:
		i := e / 16
		s := b[96+i%8]>>(4*(i/8))&15 | b[104+i%4]>>(2*(i/4))&3<<4
		return half(108) * (float64(s) - 32) * (crumb(32) + 4*high(0, e/32) - 4)
	case kernels.Q4_K:
		s, m := scaleAndMin(b[4:16], e/32)
		return half(0)*s*nibble(16) - half(2)*m
	case kernels.Q5_K:
		s, m := scaleAndMin(b[4:16], e/32)
		return half(0)*s*(nibble(48)+16*high(16, e/32)) - half(2)*m
	default: // Q6_K
		low := b[e/128*64+e%64] >> (4 * (plane / 2)) & 15
		v := float64(low) + 16*crumb(128)
		return half(208) * float64(int8(b[192+e/16])) * (v - 32)
	}
}

// scaleAndMin unpacks the 6-bit scale and minimum of sub-block i out of the 12
// bytes that Q4_K and Q5_K keep them in.
func scaleAndMin(b []byte, i int) (s, m float64) {
	if i < 4 {
		return float64(b[i] & 63), float64(b[i+4] & 63)
	}
	return float64(b[i+4]&15 | b[i-4]>>6<<4), float64(b[i+4]>>4 | b[i]>>6<<4)
}

// halfOffsets are the places of the binary16 numbers in a block.
func halfOffsets(q kernels.QuantType) []int {
	switch q {
	case kernels.Q2_K:
		return []int{80, 82}
	case kernels.Q3_K:
		return []int{108}
	case kernels.Q6_K:
		return []int{208}
	case kernels.Q8_0, kernels.Q4_0, kernels.Q5_0:
		return []int{0}
	default:
		return []int{0, 2}
	}
}

// scaleBits are extreme binary16 scales: zeros, the smallest, a large subnormal,
// the largest numbers, infinities and NaNs.
var scaleBits = []uint16{0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0x7d01}

// blocks returns random blocks: one in four has extreme scales if wild, the
// others scales as weights have them.
func blocks(r *rand.Rand, q kernels.QuantType, n int, wild bool) []byte {
	data := make([]byte, n*q.BlockBytes())
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	for block := range slices.Chunk(data, q.BlockBytes()) {
		for _, at := range halfOffsets(q) {
			h := kernels.Float64ToFloat16(0.01 * r.NormFloat64())
			if wild && r.IntN(4) == 0 {
				h = pick(r, scaleBits)
			}
			binary.LittleEndian.PutUint16(block[at:], h)
		}
	}
	return data
}

func testDequantize(s *suite, t *testing.T) {
	for _, q := range kernels.QuantTypes() {
		t.Run(q.String(), func(t *testing.T) {
			r := s.rng(t)
			n := q.BlockSize()
			for _, dt := range dtypes {
				s.dequantize(t, r, q, dt, 7, 6*n, []int32{6, 0, 0, 3}, true)
				s.dequantize(t, r, q, dt, 7, 3*n, nil, true)
			}
			for _, shape := range [][2]int{{0, n}, {3, 0}, {1, n}, {2, 5 * n}, {129, 2 * n}, {33, 9 * n}, {beyondTiles, n}} {
				s.dequantize(t, r, q, kernels.Float32, shape[0], shape[1], nil, false)
				if shape[0] > 0 {
					s.dequantize(t, r, q, kernels.Float32, shape[0], shape[1], drawn(r, 70, shape[0]), false)
				}
				s.dequantize(t, r, q, kernels.Float32, shape[0], shape[1], []int32{}, false)
			}
		})
	}
}

// dequantize expands random blocks and compares bit by bit; NaNs count as equal.
func (s *suite) dequantize(t *testing.T, r *rand.Rand, q kernels.QuantType, dt kernels.DType, rows, cols int, ids []int32, wild bool) {
	t.Helper()
	what := fmt.Sprintf("Dequantize %s %d x %d to %s, ids %v", q, rows, cols, dt, ids)
	data := blocks(r, q, rows*cols/q.BlockSize(), wild)
	src, err := kernels.OfQuantized(q, data, rows, cols)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	list := ids
	if ids == nil {
		for i := range rows {
			list = append(list, int32(i))
		}
	}
	dst := unset(t, r, dt, len(list), cols)
	before := slices.Clone(data)
	if !s.do(t, s.b.Dequantize(background(), dst.m, src, ids, kernels.Options{}), computes(dst)) {
		return
	}
	dst.intact(t, what)
	if !slices.Equal(before, data) {
		t.Fatalf("%s: the source was touched", what)
	}
	for i, id := range list {
		for k := range cols {
			at := int(id)*src.RowBytes() + k/q.BlockSize()*q.BlockBytes()
			exactly := blockValue(q, data[at:at+q.BlockBytes()], k%q.BlockSize())
			if got := dst.at(i, k); !same(got, rounded(dt, exactly)) {
				t.Fatalf("%s: element (%d, %d) is %v (%#x), want %v, exact value %v, seed %d",
					what, i, k, got, math.Float64bits(got), rounded(dt, exactly), exactly, s.seed)
			}
		}
	}
}
