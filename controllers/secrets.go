package controllers

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secrets reads the Secrets that are referred to and remembers them by their
// resource version. The cache holds no content of any Secret, only metadata.
type secrets struct {
	cached client.Reader // of metadata
	live   client.Reader

	mu    sync.Mutex
	known map[types.NamespacedName]knownSecret
}

type knownSecret struct {
	version string
	data    map[string][]byte
}

func newSecrets(cached, live client.Reader) *secrets {
	return &secrets{cached: cached, live: live, known: map[types.NamespacedName]knownSecret{}}
}

// load returns the data of those that exist, and forgets all others.
func (s *secrets) load(ctx context.Context, refs map[types.NamespacedName]struct{}) (map[types.NamespacedName]map[string][]byte, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(secretReaders)
	for name := range refs {
		g.Go(func() error { return s.refresh(ctx, name) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.known, func(name types.NamespacedName, _ knownSecret) bool { _, ok := refs[name]; return !ok })
	data := make(map[types.NamespacedName]map[string][]byte, len(s.known))
	for name, k := range s.known {
		data[name] = k.data
	}
	return data, nil
}

// refresh brings what is known of one Secret up to date.
func (s *secrets) refresh(ctx context.Context, name types.NamespacedName) error {
	head := secretHead()
	err := s.cached.Get(ctx, name, head, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		s.forget(name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up Secret %s: %w", name, err)
	}
	s.mu.Lock()
	current := s.known[name].version == head.ResourceVersion
	s.mu.Unlock()
	if current {
		return nil
	}

	var o corev1.Secret
	err = s.live.Get(ctx, name, &o)
	if apierrors.IsNotFound(err) {
		s.forget(name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading Secret %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[name] = knownSecret{o.ResourceVersion, o.Data}
	return nil
}

func (s *secrets) forget(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, name)
}

// secretHead asks for the metadata of a Secret and nothing else.
func secretHead() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}
}
