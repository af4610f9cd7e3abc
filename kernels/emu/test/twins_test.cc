// The twins of the PTX instructions, each against its definition in the PTX ISA.
#include "../../twins.cu"

#include "test.h"

using namespace cambium;

static void check_load_matrix(void (*kernel)(const unsigned short*, unsigned*, long long),
                              bool transpose) {
  test::Buffer<unsigned short> in(32 * 32);
  for (size_t i = 0; i < in.size(); i++) in[i] = (unsigned short)i;
  for (long long row : {8LL, 16LL, 24LL, 32LL}) {
    test::Buffer<unsigned> out(128);
    uint64_t conflicts = emu::stats.bank_conflicts;
    emu::launch(kernel, 1, 32, 0, static_cast<const unsigned short*>(in.data()), out.data(), row);
    // Rows of 32 bytes: rows 0 and 4 of a matrix lie in the same banks. Rows of 64: 0, 2, 4 and 6.
    const uint64_t want_conflicts[] = {0, 16, 0, 24};
    CHECK(emu::stats.bank_conflicts - conflicts == want_conflicts[row / 8 - 1],
          "rows of %lld: conflicts", row);
    for (unsigned l = 0; l < 32; l++)
      for (unsigned q = 0; q < 4; q++)
        for (unsigned h = 0; h < 2; h++) {
          unsigned r = l / 4, c = l % 4 * 2 + h;
          if (transpose) std::swap(r, c);
          unsigned want = (q * 8 + r) * unsigned(row) + c;
          CHECK((out[l * 4 + q] >> 16 * h & 0xffff) == want, "lane %u matrix %u", l, q);
        }
  }
}

TEST(ldmatrix) {
  check_load_matrix(twin_ldmatrix, false);
  check_load_matrix(twin_ldmatrix_trans, true);
}

template <class T>
static void check_multiply(void (*kernel)(const unsigned*, const unsigned*, float*)) {
  test::Random random(1);
  int A[16][16], B[16][8], C[16][8];
  for (auto& row : A)
    for (int& v : row) v = int(random.below(33)) - 16;
  for (auto& row : B)
    for (int& v : row) v = int(random.below(33)) - 16;
  for (auto& row : C)
    for (int& v : row) v = int(random.below(999)) - 500;
  test::Buffer<unsigned> a(128), b(64);
  test::Buffer<float> c(128);
  auto bits = [](int v) { return unsigned(Rounded<T>::from(float(v)).bits); };
  for (unsigned l = 0; l < 32; l++) {
    unsigned group = l / 4, in_group = l % 4;  // the ISA's names
    for (unsigned i = 0; i < 4; i++) {         // registers a0a1, a2a3, a4a5, a6a7
      unsigned row = i == 0 || i == 2 ? group : group + 8, column = in_group * 2 + (i >= 2 ? 8 : 0);
      a[l * 4 + i] = bits(A[row][column]) | bits(A[row][column + 1]) << 16;
    }
    for (unsigned i = 0; i < 2; i++) {
      unsigned row = in_group * 2 + i * 8;
      b[l * 2 + i] = bits(B[row][group]) | bits(B[row + 1][group]) << 16;
    }
    for (unsigned i = 0; i < 4; i++)
      c[l * 4 + i] = float(C[i < 2 ? group : group + 8][in_group * 2 + (i & 1)]);
  }
  emu::launch(kernel, 1, 32, 0, static_cast<const unsigned*>(a.data()),
              static_cast<const unsigned*>(b.data()), c.data());
  for (unsigned l = 0; l < 32; l++)
    for (unsigned i = 0; i < 4; i++) {
      unsigned row = i < 2 ? l / 4 : l / 4 + 8, column = l % 4 * 2 + (i & 1);
      int want = C[row][column];
      for (int k = 0; k < 16; k++) want += A[row][k] * B[k][column];
      CHECK(c[l * 4 + i] == float(want), "lane %u c%u: %f, want %d", l, i, double(c[l * 4 + i]),
            want);
    }
}

TEST(mma) {
  for (uint64_t seed : test::seeds()) {
    emu::seed = seed;
    check_multiply<BFloat>(twin_mma_bf16);
    check_multiply<Half>(twin_mma_f16);
  }
}

TEST(cp_async) {
  test::Random random(2);
  for (uint64_t seed : test::seeds()) {
    emu::seed = seed;
    test::Buffer<unsigned char> in(512), out(512);
    test::Buffer<unsigned> counts(32);
    for (size_t i = 0; i < 512; i++) in[i] = (unsigned char)(random.below(255) + 1);
    for (size_t t = 0; t < 32; t++) counts[t] = unsigned(t < 17 ? t : random.below(17));
    emu::launch(twin_cp_async, 1, 32, 0, static_cast<const unsigned char*>(in.data()),
                static_cast<const unsigned*>(counts.data()), out.data());
    for (size_t i = 0; i < 512; i++)
      CHECK(out[i] == (i % 16 < counts[i / 16] ? in[i] : 0), "byte %zu", i);
  }
}

TEST(convert) {
  test::Random random(3);
  const size_t n = 1000;
  test::Buffer<double> values(n);
  test::Buffer<float> widened(65536), odd(n);
  test::Buffer<unsigned short> narrow(n);
  for (size_t i = 0; i < n; i++)
    values[i] = std::ldexp(random.gaussian(), int(random.below(60)) - 40);
  values[0] = NAN, values[1] = INFINITY, values[2] = -1e300, values[3] = 1e-300,
  values[4] = 0x1.8p-149;
  emu::launch(twin_convert, 1, 256, 0, static_cast<const double*>(values.data()), (long long)(n),
              widened.data(), narrow.data(), odd.data());
  for (unsigned h = 0; h < 0x10000; h++) {
    float f = to_float(Half{(unsigned short)h});
    CHECK(std::isnan(f) ? std::isnan(widened[h]) : f == widened[h], "%04x", h);
  }
  CHECK(std::isnan(odd[0]) && odd[1] == INFINITY && odd[2] == -0x1.fffffep127f &&
            odd[3] == 0x1p-149f && odd[4] == 0x1p-149f,
        "ends");
  for (size_t i = 5; i < n; i++) {
    double v = values[i];
    bool exact = double(float(v)) == v;
    CHECK(exact ? odd[i] == float(v)
                : (__float_as_uint(odd[i]) & 1) == 1 &&
                      std::fabs(double(odd[i]) - v) < std::fabs(v) * 0x1p-23 + 0x1p-149,
          "%a to odd is %a", v, double(odd[i]));
    CHECK(narrow[i] == Rounded<Half>::from(float(v)).bits, "%a", v);
  }
}

TEST(ticket_and_16_bytes) {
  for (uint64_t seed : test::seeds()) {
    emu::seed = seed;
    test::Buffer<unsigned> ticket(1), taken(7), in(28), out(28);
    ticket[0] = 0;
    for (size_t i = 0; i < 28; i++) in[i] = unsigned(i * i);
    emu::launch(twin_ticket, 7, 32, 0, ticket.data(), reinterpret_cast<const uint4*>(in.data()),
                reinterpret_cast<uint4*>(out.data()), taken.data());
    unsigned seen = 0;
    for (size_t b = 0; b < 7; b++) seen |= 1u << taken[b];
    CHECK(ticket[0] == 7 && seen == 127, "%u %x", ticket[0], seen);
    for (size_t i = 0; i < 28; i++) CHECK(out[i] == i * i, "word %zu is %u", i, out[i]);
  }
}

// Conversions, against the definition and each other.
TEST(conversions) {
  for (unsigned h = 0; h < 0x10000; h++) {
    unsigned short bits = (unsigned short)h;
    int e = h >> 10 & 31, f = h & 1023;
    double want = e == 31  ? (f != 0 ? NAN : INFINITY)
                  : e == 0 ? std::ldexp(f, -24)
                           : std::ldexp(1024 + f, e - 25);
    if (h >> 15) want = -want;
    double got = to_double(Half{bits});
    CHECK(
        std::isnan(want) ? std::isnan(got) : got == want && std::signbit(got) == std::signbit(want),
        "%04x", h);
    if (std::isnan(want)) {
      CHECK(std::isnan(to_float(Rounded<Half>::from(float(got)))), "%04x", h);
    } else {
      CHECK(Rounded<Half>::from(got).bits == h && Rounded<Half>::from(float(got)).bits == h, "%04x",
            h);
    }
    double wide = to_double(BFloat{bits});
    if (std::isnan(wide)) {
      CHECK(std::isnan(to_float(Rounded<BFloat>::from(wide))), "%04x", h);
    } else {
      CHECK(Rounded<BFloat>::from(wide).bits == h && Rounded<BFloat>::from(float(wide)).bits == h,
            "%04x", h);
    }
  }
  // Halfway between neighbours, and just beside: ties go to even, and a double rounds once.
  for (unsigned h = 0; h < 0x7bff; h++) {
    double low = to_double(Half{(unsigned short)h}),
           high = to_double(Half{(unsigned short)(h + 1)}), tie = (low + high) / 2;
    CHECK(Rounded<Half>::from(tie).bits == (h % 2 == 0 ? h : h + 1), "tie above %04x", h);
    CHECK(Rounded<Half>::from(float(tie)).bits == (h % 2 == 0 ? h : h + 1), "tie above %04x", h);
    CHECK(Rounded<Half>::from(std::nextafter(tie, low)).bits == h, "below the tie above %04x", h);
    CHECK(Rounded<Half>::from(-std::nextafter(tie, high)).bits == ((h + 1) | 0x8000),
          "above the tie above %04x", h);
  }
  for (unsigned h = 0; h < 0x7f7f; h++) {
    double low = to_double(BFloat{(unsigned short)h}),
           high = to_double(BFloat{(unsigned short)(h + 1)}), tie = (low + high) / 2;
    CHECK(Rounded<BFloat>::from(tie).bits == (h % 2 == 0 ? h : h + 1), "tie above %04x", h);
    CHECK(Rounded<BFloat>::from(std::nextafter(tie, low)).bits == h, "below the tie above %04x", h);
    CHECK(Rounded<BFloat>::from(std::nextafter(tie, high)).bits == h + 1,
          "above the tie above %04x", h);
  }
  CHECK(Rounded<Half>::from(65519.99).bits == 0x7bff && Rounded<Half>::from(65520.0).bits == 0x7c00,
        "overflow");
  CHECK(
      Rounded<BFloat>::from(1e300).bits == 0x7f80 && Rounded<BFloat>::from(-1e-300).bits == 0x8000,
      "ends");
}
