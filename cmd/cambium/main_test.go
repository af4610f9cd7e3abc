package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// invoke runs one command line.
func invoke(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, talk bytes.Buffer
	code = run(ctx, args, &out, &talk)
	return code, out.String(), talk.String()
}

func TestExitCodes(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	profile := filepath.Join(t.TempDir(), "none", "cpu.prof")
	for _, c := range []struct {
		name string
		ctx  context.Context //nolint:containedctx // a table
		args []string
		code int
		text string // on stderr
	}{
		{"version", context.Background(), []string{"version"}, exitDone, ""},
		{"help", context.Background(), []string{"--help"}, exitDone, ""},
		{"no command", context.Background(), nil, exitUsage, "usage"},
		{"unknown command", context.Background(), []string{"bogus"}, exitUsage, "bogus"},
		{"unknown flag", context.Background(), []string{"demo", "--bogus"}, exitUsage, "--bogus"},
		{"bad backend", context.Background(), []string{"demo", "--backend", "tpu"}, exitUsage, "tpu"},
		{"bad memory", context.Background(), []string{"demo", "--memory", "lots"}, exitUsage, "lots"},
		{"cuda", context.Background(), []string{"demo", "--backend", "cuda"}, exitFailed, "(choose auto or cpu)"},
		{"strict", context.Background(), []string{"demo", "--strict"}, exitFailed, "strict"},
		{"negative device", context.Background(), []string{"demo", "--device=-1"}, exitUsage, "--device -1 is no index of a device (give 0 or more)"},
		{"negative workers", context.Background(), []string{"devices", "--workers=-1"}, exitUsage, "--workers -1: a backend has at most 1024 (give 1 to 1024"},
		{"many workers", context.Background(), []string{"demo", "--workers", "99999"}, exitUsage, "--workers 99999: a backend has at most 1024"},
		{"top", context.Background(), []string{"demo", "--top", "13"}, exitUsage, "--top 13: the model has 12 blocks (give 1 to 12)"},
		{"top 0", context.Background(), []string{"demo", "--top", "0"}, exitUsage, "--top 0"},
		{"profile", context.Background(), []string{"demo", "--cpuprofile", profile}, exitFailed, "profile"},
		{"interrupted", ended, []string{"demo"}, exitInterrupted, "interrupted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, talk := invoke(c.ctx, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, talk)
			}
			if !strings.Contains(talk, c.text) {
				t.Errorf("stderr %q does not say %q", talk, c.text)
			}
			if c.code != exitDone && (!strings.HasPrefix(talk, "cambium: ") || strings.Count(talk, "\n") != 1) {
				t.Errorf("an error is one line on stderr that starts with the command's name: %q", talk)
			}
			if strings.Contains(talk, "Open:") {
				t.Errorf("stderr names a function: %q", talk)
			}
			if (c.code == exitDone) != (out != "") {
				t.Errorf("stdout %q with exit code %d", out, c.code)
			}
		})
	}
}

// The embedded model's blocks: the scores agree with those that its training log
// states for other text, .703 .942 .955 .942 .945 .874 .910 .876 .884 .868 .857 .719.
func TestDemo(t *testing.T) {
	code, out, talk := invoke(context.Background(), "demo", "--json", "--quiet")
	if code != exitDone || talk != "" {
		t.Fatalf("exit code %d, stderr %q", code, talk)
	}
	var r demoReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	stated := []float64{.703, .942, .955, .942, .945, .874, .910, .876, .884, .868, .857, .719}
	for i, s := range r.Scores {
		if d := s.CKA - stated[i]; s.Block != i || d < -0.02 || d > 0.1 {
			t.Errorf("block %d: CKA %v, the log says %v", s.Block, s.CKA, stated[i])
		}
		if s.Debiased >= s.CKA {
			t.Errorf("block %d: debiased %v is not below biased %v", i, s.Debiased, s.CKA)
		}
	}
	if !slices.Equal(r.Selected, []int{0, 9, 10, 11}) || r.Backend == "" {
		t.Errorf("selected %v on %q", r.Selected, r.Backend)
	}
	_, text, talk := invoke(context.Background(), "demo", "--top", "2")
	if !strings.Contains(text, "change their input most: 0 11") || strings.Count(text, "*") != 3 || !strings.Contains(talk, "backend cpu/") {
		t.Errorf("table:\n%s\n%s", text, talk)
	}
}

func TestDevicesAndVersion(t *testing.T) {
	_, out, _ := invoke(context.Background(), "devices", "--json", "--workers", "3", "--memory", "2GiB")
	var d deviceReport
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if d.Workers != 3 || d.Memory != 2<<30 || len(d.Backends) < 2 || !d.Backends[0].Default {
		t.Errorf("%+v", d)
	}
	for _, b := range d.Backends {
		if b.Usable == (b.Reason != "") {
			t.Errorf("%+v", b)
		}
	}
	_, out, _ = invoke(context.Background(), "devices")
	if !strings.Contains(out, "cpu/generic") || !strings.Contains(out, "not usable: cuda: ") {
		t.Errorf("devices:\n%s", out)
	}
	_, out, _ = invoke(context.Background(), "version", "--json")
	var v versionReport
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Go == "" || v.Platform == "" || v.Version == "" {
		t.Errorf("version %+v, %v", v, err)
	}
}

func TestProfile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cpu.prof")
	if code, _, talk := invoke(context.Background(), "demo", "--cpuprofile", name); code != exitDone {
		t.Fatalf("exit code %d: %s", code, talk)
	}
	info, err := os.Stat(name)
	if err != nil || info.Size() == 0 {
		t.Errorf("profile: %v, %v", info, err)
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "1500000": 1500000, "1k": 1 << 10, "512M": 512 << 20, "512MiB": 512 << 20, "1.5G": 3 << 29, "2gb": 2 << 30, "1T": 1 << 40, "7B": 7,
	} {
		var s byteSize
		if err := s.UnmarshalText([]byte(text)); err != nil || uint64(s) != want {
			t.Errorf("%q is %d, want %d: %v", text, s, want, err)
		}
	}
	for _, text := range []string{"", "G", "-1", "NaN", "Inf", "1e30", "1GG", "1 2", "0x"} {
		var s byteSize
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted as %d", text, s)
		}
	}
}

func TestDemoData(t *testing.T) {
	if _, err := loadDemo(demoStates[1:]); err == nil || !strings.Contains(err.Error(), "bytes of states") {
		t.Errorf("truncated states: %v", err)
	}
}
