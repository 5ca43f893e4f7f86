package sign_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/sign"
	"github.com/postrider/postrider/internal/secrecy"
)

const (
	oldKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newKey = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

func signer(tb testing.TB, keys ...route.Secret) *sign.Signer {
	tb.Helper()
	s, err := sign.New(&route.Signing{Keys: keys})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func verifier(tb testing.TB, key string) *standardwebhooks.Webhook {
	tb.Helper()
	v, err := standardwebhooks.NewWebhook(key)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func TestTheSignatureIsThatOfTheVectorsOfTheReferenceLibraries(t *testing.T) {
	for _, tt := range []struct {
		name, key, id string
		at            int64
		body, want    string
	}{
		// The reference libraries share the first; the second is that of Rust.
		{"shared", oldKey, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		{"Rust", newKey, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1649367553, `{"email":"test@example.com","username":"test_user"}`, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			signer(t, route.Secret(tt.key)).Sign(h, tt.id, time.Unix(tt.at, 999), []byte(tt.body))
			want := http.Header{
				"Webhook-Id":        {tt.id},
				"Webhook-Timestamp": {fmt.Sprint(tt.at)},
				"Webhook-Signature": {tt.want},
			}
			if diff := cmp.Diff(want, h); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheReferenceLibraryVerifiesEachOfTheKeys(t *testing.T) {
	s := signer(t, newKey, oldKey)
	body := []byte(`{"type":"item:added"}`)
	h := http.Header{}
	s.Sign(h, "msg_1", time.Now(), body)
	for _, key := range []string{oldKey, newKey} {
		if err := verifier(t, key).Verify(body, h); err != nil {
			t.Errorf("%s does not verify: %v", key, err)
		}
	}
	if err := verifier(t, newKey).Verify([]byte(`{"type":"item:removed"}`), h); err == nil {
		t.Error("another body verifies")
	}
	newest, _, _ := strings.Cut(h.Get("webhook-signature"), " ")
	h.Set("webhook-signature", newest)
	if err := verifier(t, newKey).Verify(body, h); err != nil {
		t.Errorf("the first signature is not that of the newest key: %v", err)
	}
}

func TestWithoutKeysADeliveryIsIdentifiedAndDatedOnly(t *testing.T) {
	s, err := sign.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	s.Sign(h, "msg_1", time.Unix(1614265330, 0), []byte("{}"))
	want := http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {"1614265330"}}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
}

func TestSigningReplacesWhatAnEarlierAttemptOrTheRouteSet(t *testing.T) {
	h := http.Header{"Webhook-Signature": {"forged"}, "Webhook-Id": {"a", "b"}, "Webhook-Timestamp": {"0"}}
	signer(t, oldKey).Sign(h, "msg_1", time.Now(), nil)
	if err := verifier(t, oldKey).Verify(nil, h); err != nil {
		t.Error(err)
	}
	h.Add("webhook-id", "another") // must not reach into the timestamp, which shares the memory
	if err := verifier(t, oldKey).Verify(nil, h); err != nil {
		t.Error(err)
	}
}

func TestManyMaySignAtOnce(t *testing.T) {
	s := signer(t, newKey, oldKey)
	v := verifier(t, oldKey)
	var signers sync.WaitGroup
	for i := range 4 {
		signers.Go(func() {
			for j := range 200 {
				body := fmt.Appendf(nil, "%d %d", i, j)
				h := http.Header{}
				s.Sign(h, fmt.Sprintf("msg_%d", j), time.Now(), body)
				if err := v.Verify(body, h); err != nil {
					t.Error(err)
				}
			}
		})
	}
	signers.Wait()
}

func TestABadKeyIsRefusedWithoutQuotingIt(t *testing.T) {
	const secret = "whsec_not*base64*at*all"
	short := base64.StdEncoding.EncodeToString([]byte("sixteen bytes !!"))
	for name, s := range map[string]*route.Signing{
		"no key":          {},
		"not base64":      {Keys: []route.Secret{secret}},
		"second is wrong": {Keys: []route.Secret{oldKey, secret}},
		"too short":       {Keys: []route.Secret{route.Secret(short)}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sign.New(s)
			if err == nil {
				t.Fatal("the keys were accepted")
			}
			secrecy.AssertNo(t, secret, map[string]any{"the error": err})
			secrecy.AssertNo(t, short, map[string]any{"the error": err})
		})
	}
}

func TestAKeyDoesNotShow(t *testing.T) {
	raw, err := route.SigningKey(oldKey)
	if err != nil {
		t.Fatal(err)
	}
	s := signer(t, oldKey)
	s.Sign(http.Header{}, "msg_1", time.Now(), nil) // so that its pool holds a keyed state
	outputs := map[string]any{"key": sign.NewKey(raw), "keys": []sign.Key{sign.NewKey(raw)}, "signer": s}
	secrecy.AssertNo(t, string(raw), outputs)
	secrecy.AssertNo(t, oldKey, outputs)
}

func TestAKeyIsACopy(t *testing.T) {
	b := []byte("0123456789abcdef0123456789abcdef")
	k := sign.NewKey(b)
	clear(b)
	if k.String() != "[redacted]" {
		t.Error(k)
	}
}

func FuzzWhatIsSignedVerifies(f *testing.F) {
	f.Add([]byte("0123456789abcdef01234567"), "msg_p5jXN8AQM9LWM0D4loKWxJek", int64(1614265330), []byte(`{"test": 2432232314}`))
	f.Add(make([]byte, 64), "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", int64(1674087231), []byte{})
	f.Fuzz(func(t *testing.T, key []byte, id string, at int64, body []byte) {
		s, err := sign.New(&route.Signing{Keys: []route.Secret{route.Secret("whsec_" + base64.StdEncoding.EncodeToString(key))}})
		if err != nil || id == "" {
			return
		}
		v, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time with a used state
			h := http.Header{}
			s.Sign(h, id, time.Unix(at, 0), body)
			if err := v.VerifyIgnoringTimestamp(body, h); err != nil {
				t.Error(err)
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	body := []byte(strings.Repeat("a", 1024))
	for name, s := range map[string]*sign.Signer{
		"unsigned": nil,
		"one key":  signer(b, oldKey),
		"two keys": signer(b, newKey, oldKey),
	} {
		b.Run(name, func(b *testing.B) {
			h := http.Header{}
			at := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				s.Sign(h, "msg_0123456789abcdefghjkmnpqrs", at, body)
			}
		})
	}
	b.Run("reference library", func(b *testing.B) {
		v := verifier(b, oldKey)
		at := time.Now()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Sign("msg_0123456789abcdefghjkmnpqrs", at, body); err != nil {
				b.Fatal(err)
			}
		}
	})
}
