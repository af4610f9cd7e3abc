package weights

import (
	"archive/zip"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

// WriteNPZTo writes arrays to w as an npz file, stored and not deflated, in the
// order given and with the same bytes each time: entries are dated 1980. Data is
// read in turn, so an array may be produced while the one before it is written.
// Beyond some 8,000 arrays they must have 300 bytes on average, and more if
// their names are long, or [OpenNPZ] takes the file for a hostile one.
//
// Errors: as [WriteNPYTo]; [ErrShape] for a name that is used twice, is not
// UTF-8 or has more than 4 KiB.
func WriteNPZTo(w io.Writer, arrays ...Array) error {
	z := zip.NewWriter(w)
	names := map[string]bool{}
	for _, a := range arrays {
		if names[a.Name] || len(a.Name) > maxNPZName || !utf8.ValidString(a.Name) {
			return fmt.Errorf("weights: npz: %.80q: a second array of this name, more than %d bytes or no UTF-8: %w", a.Name, maxNPZName, ErrShape)
		}
		names[a.Name] = true
		entry, err := z.CreateHeader(&zip.FileHeader{
			Name: a.Name + ".npy", Method: zip.Store,
			Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC),
		})
		if err == nil {
			err = writeNPY(entry, a)
		}
		if err != nil {
			return fmt.Errorf("weights: npz: %q: %w", a.Name, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("weights: npz: %w", err)
	}
	return nil
}
