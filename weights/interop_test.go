package weights

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A reference is the Python package safetensors in a process of its own.
type pythonReference struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

// python starts the reference. CAMBIUM_INTEROP=1 asks for it; CAMBIUM_PYTHON is
// the interpreter, python3 if it is not set, with safetensors and numpy.
func python(t *testing.T) *pythonReference {
	t.Helper()
	if os.Getenv("CAMBIUM_INTEROP") != "1" {
		t.Skip("CAMBIUM_INTEROP=1 compares with the Python package safetensors")
	}
	process := exec.Command(cmp.Or(os.Getenv("CAMBIUM_PYTHON"), "python3"), filepath.Join("testdata", "interop.py"))
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := process.Wait(); err != nil {
			t.Error(err)
		}
	})
	p := &pythonReference{t, in, bufio.NewScanner(out)}
	t.Log(p.line())
	return p
}

func (p *pythonReference) line() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("the reference has ended: %v", p.out.Err())
	}
	return p.out.Text()
}

func (p *pythonReference) ask(kind byte, b []byte) (answer, rest string) {
	p.t.Helper()
	question := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(b)))
	if _, err := p.in.Write(append(question, b...)); err != nil {
		p.t.Fatal(err)
	}
	answer, rest, _ = strings.Cut(p.line(), " ")
	return answer, rest
}

// digest is interop.py's.
func digest(t *testing.T, f *File) string {
	names := f.Names()
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		x, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		shape := strings.ReplaceAll(strings.Trim(fmt.Sprint(x.Shape), "[]"), " ", ",")
		fmt.Fprintf(h, "%s\n%s\n%s\n%d\n", name, x.DType, shape, x.Bytes())
		h.Write(all(t, x))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// strictness are the texts of the refusals that the reference does not share;
// the documentation of Open lists them.
var strictness = []string{
	"stands twice", "less than a byte", "more than 8 numbers", "a name of 4097", "64 bits count", "too large for this machine",
	"'{' was expected", `'"' was expected`, "than 1024",
}

// TestInterop: what is accepted here is accepted there, as the same tensors.
// What is accepted there and not here is refused for a reason that is listed.
func TestInterop(t *testing.T) {
	p := python(t)
	accepted, stricter := 0, map[string]int{}
	compare := func(what string, b []byte) {
		answer, rest := p.ask('R', b)
		f, err := openBytes(b)
		switch {
		case err == nil && answer != "accepted":
			t.Errorf("%s: accepted, and the reference says %s", what, rest)
		case err == nil:
			accepted++
			if digest(t, f) != rest {
				t.Errorf("%s: read as %q, and the reference reads something else", what, f.Names())
			}
		case answer == "accepted":
			listed := slices.IndexFunc(strictness, func(s string) bool { return strings.Contains(err.Error(), s) })
			switch {
			case listed >= 0:
				stricter[strictness[listed]]++
			case nameTwice(b):
				stricter["stands twice, and more is wrong"]++
			default:
				t.Errorf("%s: the reference accepts it: %v\n%q", what, err, b)
			}
		}
	}
	cases := 0
	for _, h := range hostileFiles() {
		cases++
		compare(h.what, h.file)
	}
	malformed(func(what string, b []byte) {
		cases++
		compare(what, b)
	})
	rng := rand.New(rand.NewPCG(11, 13))
	pool := append(hostileFiles(), hostile{what: "the sample", file: sample()})
	for range 20_000 {
		h := pool[min(rng.IntN(2*len(pool)), len(pool)-1)] // the sample every other time
		if len(h.file) > 1<<12 {
			continue
		}
		b := mutant(rng, slices.Clone(h.file), sample())
		cases++
		compare("a mutant of "+h.what, b)
	}
	t.Logf("%d cases, %d accepted by both; stricter here: %v", cases, accepted, stricter)
}

// nameTwice reports whether two tensors have one name: the reference looks at the
// last alone, whatever the first says.
func nameTwice(b []byte) bool {
	s := &scanner{text: slices.Clone(b[8 : 8+binary.LittleEndian.Uint64(b)])}
	seen := map[string]bool{}
	s.enter('{')
	for first := true; s.next('}', first); first = false {
		name := string(s.str().of(s.text))
		if seen[name] {
			return true
		}
		seen[name] = true
		s.expect(':')
		s.skip()
	}
	return false
}

// mutant changes one to three places of the header and puts the length right.
func mutant(rng *rand.Rand, b, other []byte) []byte {
	if len(b) <= 8 {
		return b
	}
	length := min(binary.LittleEndian.Uint64(b), uint64(len(b)-8))
	header, data := b[8:8+length], b[8+length:]
	for range 1 + rng.IntN(3) {
		if len(header) == 0 {
			break
		}
		at := rng.IntN(len(header))
		upTo := min(at+1+rng.IntN(8), len(header))
		switch rng.IntN(5) {
		case 0:
			header[at] ^= 1 << rng.IntN(8)
		case 1:
			header = slices.Delete(header, at, upTo)
		case 2:
			header = slices.Insert(header, at, header[at:upTo]...)
		case 3:
			from := 8 + rng.IntN(len(other)-16)
			header = slices.Insert(header, at, other[from:from+1+rng.IntN(8)]...)
		case 4:
			header = slices.Insert(header, at, []byte(literals[rng.IntN(len(literals))])...)
		}
	}
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), data...)
}

// TestInteropWrite: the reference, given the same tensors, writes the same bytes.
func TestInteropWrite(t *testing.T) {
	p := python(t)
	// Those that NumPy has.
	types := []DType{Bool, U8, I8, U16, I16, F16, U32, I32, F32, U64, I64, F64, C64}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 17))
		var arrays []Array
		for k := range rng.IntN(9) {
			shape, n := make([]int, rng.IntN(4)), 1
			for i := range shape {
				shape[i] = rng.IntN(5)
				n *= shape[i]
			}
			d := types[rng.IntN(len(types))]
			data := make([]byte, n*d.Size())
			for i := range data {
				data[i] = byte(rng.IntN(2))
			}
			arrays = append(arrays, Bytes(fmt.Sprintf("%c%d", rune(rng.IntN(0xd000)), k), d, data, shape...))
		}
		b := bytesOf(t, arrays, map[string]string{"format": "np"})
		sum := sha256.Sum256(b)
		if answer, rest := p.ask('W', b); answer != "written" || rest != hex.EncodeToString(sum[:]) {
			t.Fatalf("seed %d: %s %s: the reference writes something else than\n%q", seed, answer, rest, bytes.TrimSpace(b))
		}
	}
}
