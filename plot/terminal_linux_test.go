package plot

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDetectTerminal(t *testing.T) {
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	defer f.Close()
	getenv := func(name string) string { return map[string]string{"TERM": "xterm-256color"}[name] }
	for columns, want := range map[uint16]int{0: 0, 7: 20, 20: 20, 133: 133} {
		if err := unix.IoctlSetWinsize(int(f.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 5, Col: columns}); err != nil {
			t.Skip("no size to set here:", err)
		}
		if got := DetectTerminal(f, getenv); got != (TerminalOptions{Width: want, Color: Color256}) {
			t.Errorf("%d columns: %+v, want width %d and 256 colours", columns, got, want)
		}
	}
}
