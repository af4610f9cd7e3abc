// A fiber is a stack of its own that runs until it gives control back. Each CUDA thread of the
// emulation is one.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>

// EMU_UCONTEXT chooses the portable way where the fast one exists, to test it.
#if defined(__x86_64__) && !defined(EMU_UCONTEXT)
#define EMU_ASSEMBLY 1
#else
#define EMU_ASSEMBLY 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !EMU_ASSEMBLY
#include <ucontext.h>
#endif

namespace emu {

#if EMU_ASSEMBLY
// swapcontext changes the signal mask, a system call for each switch. Saving the registers that the
// ABI lets a function rely on is ten times faster.
extern "C" void emu_switch(void** save_sp, void* load_sp);
asm(R"(.text
.weak emu_switch
.type emu_switch,@function
emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emu_switch,.-emu_switch
)");
#endif

// What lies outside the fibers: the stack that resumes them.
struct Outside {
  void* fake_stack = nullptr;
  const void* bottom = nullptr;
  size_t size = 0;
#if EMU_ASSEMBLY
  void* sp = nullptr;
#else
  ucontext_t context;
#endif
};

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  Fiber(Fiber&& other) noexcept : memory_(other.memory_) { other.memory_ = nullptr; }
  ~Fiber() {
    if (memory_ != nullptr) munmap(memory_, kStack + kGuard);
  }

  // start makes the fiber ready to run entry from its beginning; entry must not return.
  void start(void (*entry)()) {
    if (memory_ == nullptr) {
      void* p = mmap(nullptr, kStack + kGuard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                     -1, 0);
      if (p == MAP_FAILED) throw std::bad_alloc();
      memory_ = static_cast<char*>(p);
      mprotect(memory_, kGuard, PROT_NONE);  // an overflowing stack faults
    }
    if (abandoned_) unpoison(memory_ + kGuard, kStack);
    abandoned_ = true;
#if EMU_ASSEMBLY
    auto** sp = reinterpret_cast<void**>(memory_ + kGuard + kStack);
    *--sp = nullptr;  // a return address for entry, which has none
    *--sp = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; i++) *--sp = nullptr;
    sp_ = sp;
#else
    getcontext(&context_);
    context_.uc_stack.ss_sp = memory_ + kGuard;
    context_.uc_stack.ss_size = kStack;
    context_.uc_link = nullptr;
    makecontext(&context_, entry, 0);
#endif
  }

  // resume runs the fiber until it yields. Called from outside any fiber.
  void resume() {
    before(&outside_.fake_stack, memory_ + kGuard, kStack);
#if EMU_ASSEMBLY
    emu_switch(&outside_.sp, sp_);
#else
    swapcontext(&outside_.context, &context_);
#endif
    after(outside_.fake_stack, nullptr, nullptr);
  }

  // entered tells AddressSanitizer that the fiber's stack is in use: the first thing entry does.
  static void entered() { after(nullptr, &outside_.bottom, &outside_.size); }

  // yield gives control back to the caller of resume. last: this fiber will not be resumed.
  void yield(bool last = false) {
    before(last ? nullptr : &fake_stack_, outside_.bottom, outside_.size);
#if EMU_ASSEMBLY
    emu_switch(&sp_, outside_.sp);
#else
    swapcontext(&context_, &outside_.context);
#endif
    after(fake_stack_, &outside_.bottom, &outside_.size);
  }

  // finish is the last thing entry does; a fiber that ends elsewhere leaves its stack as it was.
  void finish() {
    abandoned_ = false;
    yield(true);
  }

 private:
#if defined(__SANITIZE_ADDRESS__)
  static constexpr size_t kStack = size_t{256} << 10;
  static void unpoison(void* p, size_t size) { ASAN_UNPOISON_MEMORY_REGION(p, size); }
  static void before(void** fake, const void* bottom, size_t size) {
    __sanitizer_start_switch_fiber(fake, bottom, size);
  }
  static void after(void* fake, const void** bottom, size_t* size) {
    __sanitizer_finish_switch_fiber(fake, bottom, size);
  }
#else
  static constexpr size_t kStack = size_t{64} << 10;
  static void unpoison(void*, size_t) {}
  static void before(void**, const void*, size_t) {}
  static void after(void*, const void**, size_t*) {}
#endif
  static constexpr size_t kGuard = size_t{64} << 10;  // a multiple of every page size in use

  static inline Outside outside_;

  char* memory_ = nullptr;
  bool abandoned_ = false;
  void* fake_stack_ = nullptr;
#if EMU_ASSEMBLY
  void* sp_ = nullptr;
#else
  ucontext_t context_;
#endif
};

}  // namespace emu
