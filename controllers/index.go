package controllers

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
)

// bySecret finds the objects of a namespace that refer to a Secret by its name.
const bySecret = "secrets"

func addIndexes(to client.FieldIndexer) error {
	// The cache and the index are filled before a context could end them.
	ctx := context.Background()
	if err := errors.Join(
		indexSecrets(ctx, to, &v1alpha1.Webhook{}, compile.SecretsOfWebhook),
		indexSecrets(ctx, to, &v1alpha1.AuthorizationItem{}, compile.SecretsOfItem),
		indexSecrets(ctx, to, &v1alpha1.WebhookPolicy{}, compile.SecretsOfPolicy),
	); err != nil {
		return fmt.Errorf("indexing references to Secrets: %w", err)
	}
	return nil
}

func indexSecrets[T client.Object](ctx context.Context, to client.FieldIndexer, of T, names func(T) []string) error {
	return to.IndexField(ctx, of, bySecret, func(o client.Object) []string {
		t, ok := o.(T)
		if !ok {
			return nil
		}
		return names(t)
	})
}

// refersTo selects the objects that refer to the Secret. They must not be
// changed: they are those of the cache.
func refersTo(secret client.Object) []client.ListOption {
	return []client.ListOption{
		client.InNamespace(secret.GetNamespace()), client.MatchingFields{bySecret: secret.GetName()}, client.UnsafeDisableDeepCopy,
	}
}
