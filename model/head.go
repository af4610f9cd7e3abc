package model

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/cambium-kernels/cambium/kernels"
)

// How much of the head is in memory at a time: weights of so many bytes, and so
// many logits.
const (
	headBytes  = 32 << 20
	headLogits = 1 << 21
)

// headOf returns the map from a normalised state to logits.
func (m *Model) headOf(ctx context.Context) (Tensor, error) {
	switch {
	case m.family.head == "":
		return nil, fmt.Errorf("model: a model of type %s has no language-model head: %w", m.config.Type, ErrUnsupported)
	case m.finalNorm.weight == nil:
		return nil, fmt.Errorf("model: the checkpoint has no final norm %s%s: %w", m.prefix, m.family.finalNorm, ErrTensors)
	case m.head.weight == nil && !m.config.Tied:
		return nil, fmt.Errorf("model: the checkpoint has no %s.weight, and tie_word_embeddings is false: %w", m.family.head, ErrTensors)
	case m.head.weight == nil:
		return m.embedding.weight, nil
	case m.config.Tied:
		same, err := equal(ctx, m.head.weight, m.embedding.weight)
		if err == nil && !same {
			err = fmt.Errorf("model: tie_word_embeddings is true, and %s.weight is not the embedding: which one counts? %w", m.head.name, ErrConfig)
		}
		return m.head.weight, err
	default:
		return m.head.weight, nil
	}
}

// equal compares two tensors of one shape.
func equal(ctx context.Context, a, b Tensor) (bool, error) {
	if a.DType() != b.DType() {
		return false, nil
	}
	rows, cols := rowsOf(a)
	step := max(1, headBytes/(cols*a.DType().Size()))
	for from := 0; from < rows; from += step {
		n := min(step, rows-from)
		var read [2]kernels.Matrix
		for i, t := range []Tensor{a, b} {
			var err error
			if read[i], err = hostMatrix(t.DType(), n, cols); err != nil {
				return false, err
			}
			if err := errors.Join(ctx.Err(), t.Rows(read[i], from)); err != nil {
				return false, err
			}
		}
		if !sameBits(read[0], read[1]) {
			return false, nil
		}
	}
	return true, nil
}

func sameBits(a, b kernels.Matrix) bool {
	if a.DType == kernels.Float32 {
		x, _ := kernels.Floats[float32](a)
		y, _ := kernels.Floats[float32](b)
		for i, v := range x {
			if v != y[i] {
				return false
			}
		}
		return true
	}
	x, _ := kernels.Bits(a)
	y, _ := kernels.Bits(b)
	for i, v := range x {
		if v != y[i] {
			return false
		}
	}
	return true
}

// logits calls use with all logits of x, states behind the last block, in parts:
// rows from row on, columns from col on, row-major with width columns. The head
// is read once. What is shown lives until use returns.
func (m *Model) logits(ctx context.Context, b kernels.Backend, x kernels.Matrix, o Options, use func(part []float32, row, col, width int)) (err error) {
	head, err := m.headOf(ctx)
	if err != nil {
		return err
	}
	a := newArena(b, kernels.Options{Precision: o.Precision})
	defer func() { err = errors.Join(err, a.close()) }()
	normed, err := m.finalNormed(ctx, a, x)
	if err != nil {
		return err
	}
	vocabulary, width := rowsOf(head)
	slice := min(vocabulary, max(1, headBytes/(width*head.DType().Size())))
	rows := min(x.Rows, max(1, headLogits/slice))
	part := make([]float32, rows*slice)
	for col := 0; col < vocabulary; col += slice {
		n := min(slice, vocabulary-col)
		w, err := a.load(ctx, head, col, n)
		if err != nil {
			return fmt.Errorf("model: head: %w", err)
		}
		for row := 0; row < x.Rows; row += rows {
			k := min(rows, x.Rows-row)
			of, err := normed.View(row, 0, k, width)
			if err != nil {
				return err
			}
			dst, err := kernels.Of(part, k, n, n)
			if err != nil {
				return err
			}
			if err := b.Matmul(ctx, []kernels.Matrix{dst}, []kernels.Matrix{of}, []kernels.Matrix{w}, kernels.NT, m.config.LogitScale, 0, a.o); err != nil {
				return fmt.Errorf("model: head: %w", err)
			}
			m.capLogits(part[:k*n])
			use(part[:k*n], row, col, n)
		}
		a.release()
		if o.Progress != nil {
			o.Progress(col+n, vocabulary)
		}
	}
	return nil
}

// capLogits applies the soft cap of Gemma's logits.
func (m *Model) capLogits(part []float32) {
	if c := m.config.LogitCap; c != 0 {
		for i, v := range part {
			part[i] = float32(c * math.Tanh(float64(v)/c))
		}
	}
}

// finalNormed normalises states into a buffer of the arena.
func (m *Model) finalNormed(ctx context.Context, a *arena, x kernels.Matrix) (kernels.Matrix, error) {
	normed, err := a.get(ctx, kernels.Float32, x.Rows, x.Cols)
	if err != nil {
		return kernels.Matrix{}, err
	}
	w, err := a.load(ctx, m.finalNorm.weight, 0, 1)
	if err != nil {
		return kernels.Matrix{}, err
	}
	params := kernels.NormParams{Kind: m.config.Norm, Weight: w, Offset: m.config.Offset, Epsilon: m.config.Epsilon}
	if m.finalNorm.bias != nil {
		if params.Bias, err = a.load(ctx, m.finalNorm.bias, 0, 1); err != nil {
			return kernels.Matrix{}, err
		}
	}
	if err := a.b.Norm(ctx, normed, x, params, 1, 0, a.o); err != nil {
		return kernels.Matrix{}, err
	}
	a.release()
	return normed, nil
}

// FinalNorm returns the states behind the model's final norm, on the backend's
// device. The caller frees the buffer. Errors: [ErrTensors] where there is none.
func (m *Model) FinalNorm(ctx context.Context, b kernels.Backend, x kernels.Matrix, o Options) (buf kernels.Buffer, err error) {
	if m.finalNorm.weight == nil {
		return nil, fmt.Errorf("model: a model of type %s, or this checkpoint of it, has no final norm: %w", m.config.Type, ErrTensors)
	}
	a := newArena(b, kernels.Options{Precision: o.Precision})
	defer func() { err = errors.Join(err, a.close()) }()
	normed, err := m.finalNormed(ctx, a, x)
	if err != nil {
		return nil, err
	}
	if buf, err = b.Alloc(ctx, kernels.Float32, x.Rows, x.Cols); err != nil {
		return nil, err
	}
	if err := b.Copy(ctx, buf.Matrix(), normed); err != nil {
		return nil, errors.Join(err, buf.Free())
	}
	return buf, nil
}

// Logits returns the logits of rows of states behind the last block, as rows x
// vocabulary values. Rows are few: the result is whole in memory; [Model.LogProbs]
// has no such limit.
func (m *Model) Logits(ctx context.Context, b kernels.Backend, x kernels.Matrix, o Options) ([]float32, error) {
	if most := math.MaxInt32 / max(m.config.Vocabulary, 1); x.Rows > most || x.Cols != m.config.Width {
		return nil, fmt.Errorf("model: logits of %d x %d states; %d rows of %d are taken: %w", x.Rows, x.Cols, most, m.config.Width, ErrInput)
	}
	out := make([]float32, x.Rows*m.config.Vocabulary)
	err := m.logits(ctx, b, x, o, func(part []float32, row, col, width int) {
		for i := 0; len(part) > 0; i++ {
			copy(out[(row+i)*m.config.Vocabulary+col:], part[:width])
			part = part[width:]
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// A softSum is a running log-sum-exp of one row, and the logit that is asked for.
type softSum struct{ top, sum, target float64 }

// add takes a stretch of a row's logits, of which the one at target, if it is
// among them, is kept.
func (s *softSum) add(part []float32, target int) {
	top := s.top
	for _, v := range part {
		if x := float64(v); x > top || math.IsNaN(x) {
			top = x
		}
	}
	sum := 0.0
	for _, v := range part {
		sum += math.Exp(float64(v) - top)
	}
	if s.sum != 0 {
		sum += s.sum * math.Exp(s.top-top)
	}
	s.top, s.sum = top, sum
	if target >= 0 && target < len(part) {
		s.target = float64(part[target])
	}
}

func (s *softSum) logProb() float64 { return s.target - s.top - math.Log(s.sum) }

// LogProbs returns the natural logarithm of the probability that row rows[i] of
// x, states behind the last block, gives to the token targets[i]. No more than a
// part of the head and of the logits is in memory.
func (m *Model) LogProbs(ctx context.Context, b kernels.Backend, x kernels.Matrix, rows, targets []int32, o Options) (out []float64, err error) {
	if len(rows) != len(targets) || x.Cols != m.config.Width {
		return nil, fmt.Errorf("model: %d targets for %d rows of states %d wide, want %d: %w", len(targets), len(rows), x.Cols, m.config.Width, ErrInput)
	}
	for i, id := range targets {
		if id < 0 || int(id) >= m.config.Vocabulary || rows[i] < 0 || int(rows[i]) >= x.Rows {
			return nil, fmt.Errorf("model: target %d: id %d of %d at row %d of %d: %w", i, id, m.config.Vocabulary, rows[i], x.Rows, ErrInput)
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	buf, err := b.Alloc(ctx, kernels.Float32, len(rows), x.Cols)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, buf.Free()) }()
	if err := b.Gather(ctx, buf.Matrix(), x, rows, 1, 0, kernels.Options{}); err != nil {
		return nil, err
	}
	sums := make([]softSum, len(rows))
	for i := range sums {
		sums[i].top = math.Inf(-1)
	}
	workers := b.Info().Workers
	err = m.logits(ctx, b, buf.Matrix(), o, func(part []float32, row, col, width int) {
		eachRow(len(part)/width, workers, func(i int) {
			sums[row+i].add(part[i*width:(i+1)*width], int(targets[row+i])-col)
		})
	})
	if err != nil {
		return nil, err
	}
	out = make([]float64, len(rows))
	for i := range sums {
		out[i] = sums[i].logProb()
	}
	return out, nil
}

// eachRow calls f for 0 <= i < n from several goroutines.
func eachRow(n, workers int, f func(i int)) {
	workers = max(1, min(workers, n))
	var done sync.WaitGroup
	for w := range workers {
		done.Go(func() {
			for i := w * n / workers; i < (w+1)*n/workers; i++ {
				f(i)
			}
		})
	}
	done.Wait()
}
