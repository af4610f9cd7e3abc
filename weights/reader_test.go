package weights

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// closing counts how often it is closed.
type closing struct {
	*bytes.Reader
	n int
}

func (c *closing) Close() error {
	c.n++
	return nil
}

func TestOpenReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, []Array{Float32s("a", []float32{1, 2, 3}, 3)}, nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := OpenReader(bytes.NewReader(data), int64(len(data)), "embedded")
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.Tensor("a")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 3)
	if err := a.Float32s(got); err != nil || !slices.Equal(got, []float32{1, 2, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := f.Tensor("b"); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "embedded") {
		t.Errorf("a tensor that is not there: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	c := &closing{Reader: bytes.NewReader(data)}
	if f, err = OpenReader(c, int64(len(data)), "x"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil || c.n != 1 {
		t.Errorf("closed %d times, %v", c.n, err)
	}
	// A malformed one is refused and closed; the size is believed and not the reader.
	c = &closing{Reader: bytes.NewReader(data)}
	if _, err := OpenReader(c, int64(len(data))-1, "short"); !errors.Is(err, ErrFormat) || !strings.HasPrefix(err.Error(), "weights: short: ") || c.n != 1 {
		t.Errorf("one byte short: %v, closed %d times", err, c.n)
	}
	twice := bytes.Replace(data, []byte(`{"a":`), []byte(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":`), 1)
	if _, err := OpenReader(bytes.NewReader(twice), int64(len(twice)), "twice"); err == nil || !strings.HasPrefix(err.Error(), "weights: twice: ") {
		t.Errorf("a name twice: %v", err)
	}
}
