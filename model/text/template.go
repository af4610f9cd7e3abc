package text

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
)

// A Template makes a document of a record of a JSON lines file.
type Template struct {
	render func(record map[string]json.RawMessage) (string, error)
}

// alpaca holds the prompts of Stanford Alpaca, with an input and without.
// https://github.com/tatsu-lab/stanford_alpaca#data-release
const (
	alpacaInput = "Below is an instruction that describes a task, paired with an input that provides further context. " +
		"Write a response that appropriately completes the request.\n\n" +
		"### Instruction:\n%s\n\n### Input:\n%s\n\n### Response:\n%s"
	alpacaPlain = "Below is an instruction that describes a task. " +
		"Write a response that appropriately completes the request.\n\n" +
		"### Instruction:\n%s\n\n### Response:\n%s"
)

// NewTemplate returns the template of that name, over those fields of a record.
//
//   - none: the fields, divided by newlines. Without fields: "text".
//   - alpaca: two fields, instruction and output, or three, with the input between.
//     Without fields: "instruction", "input", which may be absent, and "output".
//   - chat: ChatML, "<|im_start|>role\ncontent<|im_end|>\n" for each message. With
//     one field, a list of objects with role and content; with more, fields that
//     the user and the assistant say in turn. Without fields: "messages".
//   - anything else names a file, in which {name} stands for the field of that
//     name, and {{ and }} for braces. With fields, only those may stand there.
//
// Errors: those of reading the file; [ErrTemplate].
func NewTemplate(name string, fields []string) (*Template, error) {
	t, err := newTemplate(name, fields)
	if err != nil {
		return nil, fmt.Errorf("text: template %s: %w", name, err)
	}
	return t, nil
}

func newTemplate(name string, fields []string) (*Template, error) {
	switch name {
	case "none":
		return &Template{joined(orDefault(fields, "text"))}, nil
	case "alpaca":
		return newAlpaca(fields)
	case "chat":
		if fields = orDefault(fields, "messages"); len(fields) == 1 {
			return &Template{messages(fields[0])}, nil
		}
		return &Template{turns(fields)}, nil
	default:
		s, err := readText(name)
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("neither alpaca, chat nor none, and no file: %w", err)
		}
		if err != nil {
			return nil, err
		}
		return newFile(s, fields)
	}
}

func orDefault(fields []string, names ...string) []string {
	if len(fields) == 0 {
		return names
	}
	return fields
}

// field returns the text of a field; numbers and so on are as they are written.
func field(record map[string]json.RawMessage, name string) (string, error) {
	raw, ok := record[name]
	if !ok {
		return "", fmt.Errorf("no field %q: %w", name, ErrTemplate)
	}
	var s string
	if json.Unmarshal(raw, &s) == nil { // null too, which is empty
		return s, nil
	}
	if raw[0] == '{' || raw[0] == '[' {
		return "", fmt.Errorf("field %q is not text but %.20s: %w", name, raw, ErrTemplate)
	}
	return string(raw), nil
}

func joined(fields []string) func(map[string]json.RawMessage) (string, error) {
	return func(record map[string]json.RawMessage) (string, error) {
		parts := make([]string, len(fields))
		for i, name := range fields {
			var err error
			if parts[i], err = field(record, name); err != nil {
				return "", err
			}
		}
		return strings.Join(parts, "\n"), nil
	}
}

func newAlpaca(fields []string) (*Template, error) {
	var names [3]string // instruction, input, output
	optional := false
	switch len(fields) {
	case 0:
		names, optional = [3]string{"instruction", "input", "output"}, true
	case 2:
		names = [3]string{fields[0], "", fields[1]}
	case 3:
		names = [3]string(fields)
	default:
		return nil, fmt.Errorf("%d fields; it takes instruction and output, or instruction, input and output: %w", len(fields), ErrTemplate)
	}
	return &Template{func(record map[string]json.RawMessage) (string, error) {
		var values [3]string
		for i, name := range names {
			if _, ok := record[name]; name == "" || !ok && optional && i == 1 {
				continue
			}
			var err error
			if values[i], err = field(record, name); err != nil {
				return "", err
			}
		}
		if values[1] == "" {
			return fmt.Sprintf(alpacaPlain, values[0], values[2]), nil
		}
		return fmt.Sprintf(alpacaInput, values[0], values[1], values[2]), nil
	}}, nil
}

func message(role, content string) string {
	return "<|im_start|>" + role + "\n" + content + "<|im_end|>\n"
}

func messages(name string) func(map[string]json.RawMessage) (string, error) {
	return func(record map[string]json.RawMessage) (string, error) {
		var list []struct{ Role, Content *string }
		raw, ok := record[name]
		if !ok {
			return "", fmt.Errorf("no field %q: %w", name, ErrTemplate)
		}
		if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
			return "", fmt.Errorf("field %q is not a list of messages with role and content, as text: %w", name, ErrTemplate)
		}
		var b strings.Builder
		for i, m := range list {
			if m.Role == nil || m.Content == nil {
				return "", fmt.Errorf("message %d of field %q lacks role or content: %w", i, name, ErrTemplate)
			}
			b.WriteString(message(*m.Role, *m.Content))
		}
		return b.String(), nil
	}
}

func turns(fields []string) func(map[string]json.RawMessage) (string, error) {
	return func(record map[string]json.RawMessage) (string, error) {
		var b strings.Builder
		for i, name := range fields {
			s, err := field(record, name)
			if err != nil {
				return "", err
			}
			b.WriteString(message([]string{"user", "assistant"}[i%2], s))
		}
		return b.String(), nil
	}
}

// newFile reads a template of literal text and {name}.
func newFile(s string, fields []string) (*Template, error) {
	var literals, names []string // literals[i] is before names[i]; one more at the end
	var b strings.Builder
	for s != "" {
		at := strings.IndexAny(s, "{}")
		if at < 0 {
			break
		}
		b.WriteString(s[:at])
		rest := s[at:]
		if strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}") {
			b.WriteByte(rest[0])
			s = rest[2:]
			continue
		}
		end := strings.IndexByte(rest, '}')
		if rest[0] == '}' || end < 2 || strings.ContainsAny(rest[1:end], "{\n") {
			return nil, fmt.Errorf("a brace that names no field, before %.20q; write it twice: %w", rest, ErrTemplate)
		}
		name := rest[1:end]
		if len(fields) > 0 && !slices.Contains(fields, name) {
			return nil, fmt.Errorf("it names the field %q, which is not among %q: %w", name, fields, ErrTemplate)
		}
		literals, names = append(literals, b.String()), append(names, name)
		b.Reset()
		s = rest[end+1:]
	}
	literals = append(literals, b.String()+s)
	if len(names) == 0 {
		return nil, fmt.Errorf("it names no field, as {name}: %w", ErrTemplate)
	}
	return &Template{func(record map[string]json.RawMessage) (string, error) {
		var b strings.Builder
		for i, name := range names {
			value, err := field(record, name)
			if err != nil {
				return "", err
			}
			b.WriteString(literals[i] + value)
		}
		return b.String() + literals[len(names)], nil
	}}, nil
}

// maxLine is the longest line of a JSON lines file, in bytes.
const maxLine = 64 << 20

// JSONL yields a document for each line of the file that is not blank: the
// line's JSON object through the template. It ends with the first error: those
// of reading; [ErrFormat] and [ErrTemplate], with the line's number.
func JSONL(path string, t *Template) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		f, err := os.Open(path) //nolint:gosec // the caller's file
		if err != nil {
			yield("", fmt.Errorf("text: %w", err))
			return
		}
		defer f.Close() //nolint:errcheck // only read
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, maxLine)
		number := 1
		for ; lines.Scan(); number++ {
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) == 0 {
				continue
			}
			document, err := t.document(line)
			if err != nil {
				yield("", fmt.Errorf("text: %s: line %d: %w", path, number, err))
				return
			}
			if !yield(document, nil) {
				return
			}
		}
		switch err := lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			yield("", fmt.Errorf("text: %s: line %d: more than %d bytes: %w", path, number, maxLine, ErrFormat))
		case err != nil:
			yield("", fmt.Errorf("text: %w", err))
		}
	}
}

func (t *Template) document(line []byte) (string, error) {
	if err := checkUTF8(string(line)); err != nil {
		return "", err
	}
	var record map[string]json.RawMessage
	if err := json.Unmarshal(line, &record); err != nil {
		return "", fmt.Errorf("%w: not a JSON object: %w", ErrFormat, err)
	}
	return t.render(record)
}
