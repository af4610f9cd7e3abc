#include "../../rotation.cu"

#include "matrix.h"

using namespace cambium;
using test::Matrix;

struct Pair {
  Matrix *w0, *wt;
};

struct Value {
  double dot, norm0, norm_t, distance;
};

// Runs the kernel with a number of blocks on poisoned results.
static std::vector<Value> rotate(const std::vector<Pair>& pairs, unsigned blocks) {
  test::Buffer<RotationItem> items(pairs.size());
  unsigned chunks = 0;
  for (size_t i = 0; i < pairs.size(); i++) {
    Matrix &a = *pairs[i].w0, &b = *pairs[i].wt;
    long long n = (long long)(a.rows) * a.cols;
    unsigned c = unsigned(std::max(1LL, (n + kRotationChunk - 1) / kRotationChunk));
    items[i] = {a.data(), b.data(), a.rows, a.cols, a.stride, b.stride, a.type, b.type, chunks, c};
    chunks += c;
  }
  test::Buffer<double> slots(size_t(chunks) * kRotationSums), results(pairs.size() * 4);
  test::Buffer<unsigned> tickets(pairs.size());
  for (size_t i = 0; i < pairs.size(); i++) tickets[i] = 0;
  emu::launch(rotation, blocks, kRotationThreads, 0, items.data(), (long long)(pairs.size()),
              slots.data(), tickets.data(), results.data());
  std::vector<Value> out;
  for (size_t i = 0; i < pairs.size(); i++) {
    CHECK(tickets[i] == 0, "ticket %zu is %u", i, tickets[i]);
    out.push_back({results[4 * i], results[4 * i + 1], results[4 * i + 2], results[4 * i + 3]});
    pairs[i].w0->intact("w0");
    pairs[i].wt->intact("wt");
  }
  slots.check("slots");
  tickets.check("tickets");
  results.check("results");
  return out;
}

static void expect(const Value& got, Matrix& w0, Matrix& wt, const char* what) {
  test::Wide aa = 0, bb = 0, ab = 0;
  double gauge = 0;
  for (int i = 0; i < w0.rows; i++)
    for (int j = 0; j < w0.cols; j++) {
      test::Wide a = w0.get(i, j), b = wt.get(i, j);
      aa += a * a;
      bb += b * b;
      ab += a * b;
      gauge += std::fabs(double(a * b));
    }
  test::Wide n0 = test::root(aa), nt = test::root(bb);
  double distance = double(1 - ab / (n0 * nt)), epsilon = 1e-13;
  CHECK(std::fabs(got.dot - double(ab)) <= epsilon * gauge, "%s: dot %.17g, want %.17g", what,
        got.dot, double(ab));
  CHECK(std::fabs(got.norm0 - double(n0)) <= epsilon * double(n0), "%s: |w0| %.17g, want %.17g",
        what, got.norm0, double(n0));
  CHECK(std::fabs(got.norm_t - double(nt)) <= epsilon * double(nt), "%s: |wt| %.17g, want %.17g",
        what, got.norm_t, double(nt));
  double ratio = double(bb / aa);
  bool alike =
      ratio > 0.9 && ratio < 1.1;  // otherwise float64 leaves the absolute part of the bound
  CHECK(std::fabs(got.distance - distance) <= 1e-12 * distance + (alike ? 1e-19 : 1e-15),
        "%s: distance %.17g, want %.17g", what, got.distance, distance);
}

TEST(shapes_and_types) {
  test::Random random(1);
  const int shapes[][2] = {{1, 1},     {1, 7},     {1, 8},    {1, 9},   {7, 9},
                           {3, 16},    {300, 3},   {65, 129}, {33, 64}, {1, 4099},
                           {2, 20000}, {1, 70001}, {130, 520}};
  size_t turn = 0;
  for (auto& shape : shapes)
    for (auto a : test::types())
      for (auto b : test::types()) {
        if (shape[0] * shape[1] > 10000 && turn % 3 != 0) {
          turn++;
          continue;
        }
        emu::seed = test::seeds()[turn % 4];
        test::Layout l = test::layouts()[turn % 6],
                     m = turn % 2 == 0 ? l : test::layouts()[turn / 2 % 6];
        Matrix w0(a, shape[0], shape[1], l), wt(b, shape[0], shape[1], m);
        w0.fill([&] { return random.gaussian(); });
        wt.fill([&] { return random.uniform() + 0.5; });
        std::string what = std::string(test::name(a)) + " " + test::name(b) + " " +
                           std::to_string(shape[0]) + " x " + std::to_string(shape[1]);
        expect(rotate({{&w0, &wt}}, 1 + unsigned(turn % 3))[0], w0, wt, what.c_str());
        turn++;
      }
}

TEST(small_rotations_keep_their_digits) {
  test::Random random(2);
  for (double step : {1e-2, 1e-5, 1e-8}) {
    Matrix w0(test::kFloat64, 60, 50, {3, 0}), wt(test::kFloat64, 60, 50);
    w0.fill([&] { return random.gaussian(); });
    for (int i = 0; i < 60; i++)
      for (int j = 0; j < 50; j++) wt.set(i, j, w0.get(i, j) * (1 + step * random.gaussian()));
    expect(rotate({{&w0, &wt}}, 1)[0], w0, wt, "small");
  }
  Matrix w0(test::kBFloat16, 1, 40000),
      wt(test::kBFloat16, 1, 40000);  // one step of bf16 in one element
  w0.fill([&] { return random.gaussian(); });
  for (int j = 0; j < 40000; j++) wt.set(0, j, w0.get(0, j));
  w0.set(0, 39999, 1);
  wt.set(0, 39999, 1 + 0x1p-7);
  expect(rotate({{&w0, &wt}}, 2)[0], w0, wt, "one element");
}

TEST(ends_are_exact) {
  test::Random random(3);
  for (auto type : test::types())
    for (uint64_t seed : test::seeds()) {
      emu::seed = seed;
      Matrix w(type, 33, 1600), negative(type, 33, 1600, {8, 8}), odd(type, 33, 1600, {1, 3});
      w.fill([&] { return random.gaussian(); });
      for (int i = 0; i < 33; i++)
        for (int j = 0; j < 1600; j++) {
          negative.set(i, j, -w.get(i, j));
          odd.set(i, j, w.get(i, j));
        }
      auto v = rotate({{&w, &w}, {&w, &negative}, {&w, &odd}}, 4);
      CHECK(v[0].distance == 0 && v[0].norm0 == v[0].norm_t, "equal: %g", v[0].distance);
      CHECK(v[1].distance == 2 && v[1].dot == -v[0].dot, "opposite: %.17g", v[1].distance);
      CHECK(v[2].distance == 0, "equal, elsewhere: %g", v[2].distance);
    }
}

TEST(degenerate_and_huge) {
  Matrix zero(test::kFloat32, 3, 4), some(test::kFloat32, 3, 4), none(test::kFloat32, 0, 4),
      nan(test::kFloat32, 3, 4), inf(test::kFloat32, 3, 4);
  zero.fill([] { return 0; });
  some.fill([] { return 1.5; });
  nan.fill([] { return 1; });
  inf.fill([] { return 1; });
  nan.set(2, 3, NAN);
  inf.set(1, 1, INFINITY);
  auto v = rotate({{&zero, &some},
                   {&some, &some},
                   {&some, &zero},
                   {&none, &none},
                   {&nan, &some},
                   {&some, &inf}},
                  3);
  for (size_t i = 0; i < v.size(); i++)
    CHECK(std::isnan(v[i].distance) == (i != 1), "item %zu: %g", i, v[i].distance);
  CHECK(v[0].norm0 == 0 && v[0].dot == 0 && v[0].norm_t == std::sqrt(27.0), "zero: %g %g",
        v[0].norm0, v[0].norm_t);
  CHECK(v[3].norm0 == 0 && v[3].norm_t == 0 && v[3].dot == 0, "empty: %g %g", v[3].norm0,
        v[3].norm_t);
  // The product of the squared norms overflows, that of the norms does not; and the other end.
  for (double scale : {1e100, 1e-100}) {
    Matrix a(test::kFloat64, 1, 2), b(test::kFloat64, 1, 2);
    a.set(0, 0, 3 * scale), a.set(0, 1, 4 * scale), b.set(0, 0, 4 * scale), b.set(0, 1, 3 * scale);
    Value w = rotate({{&a, &b}}, 1)[0];
    CHECK(std::fabs(w.distance - 0.04) < 1e-15, "scale %g: distance %.17g", scale, w.distance);
  }
}

TEST(many_tensors_and_any_grid) {
  test::Random random(4);
  std::vector<std::unique_ptr<Matrix>> storage;
  std::vector<Pair> pairs;
  for (int i = 0; i < 61; i++) {
    int rows = i == 7 ? 0 : i == 11 ? 5 : 1, cols = i == 11 ? 30011 : i == 40 ? 65536 : 1 + i * 5;
    storage.push_back(std::make_unique<Matrix>(test::types()[size_t(i) % 3], rows, cols,
                                               test::layouts()[size_t(i) % 6]));
    storage.push_back(std::make_unique<Matrix>(test::types()[size_t(i) / 3 % 3], rows, cols,
                                               test::layouts()[size_t(i) / 2 % 6]));
    pairs.push_back({storage[storage.size() - 2].get(), storage.back().get()});
    for (Matrix* m : {pairs.back().w0, pairs.back().wt}) m->fill([&] { return random.gaussian(); });
  }
  auto reference = rotate(pairs, 1);
  for (size_t i = 0; i < pairs.size(); i++)
    if (pairs[i].w0->rows > 0)
      expect(reference[i], *pairs[i].w0, *pairs[i].wt, ("tensor " + std::to_string(i)).c_str());
  for (unsigned blocks : {2u, 5u, 64u, 200u}) {
    emu::seed = test::seeds()[blocks % 4];
    auto v = rotate(pairs, blocks);
    CHECK(memcmp(v.data(), reference.data(), v.size() * sizeof v[0]) == 0,
          "%u blocks give other bits", blocks);
  }
  for (uint64_t seed = 0; seed < 8; seed++) {  // the last block is another one each time
    emu::seed = seed;
    auto v = rotate({pairs[11]}, 5);
    CHECK(memcmp(&v[0], &reference[11], sizeof v[0]) == 0, "order %llu gives other bits",
          (unsigned long long)(seed));
  }
}
