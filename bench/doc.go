// Package bench holds the benchmarks. Names are Benchmark<Op>/<shape>/<dtype>/<backend>/<tier>;
// GFLOP/s count useful operations: n(n+1)d for Gram, 2mnk for a product. Peers run
// in the same process on the same data, and results are compared before times.
//
//	./build.sh bench -bench='Gram|Matmul' -cpu=1 -count=5
package bench
