package model

import (
	"encoding/json"
	"fmt"
)

// A reader takes values out of a configuration. After the first error values are
// zero, so that it is looked at once, at the end.
type reader struct {
	*family
	values map[string]any
	err    error
}

func (c *reader) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *reader) refuse(key string, v any) {
	c.fail("%s is %s, which is not run here: %w (%s)", key, shown(v), ErrUnsupported, WayRound)
}

// shown is a value in an error.
func shown(v any) string {
	const most = 60
	b, err := json.Marshal(v)
	if err != nil || len(b) > most {
		return fmt.Sprintf("a value of %d characters", len(b))
	}
	return string(b)
}

// heeds reports whether the key means something to the family.
func (c *reader) heeds(key string) bool {
	_, ok := c.keys[key]
	return ok
}

// get returns a value, or the default of one that is absent; nil for null.
func (c *reader) get(key string) any {
	if v, ok := c.values[key]; ok && c.heeds(key) {
		return v
	}
	return c.keys[key]
}

// wrong records a value of the wrong kind.
func (c *reader) wrong(key, want string, v any) {
	c.fail("%s is %s, want %s: %w", key, shown(v), want, ErrConfig)
}

// integer returns a whole number from 0 to maxSize; 0 for null.
func (c *reader) integer(key string) int {
	n, ok := wholeNumber(c.get(key))
	if !ok && c.get(key) != nil {
		c.wrong(key, fmt.Sprintf("a whole number from 0 to %d", maxSize), c.get(key))
	}
	return n
}

// wholeNumber converts a value; floats that happen to be whole are none.
func wholeNumber(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case json.Number:
		n, err := v.Int64()
		return int(n), err == nil && 0 <= n && n <= maxSize
	}
	return 0, false
}

// count returns a whole number of 1 or more.
func (c *reader) count(key string) int {
	n := c.integer(key)
	if n < 1 {
		c.fail("%s is %s, want a whole number of 1 or more: %w", key, shown(c.get(key)), ErrConfig)
		return 1
	}
	return n
}

// finiteNumber converts a value.
func finiteNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	case json.Number:
		x, err := v.Float64()
		return x, err == nil
	}
	return 0, false
}

// positive returns a finite number above 0.
func (c *reader) positive(key string) float64 {
	x, ok := finiteNumber(c.get(key))
	if !ok || !(x > 0) {
		c.wrong(key, "a number above 0", c.get(key))
		return 1
	}
	return x
}

// cap returns a number above 0, or 0 for null.
func (c *reader) cap(key string) float64 {
	if c.get(key) == nil {
		return 0
	}
	return c.positive(key)
}

// flag returns a truth value.
func (c *reader) flag(key string) bool {
	b, ok := c.get(key).(bool)
	if !ok {
		c.wrong(key, "true or false", c.get(key))
	}
	return b
}

// first returns the first of the keys that the family heeds.
func (c *reader) first(keys ...string) string {
	for _, k := range keys {
		if c.heeds(k) {
			return k
		}
	}
	return keys[0]
}
