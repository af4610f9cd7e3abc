//go:build !linux && !darwin && !windows

package cpu

// physicalMemory is not known on this system.
func physicalMemory() uint64 { return assumedMemory }
