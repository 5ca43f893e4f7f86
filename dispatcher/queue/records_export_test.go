package queue

import (
	"github.com/nats-io/nats.go"

	"github.com/postrider/postrider/dispatcher/deliver"
)

const (
	MaxRecord    = maxRecord
	MaxUnwritten = maxUnwritten
	Apart        = apart
)

var (
	EncodeRecord = encodeRecord
	DecodeRecord = decodeRecord
	SubjectOf    = subjectOf
	RouteOf      = routeOf
)

// EncodeLetter makes the stored form of a dead letter.
func EncodeLetter(d *deliver.DeadLetter) (*nats.Msg, error) {
	return encodeLetter(d, d.Event.Append(nil))
}

// DecodeLetter reads what is stored as the dead letter id of a route.
func DecodeLetter(route string, id uint64, header nats.Header, data []byte) (deliver.DeadLetter, error) {
	return decodeLetter(route, item{seq: id, header: header, data: data})
}

// KeepWaiting is Keep for a benchmark: it waits where Keep drops.
func (q *Queue) KeepWaiting(r *deliver.Record) { q.attempts.records <- r }
