package model

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// hubID is a name of the Hugging Face hub: one or two parts, and a revision.
var hubID = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)?)(?:@([A-Za-z0-9._-]+))?$`)

// Locate returns the path of a model: name itself if it is one, else the snapshot
// of a hub id, org/name or org/name@revision, in the local Hugging Face cache.
// Nothing is downloaded. Errors: [ErrNotFound], with the folders that were
// looked into.
func Locate(name string) (string, error) {
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	id := hubID.FindStringSubmatch(name)
	if id == nil {
		return "", fmt.Errorf("model: %q is neither a path nor a hub id such as org/name: %w", name, ErrNotFound)
	}
	cache, err := hubCache()
	if err != nil {
		return "", fmt.Errorf("model: %q: %w: %w", name, ErrNotFound, err)
	}
	repository := filepath.Join(cache, "models--"+strings.ReplaceAll(id[1], "/", "--"))
	if _, err := os.Stat(repository); err != nil {
		return "", fmt.Errorf("model: %q is no path, and the Hugging Face cache %s does not have it: %w (download it with: hf download %s)", name, cache, ErrNotFound, id[1])
	}
	revision := id[2]
	if revision == "" {
		revision = "main"
	}
	// A branch or tag is a file with the commit; a commit is a folder by itself.
	commit, err := readRef(filepath.Join(repository, "refs", revision))
	if err != nil {
		commit = revision
	}
	snapshot := filepath.Join(repository, "snapshots", commit)
	if info, err := os.Stat(snapshot); err != nil || !info.IsDir() {
		return "", fmt.Errorf("model: %q: %s has no snapshot of revision %s: %w (download it with: hf download %s)", name, repository, revision, ErrNotFound, id[1])
	}
	return snapshot, nil
}

// readRef reads the commit that a branch is at.
func readRef(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // within the cache: the parts of the name have no separators
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, 100))
	commit := strings.TrimSpace(string(text))
	if err == nil && (commit == "" || commit != filepath.Base(commit)) {
		err = fmt.Errorf("%q is no commit", commit)
	}
	return commit, err
}

// hubCache returns the cache's folder, by the variables that huggingface_hub heeds.
func hubCache() (string, error) {
	for _, v := range [][]string{
		{"HF_HUB_CACHE"}, {"HUGGINGFACE_HUB_CACHE"}, {"HF_HOME", "hub"}, {"XDG_CACHE_HOME", "huggingface", "hub"},
	} {
		if dir := os.Getenv(v[0]); dir != "" {
			return filepath.Join(append([]string{dir}, v[1:]...)...), nil
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".cache", "huggingface", "hub"), nil
}
