package weights

import (
	"bytes"
	"fmt"
)

// A content is what the first bytes of a file show it to be.
type content uint8

const (
	contentUnknown content = iota
	contentEmpty
	contentNPY
	contentZip
	contentPickle
	contentHDF5
	contentGGUF
	contentSevenZip
	contentGzip
	contentLFS
	contentHTML
	contentJSON
)

// sniffBytes is how much of a file's beginning sniff looks at.
const sniffBytes = 512

// sniff tells what a file is by its first bytes, sniffBytes or all it has. It
// does not know safetensors, which begins with a number.
func sniff(head []byte) content {
	text := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n"))
	switch {
	case len(head) == 0:
		return contentEmpty
	case bytes.HasPrefix(head, []byte("\x93NUMPY")):
		return contentNPY
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return contentZip
	case len(head) > 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5: // the protocol, since version 2
		return contentPickle
	case bytes.HasPrefix(head, []byte("\x89HDF\r\n\x1a\n")):
		return contentHDF5
	case bytes.HasPrefix(head, []byte("GGUF")), bytes.HasPrefix(head, []byte("FUGG")): // the other byte order
		return contentGGUF
	case bytes.HasPrefix(head, []byte("7z\xbc\xaf\x27\x1c")):
		return contentSevenZip
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return contentGzip
	case bytes.HasPrefix(head, []byte("version https://git-lfs.github.com/")):
		return contentLFS
	case bytes.HasPrefix(text, []byte("<!doctype html")), bytes.HasPrefix(text, []byte("<html")), bytes.HasPrefix(text, []byte("<?xml")):
		return contentHTML
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return contentJSON
	}
	return contentUnknown
}

// refuse returns the error for a file of another kind than the one wanted: what
// it is and what to do; nil for an unknown one. Nothing of such a file is looked
// at beyond its first bytes: unpickling runs code.
func (c content) refuse() error {
	sentence, sentinel := "", ErrUnsupported
	switch c {
	case contentEmpty:
		sentence, sentinel = "the file is empty: download or write it again", ErrFormat
	case contentNPY:
		sentence = "this is a NumPy array: give it a name that ends in .npy"
	case contentZip:
		sentence = "this is a zip archive, such as torch.save writes with a pickle inside: in Python, load it with weights_only=True and write it with safetensors.torch.save_file; NumPy's archives end in .npz"
	case contentPickle:
		sentence = "this is a Python pickle, which can run code when it is loaded and is never read here: in Python, load it with weights_only=True and write it with safetensors.torch.save_file"
	case contentHDF5:
		sentence = "this is an HDF5 file: in Python, read it with h5py and write the arrays with safetensors.numpy.save_file"
	case contentGGUF:
		sentence = "this is a GGUF file, which is not read here yet: use the model's safetensors files"
	case contentSevenZip:
		sentence = "this is a 7z archive: unpack it and name the file inside"
	case contentGzip:
		sentence = "this is compressed by gzip: unpack it and name the file inside"
	case contentLFS:
		sentence = "this is a Git LFS pointer in place of the file: run git lfs pull in its repository"
	case contentHTML:
		sentence = "this is a web page, probably an error or a login form saved in the file's place: download it again"
	case contentJSON:
		sentence = "this is a JSON text: the index of a sharded model is recognised by its name, which ends in .index.json"
	case contentUnknown:
		return nil
	}
	return fmt.Errorf("%s: %w", sentence, sentinel)
}
