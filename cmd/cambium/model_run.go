package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/model"
	"github.com/cambium-kernels/cambium/weights"
)

// modelStates is cambium model states MODEL.
type modelStates struct {
	Model string `arg:"" optional:"" default:"demo" help:"A Hugging Face directory, a hub id in the local cache, or demo."`
	inputFlags
	Output string `short:"o" required:"" placeholder:"FILE" help:"The safetensors file to write: hidden_states.0 to hidden_states.L, float32, and input_ids."`
}

// statesReport is the JSON of model states.
type statesReport struct {
	Model     string  `json:"model"`
	Type      string  `json:"model_type"`
	File      string  `json:"file"`
	Blocks    int     `json:"blocks"`
	Width     int     `json:"hidden_size"`
	Sequences int     `json:"sequences"`
	Tokens    int     `json:"tokens"`
	Backend   string  `json:"backend"`
	Seconds   float64 `json:"seconds"`
}

// Run writes the states.
func (c *modelStates) Run(ctx context.Context, common *common, t *terminal) error {
	m, b, done, err := start(ctx, c.Model, common, t)
	if err != nil {
		return err
	}
	defer done()
	seqs, err := c.read(ctx, m, t)
	if err != nil {
		return err
	}
	begun := time.Now()
	list, tokens := batches(seqs)
	config := m.Config()
	if need := 4 * uint64(tokens) * uint64(config.Width) * uint64(config.Blocks+1); common.Memory > 0 && need > uint64(common.Memory) { //nolint:gosec // sizes
		return fmt.Errorf("the states take %s, --memory allows %s (give fewer --seqs)", bytesText(need), bytesText(uint64(common.Memory)))
	}
	if err := sayForward(ctx, t, b, m, tokens); err != nil {
		return err
	}
	kept := make([][]float32, config.Blocks+1)
	bar := t.progress("blocks")
	o := model.Options{Progress: bar.step, Hook: func(ctx context.Context, at model.At, x kernels.Matrix) error {
		switch {
		case at.Point == model.BlockInput && at.Block == 0:
			return keep(ctx, b, &kept[0], x)
		case at.Point == model.BlockOutput:
			return keep(ctx, b, &kept[at.Block+1], x)
		}
		return nil
	}}
	s, err := m.Run(ctx, b, list, o)
	bar.end()
	if err != nil {
		return err
	}
	if err := s.Free(); err != nil {
		return err
	}
	if err := writeStates(c.Output, m, seqs, kept); err != nil {
		return err
	}
	r := statesReport{m.name, config.Type, c.Output, config.Blocks, config.Width, len(seqs), tokens, b.Info().Name, time.Since(begun).Seconds()}
	if common.JSON {
		return printJSON(t.out, r)
	}
	_, err = fmt.Fprintf(t.out, "%s: %d states of %d sequences of %d tokens, %d wide\n", r.File, r.Blocks+1, r.Sequences, tokens/len(seqs), r.Width)
	return err
}

// keep appends a matrix, wherever it is, to host memory.
func keep(ctx context.Context, b kernels.Backend, dst *[]float32, x kernels.Matrix) error {
	n := len(*dst)
	*dst = append(*dst, make([]float32, x.Rows*x.Cols)...)
	host, err := kernels.Of((*dst)[n:], x.Rows, x.Cols, x.Cols)
	if err != nil {
		return err
	}
	return b.Copy(ctx, host, x)
}

// writeStates writes an activation dump.
func writeStates(path string, m *loaded, seqs [][]int32, states [][]float32) error {
	length, width := len(seqs[0]), m.Config().Width
	var ids []int64
	for _, seq := range seqs {
		for _, id := range seq {
			ids = append(ids, int64(id))
		}
	}
	arrays := []weights.Array{weights.Int64s("input_ids", ids, len(seqs), length)}
	for i, x := range states {
		arrays = append(arrays, weights.Float32s("hidden_states."+strconv.Itoa(i), x, len(seqs), length, width))
	}
	return weights.Write(path, arrays, map[string]string{
		"producer": "cambium", "source": "hooks", "model": m.name, "model_type": m.Config().Type,
		"n_blocks": strconv.Itoa(len(states) - 1), "hidden_size": strconv.Itoa(width),
	})
}

// modelPerplexity is cambium model perplexity MODEL --text FILE.
type modelPerplexity struct {
	Model string `arg:"" optional:"" default:"demo" help:"A Hugging Face directory, a hub id in the local cache, or demo."`
	inputFlags
	SkipBlocks string `placeholder:"LIST" help:"Blocks to leave out, such as 3,7 or 4-6."`

	skip []int
}

// Validate refuses a malformed list: wrong usage.
func (c *modelPerplexity) Validate() (err error) {
	if c.skip, err = blockList(c.SkipBlocks); err != nil {
		return fmt.Errorf("--skip-blocks: %w", err)
	}
	return c.inputFlags.Validate()
}

// perplexityReport is the JSON of model perplexity.
type perplexityReport struct {
	Model      string  `json:"model"`
	Type       string  `json:"model_type"`
	Sequences  int     `json:"sequences"`
	Tokens     int     `json:"tokens"` // that were foreseen
	Loss       float64 `json:"loss"`   // nats a token
	Perplexity float64 `json:"perplexity"`
	Skipped    []int   `json:"skipped_blocks"`
	Backend    string  `json:"backend"`
	Seconds    float64 `json:"seconds"`
}

// Run prints the perplexity.
func (c *modelPerplexity) Run(ctx context.Context, common *common, t *terminal) error {
	m, b, done, err := start(ctx, c.Model, common, t)
	if err != nil {
		return err
	}
	defer done()
	seqs, err := c.read(ctx, m, t)
	if err != nil {
		return err
	}
	begun := time.Now()
	list, tokens := batches(seqs)
	if err := sayForward(ctx, t, b, m, tokens); err != nil {
		return err
	}
	bar := t.progress("blocks")
	p, err := m.Perplexity(ctx, b, list, model.Options{Progress: bar.step, Drop: model.Drop{Blocks: c.skip}})
	bar.end()
	if err != nil {
		return err
	}
	r := perplexityReport{m.name, m.Config().Type, len(seqs), p.Tokens, p.Loss, p.Value(), c.skip, b.Info().Name, time.Since(begun).Seconds()}
	if r.Skipped == nil {
		r.Skipped = []int{}
	}
	if common.JSON {
		return printJSON(t.out, r)
	}
	_, err = fmt.Fprintf(t.out, "perplexity %.4f, %.4f nats a token, over %d tokens of %d sequences\n", r.Perplexity, r.Loss, r.Tokens, r.Sequences)
	return err
}

// modelScore is cambium model score MODEL TASK.jsonl.
type modelScore struct {
	Model string `arg:"" help:"A Hugging Face directory, a hub id in the local cache, or demo."`
	Task  string `arg:"" help:"Questions, one JSON object a line: {\"context\": text, \"choices\": [texts], \"answer\": index}; or context_ids and choice_ids."`
}

// taskLine is a question of a task file.
type taskLine struct {
	Context    string    `json:"context"`
	Choices    []string  `json:"choices"`
	ContextIDs []int32   `json:"context_ids"`
	ChoiceIDs  [][]int32 `json:"choice_ids"`
	Answer     *int      `json:"answer"`
}

// scoreReport is the JSON of model score.
type scoreReport struct {
	Model      string      `json:"model"`
	Type       string      `json:"model_type"`
	Questions  []scoreItem `json:"questions"`
	Answered   int         `json:"with_answer"`
	Accuracy   *float64    `json:"accuracy"`            // by the sum of log-likelihoods
	Normalized *float64    `json:"accuracy_normalized"` // by the sum over the choice's length
	Length     string      `json:"length"`              // what lengths are counted in
	Backend    string      `json:"backend"`
	Seconds    float64     `json:"seconds"`
}

type scoreItem struct {
	LogLikelihood []float64 `json:"log_likelihood"`
	Normalized    []float64 `json:"normalized"`
	Chosen        int       `json:"chosen"` // by the normalised one
	Answer        *int      `json:"answer,omitempty"`
}

// Run answers the questions and counts.
func (c *modelScore) Run(ctx context.Context, common *common, t *terminal) error {
	m, b, done, err := start(ctx, c.Model, common, t)
	if err != nil {
		return err
	}
	defer done()
	lines, err := readTask(c.Task)
	if err != nil {
		return err
	}
	questions, lengths, unit, err := m.questions(lines)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Task, err)
	}
	begun := time.Now()
	tokens := 0
	for _, q := range questions {
		for _, choice := range q.Choices {
			tokens += len(q.Context) + len(choice)
		}
	}
	if err := sayForward(ctx, t, b, m, tokens); err != nil {
		return err
	}
	bar := t.progress("blocks")
	logs, err := m.Score(ctx, b, questions, model.Options{Progress: bar.step})
	bar.end()
	if err != nil {
		return err
	}
	r := newScore(lines, logs, lengths)
	r.Model, r.Type, r.Length, r.Backend, r.Seconds = m.name, m.Config().Type, unit, b.Info().Name, time.Since(begun).Seconds()
	if common.JSON {
		return printJSON(t.out, r)
	}
	return r.print(t.out)
}

// newScore counts how often the right choice has the highest log-likelihood, and
// the highest one by its length.
func newScore(lines []taskLine, logs [][]float64, lengths [][]int) *scoreReport {
	r := &scoreReport{}
	right, rightNormalized := 0, 0
	for q, line := range lines {
		item := scoreItem{LogLikelihood: logs[q], Answer: line.Answer}
		best := 0
		for i, l := range logs[q] {
			item.Normalized = append(item.Normalized, l/float64(lengths[q][i]))
			if l > logs[q][best] {
				best = i
			}
			if item.Normalized[i] > item.Normalized[item.Chosen] {
				item.Chosen = i
			}
		}
		if line.Answer != nil {
			r.Answered++
			if best == *line.Answer {
				right++
			}
			if item.Chosen == *line.Answer {
				rightNormalized++
			}
		}
		r.Questions = append(r.Questions, item)
	}
	if r.Answered > 0 {
		a, n := float64(right)/float64(r.Answered), float64(rightNormalized)/float64(r.Answered)
		r.Accuracy, r.Normalized = &a, &n
	}
	return r
}

func (r *scoreReport) print(w io.Writer) error {
	var b strings.Builder
	for i, q := range r.Questions {
		mark := ""
		if q.Answer != nil {
			mark = map[bool]string{true: "  right", false: fmt.Sprintf("  the answer is %d", *q.Answer)}[*q.Answer == q.Chosen]
		}
		fmt.Fprintf(&b, "%d: choice %d, %.4f nats a %s%s\n", i, q.Chosen, q.Normalized[q.Chosen], strings.TrimSuffix(r.Length, "s"), mark)
	}
	if r.Answered > 0 {
		fmt.Fprintf(&b, "accuracy %.4f, normalised by length %.4f, of %d questions\n", *r.Accuracy, *r.Normalized, r.Answered)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// maxTaskLine is the longest line of a task file.
const maxTaskLine = 16 << 20

// readTask reads the questions.
func readTask(path string) ([]taskLine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxTaskLine)
	var out []taskLine
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var line taskLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		choices := max(len(line.Choices), len(line.ChoiceIDs))
		switch {
		case choices == 0 || (line.Context == "") == (len(line.ContextIDs) == 0) || (len(line.Choices) == 0) != (line.Context == ""):
			return nil, fmt.Errorf("%s: line %d: want context and choices, or context_ids and choice_ids", path, n)
		case line.Answer != nil && (*line.Answer < 0 || *line.Answer >= choices):
			return nil, fmt.Errorf("%s: line %d: the answer is %d, there are %d choices, counted from 0", path, n, *line.Answer, choices)
		}
		out = append(out, line)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: there is no question in it", path)
	}
	return out, nil
}

// questions encodes a task. Lengths are characters for text, as is usual, and
// tokens for ids.
func (m *loaded) questions(lines []taskLine) (out []model.Question, lengths [][]int, unit string, err error) {
	unit = "tokens"
	var encode encoder
	for n, line := range lines {
		q := model.Question{Context: line.ContextIDs, Choices: line.ChoiceIDs}
		var length []int
		for _, choice := range line.ChoiceIDs {
			length = append(length, len(choice))
		}
		if line.Context != "" {
			if encode == nil {
				if encode, err = m.encoder(); err != nil {
					return nil, nil, "", err
				}
			}
			unit = "characters"
			if q, err = encodeQuestion(encode, line); err != nil {
				return nil, nil, "", fmt.Errorf("question %d: %w", n, err)
			}
			for _, choice := range line.Choices {
				length = append(length, utf8.RuneCountInString(choice))
			}
		}
		out, lengths = append(out, q), append(lengths, length)
	}
	return out, lengths, unit, nil
}

// encodeQuestion encodes the context with each choice, and takes as the choice
// what follows the tokens of the context alone.
func encodeQuestion(encode encoder, line taskLine) (q model.Question, err error) {
	if q.Context, err = encode.Encode(line.Context, true); err != nil {
		return q, err
	}
	for i, choice := range line.Choices {
		whole, err := encode.Encode(line.Context+choice, true)
		if err != nil {
			return q, err
		}
		if len(whole) <= len(q.Context) {
			return q, fmt.Errorf("choice %d adds no token to the context", i)
		}
		q.Choices = append(q.Choices, whole[len(q.Context):])
	}
	if len(q.Context) == 0 {
		return q, errors.New("the context has no tokens")
	}
	return q, nil
}
