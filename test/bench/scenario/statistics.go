package scenario

import (
	"slices"
	"time"
)

// each is f of each measurement.
func each[T any](all []T, f func(T) float64) []float64 {
	values := make([]float64, len(all))
	for i, one := range all {
		values[i] = f(one)
	}
	return values
}

// cpu is what a delivery of r cost, in microseconds.
func cpu(r round) float64 { return microseconds(r.cpu) }

// ratios compare what a delivery cost, round by round: those of one turn were
// measured under the same circumstances.
func ratios(these, those []round) []float64 { return quotients(each(these, cpu), each(those, cpu)) }

func quotients(these, those []float64) []float64 {
	values := make([]float64, len(these))
	for i := range these {
		values[i] = these[i] / those[i]
	}
	return values
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}

// median is the middle one, or the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// milliseconds is the value below which a share q of the sorted durations are.
func milliseconds(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := min(int(q*float64(len(sorted))), len(sorted)-1)
	return float64(sorted[i].Microseconds()) / 1000
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func megabytes(n int64) float64 { return float64(n) / 1e6 }
