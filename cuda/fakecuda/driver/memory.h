// Device and pinned memory of the fake driver.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif
#endif

namespace fake {

// die ends the program: the caller broke the driver's rules.
[[noreturn, gnu::format(printf, 1, 2)]] inline void die(const char* format, ...) {
  va_list args;
  va_start(args, format);
  fputs("fakecuda: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  abort();
}

// Memory is a set of allocations with canaries on both sides. Freed ones are kept for a while, so
// that a write to one shows.
class Memory {
 public:
  explicit Memory(const char* name) : name_(name) {}

  // allocate returns null if the bytes exceed what is left of limit.
  char* allocate(size_t bytes, uint64_t limit) {
    if (bytes > limit || used_ > limit - bytes) return nullptr;
    auto* base = static_cast<char*>(aligned_alloc(kAlign, room(bytes)));
    if (base == nullptr) return nullptr;
    memset(base, kCanary, room(bytes));
    char* p = base + kZone;
    memset(p, kPoison, bytes);
    ASAN_POISON_MEMORY_REGION(base, kZone);
    ASAN_POISON_MEMORY_REGION(p + bytes, room(bytes) - kZone - bytes);
    live_[p] = bytes;
    used_ += bytes;
    return p;
  }

  void release(char* p) {
    auto it = live_.find(p);
    if (it == live_.end())
      die("free of %p, which is %s", p, freed_.count(p) ? "free already" : "no allocation");
    size_t bytes = it->second;
    check(p, bytes);
    used_ -= bytes;
    live_.erase(it);
    memset(p, kFreed, bytes);
    ASAN_POISON_MEMORY_REGION(p, bytes);
    freed_[p] = bytes;
    kept_ += bytes;
    while (kept_ > kKeep) forget(freed_.begin());
  }

  // span checks that [p, p + bytes) lies within one allocation.
  void span(const void* at, size_t bytes, const char* call) const {
    auto* p = const_cast<char*>(static_cast<const char*>(at));
    auto it = live_.upper_bound(p);
    if (it != live_.begin() && bytes <= (--it)->second &&
        size_t(p - it->first) <= it->second - bytes)
      return;
    die("%s: %zu bytes at %p are not within one allocation of %s memory", call, bytes, p, name_);
  }

  // check_all looks at the canaries of all allocations.
  void check_all() const {
    for (auto [p, bytes] : live_) check(p, bytes);
  }

  void clear() {
    check_all();
    while (!live_.empty()) release(live_.begin()->first);
    while (!freed_.empty()) forget(freed_.begin());
  }

  uint64_t used() const { return used_; }
  size_t count() const { return live_.size(); }

 private:
  static constexpr size_t kAlign = 512, kZone = 512, kKeep = size_t{64} << 20;
  static constexpr unsigned char kCanary = 0xa7, kPoison = 0xff, kFreed = 0xd9;
  using Blocks = std::map<char*, size_t>;

  static size_t room(size_t bytes) {
    return (kZone + bytes + kZone + kAlign - 1) / kAlign * kAlign;
  }

  static bool filled(const char* p, size_t bytes, unsigned char with) {
    for (size_t i = 0; i < bytes; i++)
      if (static_cast<unsigned char>(p[i]) != with) return false;
    return true;
  }

  void check(char* p, size_t bytes) const {
    char* base = p - kZone;
    size_t behind = room(bytes) - kZone - bytes;
    ASAN_UNPOISON_MEMORY_REGION(base, kZone);
    ASAN_UNPOISON_MEMORY_REGION(p + bytes, behind);
    if (!filled(base, kZone, kCanary))
      die("%s memory: written before the %zu bytes at %p", name_, bytes, p);
    if (!filled(p + bytes, behind, kCanary))
      die("%s memory: written behind the %zu bytes at %p", name_, bytes, p);
    ASAN_POISON_MEMORY_REGION(base, kZone);
    ASAN_POISON_MEMORY_REGION(p + bytes, behind);
  }

  void forget(Blocks::iterator it) {
    auto [p, bytes] = *it;
    ASAN_UNPOISON_MEMORY_REGION(p - kZone, room(bytes));
    if (!filled(p, bytes, kFreed))
      die("%s memory: the %zu bytes at %p were written after they were freed", name_, bytes, p);
    kept_ -= bytes;
    freed_.erase(it);
    free(p - kZone);
  }

  const char* name_;
  Blocks live_, freed_;
  uint64_t used_ = 0;
  size_t kept_ = 0;
};

}  // namespace fake
