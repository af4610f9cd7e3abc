package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cambium-kernels/cambium/model"
	"github.com/cambium-kernels/cambium/model/demo"
	"github.com/cambium-kernels/cambium/model/tokenizer"
	"github.com/cambium-kernels/cambium/weights"
)

// inputFlags say what a model is to read.
type inputFlags struct {
	Text []string `placeholder:"FILE" sep:"none" help:"Text, cut into sequences from its start; several files are read one after another."`
	IDs  string   `name:"ids" placeholder:"FILE.npy" help:"Token ids in place of text: integers, sequences x tokens."`
	Seqs int      `default:"16" help:"How many sequences of the text."`
	Len  int      `default:"128" help:"Tokens of each."`
}

// Validate refuses flags that contradict each other: wrong usage.
func (f *inputFlags) Validate() error {
	switch {
	case len(f.Text) > 0 && f.IDs != "":
		return errors.New("--text and --ids: give one of them")
	case f.Seqs < 1 || f.Len < 1 || f.Seqs > math.MaxInt32/f.Len:
		return fmt.Errorf("--seqs %d, --len %d: want 1 or more, and fewer than 2^31 tokens in all", f.Seqs, f.Len)
	}
	return nil
}

// batchRows is about how many rows go through a block at a time.
const batchRows = 2048

// read returns the sequences that the flags name; without any, those of the
// demonstration's text for its model.
func (f *inputFlags) read(ctx context.Context, m *loaded, t *terminal) ([][]int32, error) {
	if f.IDs != "" {
		return readIDs(f.IDs)
	}
	var text strings.Builder
	for _, name := range f.Text {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		text.Write(part)
	}
	if len(f.Text) == 0 {
		if m.path != "" {
			return nil, fmt.Errorf("%s: no text (give --text FILE or --ids FILE.npy)", m.name)
		}
		text.WriteString(demo.Text())
	}
	encoder, err := m.encoder()
	if err != nil {
		return nil, err
	}
	ids, err := encoder.Encode(text.String(), false)
	if err != nil {
		return nil, err
	}
	n := min(f.Seqs, len(ids)/f.Len)
	switch {
	case n == 0:
		return nil, fmt.Errorf("the text has %d tokens, and one sequence %d (give more text, or a smaller --len)", len(ids), f.Len)
	case n < f.Seqs:
		fmt.Fprintf(t.talk, "the text is enough for %d sequences of %d tokens, %d were asked for\n", n, f.Len, f.Seqs)
	}
	return slices.Collect(slices.Chunk(ids[:n*f.Len], f.Len)), nil
}

// encoder turns text into token ids.
type encoder interface {
	Encode(text string, addSpecial bool) ([]int32, error)
}

// encoder returns the model's tokenizer.
func (m *loaded) encoder() (encoder, error) {
	read := func() (*tokenizer.Tokenizer, error) {
		if m.path == "" {
			return tokenizer.Parse(demo.Tokenizer())
		}
		return tokenizer.Load(filepath.Join(m.path, "tokenizer.json"))
	}
	t, err := read()
	if err != nil {
		return nil, err
	}
	return encoding{t}, nil
}

// encoding is a tokenizer as this command asks for it.
type encoding struct{ *tokenizer.Tokenizer }

// Encode implements encoder.
func (e encoding) Encode(text string, addSpecial bool) ([]int32, error) {
	if addSpecial {
		return e.EncodeSpecial(text), nil
	}
	return e.Tokenizer.Encode(text), nil
}

// readIDs reads token ids, one sequence a row.
func readIDs(path string) (seqs [][]int32, err error) {
	file, err := weights.OpenArrays(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	names := file.Names()
	if len(names) != 1 {
		return nil, fmt.Errorf("--ids %s: %d arrays, want one", path, len(names))
	}
	x, err := file.Tensor(names[0])
	if err != nil {
		return nil, err
	}
	if len(x.Shape) != 2 || x.Elements() == 0 {
		return nil, fmt.Errorf("--ids %s: the shape is %v, want sequences x tokens", path, x.Shape)
	}
	flat := make([]int64, x.Elements())
	if err := x.Int64s(flat); err != nil {
		return nil, err
	}
	for row := range slices.Chunk(flat, x.Shape[1]) {
		seq := make([]int32, len(row))
		for i, id := range row {
			if id < 0 || id > math.MaxInt32 {
				return nil, fmt.Errorf("--ids %s: sequence %d, token %d is %d, which is no token id", path, len(seqs), i, id)
			}
			seq[i] = int32(id)
		}
		seqs = append(seqs, seq)
	}
	return seqs, nil
}

// batches puts sequences together.
func batches(seqs [][]int32) (out []model.Batch, tokens int) {
	rows := 0
	for _, seq := range seqs {
		if len(out) == 0 || rows+len(seq) > batchRows {
			out, rows = append(out, model.Batch{}), 0
		}
		last := &out[len(out)-1]
		last.Tokens = append(last.Tokens, seq)
		rows += len(seq)
		tokens += len(seq)
	}
	return out, tokens
}
