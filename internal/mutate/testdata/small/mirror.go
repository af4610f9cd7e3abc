package small

// Mirror copies the lower triangle of an n x n matrix to the upper one.
func Mirror(x []float64, n int) {
	for i := 0; i < n; i++ {
		for j := range i {
			x[j*n+i] = x[i*n+j]
		}
	}
}
