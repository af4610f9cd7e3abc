package cpu

import (
	"context"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// RoPE implements kernels.LayerOps.
func (b *Backend) RoPE(ctx context.Context, dst, x kernels.Matrix, positions []int32, p kernels.RoPEParams, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpRoPE, kernels.CheckRoPE(kernels.Device{}, dst, x, positions, p, o)); err != nil {
		return err
	}
	defer b.end()
	scale := p.Scale
	if scale == 0 {
		scale = 1
	}
	pairs := len(p.InvFreq)
	first, second, step := 0, pairs, 1
	if p.Interleaved {
		second, step = 1, 2
	}
	return b.eachRow(ctx, kernels.OpRoPE, o, x.Rows, x.Cols, 2, func(ws *workspace, i int) {
		line := grow(&ws.vector[0], x.Cols)
		loadRow(line, x, i, 0)
		sin, cos := grow(&ws.vector[1], pairs), grow(&ws.vector[2], pairs)
		for k, f := range p.InvFreq {
			s, c := math.Sincos(float64(positions[i]) * f)
			sin[k], cos[k] = scale*s, scale*c
		}
		for head := 0; head < len(line); head += p.HeadDim {
			h := line[head : head+p.HeadDim]
			for k := range pairs {
				u, v := &h[first+k*step], &h[second+k*step]
				*u, *v = *u*cos[k]-*v*sin[k], *v*cos[k]+*u*sin[k]
			}
		}
		storeRow(dst, i, 0, line)
	})
}
