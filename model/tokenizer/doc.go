// Package tokenizer turns text into token ids and back, as the Python package
// tokenizers does, to the id.
//
// It reads tokenizer.json ([Load], [Parse]) and the vocabularies of GGUF files
// ([FromGGUF]): byte-pair encoding over bytes (GPT-2, SmolLM2, Llama 3, Qwen 2
// and their relatives), byte-pair encoding over characters with a fallback to
// bytes (Llama 2, Gemma) and WordPiece (BERT). What it does not cover, Unigram
// and pre-tokenizers it has no equal of among them, it refuses by name rather
// than return other ids; ids made elsewhere then serve instead.
//
// Truncation and padding settings of a file are ignored. Text that is not UTF-8
// is read like U+FFFD in place of each byte that does not belong.
package tokenizer
