package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A cudaText is a tokenised file with what a parser would know of it: brackets,
// statements and functions, found from the punctuation alone. The formatting
// that clang-format enforces tells operators from template brackets and pointer
// declarations: binary operators have a space on either side.
type cudaText struct {
	file, path string
	src        string
	bytes      []byte // the same
	tok        []cToken
	match      []int    // index of the other bracket, -1 for no bracket
	depth      []int    // brackets open around the token
	begin      []int    // first token of the statement
	function   []string // enclosing function or "package"
	statements [][2]int // first token and the semicolon
	out        []mutant
}

// cudaMutants returns every mutant of one file.
func cudaMutants(file, path, src string, defines []string) []mutant {
	t := &cudaText{file: file, path: path, src: src, bytes: []byte(src), tok: lexCUDA(src, defines)}
	t.structure()
	for _, s := range t.statements {
		t.drop(s[0], s[1])
	}
	for i, tok := range t.tok {
		switch {
		case tok.text == "[":
			t.index(i)
		case tok.text == "double" && !t.is(i+1, "*", "&"):
			t.edit("narrow", i, i+1, tok.start, tok.end, "float")
		case cudaSwaps[tok.text][0] != "" && t.spaced(i) && t.endsOperand(i-1):
			from, to := t.operandStart(i-1), t.operandEnd(i+1)
			t.edit(cudaSwaps[tok.text][0], from, to, tok.start, tok.end, cudaSwaps[tok.text][1])
		}
	}
	return t.out
}

// cudaSwaps maps an operator to the mutation's name and the operator put in.
var cudaSwaps = map[string][2]string{
	"<": {"relational", "<="}, "<=": {"relational", "<"}, ">": {"relational", ">="}, ">=": {"relational", ">"},
	"==": {"relational", "!="}, "!=": {"relational", "=="},
	"+": {"arithmetic", "-"}, "-": {"arithmetic", "+"}, "+=": {"arithmetic", "-="}, "-=": {"arithmetic", "+="},
}

// edit records the replacement of bytes [from, to), shown with the tokens first
// to last.
func (t *cudaText) edit(operator string, first, last, from, to int, text string) {
	last = min(last, len(t.tok)-1)
	start, end := t.tok[first].start, t.tok[last].end
	before := t.src[:from]
	t.out = append(t.out, mutant{
		file: t.file, path: t.path, src: t.bytes,
		line: 1 + strings.Count(before, "\n"), col: from - strings.LastIndexByte(before, '\n'),
		start: from, end: to, text: text, operator: operator,
		old: oneLine(t.src[start:end]), new: oneLine(t.src[start:from] + text + t.src[to:end]),
		function: t.function[first], source: lineOf(t.src, from),
	})
}

// is reports whether token i is one of texts.
func (t *cudaText) is(i int, texts ...string) bool {
	return i >= 0 && i < len(t.tok) && t.tok[i].kind != cLiteral && slices.Contains(texts, t.tok[i].text)
}

func (t *cudaText) ident(i int) bool { return i >= 0 && i < len(t.tok) && t.tok[i].kind == cIdent }

// spaced reports whether white space stands on both sides of token i.
func (t *cudaText) spaced(i int) bool {
	return i > 0 && i+1 < len(t.tok) && t.tok[i-1].end < t.tok[i].start && t.tok[i].end < t.tok[i+1].start
}

// A frame is an open bracket during the scan.
type frame struct {
	open     int
	block    bool // a brace around statements, not an initialiser
	function string
}

// structure fills in brackets, statements and functions in one pass.
func (t *cudaText) structure() {
	n := len(t.tok)
	t.match, t.depth, t.begin, t.function = make([]int, n), make([]int, n), make([]int, n), make([]string, n)
	stack := []frame{{open: -1, block: true, function: "package"}}
	begin := 0
	for i := range t.tok {
		t.match[i] = -1
		top := stack[len(stack)-1]
		closes := len(stack) > 1 && t.is(i, map[string]string{"(": ")", "[": "]", "{": "}"}[t.tok[top.open].text])
		if closes {
			t.match[i], t.match[top.open] = top.open, i
			stack = stack[:len(stack)-1]
		}
		t.depth[i], t.begin[i], t.function[i] = len(stack), begin, top.function
		switch {
		case t.is(i, "(", "[", "{"):
			f := frame{open: i, function: top.function, block: t.is(i, "{") && t.opensBlock(i, begin)}
			if f.block {
				if name := t.functionName(i); name != "" && top.function == "package" {
					f.function = name
				}
				begin = i + 1
			}
			stack = append(stack, f)
		case closes && top.block:
			begin = i + 1
		case closes && t.is(i, ")") && t.isControl(top.open) && stack[len(stack)-1].block:
			begin = i + 1
		case !stack[len(stack)-1].block:
		case t.is(i, ";"):
			t.statements = append(t.statements, [2]int{begin, i})
			begin = i + 1
		case t.is(i, "else", "do"), t.is(i, ":") && t.is(begin, "case", "default"):
			begin = i + 1
		}
	}
}

// isControl reports whether the parenthesis at open follows if, for or the like.
func (t *cudaText) isControl(open int) bool {
	return t.is(open-1, "if", "for", "while", "switch") || t.is(open-1, "constexpr") && t.is(open-2, "if")
}

// opensBlock tells the brace around statements from that of an initialiser.
func (t *cudaText) opensBlock(i, begin int) bool {
	if i == begin || t.is(i-1, ")", ";", "{", "}", "else", "do", "try", "const", "noexcept", "mutable", "override") {
		return true
	}
	return !t.is(i-1, "=", ",", "(") && slices.ContainsFunc(t.tok[begin:i], func(k cToken) bool {
		return slices.Contains([]string{"struct", "class", "union", "enum", "namespace", "extern"}, k.text)
	})
}

// functionName names the function whose body opens at brace i.
func (t *cudaText) functionName(i int) string {
	for i--; t.is(i, "const", "noexcept", "mutable", "override"); i-- {
	}
	if !t.is(i, ")") || t.match[i] < 0 || t.isControl(t.match[i]) || !t.ident(t.match[i]-1) {
		return ""
	}
	return t.tok[t.match[i]-1].text
}

// endsOperand reports whether token i can end the left operand of a binary
// operator.
func (t *cudaText) endsOperand(i int) bool {
	return i >= 0 && (t.is(i, ")", "]") || t.tok[i].kind == cNumber ||
		t.ident(i) && !t.is(i, "return", "case", "typename", "class", "operator"))
}

// operandStart walks back from the last token of an operand to its first.
func (t *cudaText) operandStart(i int) int {
	for i > 0 {
		switch {
		case t.is(i, ")", "]") && t.match[i] > 0:
			i = t.match[i]
			if !t.endsOperand(i - 1) {
				return i
			}
			i--
		case t.is(i-1, ".", "->", "::"):
			i -= 2
		default:
			return i
		}
	}
	return max(i, 0)
}

// operandEnd walks on from the first token of an operand to its last.
func (t *cudaText) operandEnd(i int) int {
	for i+1 < len(t.tok) {
		switch {
		case t.is(i, "(", "[") && t.match[i] > i:
			i = t.match[i]
		case t.is(i, "-", "+", "!", "~", "*", "&", ".", "->", "::"):
			i++
			continue
		}
		if !t.is(i+1, "[", "(", ".", "->", "::") {
			return i
		}
		i++
	}
	return len(t.tok) - 1
}

// index shifts the index in the brackets that open at i.
func (t *cudaText) index(i int) {
	end := t.match[i]
	if end <= i+1 || !t.endsOperand(i-1) || t.isDeclarator(i) {
		return
	}
	first := t.operandStart(end)
	from, to := t.tok[i+1].start, t.tok[end-1].end
	content := t.src[from:to]
	if v, err := strconv.Atoi(content); err == nil {
		t.edit("index-1", first, end, from, to, strconv.Itoa(v-1))
		t.edit("index+1", first, end, from, to, strconv.Itoa(v+1))
		return
	}
	if end > i+2 {
		content = "(" + content + ")"
	}
	t.edit("index-1", first, end, from, to, content+" - 1")
	t.edit("index+1", first, end, from, to, content+" + 1")
}

// isDeclarator reports whether the brackets at i give the size of a declared
// array and do not index one.
func (t *cudaText) isDeclarator(i int) bool {
	base := i - 1
	for t.is(base, "]") && t.match[base] > 0 {
		base = t.match[base] - 1
	}
	before := base - 1
	if !t.ident(base) || before < 0 {
		return false
	}
	touches := before > 0 && t.tok[before-1].end == t.tok[before].start
	if t.is(before, "*", "&") && t.is(before-1, ",") {
		before--
	}
	switch {
	case t.ident(before):
		return !t.is(before, "return", "else", "do", "case", "throw")
	case t.is(before, ">", ">>"):
		return touches
	case t.is(before, "*", "&"):
		return touches && (t.ident(before-1) || t.is(before-1, "*", ">", ">>"))
	case t.is(before, ","):
		return t.depth[before] == t.depth[t.begin[base]] && t.isDeclaration(t.begin[base])
	}
	return false
}

// isDeclaration reports whether the statement at token i declares variables:
// two names follow each other, or a pointer's star touches its type.
func (t *cudaText) isDeclaration(i int) bool {
	for t.is(i, "const", "static", "constexpr", "extern", "volatile", "__shared__", "__align__", "alignas") {
		if i++; t.is(i, "(") && t.match[i] > i {
			i = t.match[i] + 1
		}
	}
	for t.ident(i) && t.is(i+1, "::") {
		i += 2
	}
	if !t.ident(i) || t.is(i, "return", "delete", "goto", "throw") {
		return false
	}
	if t.spaced(i + 1) { // an operator
		return t.ident(i + 1)
	}
	return t.ident(i+1) || t.is(i+1, "*", "&") || t.is(i+1, "<") && t.declaresTemplate(i+1)
}

// declaresTemplate reports whether a name follows the template arguments that
// open at i.
func (t *cudaText) declaresTemplate(i int) bool {
	for level := 0; i < len(t.tok) && !t.is(i, ";", "{", "("); i++ {
		switch {
		case t.is(i, "<"):
			level++
		case t.is(i, ">"):
			level--
		case t.is(i, ">>"):
			level -= 2
		}
		if level <= 0 {
			return t.ident(i+1) || t.is(i+1, "*", "&")
		}
	}
	return false
}

// cudaBarriers matches the calls that order threads or memory.
var cudaBarriers = regexp.MustCompile(`(?i)^_*(syncthreads|syncwarp|threadfence)|fence|wait|barrier|mbar|commit|arrive|(^|_)sync(_|$)`)

// drop removes a store to memory, a barrier or another call made for its
// effect: the statement from token first to the semicolon at last.
func (t *cudaText) drop(first, last int) {
	if first >= last || t.is(first, "return", "using", "typedef", "static_assert", "assert", "printf", "asm", "__asm__", "break", "continue", "template") ||
		t.isDeclaration(first) || t.function[first] == "package" {
		return
	}
	var operator string
	if callee := t.callStatement(first, last); callee != "" {
		if operator = "drop-call"; cudaBarriers.MatchString(callee) {
			operator = "drop-barrier"
		}
	} else if t.isStore(first, last) {
		operator = "drop-store"
	} else {
		return
	}
	t.edit(operator, first, last, t.tok[first].start, t.tok[last-1].end, "")
	t.out[len(t.out)-1].new = ""
}

// callStatement returns the callee's name when the statement is one call.
func (t *cudaText) callStatement(first, last int) string {
	if !t.is(last-1, ")") || t.match[last-1] <= first {
		return ""
	}
	i := first
	for t.ident(i) && t.is(i+1, "::", ".", "->") {
		i += 2
	}
	if !t.ident(i) {
		return ""
	}
	open := i + 1
	if t.is(open, "<") {
		for open++; open < last && !t.is(open, "("); open++ {
		}
	}
	if open != t.match[last-1] {
		return ""
	}
	return t.tok[i].text
}

// isStore reports whether the statement assigns to an element or through a
// pointer.
func (t *cudaText) isStore(first, last int) bool {
	element := t.is(first, "*")
	for i := first; i < last; i++ {
		switch {
		case t.depth[i] > t.depth[first]:
			continue
		case t.is(i, "="), t.is(i, "+=", "-=", "*=", "/=", "|=", "&=", "^="):
			return element
		case t.is(i, "["):
			element = true
		}
	}
	return false
}
