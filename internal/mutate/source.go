package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// A sourceFile is one file of the host build of a package.
type sourceFile struct {
	name      string // relative to the module's root, with slashes
	path      string
	src       []byte
	syntax    *ast.File
	generated bool
}

// A goPackage is a type-checked package; its dependencies come from the
// compiler's export data, which go list produces and caches.
type goPackage struct {
	importPath string
	fset       *token.FileSet
	files      []*sourceFile
	types      *types.Package
	info       *types.Info
	conf       types.Config
}

// listedPackage holds the fields read from go list.
type listedPackage struct {
	ImportPath, Dir, Export string
	GoFiles, CgoFiles       []string
	ImportMap               map[string]string
	DepOnly                 bool
	Module                  *struct{ Dir, GoVersion string }
}

// loadGo lists, parses and type-checks the packages that patterns name.
func loadGo(ctx context.Context, dir, root string, env, patterns []string) ([]*goPackage, error) {
	args := append([]string{
		"list", "-export", "-deps",
		"-json=ImportPath,Dir,Export,GoFiles,CgoFiles,ImportMap,DepOnly,Module", "--",
	}, patterns...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("mutate: go list %s: %w: %s", strings.Join(patterns, " "), err, strings.TrimSpace(stderr.String()))
	}
	export := map[string]string{}
	var targets []listedPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("mutate: reading go list: %w", err)
		}
		export[p.ImportPath] = p.Export
		if !p.DepOnly {
			targets = append(targets, p)
		}
	}
	var pkgs []*goPackage
	for _, t := range targets {
		p, err := typeCheck(t, root, export)
		if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
	return pkgs, nil
}

func typeCheck(listed listedPackage, root string, export map[string]string) (*goPackage, error) {
	p := &goPackage{importPath: listed.ImportPath, fset: token.NewFileSet()}
	lookup := func(path string) (io.ReadCloser, error) {
		if mapped, ok := listed.ImportMap[path]; ok {
			path = mapped
		}
		if export[path] == "" {
			return nil, fmt.Errorf("mutate: no export data for %s", path)
		}
		return os.Open(export[path])
	}
	p.conf = types.Config{
		Importer:    importer.ForCompiler(p.fset, "gc", lookup),
		Sizes:       types.SizesFor("gc", hostArch()),
		FakeImportC: true,
	}
	if listed.Module != nil && listed.Module.GoVersion != "" {
		p.conf.GoVersion = "go" + listed.Module.GoVersion
	}
	var syntax []*ast.File
	for _, name := range append(listed.GoFiles, listed.CgoFiles...) {
		f, err := p.parse(root, filepath.Join(listed.Dir, name))
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, f)
		syntax = append(syntax, f.syntax)
	}
	p.info = &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{},
		Defs: map[*ast.Ident]types.Object{}, Scopes: map[ast.Node]*types.Scope{},
	}
	pkg, err := p.conf.Check(p.importPath, p.fset, syntax, p.info)
	if err != nil {
		return nil, fmt.Errorf("mutate: type-checking %s: %w", p.importPath, err)
	}
	p.types = pkg
	return p, nil
}

// hostArch is the architecture the go command builds for.
func hostArch() string {
	if arch := os.Getenv("GOARCH"); arch != "" {
		return arch
	}
	return runtime.GOARCH
}

func (p *goPackage) parse(root, path string) (*sourceFile, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("mutate: %w", err)
	}
	syntax, err := parser.ParseFile(p.fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("mutate: parsing: %w", err)
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return nil, fmt.Errorf("mutate: %s lies outside the module at %s: %w", path, root, err)
	}
	return &sourceFile{
		name: filepath.ToSlash(rel), path: path, src: src, syntax: syntax,
		generated: ast.IsGenerated(syntax),
	}, nil
}

// compiles type-checks the package with the mutant in place. The compiler may
// still refuse what passes here (see judgeGo); that is rare.
func (p *goPackage) compiles(m *mutant) bool {
	var syntax []*ast.File
	found := false
	for _, f := range p.files {
		if f.path != m.path {
			syntax = append(syntax, f.syntax)
			continue
		}
		found = true
		mutated, err := parser.ParseFile(p.fset, f.path, m.mutated(), parser.SkipObjectResolution)
		if err != nil {
			return false
		}
		syntax = append(syntax, mutated)
	}
	if !found {
		return false
	}
	_, err := p.conf.Check(p.importPath, p.fset, syntax, nil)
	return err == nil
}

// moduleRoot returns the root of the module that holds dir, and without a
// module dir itself: file names in reports are relative to it.
func moduleRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("mutate: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return dir, nil
		}
	}
}
