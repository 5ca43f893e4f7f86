package route

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
)

// A table travels in Secrets, one per shard, in the namespace of the dispatcher.
const (
	// SecretLabel marks the Secrets of a table; its value is SecretLabelValue.
	SecretLabel      = "postrider.dev/routes"
	SecretLabelValue = "true"
	// SecretKey is the key in a Secret under which the shard lies.
	SecretKey = "routes.json.gz"

	secretPrefix = "postrider-routes-"
)

// SecretName is the name of the Secret that holds shard i.
func SecretName(i int) string { return secretPrefix + strconv.Itoa(i) }

const (
	// maxShard is what one shard may hold compressed: a Secret holds 1 MiB,
	// and its metadata wants some of that.
	maxShard = 900 << 10
	// maxShards bounds a table: about a million routes.
	maxShards = 256
	// maxPlain is what one shard may hold before it is compressed: without it,
	// routes that compress well would make shards that do not decode.
	maxPlain = 16 << 20
	// maxInflated bounds what one shard may unfold to, so that a forged one
	// cannot exhaust the memory.
	maxInflated = 4 * maxPlain
)

// A Shard is the part of a table that one Secret carries.
type Shard struct {
	Index int    // from 0
	Of    int    // how many shards the table has, a power of two
	Data  []byte // gzip of JSON, deterministic
}

type shardJSON struct {
	Schema int     `json:"schema"`
	Shard  int     `json:"shard"`
	Of     int     `json:"of"`
	Routes []Route `json:"routes"`
}

// sorted returns the routes by id, so that equal tables have equal bytes.
func sorted(routes []Route) []Route {
	return slices.SortedFunc(slices.Values(routes), func(a, b Route) int { return cmp.Compare(a.ID, b.ID) })
}

// Digest identifies the content of a table: 64 hexadecimal digits, the same
// whatever the order of its routes.
func Digest(t Table) string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, r := range sorted(t.Routes) {
		if err := enc.Encode(r); err != nil {
			panic("route: a Route does not marshal: " + err.Error()) // it holds nothing that could fail
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Encode cuts t into as few shards as hold it. A route stays in its shard as
// long as their number does not change, so a small change writes one Secret.
func Encode(t Table) ([]Shard, error) {
	routes := sorted(t.Routes)
	for of := 1; of <= maxShards; of *= 2 {
		shards, err := encode(routes, of)
		if err != nil || shards != nil {
			return shards, err
		}
	}
	return nil, fmt.Errorf("the table does not fit into %d Secrets of 1 MiB; remove routes or shorten their headers and conditions", maxShards)
}

// encode returns nil when a shard turns out too large.
func encode(routes []Route, of int) ([]Shard, error) {
	parts := make([][]Route, of)
	for _, r := range routes {
		i := shardOf(r.ID, of)
		parts[i] = append(parts[i], r)
	}
	shards := make([]Shard, of)
	for i, part := range parts {
		plain, err := json.Marshal(shardJSON{Schema, i, of, part})
		if err != nil {
			return nil, fmt.Errorf("encoding shard %d: %w", i, err)
		}
		if len(plain) > maxPlain {
			return nil, nil
		}
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		if _, err := z.Write(plain); err != nil {
			return nil, fmt.Errorf("encoding shard %d: %w", i, err)
		}
		if err := z.Close(); err != nil {
			return nil, fmt.Errorf("encoding shard %d: %w", i, err)
		}
		if buf.Len() > maxShard {
			return nil, nil
		}
		shards[i] = Shard{i, of, buf.Bytes()}
	}
	return shards, nil
}

func shardOf(id string, of int) int {
	h := fnv.New32a()
	_, _ = io.WriteString(h, id) // a hash never fails to write
	return int(h.Sum32() & uint32(of-1))
}

// ErrIncomplete says that some shards of a table are missing or belong to
// another number of shards: the writer is at work, the rest is on its way.
var ErrIncomplete = errors.New("the table is incomplete")

// Decode puts a table together from the contents of its Secrets, in any order.
func Decode(blobs [][]byte) (Table, error) {
	var t Table
	var seen []bool
	for _, b := range blobs {
		s, err := decodeShard(b)
		if err != nil {
			return Table{}, err
		}
		if seen == nil {
			seen = make([]bool, s.Of)
		}
		if s.Of != len(seen) || seen[s.Shard] {
			return Table{}, ErrIncomplete
		}
		seen[s.Shard] = true
		t.Routes = append(t.Routes, s.Routes...)
	}
	if len(seen) == 0 || slices.Contains(seen, false) {
		return Table{}, ErrIncomplete
	}
	t.Routes = sorted(t.Routes)
	return t, nil
}

func decodeShard(b []byte) (shardJSON, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return shardJSON{}, fmt.Errorf("the shard is not gzip: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(z, maxInflated+1))
	switch {
	case err != nil:
		return shardJSON{}, fmt.Errorf("inflating the shard: %w", err)
	case len(text) > maxInflated:
		return shardJSON{}, fmt.Errorf("the shard inflates to more than %d bytes", maxInflated)
	}
	var s shardJSON
	if err := json.Unmarshal(text, &s); err != nil {
		return shardJSON{}, errors.New("the shard is not the JSON of a table") // the cause might quote a credential
	}
	switch {
	case s.Schema != Schema:
		return shardJSON{}, fmt.Errorf("the shard has schema %d, this dispatcher reads %d; bring operator and dispatcher to the same version", s.Schema, Schema)
	case s.Of < 1 || s.Of > maxShards || s.Of&(s.Of-1) != 0 || s.Shard < 0 || s.Shard >= s.Of:
		return shardJSON{}, fmt.Errorf("shard %d of %d makes no sense", s.Shard, s.Of)
	}
	return s, nil
}
