package weights

import (
	"archive/zip"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/cambium-kernels/cambium/internal/atomicfile"
)

// WriteNPZ writes arrays to path as an npz file, all of it or, after an error,
// nothing: a file that was there before stays as it was. Entries are stored and
// not deflated, in the order given, and dated 1980, so that the bytes depend on
// the arguments alone. numpy.load finds each array under its name.
//
// Beyond some 8,000 arrays they must have 300 bytes on average, and more if
// their names are long, or [OpenNPZ] takes the file for a hostile one.
//
// Errors: as [WriteNPY]; also [ErrShape] for a name that is not UTF-8, that two
// have, or of more than 4 KiB.
func WriteNPZ(path string, arrays []Array) error {
	err := atomicfile.Write(path, 0o666, func(w io.Writer) error { return writeNPZ(w, arrays) })
	if err != nil {
		return fmt.Errorf("weights: writing %s: %w", path, err)
	}
	return nil
}

// WriteNPZTo writes to w what [WriteNPZ] writes to a file. After an error a part
// of it is written.
func WriteNPZTo(w io.Writer, arrays []Array) error {
	if err := writeNPZ(w, arrays); err != nil {
		return fmt.Errorf("weights: writing npz: %w", err)
	}
	return nil
}

func writeNPZ(w io.Writer, arrays []Array) error {
	z := zip.NewWriter(w)
	seen := make(map[string]bool, len(arrays))
	for _, a := range arrays {
		switch {
		case seen[a.Name]:
			return fmt.Errorf("two arrays are called %q: %w", a.Name, ErrShape)
		case len(a.Name) > maxName || !utf8.ValidString(a.Name):
			return fmt.Errorf("array %.80q: a name is UTF-8 of %d bytes at most: %w", a.Name, maxName, ErrShape)
		}
		seen[a.Name] = true
		entry, err := z.CreateHeader(&zip.FileHeader{
			Name: a.Name + ".npy", Method: zip.Store,
			Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), // the first date that zip has
		})
		if err == nil {
			err = writeNPY(entry, a)
		}
		if err != nil {
			return fmt.Errorf("array %q: %w", a.Name, err)
		}
	}
	return z.Close()
}
