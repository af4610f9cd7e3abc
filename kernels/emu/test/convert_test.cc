#include "../../convert.cu"

#include "matrix.h"

using namespace cambium;
using test::Matrix;

static void run(Matrix& dst, Matrix& src, unsigned blocks) {
  emu::launch(convert, blocks, kConvertThreads, 0, dst.data(), static_cast<const void*>(src.data()),
              (long long)(src.rows), (long long)(src.cols), (long long)(dst.stride),
              (long long)(src.stride), (long long)(dst.type | src.type << 8));
  dst.intact("dst");
  src.intact("src");
}

// Rounds from the definition: the spacing of numbers around v, and ties to even.
static double round_to(DType type, double v) {
  const int precisions[] = {24, 53, 11, 8}, lowest[] = {-149, -1074, -24, -133};
  const double largest[] = {0x1.fffffep127, 0x1.fffffffffffffp1023, 65504, 0x1.fep127};
  if (v == 0 || std::isnan(v) || std::isinf(v)) return v;
  int e;
  std::frexp(v, &e);
  int step = std::max(e - precisions[type], lowest[type]);
  double r = std::ldexp(std::nearbyint(std::ldexp(v, -step)), step);
  return std::copysign(std::fabs(r) > largest[type] ? INFINITY : std::fabs(r), v);
}

static const double kSpecial[] = {0,
                                  -0.0,
                                  1,
                                  NAN,
                                  -NAN,
                                  INFINITY,
                                  -INFINITY,
                                  65504,
                                  65519.99,
                                  65520,
                                  65536,
                                  0x1p-24,
                                  0x1p-25,
                                  0x1.8p-25,
                                  0x1.fep127,
                                  0x1.ffp127,
                                  0x1.feffffp127,
                                  0x1.fffffep127,
                                  0x1.ffffffp127,
                                  1.7e308,
                                  0x1p-133,
                                  0x1p-134,
                                  0x1.8p-134,
                                  0x1p-149,
                                  0x1p-150,
                                  0x1.8p-150,
                                  5e-324,
                                  1 + 0x1p-11,
                                  1 + 0x3p-11,
                                  1 + 0x1p-8,
                                  1 + 0x3p-8,
                                  1 + 0x1p-24,
                                  1 + 0x3p-24,
                                  1 + 0x1p-11 + 0x1p-40,
                                  1 + 0x1p-8 + 0x1p-30,
                                  1 + 0x1p-8 - 0x1p-30,
                                  0x1.ffcp-15,
                                  0x1.ffep-15,
                                  0x1.fcp-127};

TEST(values) {
  test::Random random(1);
  size_t turn = 0;
  for (auto from : test::types())
    for (auto to : test::types())
      for (auto& l : test::layouts()) {
        emu::seed = test::seeds()[turn++ % 4];
        Matrix src(from, 21, 48, l), dst(to, 21, 48, test::layouts()[turn % 6]);
        size_t k = 0;
        src.fill([&] {
          k++;
          if (k <= std::size(kSpecial)) return kSpecial[k - 1];
          if (k <= 2 * std::size(kSpecial)) return -kSpecial[k - 1 - std::size(kSpecial)];
          return std::ldexp(random.gaussian(), int(random.below(60)) - 40);
        });
        run(dst, src, 2);
        for (int i = 0; i < 21; i++)
          for (int j = 0; j < 48; j++) {
            double v = src.get(i, j), want = round_to(to, v), got = dst.get(i, j);
            if (std::isnan(want) && std::isnan(got)) continue;
            CHECK(got == want && std::signbit(got) == std::signbit(want),
                  "%s -> %s (%d, %d): %a became %a, want %a", test::name(from), test::name(to), i,
                  j, v, got, want);
          }
      }
}

TEST(bits_are_copied) {
  test::Random random(2);
  for (auto type : test::types())
    for (auto& l : test::layouts()) {
      Matrix src(type, 7, 40, l), dst(type, 7, 40, {2, 1});
      for (int i = 0; i < 7; i++)
        for (int j = 0; j < 40; j++) {
          uint64_t bits = random.below(1ull << 62) * 4 + random.below(4);
          if (j % 5 == 0)
            bits = type == test::kFloat64   ? 0x7ff0000000000123
                   : type == test::kFloat32 ? 0x7f800123
                   : type == test::kFloat16 ? 0x7c12
                                            : 0x7f92;  // signalling
          memcpy(static_cast<char*>(src.data()) + size_t(src.at(i, j)) * test::size_of(type), &bits,
                 test::size_of(type));
        }
      run(dst, src, 3);
      for (int i = 0; i < 7; i++)
        for (int j = 0; j < 40; j++)
          CHECK(src.bits(i, j) == dst.bits(i, j), "%s (%d, %d)", test::name(type), i, j);
    }
}

TEST(shapes) {
  test::Random random(3);
  size_t turn = 0;
  for (int rows : test::sizes())
    for (int cols : test::sizes()) {
      emu::seed = test::seeds()[turn % 4];
      DType from = test::types()[turn % 4], to = test::types()[turn / 4 % 4];
      Matrix src(from, rows, cols, test::layouts()[turn % 6]),
          dst(to, rows, cols, test::layouts()[turn % 2 == 0 ? turn % 6 : turn / 6 % 6]);
      src.fill([&] { return random.gaussian(); });
      run(dst, src, 1 + unsigned(turn % 3));
      for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++)
          CHECK(dst.get(i, j) == round_to(to, src.get(i, j)), "%d x %d: (%d, %d)", rows, cols, i,
                j);
      turn++;
    }
}
