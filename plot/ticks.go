package plot

import (
	"math"
	"strconv"
	"strings"
)

// A tick is a labelled place on a scale.
type tick struct {
	value float64
	label string
}

// ticks returns the multiples of a round step (1, 2 or 5 times a power of ten)
// within s, about n of them and at most n+1. With whole, the step is 1 or more.
func ticks(s span, n int, whole bool) []tick {
	step := roundUp((s.high - s.low) / float64(n))
	if whole {
		step = max(step, 1)
	}
	const slack = 1e-9 // an end that is a multiple but for rounding counts
	first, last := math.Ceil(s.low/step-slack), math.Floor(s.high/step+slack)
	most := max(math.Abs(first), math.Abs(last)) * step
	var out []tick
	for i := first; i <= last; i++ {
		v := i * step
		if i == 0 {
			v = 0 // not -0
		}
		out = append(out, tick{v, tickLabel(v, step, most)})
	}
	return out
}

// roundUp returns the smallest of 1, 2, 5 times a power of ten that is x or more.
func roundUp(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= x*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// tickLabel writes v with the digits that tell multiples of step apart, with an
// exponent where the largest of them or the step would be long.
func tickLabel(v, step, most float64) string {
	exponent := int(math.Floor(math.Log10(step) + 1e-9))
	if most < 1e6 && exponent >= -4 {
		return strconv.FormatFloat(v, 'f', max(0, -exponent), 64)
	}
	digits := 1
	if v != 0 {
		digits = max(1, int(math.Floor(math.Log10(math.Abs(v))+1e-9))-exponent+1)
	}
	mantissa, power, _ := strings.Cut(strconv.FormatFloat(v, 'e', digits-1, 64), "e")
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	return mantissa + "e" + power
}

// number writes a value to be read: four significant digits, or a whole number.
func number(v float64) string {
	if math.IsNaN(v) {
		return "undefined"
	}
	if a := math.Abs(v); a >= 1000 && a < 1e6 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// aligned writes values for a column or a grid: to so many decimals if that
// shows them, else to so many significant digits. NaN is "".
func aligned(values []float64, decimals int) []string {
	most := 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			most = max(most, math.Abs(v))
		}
	}
	fixed := most < 100 && most >= math.Pow10(1-decimals)
	out := make([]string, len(values))
	for i, v := range values {
		switch {
		case math.IsNaN(v):
		case fixed && math.Abs(v) < 0.5*math.Pow10(-decimals):
			out[i] = strconv.FormatFloat(0, 'f', decimals, 64) // no sign
		case fixed:
			out[i] = strconv.FormatFloat(v, 'f', decimals, 64)
		default:
			out[i] = strconv.FormatFloat(v, 'g', decimals+1, 64)
		}
	}
	return out
}

// thin returns the step, 1, 2 or 5 times a power of ten, at which labels that
// need that much room stand clear of each other when neighbours are pitch apart.
func thin(pitch, need float64) int {
	for power := 1; ; power *= 10 {
		for _, m := range []int{1, 2, 5} {
			if float64(m*power)*pitch >= need {
				return m * power
			}
		}
	}
}
