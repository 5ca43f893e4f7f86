// Package figures is what a benchmark found out, as JSON and as a table.
package figures

import (
	"encoding/json"
	"fmt"
	"os"
)

// Figures are the results, each nil when it was not measured. Their names in
// JSON are what comparisons over time rely on.
type Figures struct {
	Fanout1   *Fanout    `json:"fanout_1,omitempty"`
	Fanout10  *Fanout    `json:"fanout_10,omitempty"`
	Fanout100 *Fanout    `json:"fanout_100,omitempty"`
	Isolation *Isolation `json:"isolation,omitempty"`
	Deferred  *Deferred  `json:"deferred,omitempty"`
	Memory    *Memory    `json:"memory,omitempty"`
}

// Fanout is what a delivery costs, and how long it takes.
type Fanout struct {
	CPUPerDelivery    Number `json:"cpu_us_per_delivery"`  // µs of the dispatcher, saturated
	CPURatioNullRelay Number `json:"cpu_ratio_null_relay"` // to that of the null relay
	CPURatioClient    Number `json:"cpu_ratio_client"`     // to that of the bare client
	DeliveriesPerS    Number `json:"deliveries_per_s"`     // saturated
	P50               Number `json:"p50_ms"`               // from the post to the arrival, at half of that
	P99               Number `json:"p99_ms"`
	Lost              int    `json:"lost"`
	Duplicates        int    `json:"duplicates"`
}

// Isolation is what dead receivers do to the others.
type Isolation struct {
	HealthyRatio Number `json:"healthy_ratio"` // of the deliveries per second to healthy receivers, with dead ones to without
	P99Ratio     Number `json:"p99_ratio"`     // of the p99 of these deliveries
	Lost         int    `json:"lost"`
}

// Deferred is what waiting deliveries cost, and how they come due.
type Deferred struct {
	Pending   int    `json:"pending"`    // deliveries waiting at the restart
	RestartMs Number `json:"restart_ms"` // from the start of the process to the arrival of a new event
	FiredPerS Number `json:"fired_per_s"`
	Early     int    `json:"early"` // attempts before the receiver wanted them
	Lost      int    `json:"lost"`
}

// Memory is what many routes take.
type Memory struct {
	Routes   int    `json:"routes"`
	LoadedMB Number `json:"loaded_mb"` // resident, before any load
	PeakMB   Number `json:"peak_mb"`   // under load
	RSSMB    Number `json:"rss_mb"`    // idle after a load
	RestedMB Number `json:"rested_mb"` // some time later
}

// Number is a measurement; its JSON has three significant digits, or all
// before the point.
type Number float64

// MarshalJSON implements [json.Marshaler].
func (n Number) MarshalJSON() ([]byte, error) { return []byte(n.plain()), nil }

func (n Number) plain() string {
	switch {
	case n >= 100 || n == 0:
		return fmt.Sprintf("%.0f", float64(n))
	case n >= 10:
		return fmt.Sprintf("%.1f", float64(n))
	case n >= 1:
		return fmt.Sprintf("%.2f", float64(n))
	default:
		return fmt.Sprintf("%.3f", float64(n))
	}
}

// String is for people: with a comma between thousands.
func (n Number) String() string {
	text := n.plain()
	for i := len(text) - 3; n >= 1000 && i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Write writes f to a file.
func (f *Figures) Write(path string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("writing the figures: %w", err)
	}
	return nil
}

// Err is what must never be: something lost, or early. It is no matter of time.
func (f *Figures) Err() error {
	lost, early := 0, 0
	for _, o := range []*Fanout{f.Fanout1, f.Fanout10, f.Fanout100} {
		if o != nil {
			lost += o.Lost
		}
	}
	if f.Isolation != nil {
		lost += f.Isolation.Lost
	}
	if f.Deferred != nil {
		lost += f.Deferred.Lost
		early = f.Deferred.Early
	}
	if lost > 0 || early > 0 {
		return fmt.Errorf("%d deliveries were lost, %d attempts were early", lost, early)
	}
	return nil
}
