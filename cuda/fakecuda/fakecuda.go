//go:build cuda && cgo && linux

package fakecuda

/*
#cgo CFLAGS: -std=gnu11
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

static void *library;

static int open_library(const char *name) {
  library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  return library && dlsym(library, "fakecuda_reset");
}

#define CONTROL(result, name, types, values)                       \
  static result name types {                                       \
    return ((result(*) types)dlsym(library, "fakecuda_" #name))values; \
  }
CONTROL(void, reset, (void), ())
CONTROL(void, fail, (int64_t call, int code, int forever), (call, code, forever))
CONTROL(int64_t, calls, (void), ())
CONTROL(const char *, log_text, (void), ())
CONTROL(const char *, held, (void), ())
CONTROL(void, device, (int count, int major, int minor, uint64_t memory, int init), (count, major, minor, memory, init))
CONTROL(void, seed, (uint64_t seed), (seed))
CONTROL(void *, stream, (void), ())
*/
import "C"

import (
	"os"
	"strings"
	"unsafe"
)

// Open finds the fake driver that CUDA_DRIVER_LIB names; false if that names
// none or another library. The other functions need it.
func Open() bool {
	name := os.Getenv("CUDA_DRIVER_LIB")
	if name == "" {
		return false
	}
	path := C.CString(name)
	defer C.free(unsafe.Pointer(path))
	return C.open_library(path) != 0
}

// Reset forgets everything: what was allocated, the log, the faults, the
// settings. No backend may be open, unless its device is lost.
func Reset() { C.reset() }

// Fail lets the call-th driver call from now on (1 is the next) answer code.
// With forever, all later calls of the same function do too. After a code that
// means a lost device, every call answers it.
func Fail(call, code int, forever bool) {
	persistent := C.int(0)
	if forever {
		persistent = 1
	}
	C.fail(C.int64_t(call), C.int(code), persistent)
}

// Calls returns the number of driver calls since Reset.
func Calls() int { return int(C.calls()) }

// Log returns the names of those calls. That of a launch is followed by the
// kernel's: "cuLaunchKernel gram".
func Log() []string { return lines(C.GoString(C.log_text())) }

// Held says what the program holds of the driver, a kind a line.
func Held() []string { return lines(C.GoString(C.held())) }

func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

// Settings describe the devices.
type Settings struct {
	Count        int
	Major, Minor int
	Memory       uint64
	Init         int // what cuInit answers
}

// Default is one device like an H100 with 1 GiB.
var Default = Settings{Count: 1, Major: 9, Memory: 1 << 30}

// Configure sets the devices, until the next Reset.
func Configure(s Settings) {
	C.device(C.int(s.Count), C.int(s.Major), C.int(s.Minor), C.uint64_t(s.Memory), C.int(s.Init))
}

// Seed chooses the order in which the threads of kernels run: 0 by index, 1
// backwards, else shuffled.
func Seed(seed uint64) { C.seed(C.uint64_t(seed)) }

// Stream returns a new stream, as another library would make one.
func Stream() uintptr { return uintptr(C.stream()) }
