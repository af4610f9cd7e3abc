package atomicfile

import (
	"os"
	"time"
)

// strayAge keeps a sweep off files whose writer has closed them and is about to
// rename them.
const strayAge = time.Hour

// claim has nothing to do: Windows refuses to remove an open file.
func claim(*os.File) error { return nil }

func removeStray(path string) (bool, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return false, err
	}
	if time.Since(info.ModTime()) < strayAge || os.Remove(path) != nil {
		return false, nil
	}
	return true, nil
}
