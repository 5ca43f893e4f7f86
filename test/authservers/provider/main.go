// Command provider is an OAuth 2.0 authorization server on loopback, for tests:
// real grants, introspection and revocation of ory/fosite, and the description of
// OpenID Connect Discovery. It is a module of its own, so that nothing else has
// what it needs. It tells its address in its first line, and ends when its
// standard input does.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"
)

func main() {
	o := options{}
	flag.StringVar(&o.client, "client", "", "`ID` of the client")
	flag.StringVar(&o.clientSecret, "client-secret", "", "its secret")
	flag.StringVar(&o.user, "user", "", "name of the user")
	flag.StringVar(&o.password, "password", "", "its password")
	flag.StringVar(&o.audience, "audience", "", "that tokens may be asked for")
	flag.StringVar(&o.issuer, "issuer", "", "`path` of the issuer")
	flag.StringVar(&o.token, "token-path", "/oauth2/token", "path of the token endpoint")
	flag.StringVar(&o.named, "token-endpoint", "", "`URL` that discovery names instead")
	flag.DurationVar(&o.life, "life", time.Hour, "of tokens")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

type options struct {
	client, clientSecret, user, password, audience string
	issuer, token, named                           string
	life                                           time.Duration
}

type provider struct {
	options
	base   string
	oauth2 fosite.OAuth2Provider
	grants atomic.Int64
}

func run(o options) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p := &provider{options: o, base: "http://" + l.Addr().String()}
	if err := p.prepare(); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+o.issuer+"/.well-known/openid-configuration", p.describe)
	mux.HandleFunc("POST "+o.token, p.grant)
	mux.HandleFunc("POST /introspect", p.introspect)
	mux.HandleFunc("POST /revoke", p.revoke)
	mux.HandleFunc("GET /grants", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, p.grants.Load()) })
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(p.base)
	return http.Serve(l, mux)
}

func (p *provider) prepare() error {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	config := &fosite.Config{GlobalSecret: secret, AccessTokenLifespan: p.life, HashCost: 4} // of bcrypt: nobody is to be kept out for long
	hashed, err := (&fosite.BCrypt{Config: config}).Hash(context.Background(), []byte(p.clientSecret))
	if err != nil {
		return err
	}
	store := storage.NewMemoryStore()
	store.Clients[p.client] = &fosite.DefaultClient{
		ID: p.client, Secret: hashed, GrantTypes: []string{"client_credentials", "password"},
		Scopes: []string{"hooks", "items"}, Audience: []string{p.audience},
	}
	store.Users[p.user] = storage.MemoryUserRelation{Username: p.user, Password: p.password}
	p.oauth2 = compose.Compose(config, store, &compose.CommonStrategy{CoreStrategy: compose.NewOAuth2HMACStrategy(config)},
		compose.OAuth2ClientCredentialsGrantFactory, compose.OAuth2ResourceOwnerPasswordCredentialsFactory,
		compose.OAuth2TokenIntrospectionFactory, compose.OAuth2TokenRevocationFactory)
	return nil
}

func (p *provider) describe(w http.ResponseWriter, _ *http.Request) {
	endpoint := p.base + p.token
	if p.named != "" {
		endpoint = p.named
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"issuer": p.base + p.issuer, "token_endpoint": endpoint, "jwks_uri": p.base + "/keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
	})
}

func (p *provider) grant(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	session := &fosite.DefaultSession{Subject: p.client}
	request, err := p.oauth2.NewAccessRequest(ctx, r, session)
	if err != nil {
		p.oauth2.WriteAccessError(ctx, w, request, err)
		return
	}
	for _, s := range request.GetRequestedScopes() {
		request.GrantScope(s)
	}
	for _, a := range request.GetRequestedAudience() {
		request.GrantAudience(a)
	}
	if request.GetGrantTypes().ExactOne("password") {
		session.Username = strings.TrimSpace(r.PostForm.Get("username"))
	}
	response, err := p.oauth2.NewAccessResponse(ctx, request)
	if err != nil {
		p.oauth2.WriteAccessError(ctx, w, request, err)
		return
	}
	p.grants.Add(1)
	p.oauth2.WriteAccessResponse(ctx, w, request, response)
}

func (p *provider) introspect(w http.ResponseWriter, r *http.Request) {
	response, err := p.oauth2.NewIntrospectionRequest(r.Context(), r, &fosite.DefaultSession{})
	if err != nil {
		p.oauth2.WriteIntrospectionError(r.Context(), w, err)
		return
	}
	p.oauth2.WriteIntrospectionResponse(r.Context(), w, response)
}

func (p *provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.oauth2.WriteRevocationResponse(r.Context(), w, p.oauth2.NewRevocationRequest(r.Context(), r))
}
