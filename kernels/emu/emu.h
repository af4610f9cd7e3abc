// The CUDA execution model on the host: the threads of a block are fibers that change places at
// barriers and warp collectives. README.md says what is modelled and what is not.
#pragma once

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fiber.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
  unsigned x, y, z;
};

namespace emu {

// An Error is what the emulation found wrong with a kernel or its launch.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The order in which threads run between two points where they wait for each other, and the order
// of the blocks: 0 by index, 1 backwards, any other value shuffled, with blocks side by side.
inline uint64_t seed = 0;

// Counters of everything run since the program began.
struct Stats {
  uint64_t launches = 0, blocks = 0, barriers = 0, async_copies = 0, ldmatrix = 0, mma = 0;
  uint64_t bank_conflicts = 0;  // extra passes over shared memory that ldmatrix needed
};
inline Stats stats;

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr size_t kMaxDynamicShared = 227 << 10;  // of sm_90; portable kernels stay below 99 KiB
constexpr unsigned char kPoison = 0xff;          // a NaN in every floating-point type
constexpr unsigned char kGuard = 0xa7;

namespace internal {

enum class State : uint8_t { kReady, kWaiting, kDone };

struct AsyncCopy {
  void* dst;
  const void* src;
  unsigned bytes, filled;  // bytes come from src, the others up to filled are zero
  unsigned group;
};

struct Block;
struct Warp;

struct Thread {
  Fiber fiber;
  Block* block = nullptr;
  uint3 index{};
  unsigned linear = 0, lane = 0;
  Warp* warp = nullptr;
  State state = State::kDone;
  const char* waits_for = nullptr;
  std::vector<AsyncCopy> copies;  // not yet arrived
  unsigned groups = 0;            // committed
};

// The arguments of the lanes that take part in a collective; null for the others.
struct Lanes {
  void* arg[kWarp] = {};
  uint32_t mask = 0;  // those that take part: named and not exited
};
using Handler = void (*)(Lanes&);

struct Rendezvous {
  const char* name;
  uint32_t mask;  // as the lanes gave it
  Handler handler;
  Lanes lanes;
};

struct Warp {
  uint32_t live = 0;
  std::vector<Rendezvous> pending;
  Thread* thread[kWarp] = {};
};

struct Barrier {
  unsigned arrived = 0, expected = 0;
  const char* file = nullptr;
  int line = 0;
  std::vector<Thread*> waiting;
};
constexpr unsigned kBarriers = 16;

// Shared memory of a block: the dynamic part first, then each SHARED variable when a thread first
// reaches it, with guard zones between.
struct SharedMemory {
  static constexpr size_t kBytes = size_t{512} << 10, kZone = 256;
  struct Part {
    size_t begin, bytes;
    bool placed;
  };
  std::unique_ptr<unsigned char[]> memory{new unsigned char[kBytes + 1024]};
  unsigned char* base = memory.get() + (1024 - reinterpret_cast<uintptr_t>(memory.get()) % 1024);
  size_t used = 0, reach = kBytes;
  std::vector<Part> parts;  // part 0 is the dynamic one

  void reset(size_t dynamic) {
    ASAN_UNPOISON_MEMORY_REGION(base, kBytes);
    memset(base, kGuard, reach);
    for (Part& p : parts) p.placed = false;
    used = 0;
    place(0, dynamic, 1024);
    ASAN_POISON_MEMORY_REGION(base + used, kBytes - used);
  }
  void* place(size_t id, size_t bytes, size_t align);
  void check(bool& broken) {
    ASAN_UNPOISON_MEMORY_REGION(base, kBytes);
    size_t at = 0;
    std::vector<Part> placed;
    for (const Part& p : parts)
      if (p.placed) placed.push_back(p);
    std::sort(placed.begin(), placed.end(), [](auto& a, auto& b) { return a.begin < b.begin; });
    for (const Part& p : placed) {
      for (; at < p.begin; at++) broken |= base[at] != kGuard;
      at = p.begin + p.bytes;
    }
    for (; at < used; at++) broken |= base[at] != kGuard;
    reach = used;
  }
};

struct Block {
  uint3 index{};
  unsigned live = 0;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Barrier barriers[kBarriers];
  SharedMemory shared;
};

// Blocks that run side by side where the order is shuffled: what one has written only in part,
// another can see.
constexpr size_t kResident = 3;

struct Launch {
  dim3 grid, dim;
  std::function<void()> body;
  Block resident[kResident];
  bool failed = false;
  char message[512] = {};
};
inline Launch current_launch;
inline Thread* self = nullptr;  // the running thread

// fail ends the launch with an Error. On a fiber nothing is unwound: its stack is dropped, which is
// why no C++ object with a destructor may live on the way here.
[[noreturn, gnu::format(printf, 1, 2)]] inline void fail(const char* format, ...) {
  va_list args;
  va_start(args, format);
  Launch& l = current_launch;
  int n = vsnprintf(l.message, sizeof l.message, format, args);
  va_end(args);
  if (self == nullptr) throw Error(l.message);
  uint3 b = self->block->index, t = self->index;
  if (n > 0 && size_t(n) < sizeof l.message)
    snprintf(l.message + n, sizeof l.message - size_t(n), " (block %u,%u,%u thread %u,%u,%u)", b.x,
             b.y, b.z, t.x, t.y, t.z);
  l.failed = true;
  self->fiber.yield(true);
  abort();
}

inline void wait(const char* what) {
  Thread& t = *self;
  t.state = State::kWaiting;
  t.waits_for = what;
  t.fiber.yield();
}

inline void* SharedMemory::place(size_t id, size_t bytes, size_t align) {
  if (parts.size() <= id) parts.resize(id + 1, {0, 0, false});
  Part& p = parts[id];
  if (!p.placed) {
    size_t begin = (used + align - 1) / align * align;
    if (begin + bytes + kZone > kBytes) fail("shared memory: more than %zu bytes", kBytes);
    p = {begin, bytes, true};
    ASAN_UNPOISON_MEMORY_REGION(base + begin, bytes);
    memset(base + begin, kPoison, bytes);
    used = begin + bytes + kZone;
    if (used > reach) {
      ASAN_UNPOISON_MEMORY_REGION(base + reach, used - reach);
      memset(base + reach, kGuard, used - reach);
      reach = used;
      memset(base + begin, kPoison, bytes);
    }
    ASAN_POISON_MEMORY_REGION(base + begin + bytes, kZone);
  }
  return base + p.begin;
}

// Barriers. count 0 stands for all threads of the block that have not exited.

inline bool complete(const Barrier& b) {
  return b.arrived > 0 && b.arrived >= (b.expected == 0 ? self->block->live : b.expected);
}

inline void release(Barrier& b) {
  stats.barriers++;
  for (Thread* t : b.waiting) t->state = State::kReady;
  b.waiting.clear();
  b.arrived = 0;
}

inline void barrier(unsigned id, unsigned count, bool waits, const char* file, int line) {
  if (id >= kBarriers) fail("%s:%d: barrier %u: there are %u", file, line, id, kBarriers);
  if (count % kWarp != 0) fail("%s:%d: barrier of %u threads: not whole warps", file, line, count);
  Barrier& b = self->block->barriers[id];
  if (b.arrived == 0) {
    b.expected = count;
    b.file = file;
    b.line = line;
  } else if (b.expected != count) {
    fail("%s:%d: barrier %u for %u threads, others expect %u at %s:%d", file, line, id, count,
         b.expected, b.file, b.line);
  } else if (count == 0 && (b.line != line || strcmp(b.file, file) != 0)) {
    fail("divergent barrier: threads of one block wait at %s:%d and at %s:%d", file, line, b.file,
         b.line);
  }
  b.arrived++;
  if (complete(b)) {
    release(b);
  } else if (waits) {
    b.waiting.push_back(self);
    wait("a barrier");
  }
}

// Warp collectives. The last lane to arrive runs the handler on the arguments of all.

inline void finish(Warp& w, size_t i) {
  Rendezvous r = w.pending[i];
  w.pending.erase(w.pending.begin() + std::ptrdiff_t(i));
  r.handler(r.lanes);
  for (unsigned l = 0; l < kWarp; l++)
    if (r.lanes.mask >> l & 1) w.thread[l]->state = State::kReady;
}

// collective returns when all lanes of mask have called it with the same name and mask.
inline void collective(const char* name, uint32_t mask, void* arg, Handler handler) {
  Thread& t = *self;
  Warp& w = *t.warp;
  uint32_t bit = uint32_t{1} << t.lane;
  if ((mask & bit) == 0)
    fail("%s: lane %u calls with mask %08x, without itself", name, t.lane, mask);
  size_t i = 0;
  while (i < w.pending.size() && (w.pending[i].mask & mask) == 0) i++;
  if (i == w.pending.size()) {
    w.pending.push_back({name, mask, handler, {}});
  } else if (w.pending[i].mask != mask || w.pending[i].handler != handler) {
    fail("%s with mask %08x: lanes of it wait in %s with mask %08x", name, mask, w.pending[i].name,
         w.pending[i].mask);
  }
  Rendezvous& r = w.pending[i];
  r.lanes.arg[t.lane] = arg;
  r.lanes.mask |= bit;
  if (r.lanes.mask == (mask & w.live)) {
    finish(w, i);
  } else {
    wait(name);
  }
}

// whole_warp is a collective that the hardware defines for 32 converged lanes alone.
inline void whole_warp(const char* name, void* arg, Handler handler) {
  if (self->warp->live != ~uint32_t{0}) fail("%s: lanes of the warp have exited", name);
  collective(name, ~uint32_t{0}, arg, handler);
}

template <class T>
T& lane_arg(Lanes& lanes, unsigned lane) {
  return *static_cast<T*>(lanes.arg[lane]);
}

// is_shared reports whether all bytes lie in one part of the block's shared memory.
inline bool is_shared(const void* p, size_t bytes) {
  const SharedMemory& s = self->block->shared;
  auto at = reinterpret_cast<uintptr_t>(p) - reinterpret_cast<uintptr_t>(s.base);
  for (const auto& part : s.parts)
    if (part.placed && at >= part.begin && at + bytes <= part.begin + part.bytes) return true;
  return false;
}

inline void exit_thread() {
  Thread& t = *self;
  if (!t.copies.empty()) fail("a thread exits with %zu copies in flight", t.copies.size());
  t.state = State::kDone;
  self->block->live--;
  Warp& w = *t.warp;
  w.live &= ~(uint32_t{1} << t.lane);
  for (size_t i = w.pending.size(); i-- > 0;)
    if (w.pending[i].lanes.mask == (w.pending[i].mask & w.live)) finish(w, i);
  for (Barrier& b : self->block->barriers)  // those of all threads wait for the living alone
    if (b.expected == 0 && complete(b)) release(b);
}

inline void thread_main() {
  Fiber::entered();
  current_launch.body();
  exit_thread();
  self->fiber.finish();
  abort();
}

inline uint64_t random_state = 1;
inline uint64_t random_below(uint64_t n) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (random_state >> 33) % n;
}

template <class T>
void order(std::vector<T>& list) {
  if (seed == 1) std::reverse(list.begin(), list.end());
  if (seed > 1)
    for (size_t i = list.size(); i > 1; i--) std::swap(list[i - 1], list[random_below(i)]);
}

inline void start_block(Block& block, uint3 index, size_t dynamic) {
  dim3 dim = current_launch.dim;
  unsigned n = dim.x * dim.y * dim.z;
  block.index = index;
  block.threads.resize(std::max(block.threads.size(), size_t(n)));
  block.warps.resize((n + kWarp - 1) / kWarp);
  for (Warp& w : block.warps) w = Warp();
  for (Barrier& b : block.barriers) b = Barrier();
  for (unsigned i = 0; i < n; i++) {
    Thread& t = block.threads[i];
    t.block = &block;
    t.index = {i % dim.x, i / dim.x % dim.y, i / dim.x / dim.y};
    t.linear = i;
    t.lane = i % kWarp;
    t.warp = &block.warps[i / kWarp];
    t.warp->live |= uint32_t{1} << t.lane;
    t.warp->thread[t.lane] = &t;
    t.state = State::kReady;
    t.copies.clear();
    t.groups = 0;
    t.fiber.start(thread_main);
  }
  block.live = n;
  block.shared.reset(dynamic);
}

inline void end_block(Block& block) {
  bool broken = false;
  block.shared.check(broken);
  uint3 i = block.index;
  if (broken) fail("shared memory was written out of bounds in block %u,%u,%u", i.x, i.y, i.z);
  for (const Barrier& b : block.barriers)
    if (b.arrived > 0) fail("a barrier with %u arrivals is left at the end of a block", b.arrived);
  stats.blocks++;
}

[[noreturn]] inline void deadlock() {
  std::string text = "deadlock:";
  int shown = 0;
  for (const Block& b : current_launch.resident)
    for (const Warp& w : b.warps)
      for (const Thread* t : w.thread)
        if (b.live > 0 && t != nullptr && t->state == State::kWaiting && shown++ < 4)
          text += " thread " + std::to_string(t->linear) + " of block " +
                  std::to_string(b.index.x) + "," + std::to_string(b.index.y) + "," +
                  std::to_string(b.index.z) + " waits for " + t->waits_for + ";";
  throw Error(text + " no thread can go on");
}

// run_threads resumes each thread that can go on, once.
inline void run_threads() {
  static std::vector<Thread*> ready;
  ready.clear();
  for (Block& b : current_launch.resident)
    for (size_t i = 0; b.live > 0 && i < b.threads.size(); i++)
      if (b.threads[i].state == State::kReady) ready.push_back(&b.threads[i]);
  if (ready.empty()) deadlock();
  order(ready);
  for (Thread* t : ready) {
    self = t;
    t->fiber.resume();
    self = nullptr;
    if (current_launch.failed) throw Error(current_launch.message);
  }
}

inline void check_launch(dim3 grid, dim3 dim, size_t dynamic) {
  uint64_t threads = uint64_t{dim.x} * dim.y * dim.z;
  if (threads == 0 || threads > kMaxThreads)
    fail("launch: %u x %u x %u threads in a block", dim.x, dim.y, dim.z);
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 ||
      grid.z > 65535)
    fail("launch: a grid of %u x %u x %u", grid.x, grid.y, grid.z);
  if (dynamic > kMaxDynamicShared) fail("launch: %zu bytes of dynamic shared memory", dynamic);
}

inline void run_grid(dim3 grid, dim3 dim, size_t dynamic) {
  Launch& l = current_launch;
  self = nullptr;
  l.failed = false;
  check_launch(grid, dim, dynamic);
  l.grid = grid;
  l.dim = dim;
  random_state = seed;
  for (Block& b : l.resident) {  // a launch that failed may have left some
    b.live = 0;
    for (Thread& t : b.threads) t.state = State::kDone;
  }
  std::vector<uint64_t> blocks(uint64_t{grid.x} * grid.y * grid.z);
  for (uint64_t i = 0; i < blocks.size(); i++) blocks[i] = i;
  order(blocks);
  size_t next = 0, running = 0, side_by_side = seed > 1 ? kResident : 1;
  while (next < blocks.size() || running > 0) {
    for (size_t r = 0; r < side_by_side && next < blocks.size(); r++) {
      if (l.resident[r].live > 0) continue;
      uint64_t i = blocks[next++];
      start_block(
          l.resident[r],
          {unsigned(i % grid.x), unsigned(i / grid.x % grid.y), unsigned(i / grid.x / grid.y)},
          dynamic);
      running++;
    }
    bool was_live[kResident];
    for (size_t r = 0; r < kResident; r++) was_live[r] = l.resident[r].live > 0;
    run_threads();
    for (size_t r = 0; r < kResident; r++)
      if (was_live[r] && l.resident[r].live == 0) {
        end_block(l.resident[r]);
        running--;
      }
  }
  stats.launches++;
}

}  // namespace internal

// launch runs a kernel and throws Error if something was wrong. One launch at a time: the caller
// serialises. Every parameter has 8 bytes, as launches through gorgonia.org/cu need.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block_dim, size_t dynamic_shared, A... args) {
  static_assert(sizeof...(P) == sizeof...(A), "the number of arguments");
  static_assert(((sizeof(P) == 8) && ...), "kernel parameters have 8 bytes each");
  internal::current_launch.body = [=] { kernel(static_cast<P>(args)...); };
  internal::run_grid(grid, block_dim, dynamic_shared);
}

}  // namespace emu
