package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
	"github.com/postrider/postrider/controllers/status"
)

// judgedWriter writes the status of objects that are judged and nothing else.
type judgedWriter struct {
	client client.Client
	now    func() time.Time
}

// write brings the status of o, which at points into o, in line with the verdict.
func (w judgedWriter) write(ctx context.Context, o client.Object, at *v1alpha1.JudgedStatus, v compile.Verdict) error {
	if !v.About(o) {
		return nil // of another generation: the table controller will ask again
	}
	next := status.ForJudged(*at, v, w.now())
	if equality.Semantic.DeepEqual(*at, next) {
		return nil
	}
	old, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("a copy of %T is not an object", o)
	}
	*at = next
	if err := w.client.Status().Patch(ctx, o, client.MergeFrom(old)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	return nil
}
