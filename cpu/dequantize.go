package cpu

import (
	"context"
	"encoding/binary"

	"github.com/cambium-kernels/cambium/kernels"
)

// Dequantize implements kernels.LayerOps. The exact value of every format fits
// float64, so storing rounds once.
func (b *Backend) Dequantize(ctx context.Context, dst kernels.Matrix, src kernels.Quantized, ids []int32, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpDequantize, kernels.CheckDequantize(kernels.Device{}, dst, src, ids, o)); err != nil {
		return err
	}
	defer b.end()
	data, err := src.Bytes()
	if err != nil {
		return err
	}
	expand, size, bytes := expanders[src.Type], src.Type.BlockSize(), src.Type.BlockBytes()
	return b.eachPiece(ctx, kernels.OpDequantize, o, dst.Rows, dst.Cols, func(ws *workspace, i, j, n int) {
		from := i
		if ids != nil {
			from = int(ids[i])
		}
		line := grow(&ws.vector[0], n)
		blocks := data[from*src.RowBytes()+j/size*bytes:]
		for k := 0; k < n; k += size {
			expand(line[k:k+size], blocks[:bytes])
			blocks = blocks[bytes:]
		}
		storeRow(dst, i, j, line)
	})
}

// expanders expand one block; layouts as in ggml-common.h.
var expanders = [...]func(y []float64, block []byte){
	kernels.Q8_0: q8_0,
	kernels.Q4_0: q4_0, kernels.Q4_1: q4_1,
	kernels.Q5_0: q5_0, kernels.Q5_1: q5_1,
	kernels.Q2_K: q2K, kernels.Q3_K: q3K, kernels.Q4_K: q4K, kernels.Q5_K: q5K, kernels.Q6_K: q6K,
}

// half reads a binary16.
func half(b []byte) float64 {
	return float64(kernels.Float16ToFloat32(binary.LittleEndian.Uint16(b)))
}

func q8_0(y []float64, b []byte) {
	d := half(b)
	for i, q := range b[2:34] {
		y[i] = d * float64(int8(q)) //nolint:gosec // stored as two's complement
	}
}

func q4_0(y []float64, b []byte) {
	d := half(b)
	for i, q := range b[2:18] {
		y[i] = d * (float64(q&15) - 8)
		y[i+16] = d * (float64(q>>4) - 8)
	}
}

func q4_1(y []float64, b []byte) {
	d, m := half(b), half(b[2:])
	for i, q := range b[4:20] {
		y[i] = d*float64(q&15) + m
		y[i+16] = d*float64(q>>4) + m
	}
}

func q5_0(y []float64, b []byte) {
	d, high := half(b), binary.LittleEndian.Uint32(b[2:])
	for i, q := range b[6:22] {
		y[i] = d * (fiveBits(q&15, high>>i) - 16)
		y[i+16] = d * (fiveBits(q>>4, high>>(i+16)) - 16)
	}
}

func q5_1(y []float64, b []byte) {
	d, m, high := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:])
	for i, q := range b[8:24] {
		y[i] = d*fiveBits(q&15, high>>i) + m
		y[i+16] = d*fiveBits(q>>4, high>>(i+16)) + m
	}
}

// fiveBits joins four low bits with the lowest bit of high.
func fiveBits(low byte, high uint32) float64 { return float64(uint32(low) | high&1<<4) }
