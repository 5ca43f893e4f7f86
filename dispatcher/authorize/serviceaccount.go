package authorize

import (
	"context"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
)

// minted gets tokens of a ServiceAccount in the namespace.
func minted(mint Mint, namespace string, of route.ServiceAccountToken) fetch {
	if mint == nil {
		return func(context.Context) (string, time.Duration, error) {
			return "", 0, &Unavailable{Detail: "this dispatcher runs without an API server, which would make the token"}
		}
	}
	return func(ctx context.Context) (string, time.Duration, error) {
		return mint(ctx, namespace, of.Name, of.Audience)
	}
}
