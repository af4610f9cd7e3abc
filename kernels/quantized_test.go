package kernels

import (
	"math"
	"testing"
	"unsafe"
)

// TestQuantFormats derives the bytes of a block from its parts, as ggml-common.h
// lays them out.
func TestQuantFormats(t *testing.T) {
	const half = 2
	for _, c := range []struct {
		q           QuantType
		name        string
		size, bytes int
	}{
		{Q8_0, "Q8_0", 32, half + 32},
		{Q4_0, "Q4_0", 32, half + 32/2},
		{Q4_1, "Q4_1", 32, 2*half + 32/2},
		{Q5_0, "Q5_0", 32, half + 32/8 + 32/2},
		{Q5_1, "Q5_1", 32, 2*half + 32/8 + 32/2},
		{Q2_K, "Q2_K", 256, 256/16 + 256/4 + 2*half},
		{Q3_K, "Q3_K", 256, 256/8 + 256/4 + 12 + half},
		{Q4_K, "Q4_K", 256, 2*half + 12 + 256/2},
		{Q5_K, "Q5_K", 256, 2*half + 12 + 256/8 + 256/2},
		{Q6_K, "Q6_K", 256, 256/2 + 256/4 + 256/16 + half},
		{quantCount, "QuantType(10)", 0, 0},
		{255, "QuantType(255)", 0, 0},
	} {
		if c.q.String() != c.name || c.q.BlockSize() != c.size || c.q.BlockBytes() != c.bytes || c.q.Valid() != (c.size > 0) {
			t.Errorf("%s: %d values in %d bytes, valid %v; want %s: %d in %d", c.q, c.q.BlockSize(), c.q.BlockBytes(), c.q.Valid(), c.name, c.size, c.bytes)
		}
	}
	all := QuantTypes()
	if len(all) != 10 || all[0] != Q8_0 || all[9] != Q6_K {
		t.Errorf("QuantTypes gives %v", all)
	}
}

func TestOfQuantized(t *testing.T) {
	for _, c := range []struct {
		name       string
		q          QuantType
		length     int
		rows, cols int
		want       error
		says       string
	}{
		{"fits", Q4_0, 3 * 2 * 18, 3, 64, nil, ""},
		{"room to spare", Q6_K, 1000, 2, 256, nil, ""},
		{"no rows", Q4_0, 0, 0, 64, nil, ""},
		{"no cols", Q4_0, 0, 9, 0, nil, ""},
		{"many empty rows", Q4_0, 0, math.MaxInt, 0, nil, ""},
		{"no rows of any length", Q4_0, 0, 0, math.MaxInt / 32 * 32, nil, ""},
		{"one byte short", Q4_0, 3*2*18 - 1, 3, 64, ErrShape, "OfQuantized: 3 x 64 Q4_0 does not fit memory of 107 bytes"},
		{"negative rows", Q4_0, 36, -1, 64, ErrShape, "size -1 x 64 is negative"},
		{"negative cols", Q4_0, 36, 1, -64, ErrShape, "size 1 x -64 is negative"},
		{"part of a block", Q4_K, 1000, 1, 128, ErrShape, "cols 128 is no multiple of Q4_K's block of 256"},
		{"format", 10, 1000, 1, 256, ErrUnsupported, "OfQuantized: format QuantType(10)"},
		{"rows overflow", Q4_0, 36, math.MaxInt, 64, ErrShape, "does not fit"},
		{"cols overflow", Q8_0, 36, 1, math.MaxInt / 32 * 32, ErrShape, "does not fit"},
		{"rows by bytes wraps to 0", Q8_0, 36, 1 << (intBits - 2), 64, ErrShape, "does not fit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := make([]byte, c.length)
			q, err := OfQuantized(c.q, data, c.rows, c.cols)
			wantError(t, err, c.want, c.says)
			if c.want != nil {
				if q != (Quantized{}) {
					t.Errorf("got %+v with the error", q)
				}
				return
			}
			b, err := q.Bytes()
			if err != nil || len(b) != c.rows*q.RowBytes() {
				t.Fatalf("Bytes gives %d bytes, %v", len(b), err)
			}
			if len(b) > 0 {
				b[0] = 77
				if data[0] != 77 || q.Address() != uintptr(unsafe.Pointer(&data[0])) {
					t.Error("Bytes does not share the memory")
				}
			}
		})
	}
}

func TestForeignQuantized(t *testing.T) {
	for _, c := range []struct {
		name       string
		dev        Device
		ptr        uintptr
		q          QuantType
		rows, cols int
		want       error
		says       string
	}{
		{"device", cuda0, cudaAddress, Q4_K, 3, 512, nil, ""},
		{"empty, any address", cuda0, 3, Q4_K, 0, 512, nil, ""},
		{"nil", cuda0, 0, Q4_K, 3, 512, ErrShape, "ForeignQuantized: 3 x 512 without memory"},
		{"odd", cuda0, cudaAddress + 1, Q4_K, 3, 512, ErrShape, "odd or beyond the address space"},
		{"wraps", cuda0, math.MaxUint - 143, Q4_K, 3, 512, ErrShape, "address"},
		{"format", cuda0, cudaAddress, 99, 3, 512, ErrUnsupported, "format QuantType(99)"},
		{"huge", cuda0, cudaAddress, Q8_0, math.MaxInt, 1 << 20, ErrShape, "does not fit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := ForeignQuantized(c.dev, c.ptr, c.q, c.rows, c.cols, nil)
			wantError(t, err, c.want, c.says)
			if c.want != nil {
				return
			}
			if want := c.ptr; c.rows > 0 && q.Address() != want || c.rows == 0 && q.Address() != 0 {
				t.Errorf("at %#x", q.Address())
			}
			if c.rows > 0 {
				_, err = q.Bytes()
				wantError(t, err, ErrDevice, "kernels: Bytes: weights are on cuda:0")
			}
		})
	}
	data := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18}
	q := must(ForeignQuantized(Device{}, uintptr(unsafe.Pointer(&data[0])), Q4_0, 1, 32, data))
	if b := must(q.Bytes()); &b[0] != &data[0] || len(b) != 18 {
		t.Errorf("Bytes of host memory gives %v", b)
	}
}

func TestQuantizedTampering(t *testing.T) {
	host := must(OfQuantized(Q4_0, make([]byte, 4*36), 4, 64))
	dev := must(ForeignQuantized(cuda0, cudaAddress, Q4_0, 4, 64, nil))
	for _, c := range []struct {
		name string
		q    Quantized
		edit func(*Quantized)
		want error
		says string
	}{
		{"fewer rows", host, func(q *Quantized) { q.Rows = 3 }, nil, ""},
		{"more rows", host, func(q *Quantized) { q.Rows = 5 }, ErrShape, "5 x 64 Q4_0 does not fit memory of 144 bytes"},
		{"more cols", host, func(q *Quantized) { q.Cols = 96 }, ErrShape, "does not fit"},
		{"wider format", host, func(q *Quantized) { q.Type = Q8_0 }, ErrShape, "does not fit"},
		{"unknown format", host, func(q *Quantized) { q.Type = 200 }, ErrUnsupported, "QuantType(200)"},
		{"another place", host, func(q *Quantized) { q.Device = cuda0 }, ErrDevice, "device cuda:0 for memory on host"},
		{"another device", dev, func(q *Quantized) { q.Device = cuda1 }, ErrDevice, "device cuda:1 for memory on cuda:0"},
		{"device: more rows", dev, func(q *Quantized) { q.Rows = 5 }, ErrShape, "does not fit memory of 144 bytes"},
		{"zero value with a size", Quantized{}, func(q *Quantized) { q.Rows, q.Cols = 1, 32 }, ErrShape, "memory of 0 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := c.q
			c.edit(&q)
			wantError(t, q.Validate(), c.want, c.says)
			if q.Device == (Device{}) {
				_, err := q.Bytes()
				wantError(t, err, c.want, c.says)
			}
			if !q.Type.Valid() && q.RowBytes() != 0 {
				t.Errorf("a row of an unknown format has %d bytes", q.RowBytes())
			}
		})
	}
}
