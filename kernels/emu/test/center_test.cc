#include "../../center.cu"

#include "matrix.h"

using namespace cambium;
using test::Matrix;

// One matrix of a batch with its results and scratch memory.
struct Item {
  Item(Matrix& dst, Matrix& x, bool with_stats)
      : dst(dst),
        x(x),
        with_stats(with_stats),
        strips(size_t(std::max(1, (x.rows + kCenterRows - 1) / kCenterRows))),
        blocks(size_t(std::max(1, (x.cols + kCenterCols - 1) / kCenterCols))),
        mean(size_t(x.cols)),
        squared_norm(size_t(x.rows)),
        column_squares(size_t(x.cols)),
        column_parts(strips * size_t(x.cols)),
        row_parts(blocks * size_t(x.rows)),
        column_tickets(blocks),
        row_tickets(strips) {
    for (size_t i = 0; i < blocks; i++) column_tickets[i] = 0;
    for (size_t i = 0; i < strips; i++) row_tickets[i] = 0;
    for (int i = 0; i < x.rows; i++)
      for (int j = 0; j < x.cols; j++) before.push_back(x.get(i, j));
  }

  Matrix &dst, &x;
  bool with_stats;
  size_t strips, blocks;
  test::Buffer<double> mean, squared_norm, column_squares, column_parts, row_parts;
  test::Buffer<unsigned> column_tickets, row_tickets;
  std::vector<double> before;
};

static void center(const std::vector<Item*>& batch) {
  test::Buffer<CenterItem> items(batch.size());
  unsigned tiles = 0;
  for (size_t i = 0; i < batch.size(); i++) {
    Item& b = *batch[i];
    items[i] = {b.dst.data(),
                b.x.data(),
                b.mean.data(),
                b.with_stats ? b.squared_norm.data() : nullptr,
                b.with_stats ? b.column_squares.data() : nullptr,
                b.column_parts.data(),
                b.row_parts.data(),
                b.column_tickets.data(),
                b.row_tickets.data(),
                b.x.rows,
                b.x.cols,
                b.dst.stride,
                b.x.stride,
                b.dst.type,
                b.x.type,
                tiles,
                0};
    tiles += unsigned(b.strips * b.blocks);
  }
  emu::launch(center_mean, tiles, kCenterThreads, 0, items.data(), (long long)(batch.size()));
  emu::launch(center_apply, tiles, kCenterThreads, 0, items.data(), (long long)(batch.size()));
  for (Item* b : batch) {
    b->dst.intact("dst");
    b->x.intact("x");
    for (auto* buffer :
         {&b->mean, &b->squared_norm, &b->column_squares, &b->column_parts, &b->row_parts})
      buffer->check("results");
    for (size_t i = 0; i < b->blocks; i++)
      CHECK(b->column_tickets[i] == 0, "column ticket %zu is %u", i, b->column_tickets[i]);
    for (size_t i = 0; i < b->strips; i++)
      CHECK(b->row_tickets[i] == 0, "row ticket %zu is %u", i, b->row_tickets[i]);
  }
}

static void expect(Item& b) {
  int rows = b.x.rows, cols = b.x.cols;
  std::string shape = std::string(test::name(b.x.type)) + " to " + test::name(b.dst.type) + " " +
                      std::to_string(rows) + " x " + std::to_string(cols);
  const char* what = shape.c_str();
  std::vector<test::Wide> norm(size_t(rows), 0);
  for (int j = 0; j < cols; j++) {
    test::Wide sum = 0, squares = 0;
    double magnitude = 0;
    for (int i = 0; i < rows; i++) {
      sum += b.before[size_t(i * cols + j)];
      magnitude += std::fabs(b.before[size_t(i * cols + j)]) / rows;
    }
    test::Wide mean = rows > 0 ? sum / rows : 0;
    CHECK(std::fabs(double(b.mean[size_t(j)] - mean)) <= 24 * 0x1p-53 * magnitude,
          "%s: mean %d is %.17g, want %.17g", what, j, b.mean[size_t(j)], double(mean));
    for (int i = 0; i < rows; i++) {
      test::Wide want = b.before[size_t(i * cols + j)] - mean;
      double got = b.dst.get(i, j),
             limit = 24 * 0x1p-53 * (std::fabs(b.before[size_t(i * cols + j)]) + magnitude) +
                     1.01 * test::unit_roundoff(b.dst.type) * std::fabs(double(want)) +
                     0x1p-24 * (b.dst.type == test::kFloat16);
      CHECK(std::fabs(double(got - want)) <= limit, "%s: (%d, %d) is %.17g, want %.17g", what, i, j,
            got, double(want));
      squares += test::Wide(got) * got;
      norm[size_t(i)] += test::Wide(got) * got;
    }
    if (b.with_stats)
      CHECK(std::fabs(double(b.column_squares[size_t(j)] - squares)) <=
                24 * 0x1p-53 * double(squares),
            "%s: column squares %d: %.17g, want %.17g", what, j, b.column_squares[size_t(j)],
            double(squares));
  }
  for (int i = 0; b.with_stats && i < rows; i++)
    CHECK(std::fabs(double(b.squared_norm[size_t(i)] - norm[size_t(i)])) <=
              24 * 0x1p-53 * double(norm[size_t(i)]),
          "%s: squared norm %d: %.17g, want %.17g", what, i, b.squared_norm[size_t(i)],
          double(norm[size_t(i)]));
}

TEST(shapes) {
  test::Random random(1);
  size_t turn = 0;
  for (int rows : test::sizes())
    for (int cols : test::sizes()) {
      emu::seed = test::seeds()[turn % 4];
      auto& l = test::layouts()[turn % 6];
      bool in_place = turn % 5 == 0;
      Matrix x(test::kFloat32, rows, cols, l),
          other(test::kFloat32, rows, cols, test::layouts()[turn / 6 % 6]);
      x.fill([&] { return random.gaussian(); });
      Item item(in_place ? x : other, x, turn % 2 == 0);
      center({&item});
      expect(item);
      turn++;
    }
}

TEST(types) {
  test::Random random(2);
  size_t turn = 0;
  for (auto from : test::types())
    for (auto to : test::types()) {
      emu::seed = test::seeds()[turn++ % 4];
      Matrix x(from, 50, 130, test::layouts()[turn % 6]),
          dst(to, 50, 130, test::layouts()[turn / 2 % 6]);
      x.fill([&] { return random.uniform() + 0.5; });
      Item item(from == to ? x : dst, x, true);
      center({&item});
      expect(item);
    }
}

TEST(beyond_two_tiles) {
  test::Random random(3);
  for (auto type : {test::kFloat32, test::kBFloat16})
    for (uint64_t seed : test::seeds()) {
      emu::seed = seed;
      Matrix x(type, 700, 150, {1, 1}), dst(test::kFloat32, 700, 150);
      x.fill([&] { return 1000 + random.gaussian(); });  // a thousand standard deviations away
      Item item(dst, x, true);
      center({&item});
      expect(item);
    }
}

TEST(the_bits_do_not_depend_on_the_order) {
  test::Random random(4);
  Matrix x(test::kFloat32, 1300, 140);
  x.fill([&] { return random.gaussian(); });
  std::vector<unsigned char> bits[6];
  for (uint64_t seed = 0; seed < 6; seed++) {
    emu::seed = seed;
    Matrix dst(test::kFloat32, 1300, 140);
    Item item(dst, x, true);
    center({&item});
    if (seed == 0) expect(item);
    bits[seed] = dst.snapshot();
    for (auto* b : {&item.mean, &item.squared_norm, &item.column_squares}) {
      auto* p = reinterpret_cast<unsigned char*>(b->data());
      bits[seed].insert(bits[seed].end(), p, p + b->size() * sizeof(double));
    }
    CHECK(bits[seed] == bits[0], "other bits");
  }
}

TEST(constant_columns_become_zero) {
  for (auto type : test::types()) {
    Matrix x(type, 777, 70, {1, 0}), dst(type, 777, 70);
    for (int i = 0; i < 777; i++)
      for (int j = 0; j < 70; j++) x.set(i, j, 0.1 * (j + 1));
    Item item(dst, x, true);
    center({&item});
    for (int i = 0; i < 777; i++)
      for (int j = 0; j < 70; j++)
        CHECK(dst.get(i, j) == 0, "%s: (%d, %d) is %g", test::name(type), i, j, dst.get(i, j));
    CHECK(item.column_squares[69] == 0 && item.squared_norm[776] == 0, "norms");
  }
}

TEST(ragged_batch) {
  test::Random random(5);
  const int shapes[][2] = {{5, 3}, {0, 4}, {300, 70}, {4, 0}, {1, 1}, {520, 10}, {0, 0}, {2, 200}};
  for (uint64_t seed : test::seeds()) {
    emu::seed = seed;
    std::vector<std::unique_ptr<Matrix>> storage;
    std::vector<std::unique_ptr<Item>> items;
    std::vector<Item*> batch;
    for (auto& s : shapes) {
      size_t i = items.size();
      storage.push_back(
          std::make_unique<Matrix>(test::types()[i % 4], s[0], s[1], test::layouts()[i % 6]));
      storage.back()->fill([&] { return random.gaussian(); });
      storage.push_back(std::make_unique<Matrix>(test::types()[i / 2 % 4], s[0], s[1]));
      items.push_back(std::make_unique<Item>(*storage[2 * i + 1], *storage[2 * i], i % 3 != 1));
      batch.push_back(items.back().get());
    }
    center(batch);
    for (Item* b : batch) expect(*b);
  }
}

TEST(nan_stays_in_its_column) {
  test::Random random(6);
  for (double bad : {double(NAN), double(INFINITY)}) {
    Matrix x(test::kFloat32, 300, 70), dst(test::kFloat32, 300, 70);
    x.fill([&] { return random.gaussian(); });
    x.set(280, 66, bad);
    Item item(dst, x, true);
    center({&item});
    for (int i = 0; i < 300; i++)
      for (int j = 0; j < 70; j++)
        CHECK(std::isfinite(dst.get(i, j)) == (j != 66), "(%d, %d) is %g", i, j, dst.get(i, j));
    CHECK(!std::isfinite(item.squared_norm[0]) && std::isfinite(item.column_squares[65]), "norms");
  }
}
