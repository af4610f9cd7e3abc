package main

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"strconv"
)

// A generator walks one file and collects its mutants.
type generator struct {
	pkg  *goPackage
	file *sourceFile
	tok  *token.File
	path []ast.Node // from the file down to the node being visited
	skip map[ast.Node]bool
	out  []mutant
}

// goMutants returns every mutant of the package's non-generated files.
func goMutants(pkgs []*goPackage) []mutant {
	var out []mutant
	for _, p := range pkgs {
		for _, f := range p.files {
			if f.generated {
				continue
			}
			g := &generator{pkg: p, file: f, tok: p.fset.File(f.syntax.FileStart), skip: map[ast.Node]bool{}}
			g.walk(f.syntax)
			out = append(out, g.out...)
		}
	}
	return settle(out)
}

func (g *generator) walk(root ast.Node) {
	ast.Inspect(root, func(n ast.Node) bool {
		if n == nil {
			g.path = g.path[:len(g.path)-1]
			return true
		}
		if g.skip[n] {
			return false
		}
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.CallExpr:
			if g.isMessage(n) {
				return false
			}
			g.skipHints(n)
		case *ast.AssignStmt:
			if isBoundsHint(n) {
				return false
			}
		}
		g.path = append(g.path, n)
		g.visit(n)
		return true
	})
}

func (g *generator) visit(n ast.Node) {
	switch n := n.(type) {
	case *ast.IndexExpr:
		g.index(n)
	case *ast.SliceExpr:
		g.slice(n)
	case *ast.BinaryExpr:
		g.binary(n)
	case *ast.AssignStmt:
		g.assignment(n)
	case *ast.ReturnStmt:
		for _, r := range n.Results {
			g.narrow(r)
		}
	case *ast.CallExpr:
		g.call(n)
	case *ast.ExprStmt:
		g.dropCall(n)
	case *ast.IfStmt:
		g.edit("negate-if", n.Cond, n.Cond.Pos(), n.Cond.End(), "!("+g.text(n.Cond)+")")
	case *ast.ForStmt:
		g.loop(n)
	case *ast.RangeStmt:
		g.rangeLoop(n)
	case *ast.Ident:
		g.ident(n)
	case *ast.SelectorExpr:
		g.strideField(n)
	}
}

// edit records the mutant that replaces [from, to) by text; show is the node
// whose text, before and after, stands for it in reports.
func (g *generator) edit(operator string, show ast.Node, from, to token.Pos, text string) {
	start, end := g.tok.Offset(from), g.tok.Offset(to)
	showFrom, showTo := g.tok.Offset(show.Pos()), g.tok.Offset(show.End())
	src := string(g.file.src)
	at := g.tok.PositionFor(from, false)
	g.out = append(g.out, mutant{
		file: g.file.name, path: g.file.path, src: g.file.src, line: at.Line, col: at.Column,
		start: start, end: end, text: text, operator: operator,
		old:      oneLine(src[showFrom:showTo]),
		new:      oneLine(src[showFrom:start] + text + src[end:showTo]),
		function: g.function(), source: lineOf(src, start),
	})
}

func (g *generator) text(n ast.Node) string {
	return string(g.file.src[g.tok.Offset(n.Pos()):g.tok.Offset(n.End())])
}

func (g *generator) typeOf(e ast.Expr) types.Type {
	if t := g.pkg.info.TypeOf(e); t != nil {
		return t
	}
	return types.Typ[types.Invalid]
}

// constant returns the value of a constant expression, else nil.
func (g *generator) constant(e ast.Expr) constant.Value { return g.pkg.info.Types[e].Value }

// function names the enclosing declaration: F, T.M or "package".
func (g *generator) function() string {
	for _, n := range g.path {
		f, ok := n.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if f.Recv == nil || len(f.Recv.List) == 0 {
			return f.Name.Name
		}
		t := f.Recv.List[0].Type
		for {
			switch u := t.(type) {
			case *ast.StarExpr:
				t = u.X
			case *ast.IndexExpr:
				t = u.X
			case *ast.IndexListExpr:
				t = u.X
			default:
				return g.text(t) + "." + f.Name.Name
			}
		}
	}
	return "package"
}

// parent returns the n-th node above the one being visited.
func (g *generator) parent(n int) ast.Node {
	if i := len(g.path) - 1 - n; i >= 0 {
		return g.path[i]
	}
	return nil
}

// bump records e-1 and e+1 under the operator names minus and plus. The
// appended term binds as intended after any operand an integer expression can
// end in.
func (g *generator) bump(minus, plus string, show ast.Node, e ast.Expr) {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.INT {
		v, err := strconv.ParseInt(lit.Value, 0, 64)
		if err != nil {
			return
		}
		g.edit(minus, show, e.Pos(), e.End(), strconv.FormatInt(v-1, 10))
		g.edit(plus, show, e.Pos(), e.End(), strconv.FormatInt(v+1, 10))
		return
	}
	g.edit(minus, show, e.End(), e.End(), "-1")
	g.edit(plus, show, e.End(), e.End(), "+1")
}

func (g *generator) index(n *ast.IndexExpr) {
	if isSequence(g.typeOf(n.X)) {
		g.bump("index-1", "index+1", n, n.Index)
	}
}

func (g *generator) slice(n *ast.SliceExpr) {
	for _, bound := range []ast.Expr{n.Low, n.High, n.Max} {
		if bound != nil {
			g.bump("index-1", "index+1", n, bound)
		}
	}
}

var (
	relational = map[token.Token]token.Token{
		token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
		token.EQL: token.NEQ, token.NEQ: token.EQL,
	}
	arithmetic = map[token.Token]token.Token{
		token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL,
		token.ADD_ASSIGN: token.SUB_ASSIGN, token.SUB_ASSIGN: token.ADD_ASSIGN,
		token.MUL_ASSIGN: token.QUO_ASSIGN, token.QUO_ASSIGN: token.MUL_ASSIGN,
	}
	logical = map[token.Token]token.Token{token.LAND: token.LOR, token.LOR: token.LAND}
)

func (g *generator) binary(n *ast.BinaryExpr) {
	after := n.OpPos + token.Pos(len(n.Op.String()))
	if op, ok := relational[n.Op]; ok && !g.isSelection(n) && !g.isNegation(n) {
		g.edit("relational", n, n.OpPos, after, op.String())
	}
	if op, ok := logical[n.Op]; ok {
		g.edit("logical", n, n.OpPos, after, op.String())
	}
	if op, ok := arithmetic[n.Op]; ok && isNumeric(g.typeOf(n)) {
		g.edit("arithmetic", n, n.OpPos, after, op.String())
	}
	switch n.Op {
	case token.SUB, token.QUO, token.LSS, token.LEQ, token.GTR, token.GEQ:
		x, y := g.operand(n.X), g.operand(n.Y)
		if x != y {
			g.edit("swap-operands", n, n.Pos(), n.End(), y+" "+n.Op.String()+" "+x)
		}
	}
}

// operand is the text of e, in parentheses where it is itself an operation.
func (g *generator) operand(e ast.Expr) string {
	if _, ok := e.(*ast.BinaryExpr); ok {
		return "(" + g.text(e) + ")"
	}
	return g.text(e)
}

// isNegation reports whether n is a whole condition of an if statement whose
// relational mutant is the one that negate-if makes.
func (g *generator) isNegation(n *ast.BinaryExpr) bool {
	branch, ok := g.parent(1).(*ast.IfStmt)
	return ok && branch.Cond == n && (n.Op == token.EQL || n.Op == token.NEQ)
}

// isSelection reports whether n is the condition of "if x < y { x = y }" or its
// like, where equality makes no difference.
func (g *generator) isSelection(n *ast.BinaryExpr) bool {
	branch, ok := g.parent(1).(*ast.IfStmt)
	if !ok || branch.Cond != n || branch.Else != nil || len(branch.Body.List) != 1 || n.Op == token.EQL || n.Op == token.NEQ {
		return false
	}
	set, ok := branch.Body.List[0].(*ast.AssignStmt)
	if !ok || set.Tok != token.ASSIGN || len(set.Lhs) != 1 || len(set.Rhs) != 1 {
		return false
	}
	x, y, to, from := g.text(n.X), g.text(n.Y), g.text(set.Lhs[0]), g.text(set.Rhs[0])
	return x == to && y == from || y == to && x == from
}

// loop changes the integer constants and bounds in a loop's header: a dropped
// tail, a skipped start, a wrong step.
func (g *generator) loop(n *ast.ForStmt) {
	for _, part := range []ast.Node{n.Init, n.Cond, n.Post} {
		if part == nil {
			continue
		}
		ast.Inspect(part, func(e ast.Node) bool {
			switch e := e.(type) {
			case *ast.IndexExpr, *ast.SliceExpr, *ast.FuncLit, *ast.CallExpr:
				return false
			case *ast.BinaryExpr:
				if _, compares := relational[e.Op]; compares && isInteger(g.typeOf(e.Y)) {
					g.bump("loop-1", "loop+1", e, e.Y)
					return false // a constant on the left would only repeat these
				}
			case *ast.BasicLit:
				if e.Kind == token.INT && isInteger(g.typeOf(e)) && (part != n.Post || e.Value != "1") {
					g.bump("loop-1", "loop+1", part, e)
				}
			}
			return true
		})
	}
}

func (g *generator) rangeLoop(n *ast.RangeStmt) {
	t := g.typeOf(n.X)
	if isInteger(t) {
		g.bump("loop-1", "loop+1", header{n}, n.X)
		return
	}
	if _, ok := t.Underlying().(*types.Slice); !ok {
		return
	}
	switch n.X.(type) {
	case *ast.Ident, *ast.SelectorExpr, *ast.IndexExpr: // evaluated twice below
		g.edit("loop-1", header{n}, n.X.End(), n.X.End(), "[:max(len("+g.text(n.X)+")-1, 0)]")
	}
}

// A header stands for a range loop without its body.
type header struct{ *ast.RangeStmt }

func (h header) End() token.Pos { return h.X.End() }

func (g *generator) ident(n *ast.Ident) {
	obj := g.pkg.info.Uses[n]
	if obj == nil {
		return
	}
	if obj.Parent() == types.Universe {
		other := map[string]string{"true": "false", "false": "true", "min": "max", "max": "min"}[n.Name]
		switch n.Name {
		case "true", "false":
			g.edit("bool", g.statement(n), n.Pos(), n.End(), other)
		case "min", "max":
			if call, ok := g.parent(1).(*ast.CallExpr); ok {
				g.edit("min-max", call, n.Pos(), n.End(), other)
			}
		}
		return
	}
	g.strideIdent(n)
}

// statement is the smallest statement or declaration around the visited node
// that fits on a report's line, else the node itself.
func (g *generator) statement(n ast.Node) ast.Node {
	for i := 1; g.parent(i) != nil; i++ {
		switch at := g.parent(i).(type) {
		case *ast.AssignStmt, *ast.ReturnStmt, *ast.ExprStmt, *ast.ValueSpec, *ast.KeyValueExpr, *ast.CallExpr, *ast.BinaryExpr:
			if len(g.text(at)) <= maxShown {
				return at
			}
			return n
		}
	}
	return n
}
