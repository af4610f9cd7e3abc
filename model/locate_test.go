package model

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLocate(t *testing.T) {
	for _, v := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"} {
		t.Setenv(v, "")
	}
	home := t.TempDir()
	t.Chdir(t.TempDir())
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	write := func(path, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	cache := filepath.Join(home, ".cache", "huggingface", "hub")
	repository := filepath.Join(cache, "models--org--name")
	write(filepath.Join(repository, "refs", "main"), "abc123\n")
	write(filepath.Join(repository, "refs", "bad"), "../../..")
	write(filepath.Join(repository, "refs", "empty"), "")
	write(filepath.Join(repository, "snapshots", "abc123", "config.json"), "{}")
	write(filepath.Join(repository, "snapshots", "def456", "config.json"), "{}")
	write(filepath.Join(cache, "models--gpt2", "refs", "main"), "gone")
	write(filepath.Join("here", "config.json"), "{}")
	for name, want := range map[string]string{
		"org/name":        filepath.Join(repository, "snapshots", "abc123"),
		"org/name@main":   filepath.Join(repository, "snapshots", "abc123"),
		"org/name@def456": filepath.Join(repository, "snapshots", "def456"),
		"here":            "here",
		"org/name@bad":    "!no snapshot of revision bad",
		"org/name@empty":  "!no snapshot of revision empty",
		"org/name@other":  "!no snapshot of revision other",
		"gpt2":            "!no snapshot of revision main",
		"org/other":       "!hf download org/other",
		"a/b/c":           "!neither a path nor",
		"../x":            "!neither a path nor",
		"org/..":          "!neither a path nor",
		"":                "!neither a path nor",
	} {
		got, err := Locate(name)
		mentions, fails := strings.CutPrefix(want, "!")
		switch {
		case fails && (!errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), mentions)):
			t.Errorf("%q: %v", name, err)
		case !fails && (err != nil || got != want):
			t.Errorf("%q is at %q, %v, want %q", name, got, err, want)
		}
	}
	// The variables, each before those after it.
	for _, v := range [][2]string{{"XDG_CACHE_HOME", "huggingface/hub"}, {"HF_HOME", "hub"}, {"HUGGINGFACE_HUB_CACHE", ""}, {"HF_HUB_CACHE", ""}} {
		dir := t.TempDir()
		t.Setenv(v[0], dir)
		want := filepath.Join(dir, filepath.FromSlash(v[1]), "models--me--mine", "snapshots", "main")
		write(filepath.Join(want, "config.json"), "{}")
		if got, err := Locate("me/mine"); err != nil || got != want {
			t.Errorf("%s: %q, %v", v[0], got, err)
		}
	}
}
