package text

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/cambium-kernels/cambium/weights"
)

// maxFile is the largest text file, in bytes.
const maxFile = 1 << 30

// Files yields the contents of text files in UTF-8, a document each, in the
// order of the paths. A byte-order mark at the start is dropped. It ends with
// the first error: those of reading; [ErrFormat] for what is not UTF-8 or larger
// than 1 GiB.
func Files(paths ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, path := range paths {
			s, err := readText(path)
			if err != nil {
				yield("", fmt.Errorf("text: %w", err))
				return
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

func readText(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the caller's file
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Size() > maxFile {
		return "", fmt.Errorf("%s: %d bytes; divide it into files of %d at most: %w", path, info.Size(), maxFile, ErrFormat)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	s := string(b)
	if err := checkUTF8(s); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return strings.TrimPrefix(s, "\ufeff"), nil
}

func checkUTF8(s string) error {
	if utf8.ValidString(s) {
		return nil
	}
	for i, r := range s {
		if r != utf8.RuneError {
			continue
		}
		if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
			return fmt.Errorf("not UTF-8: byte %#02x at %d; convert it, with iconv for one: %w", s[i], i, ErrFormat)
		}
	}
	return nil
}

// An Encoder turns text into ids: the first of them, n at most.
// [github.com/cambium-kernels/cambium/model/tokenizer.Tokenizer] is one.
type Encoder interface {
	EncodeFirst(text string, n int) []int32
}

// Cut encodes the documents one after the other and cuts their ids, joined, into
// sequences of length tokens each, from the start. With atMost fewer sequences
// than seqs are enough, one at least; what does not fill a sequence is left out.
//
// Errors: those of the documents; [ErrShort], with the numbers.
func Cut(e Encoder, documents iter.Seq2[string, error], seqs, length int, atMost bool) ([][]int32, error) {
	if seqs < 1 || length < 1 || seqs > maxTokens/length {
		return nil, fmt.Errorf("text: %d sequences of %d tokens; both are at least 1, and their product at most %d: %w", seqs, length, maxTokens, ErrFormat)
	}
	var ids []int32
	need, count := seqs*length, 0
	for document, err := range documents {
		if err != nil {
			return nil, err
		}
		count++
		ids = append(ids, e.EncodeFirst(document, need-len(ids))...)
		if len(ids) >= need {
			break
		}
	}
	if full := len(ids) / length; full < seqs {
		if full == 0 || !atMost {
			return nil, fmt.Errorf("text: %d tokens in %d documents, for %d sequences of %d tokens %d are needed; give more text or ask for less: %w",
				len(ids), count, seqs, length, need, ErrShort)
		}
		seqs = full
	}
	return split(ids, seqs, length), nil
}

// maxTokens is the most that is cut or read: 4 GiB of ids.
const maxTokens = 1 << 30

// IDs reads an npy file of ids, int64 or int32, one row per sequence. All must
// be at least 0 and less than vocabulary.
//
// Errors: those of package weights; [ErrFormat], with the place.
func IDs(path string, vocabulary int) ([][]int32, error) {
	f, err := weights.OpenNPY(path)
	if err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	ids, err := readIDs(f, min(vocabulary, math.MaxInt32))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("text: %s: %w", path, err)
	}
	return ids, nil
}
