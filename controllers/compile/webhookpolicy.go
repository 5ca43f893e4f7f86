package compile

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
)

// The terms of delivery of a Webhook without policy, and of a policy that
// leaves them out. They are applied here and not in the CRD, see package v1alpha1.
const (
	defaultTimeout     = 10 * time.Second
	defaultConcurrency = 10
	defaultJitter      = 20 // percent
	defaultMaxAge      = 72 * time.Hour
	defaultPer         = time.Second

	defaultBreakerFailures = 10
	defaultOpenFor         = time.Minute

	defaultDisableFailures = 20
	defaultDisableOver     = 168 * time.Hour
)

// defaultBackoff is the schedule that Standard Webhooks recommends, cut off
// where the default age ends.
var defaultBackoff = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
}

// The bounds that the CRD promises too. They are checked again because an
// object may be older than the rules that guard it.
const (
	minTimeout, maxTimeout = 100 * time.Millisecond, time.Minute
	minPause, maxPause     = 100 * time.Millisecond, 24 * time.Hour
	minAge, maxAge         = time.Second, 168 * time.Hour
	maxConcurrency         = 100
	maxBackoff             = 20
	maxSigningKeys         = 4

	maxRequests            = 10_000
	minPer, maxPer         = time.Second, time.Hour
	maxBreakerFailures     = 1_000
	minOpenFor, maxOpenFor = time.Second, time.Hour
	maxDisableFailures     = 10_000
	minOver, maxOver       = time.Minute, 720 * time.Hour
)

// terms is a WebhookPolicy as Webhooks use it. Without faults it is complete.
type terms struct {
	signing     *route.Signing
	timeout     time.Duration
	retry       route.Retry
	concurrency int

	rateLimit     route.Rate
	breaker       route.Breaker
	keepResponses bool
	autoDisable   AutoDisable

	verdict Verdict
}

// apply makes t the terms of rt.
func (t *terms) apply(rt *route.Route) {
	rt.Signing, rt.Timeout, rt.Retry, rt.Concurrency = t.signing, t.timeout, t.retry, t.concurrency
	rt.RateLimit, rt.Breaker, rt.KeepResponses = t.rateLimit, t.breaker, t.keepResponses
}

func (c *compiler) terms(o *v1alpha1.WebhookPolicy) terms {
	spec, t := &o.Spec, terms{verdict: judge(o)}
	v := &t.verdict

	t.timeout = v.duration("spec.timeout", spec.Timeout, defaultTimeout, minTimeout, maxTimeout)
	t.concurrency = int(v.number("spec.concurrency", spec.Concurrency, defaultConcurrency, 1, maxConcurrency))

	retry := v1alpha1.Retry{}
	if spec.Retry != nil {
		retry = *spec.Retry
	}
	t.retry.Jitter = float64(v.number("spec.retry.jitterPercent", retry.JitterPercent, defaultJitter, 0, 100)) / 100
	t.retry.MaxAge = v.duration("spec.retry.maxAge", retry.MaxAge, defaultMaxAge, minAge, maxAge)
	t.retry.Backoff = defaultBackoff
	if retry.Backoff != nil { // an empty list is a wish: a single attempt
		t.retry.Backoff = v.backoff(retry.Backoff)
	}
	t.rateLimit = v.rateLimit(spec.RateLimit)
	t.breaker = v.breaker(spec.CircuitBreaker)
	t.autoDisable = v.autoDisable(spec.AutoDisable)
	t.keepResponses = spec.AttemptLog != nil && spec.AttemptLog.ResponseBodies != nil && *spec.AttemptLog.ResponseBodies
	t.signing = c.signing(v, o)
	return t
}

func (v *Verdict) rateLimit(l *v1alpha1.RateLimit) route.Rate {
	if l == nil {
		return route.Rate{}
	}
	return route.Rate{
		Requests: int(v.number("spec.rateLimit.requests", &l.Requests, 0, 1, maxRequests)),
		Per:      v.duration("spec.rateLimit.per", l.Per, defaultPer, minPer, maxPer),
	}
}

// breaker of no failures is none: it never opens.
func (v *Verdict) breaker(b *v1alpha1.CircuitBreaker) route.Breaker {
	if b == nil {
		b = &v1alpha1.CircuitBreaker{}
	}
	failures := v.number("spec.circuitBreaker.failures", b.Failures, defaultBreakerFailures, 0, maxBreakerFailures)
	openFor := v.duration("spec.circuitBreaker.openFor", b.OpenFor, defaultOpenFor, minOpenFor, maxOpenFor)
	if failures == 0 {
		return route.Breaker{}
	}
	return route.Breaker{Failures: int(failures), OpenFor: openFor}
}

// autoDisable after no failures is never.
func (v *Verdict) autoDisable(a *v1alpha1.AutoDisable) AutoDisable {
	if a == nil {
		a = &v1alpha1.AutoDisable{}
	}
	failures := v.number("spec.autoDisable.consecutiveFailures", a.ConsecutiveFailures, defaultDisableFailures, 0, maxDisableFailures)
	over := v.duration("spec.autoDisable.over", a.Over, defaultDisableOver, minOver, maxOver)
	if failures == 0 {
		return AutoDisable{}
	}
	return AutoDisable{Failures: failures, Over: over}
}

func (v *Verdict) duration(path string, d *metav1.Duration, absent, least, most time.Duration) time.Duration {
	if d == nil {
		return absent
	}
	if d.Duration < least || d.Duration > most {
		v.reject(v1alpha1.ReasonInvalidTerms, path, fmt.Sprintf("%s is not from %s to %s", d.Duration, least, most))
	}
	return d.Duration
}

func (v *Verdict) number(path string, n *int32, absent, least, most int32) int32 {
	if n == nil {
		return absent
	}
	if *n < least || *n > most {
		v.reject(v1alpha1.ReasonInvalidTerms, path, fmt.Sprintf("%d is not from %d to %d", *n, least, most))
	}
	return *n
}

func (v *Verdict) backoff(list []metav1.Duration) []time.Duration {
	const path = "spec.retry.backoff"
	if len(list) > maxBackoff {
		v.reject(v1alpha1.ReasonInvalidTerms, path, fmt.Sprintf("%d pauses are too many, the limit is %d", len(list), maxBackoff))
		return nil
	}
	pauses := make([]time.Duration, len(list))
	for i := range list {
		pauses[i] = v.duration(path, &list[i], 0, minPause, maxPause)
	}
	return pauses
}

func (c *compiler) signing(v *Verdict, o *v1alpha1.WebhookPolicy) *route.Signing {
	s := o.Spec.Signing
	if s == nil || s.Type == v1alpha1.SigningNone {
		return nil
	}
	if s.Type != v1alpha1.SigningStandardWebhooks || s.SecretRef == nil {
		v.reject(v1alpha1.ReasonInvalidType, "spec.signing", fmt.Sprintf("type %q is unknown to this version or lacks its secretRef; use None, or StandardWebhooks with secretRef", s.Type))
		return nil
	}
	const path = "spec.signing.secretRef"
	text, ok := c.read(v, secretKey{o.Namespace, s.SecretRef.Name, v1alpha1.SigningSecretKey, path})
	if !ok {
		return nil
	}
	words := strings.Fields(text.Reveal())
	if len(words) == 0 || len(words) > maxSigningKeys {
		v.unresolved(v1alpha1.ReasonSecretInvalid, path, fmt.Sprintf("key %q of Secret %q holds %d signing keys; put 1 to %d there, separated by white space", v1alpha1.SigningSecretKey, s.SecretRef.Name, len(words), maxSigningKeys))
		return nil
	}
	signing := &route.Signing{}
	for _, w := range words {
		if _, err := route.SigningKey(route.Secret(w)); err != nil {
			v.unresolved(v1alpha1.ReasonSecretInvalid, path, fmt.Sprintf("key %q of Secret %q: %v", v1alpha1.SigningSecretKey, s.SecretRef.Name, err))
			return nil
		}
		signing.Keys = append(signing.Keys, route.Secret(w))
	}
	return signing
}
