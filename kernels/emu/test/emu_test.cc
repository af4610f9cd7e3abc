// Tests of the emulation itself: each kind of mistake it is there for is noticed.
#include "../../ptx_async.cuh"
#include "../../ptx_mma.cuh"
#include "../../ptx_ticket.cuh"
#include "test.h"

using namespace cambium;

// Runs f under every thread order; returns how many orders ended in a wrong result.
template <class F>
static int wrong_orders(F wrong) {
  int count = 0;
  for (uint64_t seed : test::seeds()) {
    emu::seed = seed;
    count += wrong();
  }
  return count;
}

static void reverse(int* data, int* unused, long long with_barrier) {
  (void)unused;
  SHARED(int[96], buffer);
  unsigned t = threadIdx.x;
  buffer[t] = data[t];
  if (with_barrier != 0) __syncthreads();
  data[t] = buffer[95 - t];
}

TEST(barrier) {
  auto wrong = [](long long with_barrier) {
    return wrong_orders([=] {
      test::Buffer<int> data(96);
      for (int i = 0; i < 96; i++) data[size_t(i)] = i;
      emu::launch(reverse, 1, 96, 0, data.data(), nullptr, with_barrier);
      bool bad = false;
      for (int i = 0; i < 96; i++) bad |= data[size_t(i)] != 95 - i;
      return bad;
    });
  };
  CHECK(wrong(1) == 0, "with the barrier");
  CHECK(wrong(0) == 4, "a removed barrier is noticed in every order");
}

static void poisoned(unsigned* out) {
  SHARED(unsigned[32], values);
  DYNAMIC_SHARED(unsigned, dynamic);
  if (blockIdx.x == 0) values[threadIdx.x] = dynamic[threadIdx.x] = 7;  // must not reach block 1
  out[blockIdx.x * 32 + threadIdx.x] = values[threadIdx.x] & dynamic[threadIdx.x];
}

TEST(shared_memory_is_poisoned_before_each_block) {
  test::Buffer<unsigned> out(64);
  emu::launch(poisoned, 2, 32, 128, out.data());
  CHECK(out[0] == 7 && out[32] == ~0u, "%u %u", out[0], out[32]);
}

static void divergent(long long how) {
  unsigned t = threadIdx.x;
  if (how == 0) {  // another barrier in the other branch
    if (t < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  } else if (how == 1) {  // half of the threads wait for a collective that the others never reach
    if (t == 3) {
      __syncthreads();
    } else {
      __syncwarp();
    }
  } else {  // the exited do not count
    if (t < 10) return;
    __syncthreads();
  }
}

TEST(divergent_barriers) {
  for (uint64_t seed : test::seeds()) {
    emu::seed = seed;
    test::expect_error("divergent barrier", [] { emu::launch(divergent, 1, 64, 0, 0LL); });
    test::expect_error("deadlock", [] { emu::launch(divergent, 1, 64, 0, 1LL); });
    emu::launch(divergent, 1, 64, 0, 2LL);
  }
}

static void masks(long long how, unsigned* out) {
  unsigned lane = threadIdx.x;
  if (how == 0) __syncwarp(0xfffffffe);                                // lane 0 is not in it
  if (how == 1) __shfl_sync(lane < 16 ? 0xffff : kAllLanes, lane, 0);  // two masks overlap
  if (how == 2) out[lane] = __shfl_sync(0x0000ffffu << (lane & 16), lane, 31);
  if (how == 3) {
    if (lane % 2 == 0) out[lane] = __ballot_sync(0x55555555, lane < 8);
    if (lane % 2 == 1) out[lane] = __ballot_sync(0xaaaaaaaa, 1);
  }
  if (how == 4 && lane != 5) __shfl_xor_sync(kAllLanes, lane, 1);  // lane 5 exits; lane 4 reads it
  if (how == 5) {
    if (lane < 16) {
      __syncwarp();
    } else {
      __any_sync(kAllLanes, 1);
    }
  }
  if (how == 6 && lane > 0) __syncwarp();  // the exited are not waited for
}

TEST(masks_of_collectives) {
  for (uint64_t seed : test::seeds()) {
    emu::seed = seed;
    test::Buffer<unsigned> out(32);
    auto run = [&](long long how) { emu::launch(masks, 1, 32, 0, how, out.data()); };
    test::expect_error("without itself", [&] { run(0); });
    test::expect_error("lane", [&] { run(1); });
    test::expect_error("takes no part", [&] { run(2); });
    run(3);
    CHECK(out[0] == 0x55 && out[1] == 0xaaaaaaaa, "%x %x", out[0], out[1]);
    test::expect_error("takes no part", [&] { run(4); });
    test::expect_error("lanes of it wait", [&] { run(5); });
    run(6);
  }
}

static void collectives(double* sums, int* votes) {
  int lane = int(threadIdx.x);
  double v = lane;
  for (int o = 16; o > 0; o /= 2) v += __shfl_xor_sync(kAllLanes, v, o);
  sums[lane] =
      v + 1000 * __shfl_down_sync(kAllLanes, lane, 3) + 100000 * __shfl_up_sync(kAllLanes, lane, 2);
  votes[lane] = __any_sync(kAllLanes, lane == 9) + 2 * __all_sync(kAllLanes, lane < 32) +
                4 * __any_sync(kAllLanes, lane > 31) + 8 * __all_sync(kAllLanes, lane > 0);
}

TEST(values_of_collectives) {
  for (uint64_t seed : test::seeds()) {
    emu::seed = seed;
    test::Buffer<double> sums(32);
    test::Buffer<int> votes(32);
    emu::launch(collectives, 1, 32, 0, sums.data(), votes.data());
    for (int l = 0; l < 32; l++) {
      int down = l < 29 ? l + 3 : l, up = l >= 2 ? l - 2 : l;
      CHECK(sums[size_t(l)] == 496 + 1000 * down + 100000 * up, "lane %d: %f", l, sums[size_t(l)]);
      CHECK(votes[size_t(l)] == 3, "lane %d: %d", l, votes[size_t(l)]);
    }
  }
}

static void named_barriers(int* out, long long count) {
  // A producer warp fills what a consumer warp reads; a third warp takes no part.
  SHARED(int[32], buffer);
  unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (warp == 0) {
    buffer[lane] = int(lane) * 3;
    EMU_BARRIER_ARRIVE(1, unsigned(count));
  } else if (warp == 1) {
    EMU_BARRIER_SYNC(1, unsigned(count));
    out[lane] = buffer[31 - lane];
  }
}

TEST(named_barriers_of_some_warps) {
  for (uint64_t seed : test::seeds()) {
    emu::seed = seed;
    test::Buffer<int> out(32);
    emu::launch(named_barriers, 1, 96, 0, out.data(), 64LL);
    for (int l = 0; l < 32; l++)
      CHECK(out[size_t(l)] == (31 - l) * 3, "lane %d: %d", l, out[size_t(l)]);
    test::expect_error("deadlock",
                       [&] { emu::launch(named_barriers, 1, 96, 0, out.data(), 96LL); });
    test::expect_error("whole warps",
                       [&] { emu::launch(named_barriers, 1, 96, 0, out.data(), 33LL); });
  }
}

// Copies 4 x 16 bytes in two groups; how leaves out one step.
static void async_copy(const int* in, int* out, long long how) {
  DYNAMIC_SHARED(int, stage);
  unsigned t = threadIdx.x;
  copy_async_16(stage + t * 4, in + t * 4, 16);
  if (how != 1) copy_async_commit();
  copy_async_16(stage + 16 + t * 4, in, t * 4);  // zero-filled behind t integers
  copy_async_commit();
  if (how == 0) copy_async_wait<0>();
  if (how == 2) copy_async_wait<1>();
  if (how == 3) copy_async_wait<2>();
  if (how != 4) __syncthreads();
  for (unsigned i = 0; i < 8; i++) out[t * 8 + i] = stage[(t * 8 + i + 4) % 32];
  if (how == 5) return;
  copy_async_commit();
  copy_async_wait<0>();
}

TEST(async_copies_arrive_at_the_wait) {
  test::Buffer<int> in(16);
  for (int i = 0; i < 16; i++) in[size_t(i)] = i + 1;
  auto wrong = [&](long long how) {
    return wrong_orders([&] {
      test::Buffer<int> out(32);
      emu::launch(async_copy, 1, 4, 128, in.data(), out.data(), how);
      bool bad = false;
      for (int i = 0; i < 32; i++) {
        int at = (i + 4) % 32, t = (at - 16) / 4, k = at % 4;
        bad |= out[size_t(i)] != (at < 16 ? at + 1 : k < t ? k + 1 : 0);
      }
      return bad;
    });
  };
  CHECK(wrong(0) == 0, "as it should be");
  CHECK(wrong(2) == 4, "one group too many in flight");
  CHECK(wrong(3) == 4, "a missing wait");
  CHECK(wrong(4) > 0, "a missing barrier");
  CHECK(wrong(1) == 4, "a missing commit");
  test::expect_error("copies in flight", [&] { wrong(5); });
}

static void bad_copy(const char* in, long long how) {
  DYNAMIC_SHARED(char, stage);
  SHARED(char[64], other);
  (void)other;
  if (how == 0) copy_async_16(stage + 8, in, 16);
  if (how == 1) copy_async_16(stage, in + 2, 16);
  if (how == 2) copy_async_16(stage, in, 17);
  if (how == 3) copy_async_16(stage + 64, in, 16);  // behind the end
  if (how == 4) copy_async_16(const_cast<char*>(in), in, 16);
}

TEST(async_copies_out_of_place) {
  test::Buffer<char> in(64);
  const char* parts[] = {"multiple of 16", "multiple of 16", "17 of 16", "not in shared",
                         "not in shared"};
  for (long long how = 0; how < 5; how++)
    test::expect_error(parts[how], [&] {
      emu::launch(bad_copy, 1, 1, 64, static_cast<const char*>(in.data()), how);
    });
}

static void load_matrices(const unsigned short* in, long long row_elements) {
  DYNAMIC_SHARED(unsigned short, m);
  (void)in;
  unsigned r[4];
  load_matrix_x4<false>(r, row_elements == 0 ? in : m + threadIdx.x * row_elements);
}

TEST(ldmatrix_out_of_place) {
  test::Buffer<unsigned short> in(1024);
  auto run = [&](unsigned lanes, long long row_elements) {
    emu::launch(load_matrices, 1, lanes, 2048, static_cast<const unsigned short*>(in.data()),
                row_elements);
  };
  run(32, 8);
  test::expect_error("not aligned", [&] { run(32, 12); });
  test::expect_error("have exited", [&] { run(16, 8); });
  test::expect_error("not in shared", [&] { run(32, 0); });
}

static void tickets(unsigned* ticket, unsigned* last) {
  if (threadIdx.x + threadIdx.y + threadIdx.z == 0 &&
      take_ticket(ticket) == gridDim.x * gridDim.y * gridDim.z - 1)
    *last = blockIdx.x + 10 * blockIdx.y + 100 * blockIdx.z;
}

TEST(order_of_blocks) {
  unsigned lasts[4];
  for (uint64_t seed : test::seeds()) {
    emu::seed = seed;
    test::Buffer<unsigned> memory(2);
    memory[0] = 0;
    emu::launch(tickets, dim3(4, 3, 2), dim3(2, 2, 2), 0, &memory[0], &memory[1]);
    CHECK(memory[0] == 24, "%u", memory[0]);
    lasts[seed] = memory[1];
  }
  CHECK(lasts[0] == 123 && lasts[1] == 0, "%u %u", lasts[0], lasts[1]);
  CHECK(lasts[2] != lasts[0] || lasts[3] != lasts[0], "shuffled");
}

static void integers(int* a, unsigned long long* b) {
  atomicAdd(a, 2);
  atomicMax(b, static_cast<unsigned long long>(threadIdx.x));
  if (atomicCAS(a + 1, 5, 6) == 5) atomicExch(a + 2, 9);
  atomicOr(a + 3, 1 << threadIdx.x);
  atomicMin(a + 4, int(threadIdx.x) - 3);
}

TEST(integer_atomics) {
  test::Buffer<int> a(5);
  test::Buffer<unsigned long long> b(1);
  a[0] = 1, a[1] = 5, a[2] = 0, a[3] = 0, a[4] = 0, b[0] = 0;
  emu::launch(integers, 1, 8, 0, a.data(), b.data());
  CHECK(a[0] == 17 && a[1] == 6 && a[2] == 9 && a[3] == 255 && a[4] == -3 && b[0] == 7,
        "%d %d %d %d %d", a[0], a[1], a[2], a[3], a[4]);
}

static void overrun(char* global, long long how) {
  SHARED(char[40], fixed);
  DYNAMIC_SHARED(char, dynamic);
  fixed[0] = dynamic[0] = 1;
  if (how == 0) dynamic[100] = 1;
  if (how == 1) fixed[40] = 1;
  if (how == 2) *global = 1;
}

// Without AddressSanitizer the guard zones show the damage; with it the program ends at the access,
// which run.sh looks for.
TEST(out_of_bounds) {
  const char* wanted = getenv("EMU_TEST_OVERRUN");
#if defined(__SANITIZE_ADDRESS__)
  if (wanted == nullptr) return;
#endif
  for (long long how = 0; how < 3; how++) {
    if (wanted != nullptr && how != atoll(wanted)) continue;
    test::Buffer<char> global(10);
    auto run = [&] { emu::launch(overrun, 1, 1, 100, global.data() + 10, how); };
    if (how < 2) {
      test::expect_error("out of bounds", run);
      continue;
    }
    run();
    bool noticed = false;
    try {
      global.check("global");
    } catch (const test::Failure&) {
      noticed = true;
    }
    CHECK(noticed, "a write behind global memory");
  }
}

static void nothing() {}

TEST(launches_that_a_driver_refuses) {
  test::expect_error("threads in a block", [] { emu::launch(nothing, 1, 1025, 0); });
  test::expect_error("threads in a block", [] { emu::launch(nothing, 1, dim3(4, 0), 0); });
  test::expect_error("a grid of", [] { emu::launch(nothing, 0, 1, 0); });
  test::expect_error("a grid of", [] { emu::launch(nothing, dim3(1, 65536), 1, 0); });
  test::expect_error("dynamic shared", [] { emu::launch(nothing, 1, 1, 228 << 10); });
  emu::launch(nothing, 1, 1, 227 << 10);  // and all is well again
}
