package controllers

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/dispatcher/route"
)

// publisher writes a table into the Secrets that the dispatchers watch. It
// looks at what is there each time, so whatever somebody else did to them is undone.
type publisher struct {
	client    client.Client // reads live
	namespace string
	owner     *owner

	mu      sync.Mutex
	written map[string]string // resource version by name, of what we wrote ourselves
}

func newPublisher(c client.Client, namespace string, o *owner) *publisher {
	return &publisher{client: c, namespace: namespace, owner: o, written: map[string]string{}}
}

// +kubebuilder:rbac:groups="",namespace=postrider-system,resources=secrets,verbs=create;update;delete

// publish makes the Secrets carry the shards, and returns how many it had to write. A
// dispatcher takes a set of shards when all agree on their number, so when that
// changes, it goes on with the table that it has until the last one is written
// or removed.
func (p *publisher) publish(ctx context.Context, shards []route.Shard) (written int, err error) {
	for _, s := range slices.Backward(shards) {
		changed, err := p.write(ctx, route.SecretName(s.Index), s.Data)
		if err != nil {
			return written, fmt.Errorf("writing shard %d of %d: %w", s.Index, s.Of, err)
		}
		if changed {
			written++
		}
	}
	return written, p.removeSurplus(ctx, len(shards))
}

// write makes one Secret carry the shard, and reports whether it did not already.
func (p *publisher) write(ctx context.Context, name string, shard []byte) (changed bool, err error) {
	var o corev1.Secret
	err = p.client.Get(ctx, client.ObjectKey{Namespace: p.namespace, Name: name}, &o)
	switch {
	case apierrors.IsNotFound(err):
		return true, p.create(ctx, name, shard)
	case err != nil:
		return false, err
	case len(o.Data) == 1 && bytes.Equal(o.Data[route.SecretKey], shard) && o.Labels[route.SecretLabel] == route.SecretLabelValue:
		p.note(&o)
		return false, nil
	case o.Immutable != nil && *o.Immutable: // somebody has frozen it
		if err := p.client.Delete(ctx, &o); err != nil {
			return false, err
		}
		return true, p.create(ctx, name, shard)
	}
	o.Labels, o.Data = shardLabels(o.Labels), map[string][]byte{route.SecretKey: shard}
	if err := p.client.Update(ctx, &o); err != nil {
		return false, err
	}
	p.note(&o)
	return true, nil
}

func (p *publisher) create(ctx context.Context, name string, shard []byte) error {
	owners, err := p.owner.references(ctx)
	if err != nil {
		return err
	}
	o := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: name, Labels: shardLabels(nil), OwnerReferences: owners},
		Data:       map[string][]byte{route.SecretKey: shard},
	}
	if err := p.client.Create(ctx, o); err != nil {
		return err
	}
	p.note(o)
	return nil
}

func shardLabels(labels map[string]string) map[string]string {
	if labels == nil {
		labels = map[string]string{}
	}
	labels[route.SecretLabel] = route.SecretLabelValue
	labels[managedByLabel] = managedBy
	return labels
}

// removeSurplus deletes the Secrets that carry shards beyond the first n.
func (p *publisher) removeSurplus(ctx context.Context, n int) error {
	list := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "SecretList"}}
	if err := p.client.List(ctx, list, client.InNamespace(p.namespace), client.HasLabels{route.SecretLabel}); err != nil {
		return fmt.Errorf("listing the Secrets of the table: %w", err)
	}
	wanted := make(map[string]bool, n)
	for i := range n {
		wanted[route.SecretName(i)] = true
	}
	for i := range list.Items {
		o := &list.Items[i]
		if wanted[o.Name] {
			continue
		}
		o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		if err := client.IgnoreNotFound(p.client.Delete(ctx, o)); err != nil {
			return fmt.Errorf("removing Secret %s: %w", o.Name, err)
		}
		p.mu.Lock()
		delete(p.written, o.Name)
		p.mu.Unlock()
	}
	return nil
}

func (p *publisher) note(o client.Object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written[o.GetName()] = o.GetResourceVersion()
}

// carries reports whether the Secret carries a part of the table, or claims to.
func (p *publisher) carries(o client.Object) bool {
	if o.GetNamespace() != p.namespace {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ours := p.written[o.GetName()]
	_, labelled := o.GetLabels()[route.SecretLabel]
	return ours || labelled
}

// wrote reports whether the Secret is as we left it.
func (p *publisher) wrote(o client.Object) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written[o.GetName()] == o.GetResourceVersion()
}
