// Package operators holds one use of everything that mutate changes, and of
// what it leaves alone.
package operators

import (
	"fmt"
	"math"
	"runtime"
)

// Matrix has a pitch and a width for the stride operator to confuse.
type Matrix struct {
	Rows, Cols, Stride int
	Data               []float64
}

// At indexes with a stride field.
func (m *Matrix) At(i, j int) float64 { return m.Data[i*m.Stride+j] }

// Width is a column count for the operator to take for a pitch.
func (m Matrix) Width() int { return m.Cols }

// Mirror writes the upper triangle from the lower one.
func Mirror(x []float64, n, stride int) {
	for i := 0; i < n; i++ {
		for j := range i {
			x[j*stride+i] = x[i*stride+j]
		}
	}
}

// Dot sums in steps of two and keeps the tail.
func Dot(x, y []float64) (sum float64) {
	_ = y[len(x)-1]
	i := 0
	for ; i+2 <= len(x); i += 2 {
		sum += x[i]*y[i] + x[i+1]*y[i+1]
	}
	for _, v := range x[i:] {
		sum += v
	}
	return sum
}

// Row is a view by two names for the pitch.
func Row(x []float64, i, ldx, cols int) []float64 { return x[i*ldx : i*ldx+cols] }

// Clamp selects, negates and joins conditions.
func Clamp(x, lo, hi float64, open bool) float64 {
	if x != x || open == true && x > hi {
		return math.NaN()
	}
	if x < lo {
		x = lo
	}
	return math.Min(max(x, lo), hi)
}

// Distance calls with arguments that can change places.
func Distance(x, y float64) (float64, error) {
	if x-y == 0 {
		return 0, fmt.Errorf("distance of %v to %v, %d wrong", x, y, 1+1)
	}
	runtime.KeepAlive(&x)
	check(x > y, "%v is above %v by %v", y, x, x*y)
	return math.Pow(x, y) / float64(float32(y)), nil
}

func check(bool, string, ...any) {}

// Grow calls for effect and hints at a capacity.
func Grow(m *Matrix, n int) []int {
	fill(m.Data, n-1)
	return make([]int, 0, n+1)
}

func fill[T float32 | float64](x []T, n int) {
	for i := range n {
		x[i] += T(i)
	}
	for range x {
		n--
	}
}
