package weights

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// TestOtherFormats: each is named, with what to do, in one sentence.
func TestOtherFormats(t *testing.T) {
	for _, c := range []struct {
		head string
		is   content
		want error
		says []string
	}{
		{"", contentEmpty, ErrFormat, []string{"empty"}},
		{"\x93NUMPY\x01\x00v\x00{'descr': '<f4', ", contentNPY, ErrUnsupported, []string{"NumPy", ".npy"}},
		{"PK\x03\x04\x00\x00\x08\x08\x00\x00", contentZip, ErrUnsupported, []string{"zip", "torch.save", "weights_only=True", ".npz"}},
		{"PK\x05\x06\x00\x00\x00\x00\x00\x00", contentZip, ErrUnsupported, []string{"zip"}},
		// Every protocol since 2; JFrog found about a hundred that run code (2024).
		{"\x80\x02}q\x00.", contentPickle, ErrUnsupported, []string{"pickle", "run code", "safetensors.torch.save_file"}},
		{"\x80\x05\x95\x1a\x00\x00", contentPickle, ErrUnsupported, []string{"pickle"}},
		// nullifAI (2025) hid one in a 7z archive from a scanner.
		{"7z\xbc\xaf\x27\x1c\x00\x04", contentSevenZip, ErrUnsupported, []string{"7z", "unpack"}},
		{"\x89HDF\r\n\x1a\n\x00\x00", contentHDF5, ErrUnsupported, []string{"HDF5", "h5py"}},
		{"GGUF\x03\x00\x00\x00\x00\x00\x00\x00", contentGGUF, ErrUnsupported, []string{"GGUF", "not read here yet"}},
		{"FUGG\x00\x00\x00\x03", contentGGUF, ErrUnsupported, []string{"GGUF"}},
		{"\x1f\x8b\x08\x00\x00\x00\x00\x00", contentGzip, ErrUnsupported, []string{"gzip", "unpack"}},
		{"version https://git-lfs.github.com/spec/v1\noid sha256:", contentLFS, ErrUnsupported, []string{"Git LFS", "git lfs pull"}},
		{"<!DOCTYPE html>\n<html>", contentHTML, ErrUnsupported, []string{"web page", "download"}},
		{"\n  <HTML lang=en>", contentHTML, ErrUnsupported, []string{"web page"}},
		{"\xef\xbb\xbf<?xml version='1.0'?><Error>", contentHTML, ErrUnsupported, []string{"web page"}},
		{"{\"weight_map\": {", contentJSON, ErrUnsupported, []string{"JSON", ".index.json"}},
		{" [1, 2, 3, 4]", contentJSON, ErrUnsupported, []string{"JSON"}},
		{"\x80\x01aaaaaaaaaaa", contentUnknown, ErrFormat, []string{"not a safetensors file"}},
		{"\x80\x06aaaaaaaaaaa", contentUnknown, ErrFormat, []string{"not a safetensors file"}},
		{"\x80\x02", contentUnknown, ErrFormat, []string{"2 bytes"}},
		{"PK", contentUnknown, ErrFormat, []string{"2 bytes"}},
		{"just some text", contentUnknown, ErrFormat, []string{"not a safetensors file"}},
	} {
		if got := sniff([]byte(c.head)); got != c.is {
			t.Errorf("%q is taken for %d, want %d", c.head, got, c.is)
		}
		path := put(t, t.TempDir(), "a.safetensors", []byte(c.head))
		_, err := Open(path)
		if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "weights: "+path+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", c.head, err)
			continue
		}
		for _, says := range c.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%q: %q is not in: %v", c.head, says, err)
			}
		}
	}
	if err := contentUnknown.refuse(); err != nil {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no file was opened")
	}
}

// TestSniffDoesNotOverrule: a safetensors file may begin like something else,
// as its first bytes are a number: here 0x0280, as a pickle of protocol 2.
func TestSniffDoesNotOverrule(t *testing.T) {
	header := `{"__metadata__":{"a":"b"}}`
	whole := file(header+strings.Repeat(" ", 0x280-len(header)), 0)
	if sniff(whole) != contentPickle {
		t.Fatalf("the example is none: % x", whole[:10])
	}
	if _, err := openBytes(whole); err != nil {
		t.Error(err)
	}
	whole[len(whole)-1] = '?'
	if _, err := openBytes(whole); err == nil || strings.Contains(err.Error(), "pickle") {
		t.Errorf("a flaw in the header: %v", err)
	}
}
