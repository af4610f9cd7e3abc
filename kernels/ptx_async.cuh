// cp.async (sm_80): 16 bytes from global to shared memory that bypass the registers.
#pragma once

#include "device.cuh"

namespace cambium {

// copy_async_16 starts a copy of bytes <= 16 bytes; the rest of the 16 becomes zero. Both addresses
// are multiples of 16. With 0 bytes src is not read.
__device__ __forceinline__ void copy_async_16(void* shared_dst,
                                              const void* global_src,
                                              unsigned bytes) {
#ifdef CUDA_EMU
  emu::internal::copy_async(shared_dst, global_src, bytes, 16);
#else
  unsigned dst = static_cast<unsigned>(__cvta_generic_to_shared(shared_dst));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(dst), "l"(global_src),
               "r"(bytes)
               : "memory");
#endif
}

// copy_async_commit closes the group of the copies started since the last one.
__device__ __forceinline__ void copy_async_commit() {
#ifdef CUDA_EMU
  emu::internal::self->groups++;
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// copy_async_wait returns when at most kPending of the thread's latest groups are under way.
template <int kPending>
__device__ __forceinline__ void copy_async_wait() {
#ifdef CUDA_EMU
  emu::internal::copy_async_wait(kPending);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

}  // namespace cambium
