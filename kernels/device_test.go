package kernels_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The rules for device code, checked on the PTX that is shipped. They need
// neither a compiler nor a GPU.

// deviceKernel is an entry of bin/kernels.json.
type deviceKernel struct {
	Symbol        string         `json:"symbol"`
	Module        string         `json:"module"`
	Block         int            `json:"block"`
	DynamicShared int            `json:"dynamicShared"`
	Parameters    []string       `json:"parameters"`
	StaticShared  map[string]int `json:"staticShared"`
}

// portableShared is the shared memory a block may use on every architecture
// from sm_80 on (sm_86, sm_89 and sm_120 have the least).
const portableShared = 99 << 10

// approximate names the approximate instructions that a kernel may use, with
// the reason. There are none.
var approximate = map[string]string{}

func deviceKernels(t *testing.T) []deviceKernel {
	t.Helper()
	data, err := os.ReadFile("bin/kernels.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []deviceKernel
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list
}

var (
	ptxEntry     = regexp.MustCompile(`(?s)\.visible \.entry (\w+)\((.*?)\)(.*?)\n\}`)
	ptxParameter = regexp.MustCompile(`\.param \.(\S+)`)
	ptxAtomic    = regexp.MustCompile(`\b(?:atom|red)\.\S*\.b?f(?:16|32|64)\S*`)
	ptxInexact   = regexp.MustCompile(`\b\w+\.\S*(?:approx|ftz)\S*`)
)

// lintPTX returns what is wrong with a module, and the names of its kernels.
func lintPTX(text string) (symbols, faults []string) {
	if !strings.Contains(text, "\n.version 8.0\n.target sm_80\n") {
		faults = append(faults, "not PTX 8.0 for sm_80")
	}
	for _, entry := range ptxEntry.FindAllStringSubmatch(text, -1) {
		name, parameters, body := entry[1], entry[2], entry[3]
		symbols = append(symbols, name)
		for _, p := range ptxParameter.FindAllStringSubmatch(parameters, -1) {
			if !slices.Contains([]string{"u64", "s64", "b64", "f64"}, p[1]) {
				faults = append(faults, name+": a parameter of type "+p[1]+", not of 8 bytes")
			}
		}
		faults = append(faults, lintBody(name, body)...)
	}
	return symbols, faults
}

// lintBody checks the instructions of one kernel.
func lintBody(name, body string) (faults []string) {
	for _, a := range ptxAtomic.FindAllString(body, -1) {
		faults = append(faults, name+": "+a+": floating-point sums in the order of arrival")
	}
	for _, a := range ptxInexact.FindAllString(body, -1) {
		if approximate[name] != a {
			faults = append(faults, name+": "+a+" is not in the list of approximations")
		}
	}
	if strings.Contains(body, ".local ") {
		faults = append(faults, name+": local memory")
	}
	if strings.HasSuffix(name, "_sm80") {
		for _, want := range []string{"cp.async.cg.shared.global", "ldmatrix.sync", "mma.sync.aligned.m16n8k16"} {
			if !strings.Contains(body, want) {
				faults = append(faults, name+": no "+want+", which its name promises")
			}
		}
	}
	return faults
}

func TestDeviceCodeKeepsTheRules(t *testing.T) {
	files, err := filepath.Glob("bin/*.ptx")
	if err != nil || len(files) == 0 {
		t.Fatalf("no PTX: %v", err)
	}
	inTable := map[string][]string{}
	for _, k := range deviceKernels(t) {
		inTable[k.Module] = append(inTable[k.Module], k.Symbol)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		symbols, faults := lintPTX(string(text))
		for _, f := range faults {
			t.Errorf("%s: %s", file, f)
		}
		module := strings.TrimSuffix(filepath.Base(file), ".compute_80.ptx")
		if !slices.Equal(symbols, inTable[module]) {
			t.Errorf("%s has kernels %v, the table %v", file, symbols, inTable[module])
		}
		delete(inTable, module)
		for _, arch := range []string{"sm_80", "sm_90a"} {
			cubin, err := os.ReadFile("bin/" + module + "." + arch + ".cubin")
			if err != nil || !bytes.HasPrefix(cubin, []byte("\x7fELF")) {
				t.Errorf("%s has no cubin for %s: %v", module, arch, err)
			}
		}
	}
	for _, module := range slices.Sorted(maps.Keys(inTable)) {
		t.Errorf("the table has module %s, which is not there", module)
	}
}

func TestLintNotices(t *testing.T) {
	good := "//\n.version 8.0\n.target sm_80\n.address_size 64\n\n.visible .entry f_sm80(\n\t.param .u64 a,\n\t.param .f64 b\n)\n" +
		"{\n\tcp.async.cg.shared.global [%r1], [%rd1], 16;\n\tldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1}, [%r2];\n" +
		"\tmma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1};\n\tatom.global.add.u32 %r1, [%rd1], 1;\n\tsqrt.rn.f64 %fd1, %fd2;\n}\n"
	if symbols, faults := lintPTX(good); len(faults) != 0 || !slices.Equal(symbols, []string{"f_sm80"}) {
		t.Fatalf("%v, %v", symbols, faults)
	}
	for _, c := range [][2]string{
		{".version 8.0", ".version 8.8"},
		{".param .u64 a", ".param .u32 a"},
		{".param .f64 b", ".param .align 64 .b8 b[128]"},
		{"atom.global.add.u32", "atom.global.add.f32"},
		{"atom.global.add.u32 %r1, ", "red.global.add.f64 "},
		{"sqrt.rn.f64", "rsqrt.approx.f64"},
		{"sqrt.rn.f64", "add.ftz.f32"},
		{"cp.async.cg.shared.global", "ld.global"},
		{"ldmatrix.sync", "ld.shared"},
		{"mma.sync.aligned.m16n8k16", "fma.rn.f32"},
		{"{\n\tcp", "{\n\t.local .align 4 .b8 depot[16];\n\tcp"},
	} {
		if _, faults := lintPTX(strings.Replace(good, c[0], c[1], 1)); len(faults) != 1 {
			t.Errorf("%q in place of %q: %v", c[1], c[0], faults)
		}
	}
}

func TestDeviceTable(t *testing.T) {
	report, err := os.ReadFile("bin/ptxas.txt")
	if err != nil {
		t.Fatal(err)
	}
	type usage struct{ registers, static, dynamic, spills, local int }
	used := map[string]usage{}
	for _, line := range strings.Split(strings.TrimSpace(string(report)), "\n")[1:] {
		var symbol, arch string
		var u usage
		if _, err := fmt.Sscan(line, &symbol, &arch, &u.registers, &u.static, &u.dynamic, &u.spills, &u.local); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if u.spills != 0 || u.local != 0 {
			t.Errorf("%s spills on %s: %+v", symbol, arch, u)
		}
		used[symbol+" "+arch] = u
	}
	for _, k := range deviceKernels(t) {
		if k.Block <= 0 || k.Block > 1024 || k.Block%32 != 0 || len(k.Parameters) == 0 {
			t.Errorf("%+v", k)
		}
		for _, arch := range []string{"sm_80", "sm_90a"} {
			u, ok := used[k.Symbol+" "+arch]
			switch {
			case !ok:
				t.Errorf("%s has no line for %s in ptxas.txt", k.Symbol, arch)
			case u.dynamic != k.DynamicShared || u.static != k.StaticShared[arch]:
				t.Errorf("%s on %s: %+v in ptxas.txt, %+v in the table", k.Symbol, arch, u, k)
			case u.registers*k.Block > 1<<16:
				t.Errorf("%s on %s: %d registers for %d threads are more than there are", k.Symbol, arch, u.registers, k.Block)
			case u.dynamic+u.static > portableShared:
				t.Errorf("%s on %s: %d bytes of shared memory do not fit every device", k.Symbol, arch, u.dynamic+u.static)
			}
			delete(used, k.Symbol+" "+arch)
		}
	}
	for line := range used {
		t.Errorf("ptxas.txt has %s, which is not in the table", line)
	}
}
