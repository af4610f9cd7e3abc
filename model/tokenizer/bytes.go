package tokenizer

import "strings"

// GPT-2 writes each byte as a letter that can be seen: those of Latin-1 that
// can stand for themselves, the others as U+0100 and following.
var byteRunes = func() (runes [256]rune) {
	hidden := rune(0x100)
	for b := range runes {
		if b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae {
			runes[b] = rune(b)
			continue
		}
		runes[b] = hidden
		hidden++
	}
	return runes
}()

var runeBytes = func() map[rune]byte {
	m := make(map[rune]byte, len(byteRunes))
	for b, r := range byteRunes {
		m[r] = byte(b)
	}
	return m
}()

// mapBytes writes the bytes of s as letters.
func mapBytes(s string) string {
	var b strings.Builder
	b.Grow(2 * len(s))
	for i := range len(s) {
		b.WriteRune(byteRunes[s[i]])
	}
	return b.String()
}

// unmapBytes undoes mapBytes; a token with another letter stays as it is.
func unmapBytes(token string) string {
	b := make([]byte, 0, len(token))
	for _, r := range token {
		c, ok := runeBytes[r]
		if !ok {
			return token
		}
		b = append(b, c)
	}
	return string(b)
}
