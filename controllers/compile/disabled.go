package compile

import (
	"fmt"
	"strings"

	"github.com/postrider/postrider/api/v1alpha1"
)

// disabled says why o selects no event, empty when it does. Whoever disabled
// it, it means the same.
func disabled(o *v1alpha1.Webhook) string {
	switch a := o.Status.AutomaticDisabling; {
	case o.Spec.Disabled:
		return v1alpha1.ReasonSpecDisabled
	case o.Spec.Type == v1alpha1.WebhookValidationAction: // whoever writes statuses does not take validators away
		return ""
	case a != nil && a.EnabledTime == nil && a.Generation == o.Generation:
		return a.Reason
	}
	return ""
}

// Epoch names the time of o within which failures in a row are counted, see
// [route.Route]. There is a new one with each edit of the spec, so that nobody
// is disabled for what an older one did, and with each automatic disabling: in
// the one that begins there nothing has failed yet when the Webhook is enabled.
// An object of the same name as one that was deleted has its own.
func Epoch(o *v1alpha1.Webhook) string {
	object, _, _ := strings.Cut(string(o.UID), "-") // 32 bits tell an object from its predecessor
	var number int64
	if a := o.Status.AutomaticDisabling; a != nil {
		number = a.Number
	}
	return fmt.Sprintf("%s.%d.%d", object, o.Generation, number)
}
