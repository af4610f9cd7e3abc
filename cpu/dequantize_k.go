package cpu

// The K formats: 256 values in sub-blocks with scales of their own.

func q2K(y []float64, b []byte) {
	scales, qs, d, m := b[:16], b[16:80], half(b[80:]), half(b[82:])
	for i := range y {
		// 128 values share 32 bytes; each 32 of them take two bits of every byte.
		part, shift, lane := i/128, i%128/32*2, i%32
		s := scales[i/16]
		q := qs[part*32+lane] >> shift & 3
		y[i] = d*float64(s&15)*float64(q) - m*float64(s>>4)
	}
}

func q3K(y []float64, b []byte) {
	mask, qs, scales, d := b[:32], b[32:96], b[96:108], half(b[108:])
	for i := range y {
		part, group, lane := i/128, i/32, i%32
		q := int(qs[part*32+lane]>>(i%128/32*2)&3) - 4
		q += int(mask[lane]>>group&1) * 4
		y[i] = d * float64(scale3(scales, i/16)-32) * float64(q)
	}
}

// scale3 returns the k-th of sixteen 6-bit scales in twelve bytes: the low four
// bits in the first eight bytes, the high two in the last four.
func scale3(s []byte, k int) int {
	low := s[k%8] >> (k / 8 * 4) & 15
	high := s[8+k%4] >> (k / 4 * 2) & 3
	return int(low) | int(high)<<4
}

func q4K(y []float64, b []byte) {
	d, m, scales, qs := half(b), half(b[2:]), b[4:16], b[16:144]
	for i := range y {
		s, t := scale4(scales, i/32)
		q := qs[i/64*32+i%32] >> (i % 64 / 32 * 4) & 15
		y[i] = d*s*float64(q) - m*t
	}
}

func q5K(y []float64, b []byte) {
	d, m, scales, high, qs := half(b), half(b[2:]), b[4:16], b[16:48], b[48:176]
	for i := range y {
		s, t := scale4(scales, i/32)
		q := qs[i/64*32+i%32] >> (i % 64 / 32 * 4) & 15
		y[i] = d*s*fiveBits(q, uint32(high[i%32]>>(i/32))) - m*t
	}
}

// scale4 returns the k-th of eight pairs of 6-bit scales and minima in twelve
// bytes: the first four pairs in the low six bits of the first eight bytes, the
// others in the four bits of the last four bytes and the two left over above.
func scale4(s []byte, k int) (scale, minimum float64) {
	if k < 4 {
		return float64(s[k] & 63), float64(s[k+4] & 63)
	}
	return float64(s[k+4]&15 | s[k-4]>>6<<4), float64(s[k+4]>>4 | s[k]>>6<<4)
}

func q6K(y []float64, b []byte) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], half(b[208:])
	for i := range y {
		part, quarter, lane := i/128, i%128/32, i%32
		q := low[part*64+quarter%2*32+lane] >> (quarter / 2 * 4) & 15
		q |= high[part*32+lane] >> (quarter * 2) & 3 << 4
		y[i] = d * float64(int8(scales[i/16])) * (float64(q) - 32) //nolint:gosec // stored as two's complement
	}
}
