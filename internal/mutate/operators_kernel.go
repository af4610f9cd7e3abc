package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// assignment mutates compound operators, narrows right-hand sides, and drops
// stores to elements.
func (g *generator) assignment(n *ast.AssignStmt) {
	if op, ok := arithmetic[n.Tok]; ok && isNumeric(g.typeOf(n.Lhs[0])) {
		g.edit("arithmetic", n, n.TokPos, n.TokPos+token.Pos(len(n.Tok.String())), op.String())
	}
	for _, r := range n.Rhs {
		g.narrow(r)
	}
	if len(n.Lhs) == 1 && len(n.Rhs) == 1 && isElement(n.Lhs[0]) {
		// Both sides are still evaluated, so that no variable falls out of use and
		// only the store is missing. A map element reads as one value as well.
		g.drop("drop-store", n, "_, _ = "+g.text(n.Lhs[0])+", "+g.text(n.Rhs[0]))
	}
}

// drop records the statement n as replaced by text, shown as nothing.
func (g *generator) drop(operator string, n ast.Stmt, text string) {
	g.edit(operator, n, n.Pos(), n.End(), text)
	g.out[len(g.out)-1].new = ""
}

// dropCall removes a call made for its effect; its arguments are still
// evaluated.
func (g *generator) dropCall(n *ast.ExprStmt) {
	call, ok := n.X.(*ast.CallExpr)
	if !ok || g.isMessage(call) || g.callee(call) == "runtime.KeepAlive" {
		return
	}
	var values []string
	if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
		if v, ok := sel.X.(*ast.Ident); ok {
			if obj, ok := g.pkg.info.Uses[v].(*types.Var); ok && obj.Name() != "_" {
				values = append(values, "&"+v.Name) // the address: a lock must not be copied
			}
		}
	}
	for _, a := range call.Args {
		if tv := g.pkg.info.Types[a]; tv.IsValue() && !tv.IsNil() {
			values = append(values, g.text(a))
		}
	}
	text := ""
	if len(values) > 0 {
		text = strings.Repeat("_, ", len(values)-1) + "_ = " + strings.Join(values, ", ")
	}
	g.drop("drop-call", n, text)
}

func (g *generator) call(n *ast.CallExpr) {
	if g.pkg.info.Types[n.Fun].IsType() {
		return
	}
	name := g.callee(n)
	if other := map[string]string{"math.Max": "Min", "math.Min": "Max"}[name]; other != "" {
		if sel, ok := n.Fun.(*ast.SelectorExpr); ok {
			g.edit("min-max", n, sel.Sel.Pos(), sel.Sel.End(), other)
		}
	}
	for _, a := range n.Args {
		if !g.skip[a] {
			g.narrow(a)
		}
	}
	switch name {
	case "min", "max", "math.Max", "math.Min", "math.Hypot", "make": // symmetric, or a hint
		return
	}
	for i := 0; i+1 < len(n.Args); i++ {
		a, b := n.Args[i], n.Args[i+1]
		x, y := g.text(a), g.text(b)
		if x == y || g.skip[b] || !types.Identical(g.typeOf(a), g.typeOf(b)) || g.pkg.info.Types[a].IsType() {
			continue
		}
		between := string(g.file.src[g.tok.Offset(a.End()):g.tok.Offset(b.Pos())])
		g.edit("swap-arguments", n, a.Pos(), b.End(), y+between+x)
	}
}

// narrow rounds a float64 value to float32, unless the value is exact in
// float32 anyway: constants, NaN and infinity, conversions from float32 and
// from the integers that sizes are.
func (g *generator) narrow(e ast.Expr) {
	if !types.Identical(g.typeOf(e), types.Typ[types.Float64]) || g.constant(e) != nil {
		return
	}
	if call, ok := ast.Unparen(e).(*ast.CallExpr); ok {
		switch name := g.callee(call); {
		case name == "math.NaN", name == "math.Inf":
			return
		case g.pkg.info.Types[call.Fun].IsType() && len(call.Args) == 1:
			from := g.typeOf(call.Args[0])
			if b, ok := from.Underlying().(*types.Basic); ok && (b.Kind() == types.Float32 || b.Info()&types.IsInteger != 0) {
				return
			}
		}
	}
	g.edit("narrow", e, e.Pos(), e.End(), "float64(float32("+g.text(e)+"))")
}

// callee names the called builtin or package-level function: "min",
// "math.Max"; "" for anything else.
func (g *generator) callee(call *ast.CallExpr) string {
	switch f := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		if b, ok := g.pkg.info.Uses[f].(*types.Builtin); ok {
			return b.Name()
		}
	case *ast.SelectorExpr:
		if f, ok := g.pkg.info.Uses[f.Sel].(*types.Func); ok && f.Pkg() != nil && f.Signature().Recv() == nil {
			return f.Pkg().Path() + "." + f.Name()
		}
	}
	return ""
}

// isMessage reports whether call only makes an error or ends the program: its
// contents are wording, which tests should not pin down.
func (g *generator) isMessage(call *ast.CallExpr) bool {
	switch g.callee(call) {
	case "fmt.Errorf", "errors.New", "errors.Join", "panic":
		return true
	}
	sig := g.formatter(call)
	return sig != nil && sig.Results().Len() == 1 &&
		types.Identical(sig.Results().At(0).Type(), types.Universe.Lookup("error").Type())
}

// formatter returns the signature of a call that takes any values for a text,
// else nil.
func (g *generator) formatter(call *ast.CallExpr) *types.Signature {
	sig, ok := g.typeOf(call.Fun).Underlying().(*types.Signature)
	if !ok || !sig.Variadic() {
		return nil
	}
	rest, ok := sig.Params().At(sig.Params().Len() - 1).Type().(*types.Slice)
	if !ok {
		return nil
	}
	if elem, ok := rest.Elem().Underlying().(*types.Interface); !ok || !elem.Empty() {
		return nil
	}
	return sig
}

// skipHints marks what changes no result: capacity hints, and the values for
// the message of a check that itself returns nothing.
func (g *generator) skipHints(call *ast.CallExpr) {
	if sig := g.formatter(call); sig != nil && sig.Results().Len() == 0 {
		for _, a := range call.Args[min(sig.Params().Len()-1, len(call.Args)):] {
			g.skip[a] = true
		}
	}
	if g.callee(call) == "slices.Grow" && len(call.Args) == 2 {
		g.skip[call.Args[1]] = true
	}
	if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Grow" && len(call.Args) == 1 {
		g.skip[call.Args[0]] = true
	}
	if g.callee(call) != "make" {
		return
	}
	_, isMap := g.typeOf(call).Underlying().(*types.Map)
	if isMap && len(call.Args) == 2 || len(call.Args) == 3 {
		g.skip[call.Args[len(call.Args)-1]] = true
	}
}

// strideWords pairs the words for a row's pitch with those for its length.
var strideWords = [][2]string{{"Stride", "Cols"}, {"stride", "cols"}, {"LD", "Cols"}, {"ld", "cols"}}

// strideTwins returns the names that could be the twin of name: xStride for
// xCols, cols for ld and lda.
func strideTwins(name string) []string {
	var twins []string
	for _, w := range strideWords {
		pitch, length := w[0], w[1]
		if len(pitch) == 2 { // ld, lda, ldb: too short to look for inside other words
			if rest, ok := strings.CutPrefix(name, pitch); ok && len(rest) <= 1 {
				twins = append(twins, length, rest+length, rest+"Cols")
			}
			if name == length {
				twins = append(twins, pitch)
			}
			continue
		}
		if strings.Contains(name, pitch) {
			twins = append(twins, strings.Replace(name, pitch, length, 1))
		}
		if strings.Contains(name, length) {
			twins = append(twins, strings.Replace(name, length, pitch, 1))
		}
	}
	return twins
}

// strideIdent replaces a stride variable by the matching column count in
// scope, and the reverse.
func (g *generator) strideIdent(n *ast.Ident) {
	from, ok := g.pkg.info.Uses[n].(*types.Var)
	if _, qualified := g.parent(1).(*ast.SelectorExpr); !ok || from.IsField() || qualified || g.isTarget(n) {
		return
	}
	scope := g.pkg.types.Scope().Innermost(n.Pos())
	if scope == nil {
		return
	}
	for _, twin := range strideTwins(n.Name) {
		_, obj := scope.LookupParent(twin, n.Pos())
		if v, ok := obj.(*types.Var); ok && v != from && types.Identical(v.Type(), from.Type()) {
			g.edit("stride", g.statement(n), n.Pos(), n.End(), twin)
		}
	}
}

// strideField does the same for fields and methods of one value: m.Stride and
// m.Cols.
func (g *generator) strideField(n *ast.SelectorExpr) {
	from := g.pkg.info.Uses[n.Sel]
	base := g.typeOf(n.X)
	if from == nil || g.isTarget(n) || base == types.Typ[types.Invalid] { // invalid: a package
		return
	}
	for _, twin := range strideTwins(n.Sel.Name) {
		obj, _, _ := types.LookupFieldOrMethod(base, true, g.pkg.types, twin)
		if obj != nil && types.Identical(obj.Type(), from.Type()) {
			g.edit("stride", g.statement(n), n.Sel.Pos(), n.Sel.End(), twin)
		}
	}
}

// isTarget reports whether the visited node is assigned to.
func (g *generator) isTarget(n ast.Expr) bool {
	switch p := g.parent(1).(type) {
	case *ast.AssignStmt:
		for _, l := range p.Lhs {
			if l == n {
				return true
			}
		}
	case *ast.KeyValueExpr:
		return p.Key == n
	case *ast.IncDecStmt:
		return true
	}
	return false
}

// isElement reports whether e is an indexed element or a field of one.
func isElement(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.IndexExpr:
		return true
	case *ast.SelectorExpr:
		return isElement(e.X)
	}
	return false
}

// isBoundsHint recognises "_ = x[i]", which only tells the compiler about the
// length of x.
func isBoundsHint(n *ast.AssignStmt) bool {
	if len(n.Lhs) != 1 || len(n.Rhs) != 1 {
		return false
	}
	id, ok := n.Lhs[0].(*ast.Ident)
	_, indexed := n.Rhs[0].(*ast.IndexExpr)
	return ok && indexed && id.Name == "_"
}

// isSequence reports whether indexing t takes an integer position.
func isSequence(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Slice, *types.Array:
		return true
	case *types.Pointer:
		_, ok := u.Elem().Underlying().(*types.Array)
		return ok
	case *types.Basic:
		return u.Info()&types.IsString != 0
	}
	return false
}

func isInteger(t types.Type) bool { return every(t, types.IsInteger) }

func isNumeric(t types.Type) bool { return every(t, types.IsNumeric) }

// every reports whether t, or each type in its type set, has the property.
func every(t types.Type, property types.BasicInfo) bool {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Info()&property != 0
	case *types.Interface:
		terms := 0
		for i := range u.NumEmbeddeds() {
			switch e := u.EmbeddedType(i).(type) {
			case *types.Union:
				for j := range e.Len() {
					if !every(e.Term(j).Type(), property) {
						return false
					}
					terms++
				}
			default:
				if !every(e, property) {
					return false
				}
				terms++
			}
		}
		return terms > 0
	}
	return false
}
