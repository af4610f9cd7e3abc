//go:build cuda

package kernels

import (
	"embed"
	"io/fs"
)

//go:embed bin
var deviceFiles embed.FS

// DeviceCode returns the compiled CUDA kernels: for each module M in
// kernels.json M.compute_80.ptx, M.sm_80.cubin and M.sm_90a.cubin, all written
// by ./build.sh kernels.
func DeviceCode() fs.FS {
	sub, err := fs.Sub(deviceFiles, "bin")
	if err != nil { // only for an invalid name
		return deviceFiles
	}
	return sub
}
