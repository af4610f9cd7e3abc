//go:build cuda && cgo && linux

package cuda

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math"
	"unsafe"

	"gorgonia.org/cu"

	"github.com/cambium-kernels/cambium/kernels"
)

// image is the form of the compiled kernels that a device gets.
type image struct {
	suffix      string // of the files: "sm_90a.cubin"
	fingerprint string
}

// imageFor chooses the compiled form for a device: machine code where there is
// some, else PTX, which the driver compiles. Machine code of sm_80 runs on every
// 8.x; that of sm_90a on 9.0 alone.
func imageFor(major, minor int) image {
	switch {
	case major == 8:
		return image{suffix: "sm_80.cubin"}
	case major == 9 && minor == 0:
		return image{suffix: "sm_90a.cubin"}
	default:
		return image{suffix: "compute_80.ptx"}
	}
}

// kernel is a kernel of the table kernels.json, loaded.
type kernel struct {
	Symbol        string `json:"symbol"`
	Module        string `json:"module"`
	Block         int    `json:"block"`         // threads
	DynamicShared int    `json:"dynamicShared"` // bytes
	fn            cu.Function
}

// ordinaryShared is the shared memory that a launch may have without asking.
const ordinaryShared = 48 << 10

// twinsModule holds single instructions for the comparison of a device with the
// emulation; no operation needs it.
const twinsModule = "twins"

// loadKernels loads the kernels that operations launch.
func (b *backend) loadKernels() error {
	b.image = imageFor(b.device.Major, b.device.Minor)
	b.engine.kernels = make(map[string]*kernel)
	hash := sha256.New()
	if err := b.loadModules(hash, func(module string) bool { return module != twinsModule }); err != nil {
		return err
	}
	b.image.fingerprint = b.image.suffix + "/" + hex.EncodeToString(hash.Sum(nil)[:6])
	if b.image.suffix == "compute_80.ptx" { // compiled by the driver
		b.image.fingerprint += fmt.Sprintf("/driver %d", cu.Version())
	}
	return nil
}

// loadModules loads the wanted modules of kernels.json, finds their kernels and
// writes the code to hash.
func (b *backend) loadModules(hash io.Writer, want func(module string) bool) error {
	files := kernels.DeviceCode()
	table, err := fs.ReadFile(files, "kernels.json")
	if err != nil {
		return fmt.Errorf("the table of kernels: %w (%w)", err, kernels.ErrUnsupported)
	}
	var list []*kernel
	if err := json.Unmarshal(table, &list); err != nil {
		return fmt.Errorf("the table of kernels: %w (%w)", err, kernels.ErrUnsupported)
	}
	modules := make(map[string]cu.Module)
	for _, k := range list {
		if !want(k.Module) {
			continue
		}
		module, loaded := modules[k.Module]
		if !loaded {
			name := k.Module + "." + b.image.suffix
			code, err := fs.ReadFile(files, name)
			if err != nil {
				return fmt.Errorf("the code of %s: %w (%w)", k.Symbol, err, kernels.ErrUnsupported)
			}
			if _, err := hash.Write(code); err != nil {
				return err
			}
			if module, err = loadModule(string(code)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			modules[k.Module] = module
			b.engine.modules = append(b.engine.modules, module)
		}
		if k.fn, err = module.Function(k.Symbol); err != nil {
			return fmt.Errorf("kernel %s: %w", k.Symbol, check("cuModuleGetFunction", err))
		}
		if k.DynamicShared > ordinaryShared {
			if err := allowDynamicShared(k.fn, k.DynamicShared); err != nil {
				return fmt.Errorf("kernel %s: %w", k.Symbol, err)
			}
		}
		b.engine.kernels[k.Symbol] = k
	}
	return nil
}

// launch queues a kernel on so many blocks. Each argument has 8 bytes, which is
// what cu copies.
func (f *flight) launch(symbol string, blocks int, args ...uint64) error {
	k := f.engine.kernels[symbol]
	if k == nil {
		return fmt.Errorf("no kernel %s in the table: %w", symbol, kernels.ErrUnsupported)
	}
	if blocks == 0 {
		return nil
	}
	params := make([]unsafe.Pointer, len(args))
	for i := range args {
		params[i] = unsafe.Pointer(&args[i])
	}
	err := k.fn.Launch(blocks, 1, 1, k.Block, 1, 1, k.DynamicShared, f.stream, params)
	if err := check("cuLaunchKernel", err); err != nil {
		return fmt.Errorf("kernel %s, %d blocks: %w", symbol, blocks, err)
	}
	return nil
}

// The forms of an argument.

func pointer(p cu.DevicePtr) uint64 { return uint64(p) }

func integer(n int) uint64 { return uint64(n) } //nolint:gosec // a signed number of 64 bits

func double(v float64) uint64 { return math.Float64bits(v) }

// blocksFor is the number of blocks of a kernel that strides over n items of work: one block
// each, up to a few waves of the device.
func blocksFor(n int) int {
	const most = 132 * 8 // eight blocks on each multiprocessor of an H100; the result does not depend on it
	return min(n, most)
}
