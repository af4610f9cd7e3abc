package cpu

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// physicalMemory returns the machine's memory in bytes.
func physicalMemory() uint64 {
	// MEMORYSTATUSEX, winbase.h
	status := struct {
		length, load                                                        uint32
		totalPhys, availPhys, totalPage, availPage, totalVirt, availVirt, x uint64
	}{}
	status.length = uint32(unsafe.Sizeof(status))
	proc := windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")
	if ok, _, _ := proc.Call(uintptr(unsafe.Pointer(&status))); ok == 0 {
		return assumedMemory
	}
	return status.totalPhys
}
