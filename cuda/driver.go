//go:build cuda && cgo && linux

package cuda

/*
#cgo LDFLAGS: -L${SRCDIR}/lib -ldl
#include <stdlib.h>
#include <cuda.h>

int cambium_load_driver(const char **why);

// load_module loads PTX or a cubin. log receives what the driver's compiler has to say, and ends in 0.
static CUresult load_module(CUmodule *module, const void *image, char *log, size_t log_bytes) {
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, (void *)log_bytes};
  log[0] = 0;
  return cuModuleLoadDataEx(module, image, 2, options, values);
}

// copy_rows copies rows between pinned host memory and the device: to the device, or from it.
static CUresult copy_rows(int to_device, CUdeviceptr device, size_t device_pitch, void *host, size_t host_pitch,
                          size_t width, size_t rows, CUstream stream) {
  CUDA_MEMCPY2D c = {0};
  c.WidthInBytes = width;
  c.Height = rows;
  if (to_device) {
    c.srcMemoryType = CU_MEMORYTYPE_HOST, c.srcHost = host, c.srcPitch = host_pitch;
    c.dstMemoryType = CU_MEMORYTYPE_DEVICE, c.dstDevice = device, c.dstPitch = device_pitch;
  } else {
    c.srcMemoryType = CU_MEMORYTYPE_DEVICE, c.srcDevice = device, c.srcPitch = device_pitch;
    c.dstMemoryType = CU_MEMORYTYPE_HOST, c.dstHost = host, c.dstPitch = host_pitch;
  }
  return cuMemcpy2DAsync(&c, stream);
}
*/
import "C"

import (
	"errors"
	"reflect"
	"strings"
	"unsafe"

	"gorgonia.org/cu"
)

// loadDriver loads and initialises the driver, once in the life of the process.
func loadDriver() error {
	var why *C.char
	if code := C.cambium_load_driver(&why); code != 0 { //nolint:gocritic // it reads what cgo generates
		return &driverError{call: "cuInit", code: int(code), log: C.GoString(why)}
	}
	return nil
}

// check turns an error of package cu into a driverError of the call.
func check(call string, err error) error {
	if err == nil {
		return nil
	}
	code := -1 // not an error of the driver, which cu does not return from the calls made here
	if v := reflect.ValueOf(err); v.Kind() == reflect.Int {
		code = int(v.Int()) // cu's type of results is not exported
	}
	return &driverError{call: call, code: code}
}

// checkRelease is check for a call that gives something back.
func checkRelease(call string, err error) error {
	var e *driverError
	if errors.As(check(call, err), &e) {
		e.release = true
		return e
	}
	return nil
}

// result is check for the calls of this file.
func result(call string, code C.CUresult) error {
	if code == C.CUDA_SUCCESS {
		return nil
	}
	return &driverError{call: call, code: int(code)}
}

// hostAlloc returns n bytes of pinned host memory; cu.MemFreeHost frees them.
func hostAlloc(n int) (unsafe.Pointer, error) {
	var p unsafe.Pointer
	return p, result("cuMemHostAlloc", C.cuMemHostAlloc(&p, C.size_t(n), 0)) //nolint:gocritic // as above
}

// loadModule loads PTX or a cubin.
func loadModule(image string) (cu.Module, error) {
	const logBytes = 4096
	text := C.CString(image) // a copy, aligned as malloc aligns, that ends in 0 as PTX must
	defer C.free(unsafe.Pointer(text))
	log := (*C.char)(C.malloc(logBytes))
	defer C.free(unsafe.Pointer(log))
	var module cu.Module
	code := C.load_module((*C.CUmodule)(unsafe.Pointer(&module)), unsafe.Pointer(text), log, logBytes) //nolint:gocritic // as above
	if code != C.CUDA_SUCCESS {
		return module, &driverError{call: "cuModuleLoadDataEx", code: int(code), log: strings.TrimSpace(C.GoString(log))}
	}
	return module, nil
}

// allowDynamicShared lets a kernel be launched with n bytes of dynamic shared
// memory, which needs asking for from 48 KiB on.
func allowDynamicShared(f cu.Function, n int) error {
	return result("cuFuncSetAttribute", C.cuFuncSetAttribute(*(*C.CUfunction)(unsafe.Pointer(&f)), C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(n)))
}

// copyRows queues the copy of rows of width bytes between pinned host memory,
// where they follow each other, and the device. (cu.Memcpy2DAsync reads a nil
// pointer unless both sides are arrays.)
func copyRows(toDevice bool, device cu.DevicePtr, pitch int, host unsafe.Pointer, width, rows int, stream cu.Stream) error {
	direction := C.int(0)
	if toDevice {
		direction = 1
	}
	return result("cuMemcpy2DAsync", C.copy_rows(direction, C.CUdeviceptr(device), C.size_t(pitch), host, C.size_t(width),
		C.size_t(width), C.size_t(rows), *(*C.CUstream)(unsafe.Pointer(&stream))))
}
