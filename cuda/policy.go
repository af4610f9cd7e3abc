package cuda

import (
	"errors"
	"fmt"

	"github.com/cambium-kernels/cambium/kernels"
)

// A class says what a driver's error code means for the backend.
type class uint8

const (
	// fatal: the device is lost. Codes that are not in the table are fatal too:
	// an error that nobody has thought of must not be computed through.
	fatal class = iota
	// memory: the driver refused memory; nothing else happened.
	memory
	// notReady: queued work has not finished yet.
	notReady
	// absent: there is no device, or the driver cannot serve this program. Only
	// Open and Devices meet these.
	absent
)

// codes are the driver's error codes (CUresult) that the backend may meet, with
// their names without CUDA_ERROR_. After a fatal one the driver answers every
// call with an error until the process ends; most of them say so in their
// documentation ("the process must be terminated and relaunched").
var codes = map[int]struct {
	name  string
	class class
}{
	1:   {"INVALID_VALUE", fatal},
	2:   {"OUT_OF_MEMORY", memory},
	3:   {"NOT_INITIALIZED", absent},
	4:   {"DEINITIALIZED", fatal},
	34:  {"STUB_LIBRARY", absent},
	35:  {"INSUFFICIENT_DRIVER", absent},
	46:  {"DEVICE_UNAVAILABLE", absent},
	100: {"NO_DEVICE", absent},
	101: {"INVALID_DEVICE", absent},
	200: {"INVALID_IMAGE", absent},
	201: {"INVALID_CONTEXT", fatal},
	209: {"NO_BINARY_FOR_GPU", absent},
	214: {"ECC_UNCORRECTABLE", fatal},
	218: {"INVALID_PTX", absent},
	221: {"JIT_COMPILER_NOT_FOUND", absent},
	222: {"UNSUPPORTED_PTX_VERSION", absent},
	223: {"JIT_COMPILATION_DISABLED", absent},
	226: {"CONTAINED", fatal},
	302: {"SHARED_OBJECT_SYMBOL_NOT_FOUND", absent},
	303: {"SHARED_OBJECT_INIT_FAILED", absent},
	304: {"OPERATING_SYSTEM", fatal},
	400: {"INVALID_HANDLE", fatal},
	500: {"NOT_FOUND", absent},
	600: {"NOT_READY", notReady},
	700: {"ILLEGAL_ADDRESS", fatal},
	701: {"LAUNCH_OUT_OF_RESOURCES", fatal},
	702: {"LAUNCH_TIMEOUT", fatal},
	709: {"CONTEXT_IS_DESTROYED", fatal},
	710: {"ASSERT", fatal},
	714: {"HARDWARE_STACK_ERROR", fatal},
	715: {"ILLEGAL_INSTRUCTION", fatal},
	716: {"MISALIGNED_ADDRESS", fatal},
	717: {"INVALID_ADDRESS_SPACE", fatal},
	718: {"INVALID_PC", fatal},
	719: {"LAUNCH_FAILED", fatal},
	721: {"TENSOR_MEMORY_LEAK", fatal},
	801: {"NOT_SUPPORTED", absent},
	802: {"SYSTEM_NOT_READY", absent},
	803: {"SYSTEM_DRIVER_MISMATCH", absent},
	804: {"COMPAT_NOT_SUPPORTED_ON_DEVICE", absent},
	810: {"MPS_CONNECTION_FAILED", fatal},
	911: {"EXTERNAL_DEVICE", fatal},
	999: {"UNKNOWN", fatal},
}

// noLibrary is SHARED_OBJECT_INIT_FAILED, by which the shim says that it found no
// libcuda.
const noLibrary = 303

// driverError is what a driver call answered.
type driverError struct {
	call string // cuMemAlloc
	code int    // CUresult
	log  string // the driver's own words, if it has any

	release bool // the call gives something back, which cannot fail for want of memory
}

// Error returns, for example, "cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY (2)".
func (e *driverError) Error() string {
	if e.code == noLibrary {
		return "no NVIDIA driver: " + e.log
	}
	name := "an unknown error"
	if known, ok := codes[e.code]; ok {
		name = "CUDA_ERROR_" + known.name
	}
	text := fmt.Sprintf("%s: %s (%d)", e.call, name, e.code)
	if e.log != "" {
		text += ": " + e.log
	}
	return text
}

func (e *driverError) class() class {
	if e.release {
		return fatal
	}
	return codes[e.code].class
}

// Unwrap returns the sentinel that the error means while a backend serves:
// kernels.ErrMemory, else kernels.ErrLost.
func (e *driverError) Unwrap() error {
	if e.class() == memory {
		return kernels.ErrMemory
	}
	return kernels.ErrLost
}

// unavailable is a driver's error met before a backend serves, where a device
// that cannot be used is one that is not supported.
func unavailable(err error) error {
	var e *driverError
	if errors.As(err, &e) && e.class() == absent {
		return fmt.Errorf("%s: %w", e.Error(), kernels.ErrUnsupported)
	}
	return err
}
