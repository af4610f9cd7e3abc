package model

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/weights"
)

// counting returns n numbers from first on.
func counting(first float32, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = first + float32(i)
	}
	return out
}

// dumpFile writes a dump of two sequences of three tokens, two wide.
func dumpFile(t *testing.T, metadata map[string]string, arrays ...weights.Array) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dump.safetensors")
	if err := weights.Write(path, arrays, metadata); err != nil {
		t.Fatal(err)
	}
	return path
}

func chain(n int, shape ...int) (out []weights.Array) {
	size := 1
	for _, d := range shape {
		size *= d
	}
	for i := range n {
		out = append(out, weights.Float32s(fmt.Sprintf("hidden_states.%d", i), counting(float32(100*i), size), shape...))
	}
	return out
}

func readDump(t *testing.T, d *Dump, i int) (in, out []float32) {
	t.Helper()
	x, y, err := d.Read(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	return values(t, x), values(t, y)
}

func TestDumpChain(t *testing.T) {
	mask := weights.Int64s("attention_mask", []int64{1, 1, 0, 0, 1, 1}, 2, 3)
	for _, c := range []struct {
		name     string
		metadata map[string]string
		arrays   []weights.Array
		starts   []int32
		kept     []int
		normed   bool
	}{
		{"chain", map[string]string{"model": "m", "model_type": "y"}, chain(3, 2, 3, 2), []int32{0, 3, 6}, nil, false},
		{"rows", nil, chain(3, 6, 2), []int32{0, 6}, nil, false},
		{"rows and ids", nil, append(chain(3, 6, 2), weights.Int64s("input_ids", make([]int64, 6), 2, 3)), []int32{0, 3, 6}, nil, false},
		{"masked", nil, append(chain(3, 2, 3, 2), mask), []int32{0, 2, 4}, []int{0, 1, 4, 5}, false},
		{
			"a whole sequence masked", nil,
			append(chain(3, 2, 3, 2), weights.Int64s("attention_mask", []int64{0, 0, 0, 0, 1, 0}, 6)),
			[]int32{0, 1},
			[]int{4},
			false,
		},
		{"normed", map[string]string{"source": "output_hidden_states"}, chain(3, 2, 3, 2), []int32{0, 3, 6}, nil, true},
		{"hooks", map[string]string{"source": "hooks"}, chain(3, 2, 3, 2), []int32{0, 3, 6}, nil, false},
	} {
		d, err := OpenDump(dumpFile(t, c.metadata, c.arrays...))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !slices.Equal(d.Sequences(), c.starts) || d.Rows() != int(c.starts[len(c.starts)-1]) {
			t.Errorf("%s: sequences %v, %d rows", c.name, d.Sequences(), d.Rows())
		}
		blocks := d.Blocks()
		if len(blocks) != 2 || blocks[0].Normed || blocks[1].Normed != c.normed || blocks[1].Index != 1 || blocks[0].Width != 2 {
			t.Errorf("%s: blocks %+v", c.name, blocks)
		}
		if d.Model != c.metadata["model"] || d.Type != c.metadata["model_type"] {
			t.Errorf("%s: %q, %q", c.name, d.Model, d.Type)
		}
		for i := range blocks {
			in, out := readDump(t, d, i)
			if c.kept == nil {
				c.kept = []int{0, 1, 2, 3, 4, 5}
			}
			var want []float32
			for _, r := range c.kept {
				want = append(want, counting(float32(100*i+2*r), 2)...)
			}
			if !slices.Equal(in, want) {
				t.Errorf("%s, input %d: %v, want %v", c.name, i, in, want)
			}
			for k := range want {
				want[k] += 100
			}
			if !slices.Equal(out, want) {
				t.Errorf("%s, output %d: %v, want %v", c.name, i, out, want)
			}
		}
		for _, i := range []int{-1, 2} {
			if _, _, err := d.Read(t.Context(), i); !errors.Is(err, ErrInput) {
				t.Errorf("block %d: %v", i, err)
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := d.Read(ended, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, _, err := d.Read(t.Context(), 0); !errors.Is(err, weights.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	}
}

// Pairs need not be all blocks, nor of one width; 16-bit types stay as they are.
func TestDumpPairs(t *testing.T) {
	half := func(name string, first uint16, dt weights.DType) weights.Array {
		bits := make([]uint16, 12)
		for i := range bits {
			bits[i] = first + uint16(i)
		}
		return weights.Bits16(name, dt, bits, 4, 3)
	}
	d, err := OpenDump(dumpFile(t, map[string]string{"source": "output_hidden_states"},
		half("blocks.12.input", 100, weights.BF16), half("blocks.12.output", 200, weights.BF16),
		weights.Float64s("blocks.3.input", []float64{1, 2, 3, 4}, 4, 1), weights.Float64s("blocks.3.output", []float64{5, 6, 7, 8}, 4, 1),
		weights.Int64s("attention_mask", []int64{0, 1, 0, 1}, 4)))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	b := d.Blocks()
	if len(b) != 2 || b[0].Index != 3 || b[1].Index != 12 || b[1].Width != 3 || b[0].Normed || b[1].Normed {
		t.Fatalf("%+v", b)
	}
	if in, out := readDump(t, d, 0); !slices.Equal(in, []float32{2, 4}) || !slices.Equal(out, []float32{6, 8}) {
		t.Errorf("block 3: %v, %v", in, out)
	}
	x, _, err := d.Read(t.Context(), 1)
	if err != nil || x.DType != kernels.BFloat16 {
		t.Fatal(x.DType, err)
	}
	if bits, _ := kernels.Bits(x); !slices.Equal(bits, []uint16{103, 104, 105, 109, 110, 111}) {
		t.Errorf("block 12: %v", bits)
	}
}

// npyFile writes float32 or int64 in NumPy's format.
func npyFile(t *testing.T, path, descr string, data any, shape string) {
	t.Helper()
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape)
	text += strings.Repeat(" ", 127-(len(text)+10)%128) + "\n"
	var b bytes.Buffer
	b.WriteString("\x93NUMPY\x01\x00")
	for _, v := range []any{uint16(len(text)), []byte(text), data} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDumpFolder(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		npyFile(t, filepath.Join(dir, fmt.Sprintf("hidden_states.%03d.npy", i)), "<f4", counting(float32(100*i), 12), "2, 3, 2")
	}
	npyFile(t, filepath.Join(dir, "attention_mask.npy"), "<i8", []int64{1, 1, 1, 0, 0, 1}, "2, 3")
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDump(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Blocks()) != 2 || !slices.Equal(d.Sequences(), []int32{0, 3, 4}) {
		t.Errorf("%+v, %v", d.Blocks(), d.Sequences())
	}
	if in, out := readDump(t, d, 1); !slices.Equal(in, append(counting(100, 6), 110, 111)) || !slices.Equal(out, append(counting(200, 6), 210, 211)) {
		t.Errorf("%v, %v", in, out)
	}
	d.Close()
	npyFile(t, filepath.Join(dir, "hidden_states.2.npy"), "<f4", counting(0, 12), "2, 3, 2")
	if _, err := OpenDump(dir); !errors.Is(err, ErrTensors) || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the same number twice: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, "hidden_states.2.npy"), filepath.Join(dir, "hidden_states.last.npy")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDump(dir); !errors.Is(err, ErrTensors) || !strings.Contains(err.Error(), "a number") {
		t.Errorf("no number: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hidden_states.last.npy"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDump(dir); !errors.Is(err, weights.ErrFormat) {
		t.Errorf("no array: %v", err)
	}
}

func TestDumpErrors(t *testing.T) {
	with := func(more ...weights.Array) []weights.Array { return append(chain(2, 2, 3, 2), more...) }
	f32 := func(name string, shape ...int) weights.Array {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return weights.Float32s(name, make([]float32, n), shape...)
	}
	for mentions, arrays := range map[string][]weights.Array{
		"there are neither":             {f32("x", 2)},
		"hidden_states.3 does not":      with(f32("hidden_states.3", 2, 3, 2)),
		"hidden_states.x does not":      with(f32("hidden_states.x", 2, 3, 2)),
		"hidden_states.01 does not":     with(f32("hidden_states.01", 2, 3, 2)),
		"no hidden_states.0":            {f32("hidden_states.1", 2, 2)},
		"no blocks.1.output":            {f32("blocks.1.input", 2, 2)},
		"blocks.x.input has no number":  {f32("blocks.x.input", 2, 2), f32("blocks.x.output", 2, 2)},
		"blocks.-1.input has no number": {f32("blocks.-1.input", 2, 2), f32("blocks.-1.output", 2, 2)},
		"there are both":                with(f32("blocks.1.input", 2, 3, 2), f32("blocks.1.output", 2, 3, 2)),
		"block 1 is there twice":        {f32("blocks.1.input", 2, 2), f32("blocks.1.output", 2, 2), f32("blocks.01.input", 2, 2), f32("blocks.01.output", 2, 2)},
		"type I64":                      {weights.Int64s("hidden_states.0", make([]int64, 4), 2, 2), f32("hidden_states.1", 2, 2)},
		"shape [2], want":               {f32("hidden_states.0", 2), f32("hidden_states.1", 2)},
		"is empty":                      {f32("hidden_states.0", 0, 2), f32("hidden_states.1", 0, 2)},
		"must be the same token":        {f32("hidden_states.0", 3, 2), f32("hidden_states.1", 2, 2)},
		"input is 2 wide, the output 3": {f32("hidden_states.0", 3, 2), f32("hidden_states.1", 3, 3)},
		"input_ids has the shape":       with(weights.Int64s("input_ids", make([]int64, 5), 5)),
		"attention_mask has the shape":  with(weights.Int64s("attention_mask", make([]int64, 5), 5)),
		"attention_mask leaves no row":  with(weights.Int64s("attention_mask", make([]int64, 6), 6)),
		"F32 is not an integer":         with(f32("attention_mask", 6)),
	} {
		path := dumpFile(t, nil, arrays...)
		_, err := OpenDump(path)
		if err == nil || !strings.Contains(err.Error(), mentions) || !strings.HasPrefix(err.Error(), "model: dump ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", mentions, err)
		}
	}
	if _, err := OpenDump(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte("text that is no dump"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDump(path); !errors.Is(err, weights.ErrFormat) {
		t.Errorf("a text: %v", err)
	}
}

// dump.py and this package see the same states; with transformers 5 and with
// blocks that return tuples, as those of 4 do. CAMBIUM_INTEROP=1 runs it.
func TestDumpScript(t *testing.T) {
	if os.Getenv("CAMBIUM_INTEROP") != "1" {
		t.Skip("CAMBIUM_INTEROP=1 runs dump.py, in torch and transformers")
	}
	python := os.Getenv("CAMBIUM_PYTHON")
	if python == "" {
		python = "python3"
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("And God said, Let there be light: and there was light. ", 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"", "tuple"} {
		out := filepath.Join(t.TempDir(), "dump.safetensors")
		cmd := exec.Command(python, filepath.Join("testdata", "rundump.py"), how, "demo", text, out, "--seqs", "2", "--len", "16")
		if log, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, log)
		}
		d, err := OpenDump(out)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		ids, err := d.closers[0].Tensor(idsName)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Open("demo")
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if d.Type != "llama" || len(d.Blocks()) != 12 || d.Blocks()[11].Normed {
			t.Errorf("%q, %+v", d.Type, d.Blocks())
		}
		o := Options{Hook: func(ctx context.Context, at At, x kernels.Matrix) error {
			if at.Point != BlockInput && at.Point != BlockOutput {
				return nil
			}
			in, out, err := d.Read(ctx, at.Block)
			if err != nil {
				return err
			}
			if at.Point == BlockOutput {
				in = out
			}
			if e := rowError(values(t, x), values(t, in), 96); !(e <= tolerance) {
				t.Errorf("%+v: row-relative error %.2g", at, e)
			}
			return nil
		}}
		s, err := m.Run(t.Context(), backend(t), []Batch{{Tokens: tokensOf(t, ids)}}, o)
		if err != nil {
			t.Fatal(err)
		}
		s.Free()
	}
}
