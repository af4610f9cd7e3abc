// A libcuda for machines without a GPU. Device memory is host memory, and a kernel is the emulated
// one of kernels/emu. It is strict where the driver would let a mistake pass:
//
// - Streams do nothing until somebody waits for them, and then no more than what was waited for. A
//   missing wait shows as a wrong result.
// - Memory is surrounded by canaries and begins as NaN. Copies are checked against the allocation
// they
//   fall in, and asynchronous ones must be from or to pinned host memory.
// - A call without a current context, a handle that does not exist and a second free end the
// program
//   with a sentence.
//
// The functions below steer it. They are found by dlsym; package fakecuda calls them.
#pragma once

#include <cstdint>

extern "C" {

// Forgets everything: what was allocated, the log, the faults, the settings.
void fakecuda_reset();

// Lets the call-th driver call from now on (1 is the next) answer code. With forever, all later
// calls of the same function do too. Codes after which a real driver answers every call with an
// error do so here.
void fakecuda_fail(int64_t call, int code, int forever);

// The number of calls since the reset, and their names, one a line; a launch has its kernel's
// behind it. The text is valid until the next call.
int64_t fakecuda_calls();
const char* fakecuda_log_text();

// What the program holds of the driver, one kind a line; empty if nothing. Streams of
// fakecuda_stream do not count.
const char* fakecuda_held();

// The devices: how many, their compute capability, their memory in bytes. cuInit answers init.
void fakecuda_device(int count, int major, int minor, uint64_t memory, int init);

// The order in which the threads of kernels run: emu::seed.
void fakecuda_seed(uint64_t seed);

// A new stream, as another library would make one, on the given device's primary context.
void* fakecuda_stream();
}
