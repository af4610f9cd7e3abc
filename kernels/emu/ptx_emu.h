// Twins of the instructions behind ptx_*.cuh. A twin fails where the hardware would misbehave, and
// takes every liberty that the hardware has: data of cp.async arrives as late as the program
// allows.
#pragma once

#include <cmath>

#include "emu.h"

namespace emu::internal {

// cp.async. The destination is poisoned at once and filled by the wait that covers the copy.

inline void copy_async(void* dst, const void* src, unsigned bytes, unsigned size) {
  if (bytes > size) fail("cp.async: %u of %u bytes", bytes, size);
  if (reinterpret_cast<uintptr_t>(dst) % size != 0 || reinterpret_cast<uintptr_t>(src) % size != 0)
    fail("cp.async: an address is no multiple of %u", size);
  if (!is_shared(dst, size)) fail("cp.async: the destination is not in shared memory");
  memset(dst, kPoison, size);
  self->copies.push_back({dst, src, bytes, size, self->groups});
  stats.async_copies++;
}

inline void copy_async_wait(unsigned pending) {
  Thread& t = *self;
  size_t kept = 0;
  for (const AsyncCopy& c : t.copies) {
    if (c.group + pending >= t.groups) {
      t.copies[kept++] = c;
      continue;
    }
    memcpy(c.dst, c.src, c.bytes);
    memset(static_cast<char*>(c.dst) + c.bytes, 0, c.filled - c.bytes);
  }
  t.copies.resize(kept);
}

// ldmatrix.

struct LoadMatrix {
  const void* row;
  unsigned* result;
  unsigned count;
  bool transpose;
};

inline void load_matrix_warp(Lanes& lanes) {
  const auto& first = lane_arg<LoadMatrix>(lanes, 0);
  uint16_t m[8][8];
  for (unsigned q = 0; q < first.count; q++) {
    uint8_t lines[8] = {};  // times each 16-byte column of the banks is used
    for (unsigned i = 0; i < 8; i++) {
      const void* row = lane_arg<LoadMatrix>(lanes, q * 8 + i).row;
      if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
        fail("ldmatrix: row %u of matrix %u is not aligned to 16 bytes", i, q);
      if (!is_shared(row, 16)) fail("ldmatrix: row %u of matrix %u is not in shared memory", i, q);
      memcpy(m[i], row, 16);
      stats.bank_conflicts += lines[reinterpret_cast<uintptr_t>(row) / 16 % 8]++ > 0;
    }
    for (unsigned l = 0; l < kWarp; l++) {
      auto& self = lane_arg<LoadMatrix>(lanes, l);
      if (self.count != first.count || self.transpose != first.transpose)
        fail("ldmatrix: lanes differ in shape");
      unsigned r = l / 4, c = l % 4 * 2;
      self.result[q] = first.transpose ? m[c][r] | unsigned(m[c + 1][r]) << 16
                                       : m[r][c] | unsigned(m[r][c + 1]) << 16;
    }
  }
  stats.ldmatrix++;
}

inline void load_matrix(unsigned* result, unsigned count, const void* row, bool transpose) {
  LoadMatrix arg{row, result, count, transpose};
  whole_warp("ldmatrix", &arg, load_matrix_warp);
}

// mma.sync m16n8k16. The sum of the 16 products is exact before it meets c, and the result is cut
// off toward zero: tensor cores do not round to nearest, and their bias is what promotion is for.

struct Multiply {
  float* c;
  const unsigned *a, *b;
};

inline float cut(double d) {
  float f = static_cast<float>(d);
  return std::fabs(double(f)) > std::fabs(d) ? std::nextafter(f, 0.0f) : f;
}

template <float (*kWiden)(uint16_t)>
void multiply_warp(Lanes& lanes) {
  float a[16][16], b[8][16];
  for (unsigned l = 0; l < kWarp; l++) {
    const auto& self = lane_arg<Multiply>(lanes, l);
    unsigned g = l / 4, t = l % 4 * 2;
    for (unsigned i = 0; i < 4; i++)
      for (unsigned h = 0; h < 2; h++)
        a[g + i % 2 * 8][t + i / 2 * 8 + h] = kWiden(uint16_t(self.a[i] >> 16 * h));
    for (unsigned i = 0; i < 2; i++)
      for (unsigned h = 0; h < 2; h++) b[g][t + i * 8 + h] = kWiden(uint16_t(self.b[i] >> 16 * h));
  }
  for (unsigned l = 0; l < kWarp; l++) {
    float* c = lane_arg<Multiply>(lanes, l).c;
    for (unsigned i = 0; i < 4; i++) {
      const float *row = a[l / 4 + i / 2 * 8], *column = b[l % 4 * 2 + i % 2];
      double s = 0;
      for (unsigned k = 0; k < 16; k++) s += double(row[k]) * double(column[k]);
      c[i] = cut(s + double(c[i]));
    }
  }
  stats.mma++;
}

template <float (*kWiden)(uint16_t)>
void multiply(float* c, const unsigned* a, const unsigned* b) {
  Multiply arg{c, a, b};
  whole_warp("mma.sync", &arg, multiply_warp<kWiden>);
}

}  // namespace emu::internal
