// Each instruction behind ptx_*.cuh on its own. The same launch on a device and on the emulation
// must give the same bits: the twins are checked before anything that was tested on them.
#include "ptx_async.cuh"
#include "ptx_load.cuh"
#include "ptx_mma.cuh"
#include "ptx_ticket.cuh"

namespace cambium {

template <bool kTranspose>
__device__ __forceinline__ void twin_load_matrix(const unsigned short* in,
                                                 unsigned* out,
                                                 long long row_elements) {
  SHARED(unsigned short[32 * 32], memory);
  int lane = int(threadIdx.x);
  for (int i = lane; i < 32 * row_elements; i += kWarpSize) memory[i] = in[i];
  __syncthreads();
  unsigned r[4];
  load_matrix_x4<kTranspose>(r, memory + lane * row_elements);
#pragma unroll
  for (int q = 0; q < 4; q++) out[lane * 4 + q] = r[q];
}

template <class T>
__device__ __forceinline__ void twin_multiply(const unsigned* a, const unsigned* b, float* c) {
  int lane = int(threadIdx.x);
  unsigned x[4], y[2];
  float z[4];
#pragma unroll
  for (int i = 0; i < 4; i++) x[i] = a[lane * 4 + i], z[i] = c[lane * 4 + i];
#pragma unroll
  for (int i = 0; i < 2; i++) y[i] = b[lane * 2 + i];
  multiply_16x8x16(T{}, z, x, y);
#pragma unroll
  for (int i = 0; i < 4; i++) c[lane * 4 + i] = z[i];
}

}  // namespace cambium

// One warp: in has 32 rows of row_elements (8, 16, 24 or 32), out the 4 registers of each lane.
extern "C" __global__ void __launch_bounds__(32) twin_ldmatrix(const unsigned short* in,
                                                               unsigned* out,
                                                               long long row_elements) {
  cambium::twin_load_matrix<false>(in, out, row_elements);
}
extern "C" __global__ void __launch_bounds__(32) twin_ldmatrix_trans(const unsigned short* in,
                                                                     unsigned* out,
                                                                     long long row_elements) {
  cambium::twin_load_matrix<true>(in, out, row_elements);
}

// One warp: a holds 4 registers of each lane, b 2, c 4, which the result replaces.
extern "C" __global__ void __launch_bounds__(32) twin_mma_bf16(const unsigned* a,
                                                               const unsigned* b,
                                                               float* c) {
  cambium::twin_multiply<cambium::BFloat>(a, b, c);
}
extern "C" __global__ void __launch_bounds__(32) twin_mma_f16(const unsigned* a,
                                                              const unsigned* b,
                                                              float* c) {
  cambium::twin_multiply<cambium::Half>(a, b, c);
}

// 32 threads: out[16t] to out[16t + 15] are the first counts[t] <= 16 bytes of those of in, then
// zeros. Two groups, waited for one after the other.
extern "C" __global__ void __launch_bounds__(32) twin_cp_async(const unsigned char* in,
                                                               const unsigned* counts,
                                                               unsigned char* out) {
  using namespace cambium;
  SHARED(uint4[32], memory);
  int lane = int(threadIdx.x);
  if (lane < 16) copy_async_16(&memory[lane], in + lane * 16, counts[lane]);
  copy_async_commit();
  if (lane >= 16) copy_async_16(&memory[lane], in + lane * 16, counts[lane]);
  copy_async_commit();
  copy_async_wait<1>();
  if (lane < 16) store_16(out + lane * 16, memory[lane]);
  copy_async_wait<0>();
  if (lane >= 16) store_16(out + lane * 16, memory[lane]);
}

// One block of 256: widened[i] for all 65536 binary16 numbers by index; narrow[i] and odd[i] are
// values rounded to binary16 and, to odd, to float32.
extern "C" __global__ void __launch_bounds__(256) twin_convert(
    const double* values, long long count, float* widened, unsigned short* narrow, float* odd) {
  using namespace cambium;
  for (int i = int(threadIdx.x); i < 65536; i += 256)
    widened[i] = half_bits_to_float((unsigned short)(i));
  for (long long i = threadIdx.x; i < count; i += 256) {
    narrow[i] = float_to_half_bits(float(values[i]));
    odd[i] = round_to_odd(values[i]);
  }
}

// Any grid: out[b] is the ticket of block b, copied by way of 16-byte loads and stores from in.
extern "C" __global__ void __launch_bounds__(32) twin_ticket(unsigned* ticket,
                                                             const uint4* in,
                                                             uint4* out,
                                                             unsigned* taken) {
  using namespace cambium;
  if (threadIdx.x != 0) return;
  store_16(&out[blockIdx.x], load_stream_16(&in[blockIdx.x]));
  taken[blockIdx.x] = take_ticket(ticket);
}
