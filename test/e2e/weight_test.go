//go:build e2e

package e2e_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// maxResting bounds the resident memory of manager and dispatcher together when
// they have nothing to do, in bytes.
const maxResting = 150e6

// weigh waits until what work has left is given back.
func (s *trial) weigh(t *testing.T) {
	within(t, time.Minute, "the pods to become small", func() error {
		sum := 0.0
		var each []string
		for _, component := range []string{"manager", "dispatcher"} {
			_, kB := s.neighbour(t, "weigh", component)
			n, err := strconv.ParseFloat(strings.TrimSpace(kB), 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n * 1024
			each = append(each, fmt.Sprintf("%s %.1f MB", component, n*1024/1e6))
		}
		t.Logf("FIGURE resident at rest: %s, together %.1f MB (target: less than %.0f MB)", strings.Join(each, ", "), sum/1e6, maxResting/1e6)
		if sum >= maxResting {
			return fmt.Errorf("they take %.1f MB", sum/1e6)
		}
		return nil
	})
}
