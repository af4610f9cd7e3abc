package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

var errExplanation = errors.New("bad explanation")

// An explanation is one line of an --explain file.
type explanation struct {
	file, operator, old, new, function string
	source                             string // "" when left out
	nth                                int
	reason                             string
}

// loadExplanations reads path and returns the reasons by the key of the mutant
// they are for. Lines for files of other packages or other platforms are left
// for other runs; any other line has to fit one mutant of all.
func loadExplanations(path, root string, all []mutant) (map[string]string, error) {
	reasons := map[string]string{}
	if path == "" {
		return reasons, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("mutate: reading explanations: %w", err)
	}
	loaded, dirs := map[string]bool{}, map[string]bool{}
	for _, m := range all {
		loaded[m.file] = true
		dirs[filepath.ToSlash(filepath.Dir(m.file))] = true
	}
	number := 0
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		number++
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := parseExplanation(line)
		if err == nil {
			_, missing := os.Stat(filepath.Join(root, filepath.FromSlash(e.file)))
			elsewhere := !dirs[filepath.ToSlash(filepath.Dir(e.file))] || !loaded[e.file] && missing == nil
			if elsewhere && missing == nil {
				continue
			}
			err = e.match(all, reasons)
		}
		if err != nil {
			return nil, fmt.Errorf("mutate: %s:%d: %w", filepath.Base(path), number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("mutate: reading explanations: %w", err)
	}
	return reasons, nil
}

// match files the reason under the one mutant that e describes.
func (e *explanation) match(all []mutant, reasons map[string]string) error {
	var fits []*mutant
	for i := range all {
		m := &all[i]
		if m.file == e.file && m.operator == e.operator && m.old == e.old && m.new == e.new && m.function == e.function &&
			(e.source == "" || m.source == e.source && m.nth == e.nth) {
			fits = append(fits, m)
		}
	}
	switch len(fits) {
	case 0:
		return fmt.Errorf("%w: no mutant of %s fits it, the code has changed: remove or renew it", errExplanation, e.file)
	case 1:
		key := fits[0].key()
		if _, twice := reasons[key]; twice {
			return fmt.Errorf("%w: %s is explained twice", errExplanation, fits[0].position())
		}
		reasons[key] = e.reason
		return nil
	}
	var at []string
	for _, m := range fits {
		at = append(at, strconv.Itoa(m.line))
	}
	return fmt.Errorf(`%w: it fits %d mutants of %s, at lines %s: add at "SOURCE LINE"`,
		errExplanation, len(fits), e.file, strings.Join(slices.Compact(at), ", "))
}

// parseExplanation reads
// FILE OPERATOR "OLD" -> "NEW" in FUNCTION [at "SOURCE LINE" [#N]] : REASON.
func parseExplanation(line string) (*explanation, error) {
	s := &lineScanner{rest: line}
	e := &explanation{nth: 1}
	e.file, e.operator = s.word(), s.word()
	e.old = s.quoted()
	s.want("->")
	e.new = s.quoted()
	s.want("in")
	e.function = s.word()
	if s.has("at") {
		e.source = s.quoted()
		if strings.HasPrefix(s.rest, "#") {
			n, err := strconv.Atoi(s.word()[1:])
			if err != nil || n < 2 {
				s.failed = true
			}
			e.nth = n
		}
	}
	s.want(":")
	e.reason = strings.TrimSpace(s.rest)
	if s.failed {
		return nil, fmt.Errorf(`%w: want FILE OPERATOR "OLD" -> "NEW" in FUNCTION at "SOURCE LINE" : REASON, not %s`, errExplanation, line)
	}
	if e.reason == "" {
		return nil, fmt.Errorf("%w: no reason given: %s", errExplanation, line)
	}
	return e, nil
}

// A lineScanner takes words and quoted strings off the front of a line.
type lineScanner struct {
	rest   string
	failed bool
}

func (s *lineScanner) word() string {
	word, rest, _ := strings.Cut(s.rest, " ")
	s.rest = strings.TrimLeft(rest, " ")
	if word == "" {
		s.failed = true
	}
	return word
}

func (s *lineScanner) quoted() string {
	prefix, err := strconv.QuotedPrefix(s.rest)
	if err != nil {
		s.failed = true
		return ""
	}
	s.rest = strings.TrimLeft(s.rest[len(prefix):], " ")
	text, err := strconv.Unquote(prefix)
	if err != nil {
		s.failed = true
	}
	return text
}

// has takes word off the line if it comes next.
func (s *lineScanner) has(word string) bool {
	if s.rest != word && !strings.HasPrefix(s.rest, word+" ") {
		return false
	}
	s.rest = strings.TrimLeft(s.rest[len(word):], " ")
	return true
}

func (s *lineScanner) want(word string) {
	if !s.has(word) {
		s.failed = true
	}
}
