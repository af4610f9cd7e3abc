//go:build ignore

package operators

func ignored(x []int, i int) int { return x[i] + 1 }
