package compile

import (
	"fmt"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
)

// condition is what events have to fulfil: the condition, and, if they carry an
// item, the item condition too. Each is judged by itself first, so that a mistake
// is told of the field that it is in.
func (c *compiler) condition(v *Verdict, spec *v1alpha1.WebhookSpec) string {
	condition := spec.Condition
	if condition != "" {
		if err := c.checkCondition(condition); err != nil {
			v.reject(v1alpha1.ReasonInvalidCondition, "spec.condition", err.Error())
			condition = ""
		}
	}
	if spec.ItemCondition == "" {
		return condition
	}
	const path = "spec.itemCondition"
	if err := c.checkCondition(spec.ItemCondition); err != nil {
		v.reject(v1alpha1.ReasonInvalidCondition, path, err.Error())
		return condition
	}
	both := forItems(spec.ItemCondition)
	if condition != "" {
		both = "(" + condition + "\n) && " + both
	}
	if err := c.checkCondition(both); err != nil {
		v.reject(v1alpha1.ReasonInvalidCondition, path, fmt.Sprintf("together with spec.condition, and with %q around it, %v; shorten it", forItems("…"), err))
	}
	return both
}

// forItems lets events qualify that carry no item. The line break ends a comment.
func forItems(condition string) string {
	return "(!sitecore.hasItem(event) || (" + condition + "\n))"
}

func (c *compiler) checkCondition(expr string) error {
	err, known := c.conditions[expr]
	if !known {
		err = route.CheckCondition(expr)
		c.conditions[expr] = err
	}
	return err
}
