// The ticket by which the last block to finish a piece of work finds out that it is the last.
#pragma once

#include "device.cuh"

namespace cambium {

// take_ticket returns how many took one before. Acquire and release at the scope of the device:
// what the caller's block wrote to global memory before a barrier is seen by whoever takes a later
// ticket and passes a barrier.
__device__ __forceinline__ unsigned take_ticket(unsigned* ticket) {
#ifdef CUDA_EMU
  return atomicAdd(ticket, 1u);
#else
  unsigned before;
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;"
               : "=r"(before)
               : "l"(ticket)
               : "memory");
  return before;
#endif
}

}  // namespace cambium
