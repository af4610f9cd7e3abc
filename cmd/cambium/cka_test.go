package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
	"github.com/cambium-kernels/cambium/weights"
)

// writeArrays writes a safetensors file.
func writeArrays(t *testing.T, name string, arrays ...weights.Array) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := weights.Write(path, arrays, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// writeNPY writes a two-dimensional float64 array by hand, as NumPy does.
func writeNPY(t *testing.T, name, descr string, data any, shape ...int) string {
	t.Helper()
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s,), }", descr, strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", ", "), "[]"))
	text += strings.Repeat(" ", 64-(len(text)+11)%64) + "\n"
	var b bytes.Buffer
	b.WriteString("\x93NUMPY\x01\x00")
	for _, v := range []any{uint16(len(text)), []byte(text), data} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The six rows whose values are known exactly.
var (
	sixX = []float64{1, 0, 0, 1, 1, 1, 2, 1, 0, 2, 3, 1}
	sixY = []float64{1, 2, 0, 0, 1, 1, 1, 0, 1, 2, 2, 1, 1, 1, 3, 3, 0, 2}
)

func noise(seed uint64, n int) []float64 {
	r := rand.New(rand.NewPCG(seed, 0))
	out := make([]float64, n)
	for i := range out {
		out[i] = r.NormFloat64()
	}
	return out
}

// ckaJSON runs cka and decodes its JSON.
func ckaJSON(t *testing.T, args ...string) (r ckaJSONReport) {
	t.Helper()
	code, out, talk := invoke(t.Context(), append([]string{"cka", "--json", "--quiet"}, args...)...)
	if code != exitDone || talk != "" {
		t.Fatalf("cka %v: exit code %d, stderr %q", args, code, talk)
	}
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return r
}

// ckaJSONReport is what a reader of the JSON sees: null is a nil pointer.
type ckaJSONReport struct {
	Rows, Cols   []string
	CKA          [][]*float64
	XY           [][]*float64   `json:"hsic_xy"`
	XX           []*float64     `json:"hsic_xx"`
	YY           []*float64     `json:"hsic_yy"`
	N            int            `json:"n"`
	RowWidths    []int          `json:"row_widths"`
	ColWidths    []int          `json:"col_widths"`
	Estimator    string         `json:"estimator"`
	Kernel       string         `json:"kernel"`
	Variance     []*float64     `json:"rbf_variance"`
	Batch        int            `json:"batch"`
	Batches      int            `json:"batches"`
	Dropped      int            `json:"dropped_rows"`
	PValue       [][]*float64   `json:"p_value"`
	Permutations int            `json:"permutations"`
	RowShares    []layerShares2 `json:"row_shares"`
	ColShares    []layerShares2 `json:"col_shares"`
	Undefined    []undefined    `json:"undefined"`
	Backend      string         `json:"backend"`
}

type layerShares2 struct {
	Row    *float64 `json:"largest_row_share"`
	Column *float64 `json:"largest_column_share"`
}

func closeTo(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil || math.Abs(*got-want) > 1e-12 {
		t.Errorf("%s is %v, want %v", what, deref(got), want)
	}
}

func deref(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

func TestCKAGolden(t *testing.T) {
	x, y := writeNPY(t, "x.npy", "<f8", sixX, 6, 2), writeNPY(t, "y.npy", "<f8", sixY, 6, 3)
	r := ckaJSON(t, x, y)
	closeTo(t, "cka", r.CKA[0][0], 0.6404070924572771)
	closeTo(t, "hsic_xy", r.XY[0][0], 389./225)
	closeTo(t, "hsic_xx", r.XX[0], 1897./900)
	closeTo(t, "hsic_yy", r.YY[0], 778./225)
	if !slices.Equal(r.Rows, []string{"x"}) || !slices.Equal(r.Cols, []string{"y"}) || r.N != 6 || r.Estimator != "biased" || r.Kernel != "linear" ||
		r.PValue != nil || len(r.Undefined) != 0 || r.Undefined == nil || r.RowWidths[0] != 2 || r.ColWidths[0] != 3 || !strings.HasPrefix(r.Backend, "cpu/") {
		t.Errorf("%+v", r)
	}
	if len(r.RowShares) != 1 || r.RowShares[0].Row == nil || *r.RowShares[0].Row <= 1./6 || *r.ColShares[0].Column <= 1./3 {
		t.Errorf("shares: %+v, %+v", r.RowShares, r.ColShares)
	}
	closeTo(t, "debiased", ckaJSON(t, x, y, "--estimator", "debiased").CKA[0][0], 0.2739366583709245)
	rbf := ckaJSON(t, x, y, "--kernel", "rbf")
	closeTo(t, "rbf", rbf.CKA[0][0], 0.7647433659550549)
	closeTo(t, "rbf_variance", rbf.Variance[0], 2)
	closeTo(t, "rbf 0.5", ckaJSON(t, x, y, "--kernel", "rbf", "--rbf-fraction", "0.5").CKA[0][0], 0.905214734530509)
	closeTo(t, "one batch", ckaJSON(t, x, y, "--batch", "6").CKA[0][0], 0.2739366583709245)
	p := ckaJSON(t, x, y, "--permutations", "9999", "--seed", "3")
	if p.Permutations != 9999 || math.Abs(*p.PValue[0][0]-0.075) > 0.01 {
		t.Errorf("p-value %v of %d", *p.PValue[0][0], p.Permutations)
	}
	if q := ckaJSON(t, x, y, "--permutations", "9999", "--seed", "4"); *q.PValue[0][0] == *p.PValue[0][0] {
		t.Error("the seed does not matter")
	}
}

// A file of many arrays: N-D ones are flattened, what is no layer is passed over.
func TestCKALayers(t *testing.T) {
	single := make([]float32, 24)
	for i, v := range noise(1, 24) {
		single[i] = float32(v)
	}
	path := writeArrays(t, "a.safetensors",
		weights.Float64s("wide", noise(2, 24), 6, 2, 2),
		weights.Float32s("narrow", single[:12], 6, 2),
		weights.Int64s("ids", make([]int64, 12), 6, 2),
		weights.Float32s("bias", single[:6], 6),
		weights.Bits16("half", weights.BF16, []uint16{0x3f80, 0x4000, 0x4040, 0x4080, 0x3f80, 0x4000}, 6, 1),
	)
	r := ckaJSON(t, path)
	if len(r.Rows) != 3 || !slices.Equal(r.Rows, r.Cols) || slices.Contains(r.Rows, "ids") || slices.Contains(r.Rows, "bias") {
		t.Fatalf("layers %v", r.Rows)
	}
	wide, half := slices.Index(r.Rows, "wide"), slices.Index(r.Rows, "half")
	if r.RowWidths[wide] != 4 || r.RowWidths[half] != 1 {
		t.Errorf("widths %v of %v", r.RowWidths, r.Rows)
	}
	for i := range 3 {
		closeTo(t, "diagonal", r.CKA[i][i], 1)
		for j := range 3 {
			closeTo(t, "symmetry", r.CKA[i][j], *r.CKA[j][i])
		}
	}
	code, out, talk := invoke(t.Context(), "cka", path)
	if code != exitDone || !strings.Contains(talk, "passed over") || !strings.Contains(talk, "ids (I64, 2 dimensions)") || !strings.Contains(talk, "bias (F32, 1 dimensions)") {
		t.Errorf("exit code %d, stderr %q", code, talk)
	}
	if !strings.Contains(out, "biased linear CKA, 6 rows") || !strings.Contains(out, "narrow  ") || strings.Count(out, "1.0000") != 3 {
		t.Errorf("table:\n%s", out)
	}
	// A single array may be a column.
	column := writeNPY(t, "c.npy", "<f4", single[:6], 6)
	if r := ckaJSON(t, column, path); r.RowWidths[0] != 1 || r.Rows[0] != "c" {
		t.Errorf("a column: %+v", r)
	}
}

// Each bad input is one sentence and exit code 1; nothing is printed or written.
func TestCKABadInput(t *testing.T) {
	folder := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := writeNPY(t, "good.npy", "<f8", sixX, 6, 2)
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	planted := slices.Clone(sixX)
	planted[5] = math.NaN()
	constant := slices.Repeat([]float64{0.1}, 12)
	groups := writeNPY(t, "g.npy", "<i8", make([]int64, 5), 5)
	for _, c := range []struct {
		name string
		args []string
		text string
	}{
		{"missing", []string{filepath.Join(folder, "none.npy")}, "none.npy"},
		{"truncated", []string{file("cut.npy", string(raw[:len(raw)-3]))}, "cut.npy"},
		{"truncated header", []string{file("head.npy", string(raw[:30]))}, "head.npy"},
		{"empty", []string{file("empty.npy", "")}, "empty"},
		{"unequal rows", []string{good, writeNPY(t, "five.npy", "<f8", sixX[:10], 5, 2)}, "layer five has 5 rows, layer good 6"},
		{"three rows debiased", []string{writeNPY(t, "three.npy", "<f8", sixX[:6], 3, 2), "--estimator", "debiased"}, "3 rows: the debiased estimator needs 4"},
		{"three rows in batches", []string{writeNPY(t, "three.npy", "<f8", sixX[:6], 3, 2), "--batch", "4"}, "3 rows"},
		{"constant", []string{writeNPY(t, "same.npy", "<f8", constant, 6, 2), good}, "layer same: constant features"},
		{"constant in batches", []string{writeNPY(t, "same.npy", "<f8", constant, 6, 2), good, "--batch", "6"}, "layer same: constant features"},
		{"constant rbf in batches", []string{writeNPY(t, "same.npy", "<f8", constant, 6, 2), good, "--batch", "6", "--kernel", "rbf"}, "layer same: the median squared distance is 0"},
		{"NaN", []string{good, writeNPY(t, "nan.npy", "<f8", planted, 6, 2)}, "layer nan: NaN at row 2, column 1"},
		{"NaN in batches", []string{good, writeNPY(t, "nan.npy", "<f8", planted, 6, 2), "--batch", "6"}, "layer nan: NaN"},
		{"no rows", []string{writeNPY(t, "zero.npy", "<f8", []float64{}, 0, 2)}, "0 rows"},
		{"pickle", []string{file("model.pt", "\x80\x04\x95\x10\x00")}, "pickle"},
		{"torch archive", []string{file("model.bin", "PK\x03\x04 and so on")}, "zip"},
		{"integers", []string{writeNPY(t, "int.npy", "<i8", make([]int64, 12), 6, 2)}, "no layer"},
		{"groups of another length", []string{good, "--permutations", "9", "--groups", groups}, "5 groups for 6 rows"},
		{"groups missing", []string{good, "--permutations", "9", "--groups", filepath.Join(folder, "none.npy")}, "none.npy"},
		{"groups of floats", []string{good, "--permutations", "9", "--groups", writeNPY(t, "gf.npy", "<f8", make([]float64, 6), 6)}, "integer"},
		{"memory", []string{good, "--memory", "64"}, "--memory allows 64 B"},
		{"no such device", []string{good, "--backend", "cuda"}, "cuda"},
		{"state is none", []string{good, "--batch", "4", "--state", file("state", "hello")}, "malformed state"},
	} {
		t.Run(c.name, func(t *testing.T) {
			outputs := t.TempDir()
			args := append([]string{"cka"}, c.args...)
			args = append(args, "--csv", filepath.Join(outputs, "a.csv"), "--plot", filepath.Join(outputs, "a.svg"))
			code, out, talk := invoke(t.Context(), append(args, "--quiet")...)
			if code != exitFailed || out != "" || strings.Count(talk, "\n") != 1 || !strings.HasPrefix(talk, "cambium: ") {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, out, talk)
			}
			if !strings.Contains(talk, c.text) {
				t.Errorf("stderr %q does not say %q", talk, c.text)
			}
			if left, err := os.ReadDir(outputs); err != nil || len(left) != 0 {
				t.Errorf("files were written: %v, %v", left, err)
			}
		})
	}
}

func TestCKAUsage(t *testing.T) {
	good := writeNPY(t, "good.npy", "<f8", sixX, 6, 2)
	for _, c := range []struct {
		args []string
		text string
	}{
		{[]string{}, "expected"},
		{[]string{good, good, good}, "unexpected"},
		{[]string{good, "--estimator", "odd"}, "odd"},
		{[]string{good, "--kernel", "odd"}, "odd"},
		{[]string{good, "--batch", "3"}, "--batch 3"},
		{[]string{good, "--batch=-1"}, "--batch: \"-1\""},
		{[]string{good, "--batch", "0"}, "--batch: \"0\""},
		{[]string{good, "--batch", "4", "--estimator", "biased"}, "--estimator biased"},
		{[]string{good, "--permutations=-1"}, "--permutations: \"-1\""},
		{[]string{good, "--permutations", "0"}, "--permutations: \"0\""},
		{[]string{good, "--permutations", "1", "--batch", "4"}, "--permutations"},
		{[]string{good, "--groups", good}, "--groups"},
		{[]string{good, "--kernel", "rbf", "--rbf-fraction", "0"}, "--rbf-fraction 0"},
		{[]string{good, "--kernel", "rbf", "--rbf-fraction", "NaN"}, "--rbf-fraction NaN"},
		{[]string{good, "--kernel", "rbf", "--rbf-fraction", "Inf"}, "--rbf-fraction"},
		{[]string{good, "--state", "s"}, "--batch"},
		{[]string{good, "--batch", "4", "--shard", "0/2"}, "--state"},
		{[]string{good, "--batch", "4", "--state", "s", "--shard", "0/2", "--csv", "c"}, "merge"},
		{[]string{good, "--batch", "4", "--state", "s", "--shard", "3/2"}, "--shard"},
		{[]string{good, "--batch", "4", "--state", "s", "--shard=-1/2"}, "--shard"},
		{[]string{good, "--batch", "4", "--state", "s", "--shard", "1/0"}, "--shard"},
		{[]string{good, "--batch", "4", "--state", "s", "--shard", "1/2x"}, "--shard"},
		{[]string{good, "--batch", "4", "--state", "s", "--shard", "half"}, "--shard"},
		{[]string{good, "--plot", "map.pdf"}, "map.pdf"},
		{[]string{"merge"}, "expected"},
		{[]string{"merge", good, "--plot", "map.pdf"}, "map.pdf"},
	} {
		code, out, talk := invoke(t.Context(), append([]string{"cka"}, c.args...)...)
		if code != exitUsage || out != "" || !strings.Contains(talk, c.text) || strings.Count(talk, "\n") != 1 {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", c.args, code, out, talk)
		}
	}
}

// Some layers undefined: null with a reason, and the rest as usual.
func TestCKAUndefined(t *testing.T) {
	constant := slices.Repeat([]float64{7}, 12)
	path := writeArrays(t, "a.safetensors", weights.Float64s("a", sixX, 6, 2), weights.Float64s("b", constant, 6, 2), weights.Float64s("c", sixY, 6, 3))
	r := ckaJSON(t, path)
	i := slices.Index(r.Rows, "b")
	if len(r.Undefined) != 1 || r.Undefined[0].Layer != "b" || r.Undefined[0].Index != i || r.Undefined[0].Side != "rows" || !strings.Contains(r.Undefined[0].Reason, "constant") {
		t.Errorf("undefined: %+v", r.Undefined)
	}
	for j := range 3 {
		if r.CKA[i][j] != nil || r.CKA[j][i] != nil {
			t.Errorf("values of the constant layer: %v, %v", deref(r.CKA[i][j]), deref(r.CKA[j][i]))
		}
	}
	closeTo(t, "the others", r.CKA[slices.Index(r.Rows, "a")][slices.Index(r.Rows, "c")], 0.6404070924572771)
	table := filepath.Join(t.TempDir(), "a.csv")
	code, out, talk := invoke(t.Context(), "cka", path, "--csv", table, "--permutations", "9")
	if code != exitDone || !strings.Contains(talk, "layer b (rows): undefined: constant features") || !strings.Contains(out, "p-values, 9 permutations") {
		t.Errorf("exit code %d\n%s\n%s", code, out, talk)
	}
	if strings.Count(out, " -") < 10 {
		t.Errorf("undefined values in the table:\n%s", out)
	}
	f, err := os.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil || len(records) != 4 || records[1+i][1+i] != "" || records[0][0] != "" || records[0][1+i] != "b" || records[1+i][0] != "b" {
		t.Errorf("CSV %v, %v", records, err)
	}
}

func TestCKAPlots(t *testing.T) {
	path := writeArrays(t, "a.safetensors", weights.Float64s("first", sixX, 6, 2), weights.Float64s("second", sixY, 6, 3))
	for ext, begins := range map[string]string{".svg": "<", ".png": "\x89PNG", ".html": "<!"} {
		name := filepath.Join(t.TempDir(), "map"+ext)
		if code, _, talk := invoke(t.Context(), "cka", path, "--plot", name); code != exitDone {
			t.Fatalf("exit code %d: %s", code, talk)
		}
		data, err := os.ReadFile(name)
		if err != nil || !bytes.HasPrefix(data, []byte(begins)) || ext != ".png" && !bytes.Contains(data, []byte("second")) {
			t.Errorf("%s: %d bytes, %v", ext, len(data), err)
		}
	}
}

// Shards give what one run gives, whichever way they are counted.
func TestCKAShards(t *testing.T) {
	path := writeArrays(t, "a.safetensors", weights.Float64s("a", noise(1, 42*3), 42, 3), weights.Float64s("b", noise(2, 42*2), 42, 2))
	for _, kernel := range []string{"linear", "rbf"} {
		whole := ckaJSON(t, path, "--batch", "5", "--kernel", kernel)
		if whole.Batches != 8 || whole.Dropped != 2 || whole.Batch != 5 || whole.N != 40 || whole.Estimator != "debiased" || whole.Kernel != kernel {
			t.Errorf("%+v", whole)
		}
		for _, names := range [][]string{{"0/3", "1/3", "2/3"}, {"3/3", "1/3", "2/3"}} {
			folder := t.TempDir()
			args := []string{"cka", "merge", "--json", "--quiet"}
			for i, shard := range names {
				state := filepath.Join(folder, strconv.Itoa(i))
				args = append(args, state)
				code, out, talk := invoke(t.Context(), "cka", path, "--batch", "5", "--kernel", kernel, "--shard", shard, "--state", state, "--json", "--quiet")
				if code != exitDone || !strings.Contains(out, `"batches": 8`) {
					t.Fatalf("exit code %d: %s%s", code, out, talk)
				}
			}
			code, out, talk := invoke(t.Context(), args...)
			var merged ckaJSONReport
			if err := json.Unmarshal([]byte(out), &merged); code != exitDone || err != nil {
				t.Fatalf("exit code %d, %v: %s", code, err, talk)
			}
			for i := range whole.CKA {
				for j := range whole.CKA[i] {
					if *merged.CKA[i][j] != *whole.CKA[i][j] || *merged.XY[i][j] != *whole.XY[i][j] {
						t.Errorf("%s %v: (%d, %d) is %v, in one run %v", kernel, names, i, j, *merged.CKA[i][j], *whole.CKA[i][j])
					}
				}
			}
			if code, _, talk := invoke(t.Context(), args[:len(args)-1]...); code != exitFailed || !strings.Contains(talk, "batches are missing") {
				t.Errorf("a shard missing: exit code %d, %q", code, talk)
			}
			if code, _, talk := invoke(t.Context(), append(args, args[4])...); code != exitFailed || !strings.Contains(talk, "counted twice") {
				t.Errorf("a shard twice: exit code %d, %q", code, talk)
			}
			if code, _, talk := invoke(t.Context(), append(args, path)...); code != exitFailed || !strings.Contains(talk, "state") {
				t.Errorf("no state: exit code %d, %q", code, talk)
			}
		}
	}
}

// A state file is gone on from, and never replaced by that of another comparison.
func TestCKAState(t *testing.T) {
	path := writeArrays(t, "a.safetensors", weights.Float64s("a", noise(1, 42*3), 42, 3), weights.Float64s("b", noise(2, 42*2), 42, 2))
	state := filepath.Join(t.TempDir(), "state")
	if code, out, talk := invoke(t.Context(), "cka", path, "--batch", "5", "--shard", "0/2", "--state", state); code != exitDone || !strings.Contains(out, "4 of 8 batches") {
		t.Fatalf("exit code %d: %s%s", code, out, talk)
	}
	code, out, talk := invoke(t.Context(), "cka", path, "--batch", "5", "--state", state)
	if code != exitDone || !strings.Contains(talk, "holds 4 of 8 batches already") || !strings.Contains(out, "minibatch debiased linear CKA, 40 rows in 8 batches of 5") || !strings.Contains(talk, "last 2 of 42 rows") {
		t.Errorf("exit code %d\n%s\n%s", code, out, talk)
	}
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, talk := invoke(t.Context(), "cka", path, "--batch", "6", "--state", state); code != exitFailed || !strings.Contains(talk, "another comparison") {
		t.Errorf("another batch size: exit code %d, %q", code, talk)
	}
	if after, err := os.ReadFile(state); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a refused run changed the state: %v", err)
	}
	// Interrupted: what was done is kept.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	fresh := filepath.Join(t.TempDir(), "fresh")
	if code, out, _ := invoke(ended, "cka", path, "--batch", "5", "--state", fresh); code != exitInterrupted || out != "" {
		t.Errorf("interrupted: exit code %d, %q", code, out)
	}
}

func TestCKAGroupsAndWarnings(t *testing.T) {
	data := noise(1, 12*4)
	for j := range 4 {
		data[5*4+j] += 1e4
	}
	path := writeNPY(t, "a.npy", "<f8", data, 12, 4)
	groups := writeNPY(t, "g.npy", "<i4", []int32{1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6}, 12)
	code, _, talk := invoke(t.Context(), "cka", path, "--permutations", "19", "--groups", groups)
	if code != exitDone || !strings.Contains(talk, "layer a: one row holds 9") || strings.Contains(talk, "one by one") {
		t.Errorf("exit code %d, %q", code, talk)
	}
	path = writeNPY(t, "a.npy", "<f8", noiseColumn(), 12, 4)
	if code, _, talk = invoke(t.Context(), "cka", path, "--permutations", "19"); code != exitDone || !strings.Contains(talk, "one column holds 100 %") || !strings.Contains(talk, "one by one") {
		t.Errorf("exit code %d, %q", code, talk)
	}
}

func noiseColumn() []float64 {
	data := noise(1, 12*4)
	for i := range 12 {
		data[i*4+2] *= 1e4
	}
	return data
}

func TestBytesText(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 30: "1.0 GiB", math.MaxUint64: "16.0 EiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

// The help of cka shows what it does without a subcommand.
func TestCKAHelp(t *testing.T) {
	code, out, _ := invoke(t.Context(), "cka", "--help")
	for _, want := range []string{"<x> [<y>]", "--estimator", "--rbf-fraction", "--permutations", "cambium cka merge"} {
		if !strings.Contains(out, want) {
			t.Errorf("exit code %d; the help does not show %q:\n%s", code, want, out)
		}
	}
	if _, out, _ = invoke(t.Context(), "cka", "merge", "--help"); !strings.Contains(out, "<state> ...") || strings.Contains(out, "--estimator") {
		t.Errorf("help of merge:\n%s", out)
	}
	if _, out, _ = invoke(t.Context(), "--help"); !strings.Contains(out, "cka compare <x> [<y>]") {
		t.Errorf("help:\n%s", out)
	}
}

// Layers of a safetensors file come in the order of their numbers.
func TestCKAOrder(t *testing.T) {
	var arrays []weights.Array
	for _, name := range []string{"h.10", "h.9", "h.0"} {
		arrays = append(arrays, weights.Float64s(name, sixX, 6, 2))
	}
	if r := ckaJSON(t, writeArrays(t, "a.safetensors", arrays...)); !slices.Equal(r.Rows, []string{"h.0", "h.9", "h.10"}) {
		t.Errorf("rows %v", r.Rows)
	}
}

// Nothing that is read is written, and no folder is found missing after the work.
func TestCKAOutputs(t *testing.T) {
	folder := t.TempDir()
	x := filepath.Join(folder, "x.svg") // an unlucky name
	if err := weights.Write(x, []weights.Array{weights.Float64s("a", sixX, 6, 2)}, nil); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(x)
	if err != nil {
		t.Fatal(err)
	}
	out := func(name string) string { return filepath.Join(folder, name) }
	for _, c := range []struct {
		args []string
		text string
	}{
		{[]string{"--csv", x}, "--csv and X are the same file"},
		{[]string{"--plot", x}, "--plot and X are the same file"},
		{[]string{"--batch", "6", "--state", x}, "--state and X are the same file"},
		{[]string{"--csv", out("f.svg"), "--plot", out("f.svg")}, "--csv and --plot are the same file"},
		{[]string{"--csv", filepath.Join(folder, "none", "a.csv")}, "none"},
		{[]string{"--plot", filepath.Join(folder, "none", "a.svg")}, "none"},
		{[]string{"--batch", "6", "--state", filepath.Join(folder, "none", "s")}, "none"},
		{[]string{"--csv", filepath.Join(x, "a.csv")}, "x.svg"},
	} {
		code, stdout, talk := invoke(t.Context(), append([]string{"cka", x, "--quiet"}, c.args...)...)
		if code != exitFailed || stdout != "" || !strings.Contains(talk, c.text) || strings.Count(talk, "\n") != 1 {
			t.Errorf("%v: exit code %d, stderr %q", c.args, code, talk)
		}
	}
	left, err := os.ReadDir(folder)
	if after, _ := os.ReadFile(x); err != nil || len(left) != 1 || !bytes.Equal(before, after) {
		t.Errorf("files afterwards: %v, %v", left, err)
	}
}

// A state is of its data: the same form with other numbers is another comparison.
func TestCKAStateOfOtherData(t *testing.T) {
	data := noise(1, 40*3)
	state := filepath.Join(t.TempDir(), "state")
	first := writeArrays(t, "a.safetensors", weights.Float64s("a", data, 40, 3))
	if code, _, talk := invoke(t.Context(), "cka", first, "--batch", "10", "--state", state); code != exitDone {
		t.Fatalf("exit code %d: %s", code, talk)
	}
	data[39*3+1]++ // the last row is in the digest
	second := writeArrays(t, "a.safetensors", weights.Float64s("a", data, 40, 3))
	if code, _, talk := invoke(t.Context(), "cka", second, "--batch", "10", "--state", state); code != exitFailed || !strings.Contains(talk, "another comparison") {
		t.Errorf("resumed with other data: exit code %d, %q", code, talk)
	}
	other := filepath.Join(t.TempDir(), "other")
	if code, _, talk := invoke(t.Context(), "cka", second, "--batch", "10", "--state", other); code != exitDone {
		t.Fatalf("exit code %d: %s", code, talk)
	}
	if code, _, talk := invoke(t.Context(), "cka", "merge", state, other); code != exitFailed || !strings.Contains(talk, "do not belong together") {
		t.Errorf("merged with other data: exit code %d, %q", code, talk)
	}
}

// Interrupted while the state cannot be written: that is said, and not that it was kept.
func TestCKAInterruptedUnsaved(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	path := writeArrays(t, "a.safetensors", weights.Float64s("a", noise(1, 40*3), 40, 3))
	in, err := openLayers(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	state := filepath.Join(folder, "state")
	c := ckaCompare{Batch: 10, State: state, Kernel: "linear", shards: 1}
	ctx, cancel := context.WithCancel(t.Context())
	b, done, err := openBackend(ctx, &common{}, &terminal{io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	var talk bytes.Buffer
	watch := interrupting{b, func() { cancel(); _ = os.RemoveAll(folder) }}
	err = c.minibatch(ctx, &common{}, &terminal{io.Discard, &talk}, watch, in)
	var unsaved *unsavedError
	if !errors.As(err, &unsaved) || strings.Contains(talk.String(), "goes on") {
		t.Errorf("error %v, stderr %q", err, talk.String())
	}
	var line bytes.Buffer
	if code := finish(ctx, &line, err); code != exitInterrupted || !strings.Contains(line.String(), "interrupted, and the state was not kept") {
		t.Errorf("exit code %d, %q", code, line.String())
	}
}

// interrupting is a backend in whose first operation the user interrupts.
type interrupting struct {
	kernels.Backend
	interrupt func()
}

func (i interrupting) HSICMatrix(ctx context.Context, dst kernels.HSICTable, x, y []kernels.Matrix, k kernels.Kernel, e kernels.Estimator, o kernels.Options) error {
	i.interrupt()
	return i.Backend.HSICMatrix(ctx, dst, x, y, k, e, o)
}

func TestShown(t *testing.T) {
	for name, want := range map[string]string{"layers.1 λ": "layers.1 λ", "a\nb": `"a\nb"`, "\x1b[2J": `"\x1b[2J"`, "": ""} {
		if got := shown(name); got != want {
			t.Errorf("%q is shown as %s, want %s", name, got, want)
		}
	}
	path := writeArrays(t, "a.safetensors", weights.Float64s("evil\x1b[2J", sixX, 6, 2), weights.Float64s("b", slices.Repeat([]float64{1}, 12), 6, 2))
	_, out, talk := invoke(t.Context(), "cka", path)
	if strings.Contains(out+talk, "\x1b") || !strings.Contains(out, `evil\x1b[2J`) {
		t.Errorf("a name reaches the terminal raw:\n%q\n%q", out, talk)
	}
}

// Outliers in the second file are warned about too.
func TestCKAWarnsOfBothFiles(t *testing.T) {
	plain := writeNPY(t, "plain.npy", "<f8", noise(1, 12*4), 12, 4)
	column := writeNPY(t, "column.npy", "<f8", noiseColumn(), 12, 4)
	for _, args := range [][]string{{plain, column}, {column, plain}} {
		if _, _, talk := invoke(t.Context(), append([]string{"cka"}, args...)...); strings.Count(talk, "layer column: one column holds 100 %") != 1 {
			t.Errorf("%v: %q", args, talk)
		}
	}
}
