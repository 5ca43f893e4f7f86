package status

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/api/v1alpha1"
)

// flip is the least time between two writes because of what the receiver
// does: one that answers now so, now so, would cause a write per delivery.
const flip = time.Second

// Patience says how long after the last write of a status the change from old
// to next may wait, and whether there is one at all. What concerns the Webhook
// itself, and its first delivery, do not wait; what the receiver makes of it
// waits for a moment; times and counters wait for the interval.
func Patience(old, next v1alpha1.WebhookStatus, interval time.Duration) (wait time.Duration, changed bool) {
	switch {
	case equality.Semantic.DeepEqual(old, next):
		return 0, false
	case !equality.Semantic.DeepEqual(ofWebhook(old), ofWebhook(next)):
		return 0, true
	case !equality.Semantic.DeepEqual(ofReceiver(old), ofReceiver(next)):
		return flip, true
	default:
		return interval, true
	}
}

// ofWebhook is what a status says of the Webhook itself.
func ofWebhook(s v1alpha1.WebhookStatus) any {
	var conditions []metav1.Condition
	for _, c := range s.Conditions {
		if c.Type != v1alpha1.ConditionDelivering {
			conditions = append(conditions, c)
		}
	}
	return struct {
		Conditions  []metav1.Condition
		Generation  int64
		State       v1alpha1.WebhookState
		StateReason string
		Disabling   *v1alpha1.AutomaticDisabling
		Delivered   bool
	}{conditions, s.ObservedGeneration, s.State, s.StateReason, s.AutomaticDisabling, s.LastDelivery != nil}
}

// ofReceiver is what a status says of the receiver, without how often and when.
func ofReceiver(s v1alpha1.WebhookStatus) any {
	delivering := metav1.Condition{}
	for _, c := range s.Conditions {
		if c.Type == v1alpha1.ConditionDelivering {
			delivering = c
		}
	}
	return struct {
		Delivering                 metav1.Condition
		LastError                  string
		Succeeded, Failing, Buried bool
	}{delivering, s.LastError, s.LastSuccessTime != nil, s.ConsecutiveFailures > 0, s.DeadLetters > 0}
}
