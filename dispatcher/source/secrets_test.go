package source_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/secrecy"
)

// A room is a namespace with the Secrets of a table.
type room struct {
	client kubernetes.Interface
	name   string
}

func newRoom(t *testing.T) *room {
	t.Helper()
	client := apiServer(t)
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "source-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &room{client, ns.Name}
}

// put writes the Secret for shard i, labelled unless labels say otherwise.
func (r *room) put(t *testing.T, i int, data []byte, labels ...string) {
	t.Helper()
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: route.SecretName(i), Labels: map[string]string{route.SecretLabel: route.SecretLabelValue}},
		Data:       map[string][]byte{route.SecretKey: data},
	}
	if len(labels) == 2 {
		s.Labels = map[string]string{labels[0]: labels[1]}
	}
	secrets := r.client.CoreV1().Secrets(r.name)
	_, err := secrets.Update(t.Context(), s, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = secrets.Create(t.Context(), s, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// publish writes every shard of a table.
func (r *room) publish(t *testing.T, table route.Table) {
	t.Helper()
	for _, s := range shards(t, table) {
		r.put(t, s.Index, s.Data)
	}
}

// follow makes k follow the Secrets until the test ends.
func (r *room) follow(t *testing.T, k *keeper) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Secrets(ctx, r.client, r.name) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		secrecy.AssertNo(t, credential, map[string]any{"the log": k.log.String(), "the states": k.announced()})
	})
}

func TestATableArrivesFromItsSecretsAndAChangeIsInForceWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	r, k := newRoom(t), newKeeper(t.TempDir())
	r.follow(t, k)
	if k.loaded() || k.state() != (state{}) {
		t.Errorf("without a Secret the state is %+v", k.state())
	}
	r.publish(t, aTable("first"))
	k.inForce(t, aTable("first"))
	if !k.loaded() || k.current.Load().Lookup("cms/first") == nil {
		t.Error("the table that is said to be in force is not")
	}
	k.gauges(t, 0, 1)

	r.publish(t, aTable("second"))
	eventually(t, 2*time.Second, "the change to be in force", func() bool {
		return k.state() == state{Digest: route.Digest(aTable("second"))}
	})
	want := []state{{Digest: route.Digest(aTable("first"))}, {Digest: route.Digest(aTable("second"))}}
	if diff := cmp.Diff(want, k.announced()); diff != "" {
		t.Error("announced (-want +got)\n" + diff)
	}
}

func TestATableThatIsThereAlreadyIsInForceAtTheStart(t *testing.T) {
	t.Parallel()
	r, k := newRoom(t), newKeeper("")
	r.publish(t, aTable("early"))
	r.follow(t, k)
	k.inForce(t, aTable("early"))
}

func TestARefusedTableLeavesTheLastGoodOneInForceUntilItHeals(t *testing.T) {
	t.Parallel()
	r, k := newRoom(t), newKeeper(t.TempDir())
	r.follow(t, k)
	good := aTable("good")
	r.publish(t, good)
	k.inForce(t, good)

	zip := func(text string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	whole := shards(t, good)[0].Data
	unbuildable := aTable("bad")
	unbuildable.Routes[0].Condition = "event.type =="
	for _, tt := range []struct {
		name string
		data []byte
		why  string
	}{
		{"garbage", []byte("\x00\xff garbage"), "not gzip"},
		{"nothing", nil, "not gzip"},
		{"cut", whole[:len(whole)/2], "inflating"},
		{"no JSON", zip("token: " + credential), "not the JSON of a table"},
		{"another schema", zip(`{"schema":99,"shard":0,"of":1}`), "bring operator and dispatcher to the same version"},
		{"no such shard", zip(`{"schema":1,"shard":7,"of":1}`), "makes no sense"},
		{"does not build", shards(t, unbuildable)[0].Data, "route cms/bad: condition"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.put(t, 0, tt.data)
			k.refused(t, tt.why)
			if digest := k.state().Digest; digest != route.Digest(good) || k.current.Load().Digest() != digest {
				t.Errorf("the table in force is %s", digest)
			}
			k.gauges(t, 1, 1)

			r.publish(t, good) // the same one: it heals although nothing is new
			k.inForce(t, good)
			k.gauges(t, 0, 1)
		})
	}
}

func TestTheShardsOfAGrowingAndAShrinkingTableAreAwaited(t *testing.T) {
	t.Parallel()
	r, k := newRoom(t), newKeeper(t.TempDir())
	r.follow(t, k)
	small, large := aTable("small"), aLargeTable(t)
	r.publish(t, small)
	k.inForce(t, small)

	parts := shards(t, large)
	if len(parts) != 2 {
		t.Fatalf("the large table has %d shards", len(parts))
	}
	r.put(t, 1, parts[1].Data)
	k.logs(t, "incomplete")
	k.inForce(t, small)
	r.put(t, 0, parts[0].Data)
	k.inForce(t, large)
	k.gauges(t, 0, len(large.Routes))

	r.publish(t, small)
	if err := r.client.CoreV1().Secrets(r.name).Delete(t.Context(), route.SecretName(1), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	k.inForce(t, small)
	want := []state{{Digest: route.Digest(small)}, {Digest: route.Digest(large)}, {Digest: route.Digest(small)}}
	if diff := cmp.Diff(want, k.announced()); diff != "" {
		t.Error("announced (-want +got)\n" + diff)
	}
}

func TestOnlyTheLabelledSecretsOfTheNamespaceCount(t *testing.T) {
	t.Parallel()
	r, elsewhere, k := newRoom(t), newRoom(t), newKeeper("")
	elsewhere.publish(t, aTable("elsewhere"))
	r.put(t, 7, []byte("garbage"), "app", "something-else")
	r.put(t, 8, []byte("garbage"), route.SecretLabel, "no")
	r.follow(t, k)
	r.publish(t, aTable("ours"))
	k.inForce(t, aTable("ours"))
	elsewhere.publish(t, aTable("elsewhere-again"))
	r.put(t, 7, []byte("other garbage"), "app", "something-else")
	r.publish(t, aTable("ours-again"))
	k.inForce(t, aTable("ours-again"))
	want := []state{{Digest: route.Digest(aTable("ours"))}, {Digest: route.Digest(aTable("ours-again"))}}
	if diff := cmp.Diff(want, k.announced()); diff != "" {
		t.Error("announced (-want +got)\n" + diff)
	}
}

func TestTheTableStaysWhenItsSecretsAreDeleted(t *testing.T) {
	t.Parallel()
	r, k := newRoom(t), newKeeper(t.TempDir())
	r.follow(t, k)
	r.publish(t, aTable("kept"))
	k.inForce(t, aTable("kept"))
	if err := r.client.CoreV1().Secrets(r.name).Delete(t.Context(), route.SecretName(0), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	k.logs(t, "incomplete")
	k.inForce(t, aTable("kept"))
	k.gauges(t, 0, 1)

	r.publish(t, aTable("next"))
	k.inForce(t, aTable("next"))
}

func TestWithoutTheAPIServerTheRememberedTableIsUsedAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, before := newRoom(t), newKeeper(dir)
	r.follow(t, before)
	large := aLargeTable(t)
	r.publish(t, large)
	before.inForce(t, large)
	waitRemembered(t, dir, large)

	nobody, err := kubernetes.NewForConfig(&rest.Config{Host: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	after := newKeeper(dir)
	(&room{nobody, r.name}).follow(t, after)
	after.Recall()
	after.inForce(t, large)
	if !after.loaded() {
		t.Error("the table is in force, but nobody is told")
	}
	after.gauges(t, 0, len(large.Routes))
	after.logs(t, "the API server has given no table yet")
}

func TestTheRememberedTableDoesNotHideThatTheNewestIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	remember(t, dir, aTable("old"))
	r, k := newRoom(t), newKeeper(dir)
	r.put(t, 0, []byte("garbage"))
	r.follow(t, k)
	k.refused(t, "not gzip")
	k.Recall()
	if got := k.state(); got.Digest != route.Digest(aTable("old")) || got.Fault == "" {
		t.Errorf("the state is %+v, want the remembered table and why the newest is refused", got)
	}
	k.gauges(t, 1, 1)
	r.publish(t, aTable("new"))
	k.inForce(t, aTable("new"))
	k.gauges(t, 0, 1)
}
