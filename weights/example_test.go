package weights_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/cambium-kernels/cambium/weights"
)

func ExampleOpen() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "layers.safetensors")

	err = weights.Write(path, []weights.Array{
		weights.Float32s("layer.0", []float32{1, 2, 3, 4, 5, 6}, 2, 3),
		weights.Int64s("step", []int64{1000}),
	}, map[string]string{"format": "np"})
	if err != nil {
		log.Fatal(err)
	}

	f, err := weights.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	for t := range f.Tensors() {
		fmt.Println(t.Name, t.DType, t.Shape)
	}
	layer, err := f.Tensor("layer.0")
	if err != nil {
		log.Fatal(err)
	}
	values := make([]float64, layer.Elements())
	if err := layer.Float64s(values); err != nil {
		log.Fatal(err)
	}
	fmt.Println(values)
	// Output:
	// step I64 []
	// layer.0 F32 [2 3]
	// [1 2 3 4 5 6]
}
