// Gram matrices and products of a batch, one block for each tile of dst.
//
// All kernels have the same parameters: count items, in the order of first_tile, and the scalars.
// The grid has as many blocks as there are tiles. With T = ceil(rows/tile) and U = ceil(cols/tile)
// an item has T·U tiles, a Gram matrix T(T+1)/2, and an empty dst none. A Gram matrix is a product
// of form NT in symmetric or packed storage; it and ordinary products may share a launch.
#include "product_mma.cuh"
#include "product_simt.cuh"
#include "product_small.cuh"

// Any types and form, tiles of 32: for results of few rows or columns.
extern "C" __global__ void __launch_bounds__(256) product_any_32x32x32(
    const cambium::ProductItem* items, long long count, double alpha, double beta) {
  cambium::multiply_small(items, count, alpha, beta);
}

// Any types and form, on the float32 units.
DYNAMIC_SHARED_BYTES(product_any_128x128x16, cambium::kSimtShared);
extern "C" __global__ void __launch_bounds__(256) product_any_128x128x16(
    const cambium::ProductItem* items, long long count, double alpha, double beta) {
  cambium::multiply_simt(items, count, alpha, beta);
}

// On tensor cores: both operands of the type and of the form that the name says.

DYNAMIC_SHARED_BYTES(product_nt_bf16_128x128x32_sm80, cambium::kMmaShared);
extern "C" __global__ void __launch_bounds__(256) product_nt_bf16_128x128x32_sm80(
    const cambium::ProductItem* items, long long count, double alpha, double beta) {
  cambium::multiply_mma<cambium::BFloat, false, false>(items, count, alpha, beta);
}

DYNAMIC_SHARED_BYTES(product_nt_f16_128x128x32_sm80, cambium::kMmaShared);
extern "C" __global__ void __launch_bounds__(256) product_nt_f16_128x128x32_sm80(
    const cambium::ProductItem* items, long long count, double alpha, double beta) {
  cambium::multiply_mma<cambium::Half, false, false>(items, count, alpha, beta);
}

DYNAMIC_SHARED_BYTES(product_tn_bf16_128x128x32_sm80, cambium::kMmaShared);
extern "C" __global__ void __launch_bounds__(256) product_tn_bf16_128x128x32_sm80(
    const cambium::ProductItem* items, long long count, double alpha, double beta) {
  cambium::multiply_mma<cambium::BFloat, true, true>(items, count, alpha, beta);
}

DYNAMIC_SHARED_BYTES(product_tn_f16_128x128x32_sm80, cambium::kMmaShared);
extern "C" __global__ void __launch_bounds__(256) product_tn_f16_128x128x32_sm80(
    const cambium::ProductItem* items, long long count, double alpha, double beta) {
  cambium::multiply_mma<cambium::Half, true, true>(items, count, alpha, beta);
}

DYNAMIC_SHARED_BYTES(product_nn_bf16_128x128x32_sm80, cambium::kMmaShared);
extern "C" __global__ void __launch_bounds__(256) product_nn_bf16_128x128x32_sm80(
    const cambium::ProductItem* items, long long count, double alpha, double beta) {
  cambium::multiply_mma<cambium::BFloat, false, true>(items, count, alpha, beta);
}

DYNAMIC_SHARED_BYTES(product_nn_f16_128x128x32_sm80, cambium::kMmaShared);
extern "C" __global__ void __launch_bounds__(256) product_nn_f16_128x128x32_sm80(
    const cambium::ProductItem* items, long long count, double alpha, double beta) {
  cambium::multiply_mma<cambium::Half, false, true>(items, count, alpha, beta);
}
