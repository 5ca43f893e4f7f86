package status

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// A Past is failures in a row that only the status of a Webhook knows of.
type Past struct {
	Failures int32
	Since    metav1.Time // when the first of them ended
}

// PastOf is what the status of w counts and the dispatchers that f speaks for do
// not know: all of it, if they started after the newest attempt; else what is
// more than they count. Ask once they have all reported, and keep the answer:
// later, the status counts what they know too. A success that nobody saw while
// the manager was away, and whose dispatcher is gone, they know from the attempt
// log: it ends what is past.
func PastOf(w *v1alpha1.Webhook, f rollout.Facts) Past {
	old := &w.Status
	if old.ObservedGeneration != w.Generation || inForce(old.AutomaticDisabling) || old.FailingSince == nil {
		return Past{} // they are of another epoch, or there are none
	}
	n := old.ConsecutiveFailures - count(f.Summary.ConsecutiveFailures)
	if d := old.LastDelivery; f.Complete && d != nil && d.Time.Before(seconds(f.Started)) {
		n = old.ConsecutiveFailures
	}
	return Past{Failures: max(n, 0), Since: *old.FailingSince}
}

// countFailures counts what failed since the last success, which may be one that
// no dispatcher remembers.
func countFailures(next *v1alpha1.WebhookStatus, s *outcome.Summary, past Past) {
	success := next.LastSuccessTime
	if past.Failures > 0 && (success == nil || success.Before(&past.Since)) {
		next.ConsecutiveFailures, next.FailingSince = past.Failures, &past.Since
	}
	if s.ConsecutiveFailures <= 0 || s.Last == nil || seconds(s.Last.Time).Before(success) {
		return
	}
	next.ConsecutiveFailures = count(int(next.ConsecutiveFailures) + s.ConsecutiveFailures)
	since := seconds(s.FailingSince)
	if s.FailingSince.IsZero() {
		since = seconds(s.Last.Time)
	}
	if since.Before(success) {
		since = success
	}
	if next.FailingSince == nil || since.Before(next.FailingSince) {
		next.FailingSince = since
	}
}
