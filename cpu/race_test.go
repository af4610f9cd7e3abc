//go:build race

package cpu

// raceDetector says that sync.Pool drops what it holds at random.
const raceDetector = true
