package model

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// Perplexity is how well a model foresees text.
type Perplexity struct {
	Tokens int     // that were foreseen: all but the first of each sequence, and those of the mask
	Loss   float64 // −log of their probability, in nats a token
}

// Value returns exp(Loss).
func (p Perplexity) Value() float64 { return math.Exp(p.Loss) }

// Perplexity runs batches and scores each token by those before it in its
// sequence. Errors: [ErrInput] if there is none to score; those of [Model.Run].
func (m *Model) Perplexity(ctx context.Context, b kernels.Backend, batches []Batch, o Options) (Perplexity, error) {
	var p Perplexity
	if _, err := m.headOf(ctx); err != nil { // before the work
		return p, err
	}
	s, err := m.Run(ctx, b, batches, o)
	if err != nil {
		return p, err
	}
	sum := 0.0
	for k, batch := range batches {
		var rows, targets []int32
		for i, seq := range batch.Tokens {
			start := s.Sequences(k)[i]
			for j, id := range seq[1:] {
				if len(batch.Mask) == 0 || batch.Mask[i][j] && batch.Mask[i][j+1] {
					rows = append(rows, start+int32(j))
					targets = append(targets, id)
				}
			}
		}
		logs, err := m.LogProbs(ctx, b, s.Matrix(k), rows, targets, Options{Precision: o.Precision})
		if err != nil {
			return p, errors.Join(err, s.Free())
		}
		for _, l := range logs {
			sum -= l
		}
		p.Tokens += len(logs)
	}
	if p.Tokens == 0 {
		return p, errors.Join(fmt.Errorf("model: no token has one before it: %w (give longer sequences)", ErrInput), s.Free())
	}
	p.Loss = sum / float64(p.Tokens)
	return p, s.Free()
}

// A Question is a context and the ways in which it may go on.
type Question struct {
	Context []int32 // one token at least
	Choices [][]int32
}

// scoreRows is about how many rows a batch of questions has.
const scoreRows = 2048

// Score returns, for each choice of each question, the sum of the logarithms of
// the probabilities of its tokens after the context and each other. Dividing by
// the choice's length, which is the caller's to count (in tokens, bytes or
// characters), makes choices of different lengths comparable. Errors: [ErrInput]
// for an empty context or choice; those of [Model.Run].
func (m *Model) Score(ctx context.Context, b kernels.Backend, questions []Question, o Options) ([][]float64, error) {
	if _, err := m.headOf(ctx); err != nil {
		return nil, err
	}
	type place struct{ question, choice int }
	var batches []Batch
	var places [][]place
	rows := 0
	for q, question := range questions {
		if len(question.Context) == 0 || len(question.Choices) == 0 {
			return nil, fmt.Errorf("model: question %d has no context or no choices: %w", q, ErrInput)
		}
		for c, choice := range question.Choices {
			if len(choice) == 0 {
				return nil, fmt.Errorf("model: question %d, choice %d has no tokens: %w", q, c, ErrInput)
			}
			seq := append(append([]int32{}, question.Context...), choice...)
			if len(batches) == 0 || rows+len(seq) > scoreRows {
				batches, places, rows = append(batches, Batch{}), append(places, nil), 0
			}
			last := len(batches) - 1
			batches[last].Tokens = append(batches[last].Tokens, seq)
			places[last] = append(places[last], place{q, c})
			rows += len(seq)
		}
	}
	s, err := m.Run(ctx, b, batches, o)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(questions))
	for q := range out {
		out[q] = make([]float64, len(questions[q].Choices))
	}
	for k, batch := range batches {
		var rows, targets []int32
		var owner []place
		for i, seq := range batch.Tokens {
			at := places[k][i]
			for j := len(questions[at.question].Context); j < len(seq); j++ {
				rows = append(rows, s.Sequences(k)[i]+int32(j)-1) //nolint:gosec // a row of the batch
				targets, owner = append(targets, seq[j]), append(owner, at)
			}
		}
		logs, err := m.LogProbs(ctx, b, s.Matrix(k), rows, targets, Options{Precision: o.Precision})
		if err != nil {
			return nil, errors.Join(err, s.Free())
		}
		for i, l := range logs {
			out[owner[i].question][owner[i].choice] += l
		}
	}
	return out, s.Free()
}
