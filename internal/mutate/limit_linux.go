package main

import (
	"fmt"
	"syscall"
)

// limitMemory bounds the address space of this process and of those it will
// start: a mutant that appends for ever is to fail and not to take the machine
// with it.
func limitMemory(gib uint64) error {
	if gib == 0 {
		return nil
	}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_AS, &l); err != nil {
		return fmt.Errorf("mutate: reading the limit of address space: %w", err)
	}
	l.Cur = min(gib<<30, l.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &l); err != nil {
		return fmt.Errorf("mutate: limiting the address space to %d GiB: %w", gib, err)
	}
	return nil
}
