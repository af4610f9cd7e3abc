// A small test harness: named tests, checks that print where they failed, buffers with guard zones.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../cuda_emu.h"

namespace test {

struct Case {
  const char* name;
  void (*run)();
};
inline std::vector<Case>& cases() {
  static std::vector<Case> list;
  return list;
}
struct Register {
  Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};
#define TEST(name)                                            \
  static void name();                                         \
  static const test::Register name##_registered(#name, name); \
  static void name()

struct Failure {
  std::string text;
};

// CHECK(condition, format, ...) ends the test with the message.
#define CHECK(condition, ...)                                                    \
  do {                                                                           \
    if (!(condition)) test::failed(__FILE__, __LINE__, #condition, __VA_ARGS__); \
  } while (0)

[[noreturn, gnu::format(printf, 4, 5)]] inline void failed(
    const char* file, int line, const char* what, const char* format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  throw Failure{std::string(file) + ":" + std::to_string(line) + ": not " + what + ": " + text +
                ", seed " + std::to_string(emu::seed)};
}

// expect_error fails unless f ends in an emu::Error whose text holds part.
template <class F>
void expect_error(const char* part, F f) {
  try {
    f();
  } catch (const emu::Error& e) {
    CHECK(strstr(e.what(), part) != nullptr, "\"%s\" in \"%s\"", part, e.what());
    return;
  }
  CHECK(false, "nothing was wrong, expected \"%s\"", part);
}

// A Buffer is device memory: count values of T that start offset values after a multiple of 256
// bytes, poisoned, between guard zones. Under AddressSanitizer the zones are out of bounds.
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t count, size_t offset = 0)
      : count_(count), memory_(count * sizeof(T) + 3 * kZone) {
    auto address = reinterpret_cast<uintptr_t>(memory_.data());
    begin_ = kZone - address % kZone + (count == 0 ? 0 : offset * sizeof(T));
    std::fill(memory_.begin(), memory_.end(), emu::kGuard);
    memset(memory_.data() + begin_, emu::kPoison, count * sizeof(T));
    ASAN_POISON_MEMORY_REGION(memory_.data(), begin_);
    ASAN_POISON_MEMORY_REGION(memory_.data() + end(), memory_.size() - end());
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { ASAN_UNPOISON_MEMORY_REGION(memory_.data(), memory_.size()); }

  T* data() { return reinterpret_cast<T*>(memory_.data() + begin_); }
  size_t size() const { return count_; }
  T& operator[](size_t i) { return data()[i]; }

  // check fails if a guard zone changed.
  void check(const char* what) {
    ASAN_UNPOISON_MEMORY_REGION(memory_.data(), memory_.size());
    for (size_t i = 0; i < memory_.size(); i++)
      if (i < begin_ || i >= end())
        CHECK(memory_[i] == emu::kGuard, "%s: byte %td outside of %zu bytes was written", what,
              std::ptrdiff_t(i) - std::ptrdiff_t(begin_), count_ * sizeof(T));
    ASAN_POISON_MEMORY_REGION(memory_.data(), begin_);
    ASAN_POISON_MEMORY_REGION(memory_.data() + end(), memory_.size() - end());
  }

 private:
  static constexpr size_t kZone = 256;
  size_t end() const { return begin_ + count_ * sizeof(T); }
  size_t count_, begin_;
  std::vector<unsigned char> memory_;
};

// The seeds that the thread orders of a test run through: by index, backwards, shuffled.
inline const std::vector<uint64_t>& seeds() {
  static const std::vector<uint64_t> list{0, 1, 2, 3};
  return list;
}

// random numbers that do not depend on the standard library's distributions.
class Random {
 public:
  explicit Random(uint64_t s) : engine_(s) {}
  uint64_t below(uint64_t n) { return engine_() % n; }
  double uniform() { return double(engine_() >> 11) * 0x1p-53; }
  double gaussian() {  // Box-Muller
    double r = std::sqrt(-2 * std::log(1 - uniform())), a = 6.283185307179586 * uniform();
    return r * std::cos(a);
  }

 private:
  std::mt19937_64 engine_;
};

inline int run_all(int argc, char** argv) {
  int failures = 0, ran = 0;
  bool first_only = getenv("EMU_FIRST_FAILURE") != nullptr;  // for mutants: one is enough
  for (const Case& c : cases()) {
    if (failures > 0 && first_only) break;
    if (argc > 1 && strstr(c.name, argv[1]) == nullptr) continue;
    ran++;
    emu::seed = 0;
    try {
      c.run();
    } catch (const Failure& f) {
      printf("FAIL %s: %s\n", c.name, f.text.c_str());
      failures++;
    } catch (const emu::Error& e) {
      printf("FAIL %s: %s, seed %llu\n", c.name, e.what(), (unsigned long long)emu::seed);
      failures++;
    }
  }
  printf("%s: %d of %d tests failed\n", failures == 0 ? "ok" : "FAIL", failures, ran);
  return failures != 0 || ran == 0;
}

}  // namespace test

int main(int argc, char** argv) { return test::run_all(argc, argv); }
