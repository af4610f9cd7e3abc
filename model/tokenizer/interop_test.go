package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInterop compares real tokenizers with Python's tokenizers, over the stored
// lines and the lines of CAMBIUM_TEXT if that is set. CAMBIUM_INTEROP=1 asks for it; CAMBIUM_TOKENIZERS
// lists tokenizer.json and GGUF files, divided like PATH; CAMBIUM_PYTHON is the
// interpreter, python3 if it is not set, with tokenizers and, for GGUF, gguf.
func TestInterop(t *testing.T) {
	files := filepath.SplitList(os.Getenv("CAMBIUM_TOKENIZERS"))
	if os.Getenv("CAMBIUM_INTEROP") != "1" || len(files) == 0 {
		t.Skip("CAMBIUM_INTEROP=1 and CAMBIUM_TOKENIZERS=FILE:... compare with the Python package tokenizers")
	}
	lines := storedLines(t)
	if path := os.Getenv("CAMBIUM_TEXT"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(append(lines, strings.Split(string(text), "\n")...), string(text))
	}
	question, err := json.Marshal(lines)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			process := exec.Command(cmp.Or(os.Getenv("CAMBIUM_PYTHON"), "python3"), filepath.Join("testdata", "interop.py"), file)
			process.Stdin, process.Stderr = bytes.NewReader(question), os.Stderr
			out, err := process.Output()
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Version      string
				Vocabulary   *GGUF
				IDs, Special [][]int32
			}
			if err := json.Unmarshal(out, &want); err != nil {
				t.Fatal(err)
			}
			tok, err := Load(file)
			if want.Vocabulary != nil {
				tok, err = FromGGUF(*want.Vocabulary)
			}
			if err != nil {
				t.Fatal(err)
			}
			wrong := 0
			for i, line := range lines {
				ids, special := tok.Encode(line), tok.EncodeSpecial(line)
				if slices.Equal(ids, want.IDs[i]) && (want.Special == nil || slices.Equal(special, want.Special[i])) {
					continue
				}
				if wrong++; wrong <= 5 {
					t.Errorf("%.200q:\n got %v,\nwant %v", line, ids[:min(len(ids), 50)], want.IDs[i][:min(len(want.IDs[i]), 50)])
				}
			}
			t.Logf("tokenizers %s, %d tokens: %d of %d lines equal", want.Version, tok.Size(), len(lines)-wrong, len(lines))
		})
	}
}
