// Package fakecuda steers the fake CUDA driver in driver/: a library in
// place of libcuda.so.1 that runs the kernels on the host emulation, so that
// package cuda can be tested without a GPU. driver/fakecuda.h says what it checks.
//
// driver/build.sh builds the library; the environment variable CUDA_DRIVER_LIB names
// it to the program under test, which needs tag cuda.
package fakecuda
