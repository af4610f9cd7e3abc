//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package atomicfile

import "os"

func claim(*os.File) error { return nil }

// removeStray removes nothing: there is no telling a stray from a file in use.
func removeStray(string) (bool, error) { return false, nil }
