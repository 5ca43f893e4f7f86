package access_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/access"
	"github.com/postrider/postrider/internal/secrecy"
)

const tokens = `# for tests
producer-token-0001, shop-backend, shop, create
producer-token-0001,shop-backend,cms,create,get
manager-token-00001, manager , *, get
"admin-token-0000001",admin,*,*
support-token-00001,ann,shop,create:webhooks/test,get:webhooks/deliveries
support-token-00001,ann,*,get:/report
`

func TestATokenFileGrantsWhatItsLinesSay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.csv")
	if err := os.WriteFile(path, []byte(tokens), 0o600); err != nil {
		t.Fatal(err)
	}
	static, err := access.ReadStatic(path)
	if err != nil {
		t.Fatal(err)
	}

	create := func(namespace string) access.Attributes {
		return access.Attributes{Verb: "create", Resource: "events", Namespace: namespace}
	}
	webhook := func(verb, subresource string) access.Attributes {
		return access.Attributes{Verb: verb, Resource: "webhooks", Subresource: subresource, Namespace: "shop", Name: "orders"}
	}
	report := access.Attributes{Verb: "get", NonResourcePath: "/report"}
	tests := []struct {
		name, token string
		wants       access.Attributes
		verdict     access.Verdict
		user        string
	}{
		{"its namespace", "producer-token-0001", create("shop"), access.Allowed, "shop-backend"},
		{"the namespace of its other line", "producer-token-0001", create("cms"), access.Allowed, "shop-backend"},
		{"another namespace", "producer-token-0001", create("crm"), access.Denied, "shop-backend"},
		{"another verb", "producer-token-0001", access.Attributes{Verb: "get", Resource: "events", Namespace: "shop"}, access.Denied, "shop-backend"},
		{"a path without every namespace", "producer-token-0001", report, access.Denied, "shop-backend"},
		{"a path", "manager-token-00001", report, access.Allowed, "manager"},
		{"a verb that is not its own", "manager-token-00001", create("shop"), access.Denied, "manager"},
		{"everything", "admin-token-0000001", create("shop"), access.Allowed, "admin"},
		{"a verb on a resource", "support-token-00001", webhook("create", "test"), access.Allowed, "ann"},
		{"another verb on it", "support-token-00001", webhook("get", "test"), access.Denied, "ann"},
		{"the verb on another resource", "support-token-00001", webhook("create", "replay"), access.Denied, "ann"},
		{"a verb without a resource, for all of them", "producer-token-0001", webhook("create", "replay"), access.Allowed, "shop-backend"},
		{"a verb on a path", "support-token-00001", report, access.Allowed, "ann"},
		{"an unknown token", "producer-token-0002", create("shop"), access.Unauthenticated, ""},
		{"part of a token", "producer-token-000", create("shop"), access.Unauthenticated, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := static.Decide(t.Context(), tt.token, tt.wants)
			if err != nil || got.Verdict != tt.verdict || got.User != tt.user {
				t.Errorf("got %+v and %v", got, err)
			}
			if (got.Verdict == access.Allowed) != (got.Remedy == "") {
				t.Errorf("remedy %q", got.Remedy)
			}
			secrecy.AssertNo(t, tt.token, map[string]any{"decision": got, "authority": static})
		})
	}
}

func TestATokenFileThatIsWrongSaysWhereAndShowsNoToken(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"too few fields", "# a\nproducer-token-0001,shop-backend,shop\n", `line 2: write "token, user, namespace or *, verb or verb:resource or * ..." and leave none empty`},
		{"an empty field", "producer-token-0001,,shop,create\n", `line 1: write "token, user, namespace or *, verb or verb:resource or * ..." and leave none empty`},
		{"a short token", "token-1,shop-backend,shop,create\n", "line 1: the token has 7 characters: use 16 to 8192"},
		{
			"one token for two", "producer-token-0001,a,shop,create\nproducer-token-0001,b,shop,create\n",
			`line 2: users "a" and "b" have the same token: give each its own`,
		},
		{"no CSV", "producer-\"token-0001,a\n", `reading CSV: parse error on line 1, column 10: bare " in non-quoted-field`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := access.ParseStatic(strings.NewReader(tt.file))
			if err == nil {
				t.Fatal("it was accepted")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Error("error (-want +got):\n" + diff)
			}
		})
	}
}

func FuzzParseStatic(f *testing.F) {
	f.Add(tokens)
	f.Add("a,b\n\"")
	f.Add("\xff,,,,\n#")
	f.Fuzz(func(t *testing.T, file string) {
		static, err := access.ParseStatic(strings.NewReader(file))
		if err != nil {
			return
		}
		got, err := static.Decide(t.Context(), "", access.Attributes{Verb: "create", Resource: "events", Namespace: "shop"})
		if err != nil || got.Verdict != access.Unauthenticated {
			t.Errorf("the empty token: %+v and %v", got, err)
		}
	})
}
