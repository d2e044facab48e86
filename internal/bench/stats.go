package bench

import "slices"

// Spread is what repetitions gave: the median, and the least and the most.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spread sums values up; nil if there are none.
func spread(values []float64) *Spread {
	if len(values) == 0 {
		return nil
	}
	return &Spread{Median: median(values), Min: slices.Min(values), Max: slices.Max(values)}
}

// median is the middle one, or the mean of the middle two; -1 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return -1
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// known are the values that are known, which are those not negative.
func known(values []float64) []float64 {
	return slices.DeleteFunc(values, func(v float64) bool { return v < 0 })
}

// turns is the order of n parties in a repetition: reversed every other time, so that what drifts favours none.
func turns(n, repetition int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	if repetition%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

// tooNoisy is the noise rule: a run is none if nobody explains more than a tenth of the machine. What is not known, as
// where there is no /proc, is held against no run.
const noiseLimit = 0.1

func tooNoisy(share float64) bool { return share > noiseLimit }
