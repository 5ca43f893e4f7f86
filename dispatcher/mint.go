package dispatcher

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/identity"
)

// newMint is how deliveries get tokens of ServiceAccounts; nil = there is no API
// server.
func newMint(o Options) (authorize.Mint, error) {
	if o.Kubernetes == nil {
		return nil, nil
	}
	mint, err := identity.New(o.Kubernetes, cmp.Or(o.Audience, DefaultAudience))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, namespace, name, audience string) (string, time.Duration, error) {
		token, life, err := mint.Token(ctx, namespace, name, audience)
		if refusal, ok := errors.AsType[*identity.Refusal](err); ok {
			return "", 0, &authorize.Unavailable{Detail: refusal.Detail}
		}
		return token, life, err
	}, nil
}
