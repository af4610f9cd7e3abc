// Sums over a block in a fixed order.
#pragma once

#include "device.cuh"

namespace cambium {

// sum_block adds kCount sums over the kThreads threads of a block and returns them in threads
// 0 to kCount-1, one each; the result of the others is undefined. All threads call it. parts is
// free again after the next barrier.
template <int kThreads, int kCount>
__device__ __forceinline__ double sum_block(const double (&sums)[kCount],
                                            double (&parts)[kCount][kThreads / kWarpSize]) {
  int thread = int(threadIdx.x), warp = thread / kWarpSize;
#pragma unroll
  for (int k = 0; k < kCount; k++) {
    double s = sums[k];
#pragma unroll
    for (int o = kWarpSize / 2; o > 0; o /= 2) s += __shfl_xor_sync(kAllLanes, s, o);
    if (thread % kWarpSize == 0) parts[k][warp] = s;
  }
  __syncthreads();
  double total = 0;
  if (thread < kCount) {
    for (int w = 0; w < kThreads / kWarpSize; w++) total += parts[thread][w];
  }
  return total;
}

}  // namespace cambium
