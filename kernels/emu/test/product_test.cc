#include "../../product.cu"

#include "matrix.h"

using namespace cambium;
using test::Layout;
using test::Matrix;

using KernelFunction = void (*)(const ProductItem*, long long, double, double);

struct Kernel {
  const char* name;
  KernelFunction run;
  int tile;
  unsigned dynamic;
  bool any;  // types and forms
  DType type;
  Form form;
};

#define SM80(form, type, f, t)                               \
  {#form "_" #type,                                          \
   product_##form##_##type##_128x128x32_sm80,                \
   128,                                                      \
   product_##form##_##type##_128x128x32_sm80_dynamic_shared, \
   false,                                                    \
   t,                                                        \
   f}
static const Kernel kSmall{"small", product_any_32x32x32, 32, 0, true, test::kFloat32, kNT};
static const Kernel kSimt{
    "simt", product_any_128x128x16, 128, product_any_128x128x16_dynamic_shared,
    true,   test::kFloat32,         kNT};
static const Kernel kTensor[] = {
    SM80(nt, bf16, kNT, test::kBFloat16), SM80(nt, f16, kNT, test::kFloat16),
    SM80(tn, bf16, kTN, test::kBFloat16), SM80(tn, f16, kTN, test::kFloat16),
    SM80(nn, bf16, kNN, test::kBFloat16), SM80(nn, f16, kNN, test::kFloat16)};

static std::vector<Kernel> all_kernels() {
  std::vector<Kernel> list{kSmall, kSimt};
  list.insert(list.end(), std::begin(kTensor), std::end(kTensor));
  return list;
}

// One product with its matrices; a Gram matrix has no b.
struct Product {
  Form form;
  Storage storage;
  int rows, cols, terms;
  std::unique_ptr<Matrix> a, b, dst;
  std::vector<double> old;

  double left(int i, int k) { return form == kTN ? a->get(k, i) : a->get(i, k); }
  double right(int j, int k) {
    if (storage != kGeneral) return a->get(j, k);
    return form == kNT ? b->get(j, k) : b->get(k, j);
  }
  bool computed(int i, int j) const { return storage == kGeneral || j <= i; }
  double result(int i, int j) {
    return storage == kPackedLower ? dst->get(0, i * (i + 1) / 2 + j) : dst->get(i, j);
  }
};

struct Types {
  DType a, b, out;
};

static Product make_product(
    Form form, Storage storage, Types t, int rows, int cols, int terms, Layout l, Layout m) {
  Product p{form,    storage, rows, storage == kGeneral ? cols : rows, terms, nullptr,
            nullptr, nullptr, {}};
  bool ta = form == kTN, tb = form != kNT;
  p.a = std::make_unique<Matrix>(t.a, ta ? terms : rows, ta ? rows : terms, l);
  if (storage == kGeneral)
    p.b = std::make_unique<Matrix>(t.b, tb ? terms : cols, tb ? cols : terms, m);
  p.dst = storage == kPackedLower ? std::make_unique<Matrix>(t.out, 1, rows * (rows + 1) / 2, m)
                                  : std::make_unique<Matrix>(t.out, rows, p.cols, m);
  return p;
}

template <class F>
static void fill(Product& p, F value) {
  p.a->fill(value);
  if (p.b) p.b->fill(value);
}

// Fills what of dst is read; the rest stays poison.
template <class F>
static void fill_dst(Product& p, F value) {
  for (int i = 0; i < p.rows; i++)
    for (int j = 0; j < p.cols; j++)
      if (p.computed(i, j)) {
        if (p.storage == kPackedLower) {
          p.dst->set(0, i * (i + 1) / 2 + j, value());
        } else {
          p.dst->set(i, j, value());
        }
      }
}

static unsigned tiles(const Product& p, int tile) {
  unsigned m = unsigned(p.rows + tile - 1) / unsigned(tile),
           n = unsigned(p.cols + tile - 1) / unsigned(tile);
  return p.storage == kGeneral ? m * n : m * (m + 1) / 2;
}

static void run(const Kernel& k, const std::vector<Product*>& batch, double alpha, double beta) {
  test::Buffer<ProductItem> items(batch.size());
  unsigned total = 0;
  for (size_t i = 0; i < batch.size(); i++) {
    Product& p = *batch[i];
    p.old.clear();
    for (int r = 0; r < p.rows; r++)
      for (int c = 0; c < p.cols; c++) p.old.push_back(p.computed(r, c) ? p.result(r, c) : 0);
    Matrix& b = p.b ? *p.b : *p.a;
    items[i] = {p.a->data(),
                b.data(),
                p.dst->data(),
                p.a->stride,
                b.stride,
                p.dst->stride,
                p.rows,
                p.cols,
                p.terms,
                total,
                (unsigned char)(p.a->type),
                (unsigned char)(b.type),
                (unsigned char)(p.dst->type),
                p.form,
                p.storage,
                {}};
    total += tiles(p, k.tile);
  }
  if (total == 0) return;
  uint64_t conflicts = emu::stats.bank_conflicts;
  emu::launch(k.run, total, 256, k.dynamic, items.data(), (long long)(batch.size()), alpha, beta);
  CHECK(emu::stats.bank_conflicts == conflicts, "%s: ldmatrix meets a bank twice", k.name);
  for (Product* p : batch) {
    p->dst->intact(k.name);
    p->a->intact(k.name);
    if (p->b) p->b->intact(k.name);
  }
}

static std::string describe(const Kernel& k, const Product& p) {
  return std::string(k.name) + " form " + std::to_string(p.form) + " storage " +
         std::to_string(p.storage) + " " + test::name(p.a->type) + " to " +
         test::name(p.dst->type) + " " + std::to_string(p.rows) + " x " + std::to_string(p.cols) +
         " x " + std::to_string(p.terms);
}

// Compares with float64; units is the error allowed in units of the gauge's roundoff.
static void expect(const Kernel& k, Product& p, double alpha, double beta, double units) {
  DType out = p.dst->type;
  const double smallest[] = {0x1p-149, 0, 0x1p-24, 0x1p-133};
  std::string what = describe(k, p);
  std::vector<double> left, right;  // reading elements is slow
  for (int i = 0; alpha != 0 && i < p.rows; i++)
    for (int t = 0; t < p.terms; t++) left.push_back(p.left(i, t));
  for (int j = 0; alpha != 0 && j < p.cols; j++)
    for (int t = 0; t < p.terms; t++) right.push_back(p.right(j, t));
  for (int i = 0; i < p.rows; i++)
    for (int j = 0; j < p.cols; j++) {
      if (!p.computed(i, j)) {
        CHECK(p.storage != kSymmetric || p.dst->bits(i, j) == p.dst->bits(j, i),
              "%s: not symmetric at (%d, %d)", what.c_str(), i, j);
        continue;
      }
      double want = 0, gauge = 0;
      for (int t = 0; alpha != 0 && t < p.terms; t++) {
        double v = left[size_t(i) * size_t(p.terms) + size_t(t)] *
                   right[size_t(j) * size_t(p.terms) + size_t(t)];
        want += v;
        gauge += std::fabs(v);
      }
      want *= alpha;
      gauge *= std::fabs(alpha);
      if (beta != 0) {
        want += beta * p.old[size_t(i * p.cols + j)];
        gauge += std::fabs(beta * p.old[size_t(i * p.cols + j)]);
      }
      double limit = units * 0x1p-24 * gauge;
      if (units > 0 || out != test::kFloat32)
        limit += test::unit_roundoff(out) * std::fabs(want) * 1.01 + smallest[out];
      double got = p.result(i, j);
      CHECK(std::fabs(got - want) <= limit, "%s: (%d, %d) is %.9g, want %.9g, gauge %.3g",
            what.c_str(), i, j, got, want, gauge);
    }
}

constexpr double kAlarm = 24;  // kernels.Bounds.Typical

// Every fifth case with sanitizers, which take ten times as long.
static bool skipped(size_t turn) {
#if defined(__SANITIZE_ADDRESS__)
  return turn % 5 != 0;
#else
  (void)turn;
  return false;
#endif
}

static Types types_of(const Kernel& k, size_t turn) {
  const DType list[] = {test::kFloat32, test::kFloat16, test::kBFloat16};
  Types t{k.type, k.type, list[turn % 3 == 2 ? turn / 3 % 3 : 0]};
  if (k.any && turn % 4 != 0) t.a = list[turn / 4 % 3], t.b = list[turn / 12 % 3];
  return t;
}

static void shapes(const Kernel& k) {
  test::Random random(1);
  auto sizes = test::sizes();
  size_t turn = 0;
  for (size_t i = 0; i < sizes.size(); i++)
    for (size_t j = 0; j < sizes.size(); j++, turn++) {
      if (skipped(turn)) continue;
      emu::seed = test::seeds()[turn % 4];
      Form form = k.any ? Form(turn % 3) : k.form;
      Layout l = test::layouts()[turn % 6],
             m = test::layouts()[turn % 2 == 0 ? turn % 6 : turn / 2 % 6];
      Product p = make_product(form, kGeneral, types_of(k, turn), sizes[i], sizes[j],
                               sizes[(i + j) % sizes.size()], l, m);
      bool positive = turn % 2 == 0;
      fill(p, [&] { return positive ? random.uniform() + 0.1 : random.gaussian(); });
      run(k, {&p}, 1, 0);
      expect(k, p, 1, 0, kAlarm);
    }
}

TEST(shapes_small) { shapes(kSmall); }
TEST(shapes_simt) { shapes(kSimt); }
TEST(shapes_nt) { shapes(kTensor[0]), shapes(kTensor[1]); }
TEST(shapes_tn) { shapes(kTensor[2]), shapes(kTensor[3]); }
TEST(shapes_nn) { shapes(kTensor[4]), shapes(kTensor[5]); }

TEST(gram_shapes) {
  test::Random random(2);
  size_t turn = 0;
  for (const Kernel& k : {kSmall, kSimt, kTensor[0], kTensor[1]})
    for (int rows : test::sizes())
      for (int terms : {0, 1, 7, 8, 31, 40, 129}) {
        if (skipped(++turn)) continue;
        emu::seed = test::seeds()[turn % 4];
        Storage storage = turn % 3 == 0 ? kPackedLower : kSymmetric;
        Product p = make_product(kNT, storage, types_of(k, turn), rows, 0, terms,
                                 test::layouts()[turn % 6], test::layouts()[turn / 6 % 6]);
        fill(p, [&] { return random.gaussian(); });
        run(k, {&p}, 1, 0);
        expect(k, p, 1, 0, kAlarm);
      }
}

TEST(beyond_two_tiles) {
  test::Random random(3);
  size_t turn = 0;
  for (const Kernel& k : all_kernels())
    for (Storage storage : {kGeneral, kSymmetric, kPackedLower}) {
      if (storage != kGeneral && k.form != kNT) continue;
      if (storage == kPackedLower && skipped(1)) continue;
      emu::seed = test::seeds()[turn++ % 4];
      int n = k.tile * 2 + 5;
      Product p = make_product(k.form, storage, {k.type, k.type, test::kFloat32}, n + 128, n, 150,
                               test::layouts()[2], test::layouts()[turn % 6]);
      fill(p, [&] { return random.gaussian(); });
      run(k, {&p}, 1, 0);
      expect(k, p, 1, 0, kAlarm);
    }
}

// All pairs of types, and of forms and storages, with the scalars of the BLAS tests. What must not
// be read is NaN.
TEST(scalars_types_and_forms) {
  test::Random random(4);
  const double scalars[][2] = {{1, 0}, {1, 1}, {0.7, 1.3}, {-1.3, 0},
                               {0, 1}, {0, 0}, {0, 1.3},   {1, -1}};
  const DType list[] = {test::kFloat32, test::kFloat16, test::kBFloat16};
  size_t turn = 0;
  for (const Kernel& k : all_kernels())
    for (auto a : list)
      for (auto b : list)
        for (auto out : list)
          for (int variant = 0; variant < 5; variant++) {
            if (!k.any && (a != k.type || b != k.type)) continue;
            Form form = variant < 3 ? Form(variant) : kNT;
            Storage storage = variant < 3 ? kGeneral : variant == 3 ? kSymmetric : kPackedLower;
            if (!k.any && form != k.form) continue;
            if (storage != kGeneral && a != b) continue;
            turn++;
            if (k.any && k.tile == 128 && skipped(turn)) continue;
            for (auto& s : scalars) {
              if (k.any && (&s - scalars + int(turn)) % 3 != 0) continue;
              emu::seed = test::seeds()[turn % 4];
              Product p = make_product(form, storage, {a, b, out}, 37, 45, 50,
                                       test::layouts()[turn % 6], test::layouts()[turn / 2 % 6]);
              fill(p, [&] { return s[0] == 0 ? NAN : random.gaussian(); });
              if (s[1] != 0) fill_dst(p, [&] { return random.gaussian(); });
              run(k, {&p}, s[0], s[1]);
              expect(k, p, s[0], s[1], kAlarm);
            }
          }
}

TEST(integers_are_exact) {
  test::Random random(5);
  for (const Kernel& k : all_kernels())
    for (Storage storage : {kGeneral, kSymmetric}) {
      if (storage != kGeneral && k.form != kNT) continue;
      emu::seed = test::seeds()[random.below(4)];
      Product p = make_product(k.form, storage, {k.type, k.type, test::kFloat32}, 66, 35, 700,
                               test::layouts()[2], test::layouts()[0]);
      fill(p, [&] { return double(random.below(201)) - 100; });
      fill_dst(p, [&] { return double(random.below(2001)) - 1000; });
      run(k, {&p}, 2, -1);
      expect(k, p, 2, -1, 0);
    }
}

// alpha and beta are float64, and the result is rounded once: sums that are exact in float32 leave
// no other error.
TEST(scalars_are_float64) {
  test::Random random(9);
  for (const Kernel& k : all_kernels())
    for (auto out : {test::kFloat32, test::kBFloat16, test::kFloat16})
      for (auto [alpha, beta] :
           {std::pair{1 / 3.0, 1 / 7.0}, std::pair{0.0, 1 / 7.0}, std::pair{1 / 3.0, 0.0}}) {
        Product p =
            make_product(k.form, kGeneral, {k.type, k.type, out}, 33, 21, 2, {0, 0}, {0, 0});
        fill(p, [&] { return double(random.below(199)) + 1; });
        fill_dst(p, [&] { return double(random.below(4999)) + 1; });
        run(k, {&p}, alpha, beta);
        std::string what = describe(k, p);
        for (int i = 0; i < 33; i++)
          for (int j = 0; j < 21; j++) {
            double sum = p.left(i, 0) * p.right(j, 0) + p.left(i, 1) * p.right(j, 1);
            double want = alpha * sum + beta * p.old[size_t(i * 21 + j)], got = p.result(i, j);
            CHECK(std::fabs(got - want) <= 1.0000001 * test::unit_roundoff(out) * want,
                  "%s: (%d, %d) is %.9g, want %.9g", what.c_str(), i, j, got, want);
          }
      }
}

// Just above a tie of the 16-bit type, by less than float32 can tell.
TEST(results_are_rounded_once) {
  for (const Kernel& k : {kSmall, kSimt, kTensor[0]})
    for (auto [out, step] :
         {std::pair{test::kBFloat16, 0x1p-7}, std::pair{test::kFloat16, 0x1p-10}}) {
      Product p = make_product(kNT, kSymmetric, {k.type, k.type, out}, 2, 2, 1, {0, 0}, {0, 0});
      fill(p, [] { return 1; });
      run(k, {&p}, 1 + step / 2 + 0x1p-40, 0);
      for (int i = 0; i < 4; i++)
        CHECK(p.dst->get(i / 2, i % 2) == 1 + step, "%s: %.9g", k.name, p.dst->get(i / 2, i % 2));
    }
}

// Equal terms make the worst of a long chain: the roundings of each binade point the same way. The
// theorem holds for blocked sums alone: (kc + k/kc + 5) units. Tensor cores cut off, which takes
// the alarm beyond its limit on any data of one sign.
TEST(long_sums_are_blocked) {
  const int terms = 6000;
  for (const Kernel& k : {kSmall, kSimt}) {
    Product p = make_product(k.form, kGeneral, {k.type, k.type, test::kFloat32}, 1, 1, terms,
                             {0, 0}, {0, 0});
    fill(p, [&] { return 0.7; });
    run(k, {&p}, 1, 0);
    expect(k, p, 1, 0, 256 + terms / 256.0 + 5);
  }
  test::Random random(6);
  for (const Kernel& k : {kTensor[0], kTensor[3], kTensor[4]}) {
    Product p = make_product(k.form, kGeneral, {k.type, k.type, test::kFloat32}, 20, 9, 3000,
                             {0, 0}, {0, 0});
    fill(p, [&] { return random.uniform(); });
    run(k, {&p}, 1, 0);
    expect(k, p, 1, 0, kAlarm);
  }
}

// A batch gives the bits of its items alone, in any order of threads and blocks.
TEST(ragged_batches) {
  test::Random random(7);
  const int shapes[][3] = {{5, 9, 3},     {0, 4, 4}, {130, 70, 33}, {7, 0, 5},
                           {97, 200, 20}, {1, 1, 0}, {97, 200, 20}, {0, 0, 0}};
  size_t turn = 0;
  for (const Kernel& k : all_kernels()) {
    std::vector<Product> together, alone;
    for (auto& s : shapes) {
      turn++;
      Form form = k.any ? Form(turn % 3) : k.form;
      Storage storage = form == kNT ? Storage(turn % 3) : kGeneral;
      Layout l = test::layouts()[turn % 6];
      for (auto* list : {&together, &alone})
        list->push_back(make_product(form, storage, types_of(k, turn), s[0], s[1], s[2], l, l));
      fill(together.back(), [&] { return random.gaussian(); });
      Product &from = together.back(), &to = alone.back();
      for (auto [x, y] : {std::pair{from.a.get(), to.a.get()}, std::pair{from.b.get(), to.b.get()}})
        for (int i = 0; x != nullptr && i < x->rows; i++)
          for (int j = 0; j < x->cols; j++) y->set(i, j, x->get(i, j));
    }
    std::vector<Product*> batch;
    for (auto& p : together) batch.push_back(&p);
    emu::seed = test::seeds()[turn % 4];
    run(k, batch, 1.5, 0);
    for (size_t i = 0; i < alone.size(); i++) {
      emu::seed = 0;
      run(k, {&alone[i]}, 1.5, 0);
      expect(k, together[i], 1.5, 0, kAlarm);
      CHECK(alone[i].dst->snapshot() == together[i].dst->snapshot(),
            "%s: item %zu of a batch against the item alone", k.name, i);
    }
  }
}

TEST(nan_and_infinity_reach_what_depends_on_them) {
  test::Random random(8);
  for (const Kernel& k : all_kernels())
    for (double bad : {double(NAN), double(INFINITY)}) {
      Product clean = make_product(k.form, kGeneral, {k.type, k.type, test::kFloat32}, 33, 21, 40,
                                   {0, 0}, {0, 0});
      Product dirty = make_product(k.form, kGeneral, {k.type, k.type, test::kFloat32}, 33, 21, 40,
                                   {0, 0}, {0, 0});
      fill(clean, [&] { return random.uniform() + 0.5; });
      for (auto [x, y] :
           {std::pair{clean.a.get(), dirty.a.get()}, std::pair{clean.b.get(), dirty.b.get()}})
        for (int i = 0; i < x->rows; i++)
          for (int j = 0; j < x->cols; j++) y->set(i, j, x->get(i, j));
      int row = int(random.below(33)), term = int(random.below(40));
      dirty.a->set(k.form == kTN ? term : row, k.form == kTN ? row : term, bad);
      run(k, {&clean}, 1, 0);
      run(k, {&dirty}, 1, 0);
      for (int i = 0; i < 33; i++)
        for (int j = 0; j < 21; j++) {
          double v = dirty.result(i, j);
          CHECK(i == row ? !std::isfinite(v) : v == clean.result(i, j), "%s: (%d, %d) is %g",
                k.name, i, j, v);
        }
    }
}

// The lists of tiles hold every tile once; bands keep neighbours together.
TEST(tile_lists) {
  for (int rows : {1, 2, 7, 8, 9, 15, 16, 17, 24, 61})
    for (int cols : {1, 3, 8, 20}) {
      std::vector<int> seen(size_t(rows * cols));
      for (int t = 0; t < rows * cols; t++) {
        TileIndex at = general_tile(t, rows, cols);
        CHECK(at.row >= 0 && at.row < rows && at.col >= 0 && at.col < cols, "tile %d of %d x %d", t,
              rows, cols);
        CHECK(seen[size_t(at.row * cols + at.col)]++ == 0, "tile %d of %d x %d comes twice", t,
              rows, cols);
        CHECK(at.row / kBand == t / (kBand * cols), "tile %d of %d x %d is outside of its band", t,
              rows, cols);
      }
    }
  for (int rows : {1, 2, 7, 8, 9, 16, 17, 31, 64, 65, 300}) {
    std::vector<int> seen(size_t(rows * rows));
    for (int t = 0; t < rows * (rows + 1) / 2; t++) {
      TileIndex at = triangle_tile(t, rows);
      CHECK(at.col >= 0 && at.col <= at.row && at.row < rows, "tile %d of %d: (%d, %d)", t, rows,
            at.row, at.col);
      CHECK(seen[size_t(at.row * rows + at.col)]++ == 0, "tile %d of %d comes twice", t, rows);
    }
  }
  for (int band : {100, 1000, 2000, 2040}) {  // where the root is off by a step of float32
    int first = 4 * band * (8 * band + 1);
    TileIndex before = triangle_tile(first - 1, band * 8 + 8),
              at = triangle_tile(first, band * 8 + 8);
    CHECK(before.row == band * 8 - 1 && before.col == band * 8 - 1, "band %d: (%d, %d)", band,
          before.row, before.col);
    CHECK(at.row == band * 8 && at.col == 0, "band %d: (%d, %d)", band, at.row, at.col);
  }
}
