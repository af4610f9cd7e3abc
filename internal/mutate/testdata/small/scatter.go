// Package small holds two loops with a strong and a weak test.
package small

// Scatter sets every stride-th element of dst to its distance from x.
func Scatter(dst, x []float64, stride int) {
	for i := 0; i < len(x); i++ {
		dst[i*stride] = x[i] - dst[i*stride]
	}
}
