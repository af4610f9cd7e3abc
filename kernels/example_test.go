package kernels_test

import (
	"bytes"
	"fmt"

	"github.com/cambium-kernels/cambium/kernels"
)

func ExampleOf() {
	// 2 x 3 values in rows of 4: the last of each row is padding.
	data := []float32{1, 2, 3, 0, 4, 5, 6, 0}
	m, err := kernels.Of(data, 2, 3, 4)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Rows, "x", m.Cols, m.DType, "on", m.Device)

	_, err = kernels.Of(data, 3, 3, 4)
	fmt.Println(err)
	// Output:
	// 2 x 3 f32 on host
	// kernels: Of: 3 x 3 f32 with stride 4 does not fit memory of 32 bytes: shape mismatch
}

func ExampleMatrix_View() {
	m, err := kernels.Of([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9}, 3, 3, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := m.View(1, 0, 2, 2) // rows 1 and 2, columns 0 and 1
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := kernels.Floats[float64](v)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s[0], s[1], s[v.Stride], s[v.Stride+1])
	s[0] = 40 // the view shares the matrix's memory
	whole, err := kernels.Floats[float64](m)
	fmt.Println(whole, err)
	// Output:
	// 4 5 7 8
	// [1 2 3 40 5 6 7 8 9] <nil>
}

func ExampleAccumulator() {
	values := []float64{1e16, 1, -1e16, 1e-300, 1}

	plain := 0.0
	var all, head, tail kernels.Accumulator
	for i, v := range values {
		plain += v
		all.Add(v)
		if i < 2 {
			head.Add(v)
		} else {
			tail.Add(v)
		}
	}
	tail.Merge(&head) // any grouping, any order

	a, _ := all.MarshalBinary()
	b, _ := tail.MarshalBinary()
	fmt.Println(plain, all.Sum(), tail.Sum())
	fmt.Println(len(a), "bytes, equal:", bytes.Equal(a, b))
	// Output:
	// 1 2 2
	// 536 bytes, equal: true
}

// A program opens its backends, wraps them, and reports a fallback when it is
// done, here with cuda and cpu as stand-ins for the backends' constructors.
func ExampleWithFallback() {
	run := func(cuda, cpu kernels.Backend) {
		b := kernels.WithFallback(cuda, cpu)
		defer func() {
			if err := b.Close(); err != nil {
				fmt.Println(err)
			}
		}()

		// ... computes with b ...

		if info := b.Info(); info.Fallback != nil {
			fmt.Println("finished on", info.Name, "because", info.Fallback)
		}
	}
	_ = run
}
