package cuda

import (
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// typeClass is a class of source types.
type typeClass uint8

const (
	anyTypes    typeClass = iota // of 16 and 32 bits, mixed
	bothFloat16                  // and nothing else
	bothBFloat16
)

// A rule names the kernel for a class of products.
type rule struct {
	form    kernels.Form
	types   typeClass
	most    int    // the smaller side of dst is at most this; 0: any size
	kernel  string // in kernels/bin/kernels.json
	tile    int    // rows and columns of dst that a block computes
	because string // why not tensor cores
}

const (
	fewRows = "a tile of 128 would be mostly empty"
	noSplit = "float32 sources would have to be split into 16-bit pieces, which no kernel does yet; sources of different types are widened"
)

// productRules choose the kernel of Matmul, and of Gram, which is a product of
// form NT: the first rule that fits serves. docs/cuda.md prints the table.
var productRules = []rule{
	{form: kernels.NT, most: 32, kernel: "product_any_32x32x32", tile: 32, because: fewRows},
	{form: kernels.TN, most: 32, kernel: "product_any_32x32x32", tile: 32, because: fewRows},
	{form: kernels.NN, most: 32, kernel: "product_any_32x32x32", tile: 32, because: fewRows},
	{form: kernels.NT, types: bothBFloat16, kernel: "product_nt_bf16_128x128x32_sm80", tile: 128},
	{form: kernels.TN, types: bothBFloat16, kernel: "product_tn_bf16_128x128x32_sm80", tile: 128},
	{form: kernels.NN, types: bothBFloat16, kernel: "product_nn_bf16_128x128x32_sm80", tile: 128},
	{form: kernels.NT, types: bothFloat16, kernel: "product_nt_f16_128x128x32_sm80", tile: 128},
	{form: kernels.TN, types: bothFloat16, kernel: "product_tn_f16_128x128x32_sm80", tile: 128},
	{form: kernels.NN, types: bothFloat16, kernel: "product_nn_f16_128x128x32_sm80", tile: 128},
	{form: kernels.NT, kernel: "product_any_128x128x16", tile: 128, because: noSplit},
	{form: kernels.TN, kernel: "product_any_128x128x16", tile: 128, because: noSplit},
	{form: kernels.NN, kernel: "product_any_128x128x16", tile: 128, because: noSplit},
}

// productRule returns the rule for rows x cols of dst and the sources' types.
func productRule(form kernels.Form, a, b kernels.DType, rows, cols int) rule {
	class := anyTypes
	switch {
	case a != b:
	case a == kernels.Float16:
		class = bothFloat16
	case a == kernels.BFloat16:
		class = bothBFloat16
	}
	for _, r := range productRules {
		most := r.most
		if most == 0 {
			most = math.MaxInt
		}
		if r.form == form && (r.types == anyTypes || r.types == class) && min(rows, cols) <= most {
			return r
		}
	}
	return rule{} // for an unknown form, which the checks refuse
}
