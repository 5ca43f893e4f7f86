// Package conformance_test looks at a dispatcher from outside, as producers,
// receivers and the operator do: over HTTP alone.
package conformance_test

import (
	"flag"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/postrider/postrider/internal/secrecy"
	"github.com/postrider/postrider/test/process"
)

// Without flags the suite starts a dispatcher. With them it tests one that runs
// already, in which every route that the suite did not make gives way.
var (
	events   = flag.String("events", "", "`URL` where the dispatcher to test takes events; empty to start one")
	admin    = flag.String("admin", "", "`URL` of its health, metrics and report")
	routes   = flag.String("routes", "", "routes `file` that it follows, which is overwritten")
	producer = flag.String("producer-token", process.ProducerToken, "`token` that may create everything in every namespace, and get nothing")
	operator = flag.String("operator-token", process.OperatorToken, "`token` that may get everything, and create nothing")
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait more than they compute, so the number of cores is no measure.
	if err := flag.Set("test.parallel", "100"); err != nil {
		panic(err)
	}
	os.Exit(process.Main(m))
}

// Each test has namespaces of its own at the one dispatcher, and all of them
// run at once.
func TestADispatcherKeepsItsPromises(t *testing.T) {
	t.Parallel()
	d, log := dispatcher(t)
	t.Run("together", func(t *testing.T) { // ends when all that is parallel in it has
		t.Run("what is not an event is refused with a remedy, and not delivered", d.refusals)
		t.Run("an event is taken in every form, and delivered under the id of its 202", d.forms)
		t.Run("the same event again is accepted, and delivered once", d.repetition)

		t.Run("a delivery has the headers and the body of its format", d.formats)
		t.Run("a strict receiver made for Sitecore takes all its events, in JSON and XML", d.sitecoreEvents)
		t.Run("a strict receiver made for Sitecore takes workflow actions, in JSON and XML", d.sitecoreActions)
		t.Run("a delivery is signed with each key, and only when there is one", d.signatures)
		t.Run("every attempt has the same id, and a timestamp and a signature of its own", d.attempts)
		t.Run("credentials arrive where they are configured", d.credentials)

		t.Run("an event goes to the routes whose pattern and condition it meets", d.selection)
		t.Run("an event stays in its namespace", d.isolation)
		t.Run("what is held waits, and goes out with the route as it is then", d.holding)
		t.Run("a repaired URL takes the deliveries that wait", d.lateBinding)

		t.Run("a hostile receiver harms nobody but itself", d.hostility)
		t.Run("failed attempts are repeated as scheduled, until the delivery is given up", d.schedules)

		t.Run("a test delivery tells what happened, and changes nothing else", d.trials)
		t.Run("the attempt log tells of every attempt, newest first, without secrets", d.attemptLog)
		t.Run("dead letters are listed, shown and redriven, one by one and all", d.deadLetters)
		t.Run("a webhook that is deleted leaves what it was owed as dead letters", d.deletion)
		t.Run("webhooks whose names begin alike are kept apart", d.dottedNames)
		t.Run("one delivery is sent again under its id", d.redelivery)
		t.Run("a time range is sent again, counted before if wanted", d.replays)

		t.Run("a breaker leaves a failing receiver alone, and loses nothing", d.breaking)
		t.Run("a probe that fails keeps the breaker open for longer", d.probing)
		t.Run("410 stops a webhook until it is enabled anew, and what it is owed waits", d.goneReceivers)
		t.Run("Retry-After is for all deliveries of a webhook", d.patience)
		t.Run("a rate is not exceeded", d.rates)
		t.Run("a concurrency is used and not exceeded", d.concurrency)
		t.Run("a trace is passed on to the receiver", d.traces)
		t.Run("a webhook has series while it is there", d.webhookMetrics)

		t.Run("a workflow command that nobody refuses is submitted, once", d.workflows)
		t.Run("only a verdict is a verdict", d.answers)
		t.Run("validators that are slow have the budget together, and no more", d.slowValidators)
		t.Run("a validation action that is held refuses, unless it is disabled", d.heldValidators)

		t.Run("the report answers when something has changed", d.following)
		t.Run("health, readiness and metrics are there", d.pages)
	})
	if log != nil {
		t.Run("no credential is in the log", func(t *testing.T) { assertNoCredential(t, "the log", log(t)) })
	}
}

// dispatcher returns the one to test. log ends it and returns what it has
// written; it is nil for one that the suite has not started.
func dispatcher(t *testing.T) (_ *target, log func(*testing.T) string) {
	t.Helper()
	if *events != "" {
		return &target{events: *events, admin: *admin, routesFile: *routes}, nil
	}
	p := process.New(t, process.Options{Args: []string{"--log-level", "DEBUG"}})
	p.Start(t)
	return at(p), func(t *testing.T) string {
		t.Helper()
		p.Signal(t, syscall.SIGTERM)
		return p.Log(t)
	}
}

// at is a dispatcher that the suite has started.
func at(p *process.Dispatcher) *target {
	return &target{events: p.Events(), admin: p.Admin(), routesFile: p.RoutesFile()}
}

// The credentials that the tests use. None of them may show anywhere.
const (
	signingKey   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	olderKey     = "whsec_c2VjcmV0LXRoYXQtd2FzLXVzZWQtYmVmb3Jl"
	password     = "pass+word/3kVn8Qx:1"
	bearerToken  = "bearer-Wm4Zt9PqLx2Vc7Ns"
	headerKey    = "header-Jd6Yr3Hf8Bk1Gu5T"
	queryKey     = "query&Sa2 Xe7Mi4Oz9Ch0P"
	customSecret = "custom-Rb5Lw1Dn6Vj8Kt3Q"
)

// assertNoCredential fails t when a credential is in text.
func assertNoCredential(t *testing.T, where, text string) {
	t.Helper()
	for name, secret := range map[string]string{
		"the producer's token": *producer, "the operator's token": *operator,
		"the signing key": strings.TrimPrefix(signingKey, "whsec_"), "the older signing key": strings.TrimPrefix(olderKey, "whsec_"),
		"the password": password, "the bearer token": bearerToken, "the API key in a header": headerKey,
		"the API key in the query": queryKey, "the custom header": customSecret,
	} {
		for spelling, s := range secrecy.Spellings(secret) {
			if strings.Contains(text, s) {
				t.Errorf("%s shows %s (%s)", where, name, spelling)
			}
		}
	}
}
