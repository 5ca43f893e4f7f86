package route_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/route"
)

func encode(tb testing.TB, table route.Table) [][]byte {
	tb.Helper()
	shards, err := route.Encode(table)
	if err != nil {
		tb.Fatal(err)
	}
	var blobs [][]byte
	for i, s := range shards {
		if s.Index != i || s.Of != len(shards) {
			tb.Errorf("shard %d says it is %d of %d", i, s.Index, s.Of)
		}
		blobs = append(blobs, s.Data)
	}
	return blobs
}

// bulky makes routes that do not compress, so that few fill a shard.
func bulky(n int) route.Table {
	dice := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // test data
	var t route.Table
	for i := range n {
		noise := make([]byte, 3000)
		for j := range noise {
			noise[j] = byte('!' + dice.IntN(90))
		}
		r := aRoute(fmt.Sprintf("cms/r%d", i), "a")
		r.Headers = []route.Header{{Name: "X", Value: route.Secret(noise)}}
		t.Routes = append(t.Routes, r)
	}
	return t
}

// hollow makes routes that compress to almost nothing.
func hollow(n int) route.Table {
	var t route.Table
	for i := range n {
		r := aRoute(fmt.Sprintf("cms/r%d", i), "a")
		for h := range 32 {
			r.Headers = append(r.Headers, route.Header{Name: fmt.Sprint("X-", h), Value: route.Secret(strings.Repeat("a", 4096))})
		}
		t.Routes = append(t.Routes, r)
	}
	return t
}

func TestATableSurvivesTheWire(t *testing.T) {
	full := aRoute("cms/a", "item:added")
	full.Condition, full.OrderingKey, full.Format = "true", "event.id", route.FormatCloudEvents
	full.Headers = []route.Header{{Name: "X", Value: "secret"}}
	full.Authorization = &route.Authorization{APIKey: &route.APIKey{Name: "k", Query: true, Value: "secret"}}
	full.Signing = &route.Signing{Keys: []route.Secret{"whsec_" + route.Secret(strings.Repeat("AAAA", 8))}}
	for name, table := range map[string]route.Table{
		"empty":  {},
		"small":  {Routes: []route.Route{full, aRoute("cms/b", "b")}},
		"shards": bulky(1500),
		"hollow": hollow(600),
	} {
		t.Run(name, func(t *testing.T) {
			blobs := encode(t, table)
			for _, b := range blobs {
				if len(b) > 1<<20 {
					t.Errorf("a shard has %d bytes, more than a Secret holds", len(b))
				}
			}
			slices.Reverse(blobs)
			got, err := route.Decode(blobs)
			if err != nil {
				t.Fatal(err)
			}
			if route.Digest(got) != route.Digest(table) {
				t.Error("the digest has changed")
			}
			if len(got.Routes) != len(table.Routes) {
				t.Errorf("%d routes came back, want %d", len(got.Routes), len(table.Routes))
			}
			if name == "small" {
				if diff := cmp.Diff(table, got); diff != "" {
					t.Error("(-want +got)\n" + diff)
				}
			}
		})
	}
}

func TestEqualTablesHaveEqualBytesWhateverTheirOrder(t *testing.T) {
	a := route.Table{Routes: []route.Route{aRoute("cms/a", "x"), aRoute("cms/b", "y")}}
	b := route.Table{Routes: []route.Route{aRoute("cms/b", "y"), aRoute("cms/a", "x")}}
	if !slices.EqualFunc(encode(t, a), encode(t, b), bytes.Equal) {
		t.Error("the shards differ")
	}
	if route.Digest(a) != route.Digest(b) {
		t.Error("the digests differ")
	}
	b.Routes[0].Generation++
	if route.Digest(a) == route.Digest(b) {
		t.Error("a changed route has the same digest")
	}
}

func TestAChangedRouteChangesOneShard(t *testing.T) {
	table := bulky(1500)
	before := encode(t, table)
	table.Routes[7].Generation++
	after := encode(t, table)
	changed := 0
	for i := range before {
		if !bytes.Equal(before[i], after[i]) {
			changed++
		}
	}
	if len(before) < 2 || changed != 1 {
		t.Errorf("%d of %d shards changed, want 1", changed, len(before))
	}
}

func TestDecodeAwaitsTheMissingShardsAndRefusesGarbage(t *testing.T) {
	many, one := encode(t, bulky(1500)), encode(t, route.Table{})
	gz := func(s string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for _, tt := range []struct {
		name       string
		blobs      [][]byte
		incomplete bool
		want       string
	}{
		{"nothing yet", nil, true, ""},
		{"one shard is missing", many[1:], true, ""},
		{"one shard is there twice", append(slices.Clone(many[1:]), many[1]), true, ""},
		{"shards of two tables", append(slices.Clone(many[1:]), one[0]), true, ""},
		{"no bytes", [][]byte{nil}, false, "gzip"},
		{"not gzip", [][]byte{[]byte("hello")}, false, "gzip"},
		{"cut short", [][]byte{one[0][:len(one[0])-9]}, false, "inflating"},
		{"not JSON, and quoted nowhere", [][]byte{gz("hunter2")}, false, "not the JSON"},
		{"a later schema", [][]byte{gz(`{"schema":9,"shard":0,"of":1}`)}, false, "schema 9"},
		{"a shard that cannot be", [][]byte{gz(`{"schema":1,"shard":3,"of":2}`)}, false, "makes no sense"},
		{"a bomb", [][]byte{gz(strings.Repeat(" ", 65<<20))}, false, "inflates to more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := route.Decode(tt.blobs)
			if tt.incomplete {
				if !errors.Is(err, route.ErrIncomplete) {
					t.Errorf("the error is %v, want ErrIncomplete", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error is %v, want one with %q", err, tt.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	blobs := encode(f, route.Table{Routes: []route.Route{aRoute("cms/a", "x")}})
	f.Add(blobs[0])
	f.Add([]byte("hello"))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := route.Decode([][]byte{b})
		if err != nil {
			return
		}
		if _, err := route.Encode(table); err != nil {
			t.Errorf("what decodes does not encode: %v", err)
		}
	})
}
