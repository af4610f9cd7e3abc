package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/cambium-kernels/cambium/cka"
	"github.com/cambium-kernels/cambium/internal/atomicfile"
	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/plot"
)

// number is a float64 whose JSON is null where it is no number.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// ckaReport is the JSON of cka.
type ckaReport struct {
	Rows         []string      `json:"rows"`
	Cols         []string      `json:"cols"`
	CKA          [][]number    `json:"cka"`
	XY           [][]number    `json:"hsic_xy"`
	XX           []number      `json:"hsic_xx"`
	YY           []number      `json:"hsic_yy"`
	N            int           `json:"n"`
	RowWidths    []int         `json:"row_widths,omitempty"`
	ColWidths    []int         `json:"col_widths,omitempty"`
	Estimator    string        `json:"estimator"`
	Kernel       string        `json:"kernel"`
	Variance     []number      `json:"rbf_variance,omitempty"`
	Batch        int           `json:"batch,omitempty"`
	Batches      int           `json:"batches,omitempty"`
	Dropped      int           `json:"dropped_rows,omitempty"`
	PValue       [][]number    `json:"p_value"`
	Permutations int           `json:"permutations,omitempty"`
	RowShares    []layerShares `json:"row_shares,omitempty"`
	ColShares    []layerShares `json:"col_shares,omitempty"`
	Undefined    []undefined   `json:"undefined"`
	Backend      string        `json:"backend,omitempty"`

	two bool // cols are layers of another file
}

// undefined is a layer whose values are null.
type undefined struct {
	Side   string `json:"side"` // rows or cols
	Index  int    `json:"index"`
	Layer  string `json:"layer"`
	Reason string `json:"reason"`
}

// layerShares are the parts of a layer's variation in one row and one column.
type layerShares struct {
	Row    number `json:"largest_row_share"`
	Column number `json:"largest_column_share"`
}

func newReport(r *cka.Result, in *layers, o cka.Options) *ckaReport {
	cols := in.x
	if in.two() {
		cols = in.y
	}
	report := resultReport(r, in.names(in.x), in.names(cols), o)
	report.two = in.two()
	for _, l := range in.x {
		report.RowWidths = append(report.RowWidths, l.width)
	}
	for _, l := range cols {
		report.ColWidths = append(report.ColWidths, l.width)
	}
	return report
}

func resultReport(r *cka.Result, rows, cols []string, o cka.Options) *ckaReport {
	report := &ckaReport{
		Rows: rows, Cols: cols, N: r.Rows, Estimator: "biased", Kernel: "linear",
		CKA: table(r.CKA, r.M), XY: table(r.XY, r.M), XX: numbers(r.XX), YY: numbers(r.YY), Variance: numbers(r.Variance),
		Undefined: []undefined{},
	}
	if o.Estimator == kernels.Unbiased {
		report.Estimator = "debiased"
	}
	if o.Kernel == kernels.Gaussian {
		report.Kernel = "rbf"
	}
	for _, u := range r.Undefined {
		if u.Y {
			report.Undefined = append(report.Undefined, undefined{"cols", u.Layer, cols[u.Layer], u.Reason})
		} else {
			report.Undefined = append(report.Undefined, undefined{"rows", u.Layer, rows[u.Layer], u.Reason})
		}
	}
	return report
}

func numbers(v []float64) []number {
	out := make([]number, len(v))
	for i, x := range v {
		out[i] = number(x)
	}
	return out
}

// table cuts row-major values into rows of m.
func table(v []float64, m int) [][]number {
	out := [][]number{}
	for ; len(v) > 0; v = v[m:] {
		out = append(out, numbers(v[:m]))
	}
	return out
}

// refuse returns the reason if not a single value is defined: then the input is
// at fault, and there is nothing to print.
func (r *ckaReport) refuse(two bool) error {
	defined := false
	for _, row := range r.CKA {
		for _, v := range row {
			defined = defined || !math.IsNaN(float64(v))
		}
	}
	if defined || len(r.Undefined) == 0 {
		return nil
	}
	u := r.Undefined[0]
	if len(r.Undefined) == 1 || !two && len(r.Rows) == 1 {
		return fmt.Errorf("cka: layer %s: %s", shown(u.Layer), u.Reason)
	}
	return fmt.Errorf("cka: no pair of layers has a CKA; the first, %s: %s", shown(u.Layer), u.Reason)
}

// permuted fills in p-values; where CKA is undefined there is none.
func (r *ckaReport) permuted(p []float64, count int) {
	r.PValue, r.Permutations = table(p, len(r.Cols)), count
	for i, row := range r.CKA {
		for j, v := range row {
			if math.IsNaN(float64(v)) {
				r.PValue[i][j] = v
			}
		}
	}
}

// shares fills in where a layer's variation lies in one row or column.
func (r *ckaReport) shares(ctx context.Context, b kernels.Backend, x, y []kernels.Matrix, o kernels.Options) error {
	of := func(list []kernels.Matrix) ([]layerShares, error) {
		s, err := cka.LargestShares(ctx, b, list, o)
		out := make([]layerShares, len(s))
		for i, v := range s {
			out[i] = layerShares{number(v.Row), number(v.Column)}
		}
		return out, err
	}
	var err error
	if r.RowShares, err = of(x); err != nil {
		return err
	}
	if y == nil {
		r.ColShares = r.RowShares
		return nil
	}
	r.ColShares, err = of(y)
	return err
}

// reportState prints the result of a complete state.
func reportState(c *common, t *terminal, s *cka.State, backend string, out ckaOutput) error {
	r, err := s.Result()
	if err != nil {
		return err
	}
	plan := s.Plan()
	cols := plan.X
	if plan.Y != nil {
		cols = plan.Y
	}
	report := resultReport(r, plan.X, cols, cka.Options{Estimator: kernels.Unbiased, Kernel: plan.Kernel})
	report.Batch, report.Batches, report.Dropped, report.Backend = plan.Batch, plan.Batches(), plan.Dropped(), backend
	if report.Dropped > 0 {
		fmt.Fprintf(t.talk, "the last %d of %d rows are too few for a batch and not counted\n", report.Dropped, plan.Rows)
	}
	if err := report.refuse(plan.Y != nil); err != nil {
		return err
	}
	return report.write(c, t, out)
}

// shardReport is the JSON of one shard.
type shardReport struct {
	State   string `json:"state"`
	Seen    int    `json:"batches_seen"`
	Batches int    `json:"batches"`
}

func reportShard(c *common, t *terminal, name string, s *cka.State) error {
	plan := s.Plan()
	r := shardReport{name, s.Seen(), plan.Batches()}
	if c.JSON {
		return printJSON(t.out, r)
	}
	_, err := fmt.Fprintf(t.out, "%s: %d of %d batches\n", r.State, r.Seen, r.Batches)
	return err
}

// write puts the report where the flags say: files first, so that what is printed
// is also what was kept.
func (r *ckaReport) write(c *common, t *terminal, out ckaOutput) error {
	for i, s := range r.RowShares {
		r.warn(t, r.Rows[i], s)
	}
	if r.two {
		for i, s := range r.ColShares {
			r.warn(t, r.Cols[i], s)
		}
	}
	if out.Plot != "" {
		if err := plot.Write(out.Plot, r.heatMap()); err != nil {
			return fmt.Errorf("cka: %w", err)
		}
	}
	if out.CSV != "" {
		text, err := r.csv()
		if err != nil {
			return fmt.Errorf("cka: %w", err)
		}
		if err := atomicfile.Write(out.CSV, 0o666, func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		}); err != nil {
			return fmt.Errorf("cka: %w", err)
		}
	}
	if c.JSON {
		return printJSON(t.out, r)
	}
	for _, u := range r.Undefined {
		fmt.Fprintf(t.talk, "layer %s (%s): undefined: %s\n", shown(u.Layer), u.Side, u.Reason)
	}
	return r.print(t)
}

// outlierShare is the part of a layer's variation in one row or column from
// which CKA says little about the rest.
const outlierShare = 0.5

func (r *ckaReport) warn(t *terminal, layer string, s layerShares) {
	if s.Row > outlierShare {
		fmt.Fprintf(t.talk, "layer %s: one row holds %.0f %% of the variation, so CKA compares that row above all\n", shown(layer), 100*s.Row)
	}
	if s.Column > outlierShare {
		fmt.Fprintf(t.talk, "layer %s: one column holds %.0f %% of the variation, so CKA compares that feature above all\n", shown(layer), 100*s.Column)
	}
}

// csv returns the matrix with its names; undefined values are empty.
func (r *ckaReport) csv() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	err := w.Write(append([]string{""}, r.Cols...))
	for i, row := range r.CKA {
		record := []string{r.Rows[i]}
		for _, v := range row {
			if math.IsNaN(float64(v)) {
				record = append(record, "")
			} else {
				record = append(record, strconv.FormatFloat(float64(v), 'g', -1, 64))
			}
		}
		err = errors.Join(err, w.Write(record))
	}
	w.Flush()
	return b.Bytes(), errors.Join(err, w.Error())
}

// title says what the values are.
func (r *ckaReport) title() string {
	kind := r.Estimator + " " + r.Kernel + " CKA"
	if r.Batch > 0 {
		return fmt.Sprintf("minibatch %s, %d rows in %d batches of %d", kind, r.N, r.Batches, r.Batch)
	}
	return fmt.Sprintf("%s, %d rows", kind, r.N)
}

func (r *ckaReport) heatMap() *plot.HeatMap {
	h := &plot.HeatMap{Title: r.title(), Rows: r.Rows, Cols: r.Cols, ValueLabel: "CKA", High: 1}
	if len(r.Undefined) > 0 {
		h.Note = "undefined: " + r.Undefined[0].Layer + ": " + r.Undefined[0].Reason
		if more := len(r.Undefined) - 1; more > 0 {
			h.Note += fmt.Sprintf(" (and %d more)", more)
		}
	}
	for _, row := range r.CKA {
		for _, v := range row {
			h.Values = append(h.Values, float64(v))
			if float64(v) < h.Low { // debiased values may be negative
				h.Low = float64(v)
			}
		}
	}
	return h
}

// largestTable is the number of columns up to which the matrix is printed as
// numbers on a terminal; beyond it, as colours.
const largestTable = 12

// print writes the matrix for people: numbers, or a heat map on a terminal where
// there are too many.
func (r *ckaReport) print(t *terminal) error {
	if f, ok := t.out.(*os.File); ok && len(r.Cols) > largestTable {
		if o := plot.DetectTerminal(f, os.Getenv); o.Width > 0 && isTerminal(f) {
			return r.heatMap().Terminal(t.out, o)
		}
	}
	var b strings.Builder
	b.WriteString(r.title() + "\n\n")
	rows, cols := shownAll(r.Rows), shownAll(r.Cols)
	writeTable(&b, rows, cols, r.CKA, "%.4f")
	if len(r.PValue) > 0 {
		fmt.Fprintf(&b, "\np-values, %d permutations\n\n", r.Permutations)
		writeTable(&b, rows, cols, r.PValue, "%.4g")
	}
	_, err := io.WriteString(t.out, b.String())
	return err
}

func shownAll(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = shown(name)
	}
	return out
}

// writeTable aligns a matrix with its names.
func writeTable(b *strings.Builder, rows, cols []string, values [][]number, format string) {
	left := 0
	for _, name := range rows {
		left = max(left, len([]rune(name)))
	}
	cells := make([][]string, len(values))
	width := make([]int, len(cols))
	for j, name := range cols {
		width[j] = len([]rune(name))
	}
	for i, row := range values {
		for j, v := range row {
			text := "-"
			if !math.IsNaN(float64(v)) {
				text = fmt.Sprintf(format, float64(v))
			}
			cells[i] = append(cells[i], text)
			width[j] = max(width[j], len(text))
		}
	}
	fmt.Fprintf(b, "%-*s", left, "")
	for j, name := range cols {
		fmt.Fprintf(b, "  %*s", width[j], name)
	}
	b.WriteByte('\n')
	for i, row := range cells {
		fmt.Fprintf(b, "%-*s", left, rows[i])
		for j, text := range row {
			fmt.Fprintf(b, "  %*s", width[j], text)
		}
		b.WriteByte('\n')
	}
}
