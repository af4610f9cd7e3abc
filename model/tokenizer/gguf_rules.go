package tokenizer

import "strings"

// A ggufRule is what tokenizer.ggml.pre stands for: expressions that cut the
// text, each the pieces of the one before. GGUF names them alone; the files
// themselves are from the tokenizer.json of the family.
type ggufRule struct {
	patterns             []string
	ignoreMerges, addBOS bool
}

const (
	llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Pattern  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen35Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	tekkenPattern = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` +
		`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*` +
		`|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	gpt4oPattern = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	deepseek3Pattern = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+" +
		`|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	bailingPattern   = `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`
	seedCoderPattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+`
	bloomPattern     = ` ?[^(\s|.,!?…。，、।۔،)]+`
)

// ggufRules are the rules by name. A name that is not here is refused: the ids
// of another rule are near the truth and wrong.
var ggufRules = func() map[string]ggufRule {
	all := map[string]ggufRule{
		"viking":      {patterns: []string{bloomPattern, `\p{N}`}},
		"tekken":      {patterns: []string{tekkenPattern}, ignoreMerges: true, addBOS: true},
		"qwen35":      {patterns: []string{qwen35Pattern}},
		"deepseek-v3": {patterns: []string{`\p{N}{1,3}`, `[一-龥぀-ゟ゠-ヿ]+`, deepseek3Pattern}},
		"seed-coder":  {patterns: []string{seedCoderPattern}},
	}
	add := func(names string, r ggufRule) {
		for name := range strings.FieldsSeq(names) {
			all[name] = r
		}
	}
	gpt2 := []string{gpt2Pattern}
	add("gpt-2 phi-2 mpt olmo jais trillion exaone4", ggufRule{patterns: gpt2})
	add("smollm starcoder refact command-r codeshell exaone minerva-7b", ggufRule{patterns: []string{`\p{N}`, gpt2Pattern}})
	add("llama3 llama-v3 llama-bpe falcon3", ggufRule{patterns: []string{llama3Pattern}, ignoreMerges: true, addBOS: true})
	add("dbrx smaug-bpe glm4 chatglm-bpe", ggufRule{patterns: []string{llama3Pattern}})
	add("qwen2 stablelm2 deepseek-r1-qwen megrez grok-2", ggufRule{patterns: []string{qwen2Pattern}})
	add("gpt-4o llama4", ggufRule{patterns: []string{gpt4oPattern}})
	add("bailingmoe", ggufRule{patterns: []string{bailingPattern}})
	add("bloom poro-chat gpt3-finnish", ggufRule{patterns: []string{bloomPattern}})
	return all
}()
