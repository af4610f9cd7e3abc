package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// lengthOf is a file whose first number is n.
func lengthOf(n uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
}

// A hostile file is one that broke some loader, or would break one that believes it.
type hostile struct {
	what string
	file []byte
	want error // nil, with says empty: it is accepted
	says string
}

// hostileFiles returns them with the public report that each echoes.
func hostileFiles() []hostile {
	record := func(name, dtype, shape, offsets string) string {
		return fmt.Sprintf(`"%s":{"dtype":"%s","shape":%s,"data_offsets":%s}`, name, dtype, shape, offsets)
	}
	one := func(dtype, shape, offsets string, data int) []byte {
		return file("{"+record("a", dtype, shape, offsets)+"}", data)
	}
	a, b := record("a", "F32", "[2]", "[0,8]"), record("b", "F32", "[2]", "[8,16]")
	return []hostile{
		// fastllm#712: the length plus five wrapped, and sized a buffer.
		{"header length near 2^64", lengthOf(math.MaxUint64, "{}"), ErrFormat, "18446744073709551615 bytes"},
		{"header length 2^64-8, so that with its own 8 bytes it is 0", lengthOf(math.MaxUint64-7, "{}"), ErrFormat, "at most"},
		// llama.cpp#19856 and its kin: a cast to a signed or shorter integer, then trust.
		{"header length negative as int64", lengthOf(1<<63+2, "{}"), ErrFormat, "at most"},
		{"header length 2 in its lower 32 bits", lengthOf(1<<32+2, "{}"), ErrFormat, "at most"},
		// safetensors, test_header_too_large.
		{"header above 100 MB", lengthOf(maxHeader+1, "{}"), ErrFormat, "100000001 bytes"},
		// openasr#73: the length sized a buffer before it was held against the file.
		{"header of 100 MB in a file of 10 bytes", lengthOf(maxHeader, "{}"), ErrFormat, "truncated"},
		{"header one byte longer than the file", lengthOf(3, "{}"), ErrFormat, "the file has 2 more"},
		// safetensors, test_header_too_small.
		{"seven bytes", []byte("\x02\x00\x00\x00\x00\x00\x00"), ErrFormat, "7 bytes"},
		{"no header", lengthOf(0, ""), ErrFormat, "ends"},
		// safetensors, test_invalid_header_non_utf8 and _not_json.
		{"not UTF-8", file("{\"\xff\":0}", 0), ErrFormat, "UTF-8"},
		{"not JSON", file("{hello}", 0), ErrFormat, `'h' where '"'`},
		{"an array", file("[]", 0), ErrFormat, "begins with '['"},
		{"byte order mark", file("\ufeff{}", 0), ErrFormat, "begins with"},
		// safetensors attacks/safetensors_abuse_attempt: a small file that allocates many times its size.
		{"two tensors share their data", file("{"+a+","+record("b", "F32", "[2]", "[0,8]")+"}", 8), ErrFormat, "overlap"},
		// h3.c#48, lattice#752: k_proj and v_proj of the same bytes.
		{"data overlap by half", file("{"+a+","+record("b", "F32", "[2]", "[4,12]")+"}", 12), ErrFormat, `"b" begin at byte 4, where 8`},
		// The 2023 audit of safetensors: room for another format, a polyglot.
		{"a gap before the first tensor", one("F32", "[2]", "[4,12]", 12), ErrFormat, "begin at byte 4, where 0"},
		{"a gap between tensors", file("{"+a+","+record("b", "F32", "[2]", "[12,20]")+"}", 20), ErrFormat, "gap"},
		{"bytes behind the last tensor", one("F32", "[2]", "[0,8]", 9), ErrFormat, "1 bytes follow"},
		{"data without tensors", file("{}", 100), ErrFormat, "100 bytes follow"},
		// safetensors, test_metadata_incomplete_buffer; ComfyUI#15722.
		{"data end before the tensor", one("F32", "[2]", "[0,8]", 7), ErrFormat, "need 8 bytes of data, the file has 7"},
		// stable-diffusion.cpp#1754.
		{"begin after end", one("F32", "[2]", "[8,0]", 8), ErrFormat, "end before they begin"},
		// fastllm#712: the shape sized a buffer, the offsets filled it. CVE-2026-7482: dimensions that lie leak memory.
		{"shape smaller than the offsets", one("F32", "[1]", "[0,8]", 8), ErrFormat, "4 bytes by its shape and type F32, and 8 by its offsets"},
		{"shape larger than the offsets", one("F32", "[1000]", "[0,8]", 8), ErrFormat, "4000 bytes"},
		// CVE-2026-33298: elements times size wraps to what was allocated.
		{"elements times size is 2^64+8", one("F64", "[2305843009213693953]", "[0,8]", 8), ErrFormat, "64 bits"},
		// safetensors, test_validation_overflow; nurl#471.
		{"product of dimensions wraps to 0", one("U8", "[4611686018427387904,4]", "[0,0]", 0), ErrFormat, "64 bits"},
		{"product of dimensions wraps to 1", one("U8", "[6148914691236517205,3,18446744073709551615]", "[0,1]", 1), ErrFormat, "64 bits"},
		// CVE-2025-53630 and CVE-2026-27940: the sum of the sizes wraps.
		{"offsets near 2^64", one("U8", "[1]", "[18446744073709551614,18446744073709551615]", 1), ErrFormat, "begin at byte 18446744073709551614"},
		{"sizes that add up beyond 2^64", file("{"+record("a", "U8", "[9223372036854775807]", "[0,9223372036854775807]")+","+
			record("b", "U8", "[9223372036854775807]", "[9223372036854775807,18446744073709551614]")+"}", 6), nil, "truncated"},
		// ggml#709: negative dimensions and more of them than the array had room for.
		{"negative dimension", one("F32", "[-2]", "[0,8]", 8), ErrFormat, "whole number"},
		{"nine dimensions", one("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]", 1), ErrUnsupported, "more than 8"},
		{"eight dimensions", one("U8", "[1,1,1,1,1,1,1,1]", "[0,1]", 1), nil, ""},
		{"a thousand dimensions", one("U8", "["+strings.Repeat("1,", 1000)+"1]", "[0,1]", 1), ErrUnsupported, "more than 8"},
		// GGUF string lengths in the same reports.
		{"a name of 4097 bytes", file("{"+record(strings.Repeat("n", 4097), "U8", "[]", "[0,1]")+"}", 1), ErrUnsupported, "4097 bytes"},
		{"a name of 4096 bytes", file("{"+record(strings.Repeat("n", 4096), "U8", "[]", "[0,1]")+"}", 1), nil, ""},
		// llama.cpp#26690: an element type that is looked up without a check.
		{"unknown type", one("F128", "[1]", "[0,16]", 16), ErrUnsupported, `unknown type "F128"`},
		{"a type that only NumPy has", one("C128", "[1]", "[0,16]", 16), ErrUnsupported, `unknown type "C128"`},
		{"the name of the zero type", one("invalid", "[0]", "[0,0]", 0), ErrUnsupported, `unknown type "invalid"`},
		{"type in lower case", one("f32", "[1]", "[0,4]", 4), ErrUnsupported, `unknown type "f32"`},
		{"type as a number", file(`{"a":{"dtype":9,"shape":[1],"data_offsets":[0,4]}}`, 4), ErrFormat, `'"' was expected`},
		// safetensors, test_serialization_fp4_misaligned.
		{"elements of 4 bits", one("F4", "[2]", "[0,1]", 1), ErrUnsupported, "F4 has elements of less than a byte"},
		{"elements of 6 bits", one("F6_E2M3", "[4]", "[0,3]", 3), ErrUnsupported, "F6_E2M3"},
		{"other elements of 6 bits", one("F6_E3M2", "[4]", "[0,3]", 3), ErrUnsupported, "F6_E3M2"},
		// safetensors#401, openasr#73: the second of two equal keys smuggles a definition in.
		{"a name twice", file("{"+a+","+a+"}", 8), ErrFormat, `"a" stands twice`},
		{"a name twice, at different data", file("{"+a+","+strings.Replace(b, `"b"`, `"\u0061"`, 1)+"}", 16), ErrFormat, `"a" stands twice`},
		{"a field twice", file(`{"a":{"dtype":"U8","shape":[1],"shape":[2],"data_offsets":[0,2]}}`, 2), ErrFormat, `shape of tensor "a" stands twice`},
		{"metadata twice", file(`{"__metadata__":null,"__metadata__":{}}`, 0), ErrFormat, "__metadata__ stands twice"},
		{"a metadata key twice", file(`{"__metadata__":{"a":"b","c":"d","\u0061":"e"}}`, 0), ErrFormat, `"a" stands twice`},
		// fastsafetensors#89.
		{"empty metadata", file(`{"__metadata__":{}}`, 0), nil, ""},
		{"metadata null", file(`{"__metadata__":null}`, 0), nil, ""},
		{"metadata that are a list", file(`{"__metadata__":[]}`, 0), ErrFormat, "'{' was expected"},
		{"metadata with a number", file(`{"__metadata__":{"a":1}}`, 0), ErrFormat, `'"' was expected`},
		{"metadata with null", file(`{"__metadata__":{"a":null}}`, 0), ErrFormat, `'"' was expected`},
		{"metadata as a tensor", file("{"+record("__metadata__", "U8", "[]", "[0,1]")+"}", 1), ErrFormat, `'"' was expected`},
		// fastllm#713: data_offsets[1] of one number.
		{"one offset", one("U8", "[1]", "[0]", 1), ErrFormat, "two numbers, not 1"},
		{"three offsets", one("U8", "[1]", "[0,1,1]", 1), ErrUnsupported, "more than 2"},
		{"no offsets", file(`{"a":{"dtype":"U8","shape":[1]}}`, 1), ErrFormat, "no dtype, no shape or no data_offsets"},
		{"a record that is null", file(`{"a":null}`, 0), ErrFormat, "'{' was expected"},
		{"a record that is a list", file(`{"a":["U8",[1],[0,1]]}`, 1), ErrFormat, "'{' was expected"},
		// CVE-2020-36518: a stack used up by nesting.
		{"100,000 arrays in each other", file(`{"a":{"x":`+strings.Repeat("[", 100_000), 0), ErrFormat, "nested more than 127 deep"},
		{"as deep as it goes", file(`{"a":{"x":`+strings.Repeat("[", 125)+strings.Repeat("]", 125)+`,"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1), nil, ""},
		{"one deeper", file(`{"a":{"x":`+strings.Repeat("[", 126)+strings.Repeat("]", 126)+`,"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1), ErrFormat, "deep"},
		// Integers that a parser which goes through float64 takes for others.
		{"2^53+1 as an offset", one("U8", "[1]", "[9007199254740992,9007199254740993]", 1), ErrFormat, "9007199254740992"},
		{"a size as 8e0", one("F32", "[2]", "[0,8e0]", 8), ErrFormat, "plain digits"},
		{"a size as 8.0", one("F32", "[2]", "[0,8.0]", 8), ErrFormat, "plain digits"},
		{"a size of minus zero", one("F32", "[-0]", "[0,0]", 0), ErrFormat, "plain digits"},
		{"a leading zero", one("F32", "[02]", "[0,8]", 8), ErrFormat, "'2' where ','"},
		{"2^64", one("U8", "[18446744073709551616]", "[0,0]", 0), ErrFormat, "2^64-1"},
		{"1e999 where nobody looks", file(`{"a":{"x":1e999,"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1), ErrFormat, "out of range"},
		// Strings that two parsers read as two things.
		{"half a surrogate pair", file(`{"\ud800":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1), ErrFormat, "surrogate"},
		{"a raw line feed in a name", file("{\"a\nb\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1), ErrFormat, "control character 0x0a"},
		{"a NUL after the header", file("{}\x00", 0), ErrFormat, `'\x00' after the end`},
		{"a second header", file("{}{}", 0), ErrFormat, "after the end"},
		{"a comma at the end", file("{"+a+",}", 8), ErrFormat, `'"' was expected`},
		{"a comment", file("{/**/}", 0), ErrFormat, `'/'`},
		{"a terminal's escape sequence in a name", file("{"+strings.Replace(a, `"a"`, `"\u001b[2J"`, 1)+","+a+"}", 8), ErrFormat, "overlap"},
		// Empty tensors are within the format; their dimensions must not overflow all the same.
		{"an empty tensor with a wide row", one("F32", "[0,1000000]", "[0,0]", 0), nil, ""},
		{"an empty tensor whose other dimensions overflow", one("F32", "[0,4294967296,4294967296]", "[0,0]", 0), ErrFormat, "64 bits"},
		{"an empty tensor with a dimension above 2^63", one("U8", "[0,9223372036854775808]", "[0,0]", 0), ErrUnsupported, "too large for this machine"},
		{"the same with the dimensions in the other order", one("U8", "[9223372036854775808,0]", "[0,0]", 0), ErrUnsupported, "too large for this machine"},
		{"an empty tensor at the end of another", file("{"+record("z", "F32", "[0]", "[8,8]")+","+a+","+record("e", "F32", "[0]", "[0,0]")+"}", 8), nil, ""},
		{"an empty tensor inside another", file("{"+a+","+record("e", "F32", "[0]", "[4,4]")+"}", 8), ErrFormat, "overlap"},
		// As the reference implementation has it.
		{"space around everything", file("\t\n\r { \"a\" : { \"shape\" : [ 2 ] , \"data_offsets\" : [ 0 , 8 ] , \"dtype\" : \"F32\" } } \n", 8), nil, ""},
		{"escapes in keys and types", file(`{"\u0061":{"d\u0074ype":"F\u00332","sh\u0061pe":[2],"data\u005foffsets":[0,8]}}`, 8), nil, ""},
		{"tensors in another order than their data", file("{"+b+","+a+"}", 16), nil, ""},
		{"keys that are not known", file(`{"a":{"x":[-1.5e-3,true,false,null,{"x":{},"x":"\ud834\udd1e"}],"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1), nil, ""},
	}
}

func TestHostile(t *testing.T) {
	for _, c := range hostileFiles() {
		var f *File
		var err error
		if used := allocated(func() { f, err = openBytes(c.file) }); used > budget(len(c.file)) {
			t.Errorf("%s: %d bytes allocated for a file of %d", c.what, used, len(c.file))
		}
		if c.want == nil && c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", c.what, err)
			} else {
				checkInvariants(t, f)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: accepted", c.what)
			continue
		}
		checkRefusal(t, err)
		if c.want != nil && !errors.Is(err, c.want) || math.MaxInt > math.MaxInt32 && !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "test: ") {
			t.Errorf("%s: want %v with %q, got %v", c.what, c.want, c.says, err)
		}
	}
}
