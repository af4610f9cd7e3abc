package tokenizer

import (
	"strings"
	"testing"
)

// BenchmarkEncode counts bytes; tokens/s is reported as well.
func BenchmarkEncode(b *testing.B) {
	lines := storedLines(b)
	text := strings.Join(lines[len(lines)-1100:len(lines)-600], "\n") // prose and code
	for _, name := range []string{"smollm", "llama3", "gpt4o", "uncased", "gemma", "llama2"} {
		tok := stored(b, name)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			n := 0
			for b.Loop() {
				n = len(tok.Encode(text))
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
