package weights

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A part holds what the whole holds there, in either order, and parts of parts too.
func TestSlice(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, shape := range [][]int{{7}, {5, 3}, {1, 4}, {6, 2, 3}, {4, 0}, {0, 3}, {0}} {
		for variant := range 4 {
			x := tensorOver(nil, F32, 3, shape...)
			rows := random(rng, x.count*4)
			file := rows
			if x.fortran = variant&1 != 0; x.fortran {
				file = toFortran(file, 4, shape)
			}
			if x.big = variant&2 != 0; x.big {
				file = swapped(file, 4)
			}
			x.source = bytes.NewReader(slices.Concat(make([]byte, 3), file))
			width := 0
			if shape[0] > 0 {
				width = x.count / shape[0] * 4
			}
			for from := range shape[0] + 1 {
				for to := from; to <= shape[0]; to++ {
					part, err := x.Slice(from, to)
					if err != nil {
						t.Fatal(err)
					}
					if part.Shape[0] != to-from || !slices.Equal(part.Shape[1:], shape[1:]) || part.Elements() != (to-from)*width/4 {
						t.Fatalf("%v from %d to %d: shape %v, %d elements", shape, from, to, part.Shape, part.Elements())
					}
					got := make([]byte, part.Bytes())
					if err := part.ReadBytes(got, 0); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, rows[from*width:to*width]) {
						t.Fatalf("%v from %d to %d, fortran %v, big %v: wrong elements", shape, from, to, x.fortran, x.big)
					}
					if to-from < 2 {
						continue
					}
					inner, err := part.Slice(1, to-from)
					if err != nil {
						t.Fatal(err)
					}
					got = make([]byte, inner.Bytes())
					if err := inner.ReadBytes(got, 0); err != nil || !bytes.Equal(got, rows[(from+1)*width:to*width]) {
						t.Fatalf("%v: a part of a part is wrong: %v", shape, err)
					}
				}
			}
		}
	}
	for _, c := range []struct {
		shape    []int
		from, to int
	}{{nil, 0, 0}, {[]int{3}, -1, 2}, {[]int{3}, 2, 1}, {[]int{3}, 0, 4}} {
		if _, err := tensorOver(make([]byte, 99), F32, 0, c.shape...).Slice(c.from, c.to); !errors.Is(err, ErrShape) {
			t.Errorf("part %d to %d of %v: %v", c.from, c.to, c.shape, err)
		}
	}
	// Errors of the file come through the part of a column-major tensor.
	x := tensorOver(make([]byte, 8), F32, 0, 4, 3)
	x.fortran = true
	part, err := x.Slice(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := part.ReadBytes(make([]byte, part.Bytes()), 0); !errors.Is(err, ErrFormat) {
		t.Errorf("a truncated file: %v", err)
	}
}

func TestOpenArrays(t *testing.T) {
	folder := t.TempDir()
	one := Float32s("one", []float32{1, 2, 3, 4}, 2, 2)
	// The names lie: the content decides.
	npy, npz, tensors := filepath.Join(folder, "a"), filepath.Join(folder, "b.npy"), filepath.Join(folder, "c.npz")
	if err := errors.Join(WriteNPY(npy, one), WriteNPZ(npz, []Array{one}), Write(tensors, []Array{one}, map[string]string{"k": "v"})); err != nil {
		t.Fatal(err)
	}
	for path, name := range map[string]string{npy: "a", npz: "one", tensors: "one"} {
		file, err := OpenArrays(path)
		if err != nil {
			t.Fatal(err)
		}
		x, err := file.Tensor(name)
		if err != nil || len(file.Names()) != 1 {
			t.Fatalf("%s: %v, %v", path, file.Names(), err)
		}
		got := make([]float32, 4)
		if err := x.Float32s(got); err != nil || !slices.Equal(got, []float32{1, 2, 3, 4}) {
			t.Errorf("%s: %v, %v", path, got, err)
		}
		if (file.Metadata()["k"] == "v") != (path == tensors) {
			t.Errorf("%s: metadata %v", path, file.Metadata())
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	short := filepath.Join(folder, "short")
	if err := os.WriteFile(short, []byte{0x80}, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{short, folder, filepath.Join(folder, "none")} {
		if file, err := OpenArrays(path); err == nil || file != nil {
			t.Errorf("%s: %v, %v", path, file, err)
		}
	}
}
