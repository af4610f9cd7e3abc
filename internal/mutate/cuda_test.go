package main

import (
	"strings"
	"testing"
)

func words(tokens []cToken) string {
	var out []string
	for _, t := range tokens {
		out = append(out, t.text)
	}
	return strings.Join(out, " ")
}

func TestLexCUDA(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"a<<<1,2>>>(b); // c\nd->e/*f\n*/g", "a <<< 1 , 2 >>> ( b ) ; d -> e g"},
		{`x = "a\"b//" + 'c' + 1.5e-3f + 0x1p+4 + 0xe-1;`, `x = "a\"b//" + 'c' + 1.5e-3f + 0x1p+4 + 0xe - 1 ;`},
		{"R\"(a\n#if 0\n)\" b", "R\"(a\n#if 0\n)\" b"},
		{"#define A \\\n  b + c\nd", "d"},
		{"#ifdef EMU\na\n#else\nb\n#endif\nc", "a c"},
		{"#ifndef EMU\na\n#else\nb\n#endif\nc", "b c"},
		{"#if defined(EMU) && X\na\n#elif Y\nb\n#else\nc\n#endif", "a b c"},
		{"#if !defined(EMU) && X\na\n#elif Y\nb\n#else\nc\n#endif", "b c"},
		{"#if defined(EMU) || X\na\n#elif Y\nb\n#else\nc\n#endif", "a"},
		{"#if __CUDA_ARCH__ >= 900\na\n# ifdef EMU\nb\n# endif\n#elif defined(__CUDACC_RTC__)\nc\n#else\nd\n#endif", "d"},
		{"#if 0\na\n#if 1\nb\n#endif\n#endif\n#if 1\nc\n#endif", "c"},
		{"#ifdef OTHER\na\n#else\nb\n#endif", "a b"},
		{"#ifndef __CUDACC_RTC__ // host\na\n#endif", "a"},
		{"#endif\na\n#else\nb", "a b"},
		{"a /* open", "a"},
		{`a "open`, `a "open`},
	} {
		if got := words(lexCUDA(c.src, []string{"EMU"})); got != c.want {
			t.Errorf("%q: got %q, want %q", c.src, got, c.want)
		}
	}
}

// changes lists the mutants of a function body as OPERATOR OLD>NEW.
func changes(body string) map[string]bool {
	out := map[string]bool{}
	for _, m := range cudaMutants("f.cu", "f.cu", "void f() {\n"+body+"\n}\n", nil) {
		out[m.operator+" "+m.old+" => "+m.new] = true
	}
	return out
}

func TestCUDAOperators(t *testing.T) {
	for _, c := range []struct {
		body string
		want []string
	}{
		{"x[i + 1] = y;", []string{
			"index+1 x[i + 1] => x[(i + 1) + 1]", "index-1 x[i + 1] => x[(i + 1) - 1]", "arithmetic i + 1 => i - 1", "drop-store x[i + 1] = y; => ",
		}},
		{"float x[4], *p[2]; Tile<float, 4> y[3]; vec<vec<int>>* z[2];", nil},
		{"for (int i = 0; i < n; ++i) __syncthreads();", []string{"relational i < n => i <= n", "drop-barrier __syncthreads(); => "}},
		{"if (a) x = f(b); else *p = 2;", []string{"drop-store *p = 2; => "}},
		{"auto g = [&](int r) { return q[r]; };", []string{"index+1 q[r] => q[r + 1]", "index-1 q[r] => q[r - 1]"}},
		{"uint32_t v[2] = {b[0], b[1]};", []string{
			"index+1 b[0] => b[1]", "index-1 b[0] => b[-1]", "index+1 b[1] => b[2]", "index-1 b[1] => b[0]",
		}},
		{"p->x += -q; s = (double)a - b;", []string{"arithmetic p->x += -q => p->x -= -q", "narrow double) => float)", "arithmetic a - b => a + b"}},
		{"double* p = q; copy<4>(p, q); static_assert(sizeof(p) >= 8); return;", []string{
			"drop-call copy<4>(p, q); => ", "relational sizeof(p) >= 8 => sizeof(p) > 8",
		}},
		{"mbarrier::wait_parity(b, 0); wgmma_commit_group(); x.arrive();", []string{
			"drop-barrier mbarrier::wait_parity(b, 0); => ", "drop-barrier wgmma_commit_group(); => ", "drop-barrier x.arrive(); => ",
		}},
		{"int n = a, m = b[i]; std::swap(a, b); foo<int>(3).x;", []string{
			"index+1 b[i] => b[i + 1]", "index-1 b[i] => b[i - 1]", "drop-call std::swap(a, b); => ",
		}},
	} {
		got := changes(c.body)
		for _, w := range c.want {
			if !got[w] {
				t.Errorf("%s\nno %s in %q", c.body, w, sortedKeys(got))
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s\ngot %q, want %q", c.body, sortedKeys(got), c.want)
		}
	}
}

func TestCUDAFunctionNames(t *testing.T) {
	src := `namespace emu {
template <typename T> struct Tile {
  T at(int i) const { return data[i]; }
};
}
extern "C" __global__ void __launch_bounds__(256, 2) kernel(float* x) {
  if (x) { x[0] = 1; }
}
int table[3] = {1, 2, 3};
`
	got := map[string]bool{}
	for _, m := range cudaMutants("f.cu", "f.cu", src, nil) {
		got[m.old+" in "+m.function] = true
		if m.old != oneLine(src[m.start:m.end]) && !strings.Contains(m.source, m.old) {
			t.Errorf("%s is not on its line %q", m.old, m.source)
		}
	}
	for _, want := range []string{"data[i] in at", "x[0] in kernel", "x[0] = 1; in kernel"} {
		if !got[want] {
			t.Errorf("no %s in %q", want, sortedKeys(got))
		}
	}
	if len(got) != 3 {
		t.Errorf("got %q", sortedKeys(got))
	}
}

// FuzzCUDA feeds the scanner what no compiler would take: it must not panic,
// and a mutant must change the text it says.
func FuzzCUDA(f *testing.F) {
	f.Add("0[0}0")
	f.Add("x[i]] = (}{ a < b;#if\n")
	f.Add("#if 1\n#else\n#elif\n\"\\")
	f.Add("f(]; [ x ) { y[2] } double R\"(")
	f.Fuzz(func(t *testing.T, src string) {
		for _, m := range settle(cudaMutants("f.cu", "f.cu", src, []string{"EMU"})) {
			if m.start < 0 || m.end < m.start || m.end > len(src) || string(m.mutated()) == src {
				t.Errorf("%q: %+v", src, m)
			}
		}
	})
}
