package cpu

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/cambium-kernels/cambium/kernels"
)

// queryRows is how many queries of one head a tile takes.
const queryRows = 48

// attentionTask is a block of queries of one head of one sequence.
type attentionTask struct {
	head         int
	first, count int // queries, as rows of q
	position     int // key position of the first query, within the sequence
	keys, nk     int // the sequence's keys, as rows of k
}

// Attention implements kernels.LayerOps. Keys are visited block by block with a
// running maximum and sum (Milakov & Gimelshein 2018, Dao et al. 2022), so
// memory does not grow with the sequence.
func (b *Backend) Attention(ctx context.Context, dst, q, k, v kernels.Matrix, p kernels.AttentionParams, o kernels.Options) error {
	if err := b.begin(ctx, kernels.OpAttention, kernels.CheckAttention(kernels.Device{}, dst, q, k, v, p, o)); err != nil {
		return err
	}
	defer b.end()
	if p.Scale == 0 {
		p.Scale = 1 / math.Sqrt(float64(p.HeadDim))
	}
	s := b.scratch(kernels.OpAttention)
	defer s.release()
	if err := s.perWorker(b, queryRows*(p.HeadDim+2)); err != nil {
		return err
	}
	if err := s.perWorker(b, tileCols*p.HeadDim); err != nil {
		return err
	}
	list := attentionTasks(p, q.Rows, k.Rows)
	return b.tiles(ctx, kernels.OpAttention, o, len(list), func(ws *workspace, i int) {
		b.attend(ws, dst, q, k, v, p, list[i])
	})
}

// attentionTasks cuts sequences into blocks of queries.
func attentionTasks(p kernels.AttentionParams, queries, keys int) []attentionTask {
	sequences := 1
	if p.Queries != nil {
		sequences = len(p.Queries) - 1
	}
	ks := p.Keys
	if ks == nil {
		ks = p.Queries
	}
	var list []attentionTask
	for s := range sequences {
		q0, q1 := sequence(p.Queries, s, queries)
		k0, k1 := sequence(ks, s, keys)
		for head := range p.Heads {
			for from := q0; from < q1; from += queryRows {
				list = append(list, attentionTask{
					head: head, first: from, count: min(queryRows, q1-from),
					position: from - q0 + (k1 - k0) - (q1 - q0), keys: k0, nk: k1 - k0,
				})
			}
		}
	}
	return list
}

// sequence returns the rows of sequence s; without bounds the only one has all.
func sequence(bounds []int32, s, rows int) (from, to int) {
	if bounds == nil {
		return 0, rows
	}
	return int(bounds[s]), int(bounds[s+1])
}

// visible returns the range of key positions that a query at position at may
// see, the key mask apart.
func visible(p kernels.AttentionParams, at, nk int) (from, to int) {
	to = nk
	if p.Causal {
		to = min(nk, at+1)
	} else if p.Window > 0 {
		to = min(nk, at+p.Window)
	}
	if p.Window > 0 {
		from = max(0, at-p.Window+1)
	}
	return from, max(from, to)
}

// attend computes one task.
func (b *Backend) attend(ws *workspace, dst, q, k, v kernels.Matrix, p kernels.AttentionParams, t attentionTask) {
	hd := p.HeadDim
	kvHead := t.head / (p.Heads / p.KVHeads)
	qs, errQ := q.View(0, t.head*hd, q.Rows, hd)
	ks, errK := k.View(0, kvHead*hd, k.Rows, hd)
	if err := errors.Join(errQ, errK); err != nil {
		ws.fail(err)
		return
	}
	sum := grow(&ws.attention, t.count*(hd+2))
	clear(sum)
	peak, weight, sum := sum[:t.count], sum[t.count:2*t.count], sum[2*t.count:]
	fill(peak, math.Inf(-1))
	first, _ := visible(p, t.position, t.nk)
	_, last := visible(p, t.position+t.count-1, t.nk)
	values := grow(&ws.layers, tileCols*hd)
	for j0 := first; j0 < last && !ws.stopped(); j0 += tileCols {
		nj := min(tileCols, last-j0)
		scores := b.tier.product(ws, operand{m: qs}, operand{m: ks}, t.first, t.count, t.keys+j0, nj)
		for s := range nj {
			loadRow(values[s*hd:(s+1)*hd], v, t.keys+j0+s, kvHead*hd)
		}
		for r := range t.count {
			from, to := visible(p, t.position+r, t.nk)
			from, to = max(from-j0, 0), min(to-j0, nj)
			if from >= to {
				continue
			}
			line := scores[r*tileCols+from : r*tileCols+to]
			mask := p.KeyMask
			if mask != nil {
				mask = mask[t.keys+j0+from : t.keys+j0+to]
			}
			transformScores(line, p)
			peak[r], weight[r] = softmaxStep(sum[r*hd:(r+1)*hd], line, values[from*hd:to*hd], mask, peak[r], weight[r])
		}
	}
	for r := range t.count {
		line := sum[r*hd : (r+1)*hd]
		if weight[r] != 0 || t.sees(p, r) { // no visible key: zeros; all scores −Inf: 0/0
			for i := range line {
				line[i] /= weight[r]
			}
		}
		storeRow(dst, t.first+r, t.head*hd, line)
	}
}

// transformScores scales and caps.
func transformScores(line []float64, p kernels.AttentionParams) {
	for i, s := range line {
		s *= p.Scale
		if p.SoftCap > 0 {
			s = p.SoftCap * math.Tanh(s/p.SoftCap)
		}
		line[i] = s
	}
}

// softmaxStep adds the keys of one block to a running softmax and returns the
// new maximum and sum of weights. Hidden keys are skipped, whatever they hold.
func softmaxStep(sum, scores, values []float64, mask []bool, peak, weight float64) (newPeak, newWeight float64) {
	top := peak
	for i, s := range scores {
		if shown(mask, i) {
			if s > top || math.IsNaN(s) {
				top = s
			}
			if math.IsNaN(top) {
				break
			}
		}
	}
	shift := top
	if math.IsInf(top, -1) { // nothing visible yet, or only scores of −Inf, whose weight is 0
		shift = 0
	}
	if weight != 0 && top != peak {
		f := math.Exp(peak - top)
		weight *= f
		scaleVector(sum, f)
	}
	hd := len(sum)
	for i, s := range scores {
		if !shown(mask, i) {
			continue
		}
		e := math.Exp(s - shift)
		weight += e
		axpy(sum, e, values[i*hd:(i+1)*hd])
	}
	return top, weight
}

// shown reports whether the mask, if there is one, lets key i be seen.
func shown(mask []bool, i int) bool { return len(mask) == 0 || mask[i] }

// sees reports whether query r of the task sees a key at all.
func (t attentionTask) sees(p kernels.AttentionParams, r int) bool {
	from, to := visible(p, t.position+r, t.nk)
	if p.KeyMask == nil {
		return from < to
	}
	return slices.Contains(p.KeyMask[t.keys+from:t.keys+to], true)
}
