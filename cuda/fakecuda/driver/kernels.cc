// The emulated kernels by name. Their list is that of kernels/bin/kernels.json, without a symbol of
// which the backend does not open.
#include "kernels.h"

#include "../../../kernels/center.cu"
#include "../../../kernels/convert.cu"
#include "../../../kernels/product.cu"
#include "../../../kernels/rotation.cu"
#include "../../../kernels/twins.cu"

namespace fake {
namespace {

template <class... P, size_t... I>
Launcher launcher(void (*kernel)(P...), std::index_sequence<I...>) {
  return [kernel](dim3 grid, dim3 block, size_t shared, const uint64_t* args) {
    auto as = [](auto* type, uint64_t bits) {
      std::remove_pointer_t<decltype(type)> v;
      static_assert(sizeof v == sizeof bits, "parameters have 8 bytes");
      memcpy(&v, &bits, sizeof v);
      return v;
    };
    emu::launch(kernel, grid, block, shared, as(static_cast<P*>(nullptr), args[I])...);
  };
}

template <class... P>
Kernel entry(void (*kernel)(P...)) {
  return {launcher(kernel, std::index_sequence_for<P...>()), sizeof...(P)};
}

}  // namespace

const std::map<std::string, Kernel>& kernels() {
  static const std::map<std::string, Kernel> table = {
      {"center_apply", entry(center_apply)},
      {"center_mean", entry(center_mean)},
      {"convert", entry(convert)},
      {"product_any_32x32x32", entry(product_any_32x32x32)},
      {"product_any_128x128x16", entry(product_any_128x128x16)},
      {"product_nt_bf16_128x128x32_sm80", entry(product_nt_bf16_128x128x32_sm80)},
      {"product_nt_f16_128x128x32_sm80", entry(product_nt_f16_128x128x32_sm80)},
      {"product_tn_bf16_128x128x32_sm80", entry(product_tn_bf16_128x128x32_sm80)},
      {"product_tn_f16_128x128x32_sm80", entry(product_tn_f16_128x128x32_sm80)},
      {"product_nn_bf16_128x128x32_sm80", entry(product_nn_bf16_128x128x32_sm80)},
      {"product_nn_f16_128x128x32_sm80", entry(product_nn_f16_128x128x32_sm80)},
      {"rotation", entry(rotation)},
      {"twin_convert", entry(twin_convert)},
      {"twin_cp_async", entry(twin_cp_async)},
      {"twin_ldmatrix", entry(twin_ldmatrix)},
      {"twin_ldmatrix_trans", entry(twin_ldmatrix_trans)},
      {"twin_mma_bf16", entry(twin_mma_bf16)},
      {"twin_mma_f16", entry(twin_mma_f16)},
      {"twin_ticket", entry(twin_ticket)},
  };
  return table;
}

void set_order(uint64_t seed) { emu::seed = seed; }

}  // namespace fake
