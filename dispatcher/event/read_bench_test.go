package event_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/event"
)

// Bodies of 1 KiB, with the headers that a Go producer sends.
func BenchmarkRead(b *testing.B) {
	data := `{"Item":{"Name":"` + strings.Repeat("page ", 190) + `"}}`
	usual := []string{"User-Agent: Go-http-client/1.1", "Content-Length: 1024", "Accept-Encoding: gzip", "Authorization: Bearer x"}
	with := func(h http.Header) http.Header {
		h = h.Clone()
		maps.Copy(h, headers(usual...))
		return h
	}
	envelope := `{"specversion":"1.0","id":"1","source":"/cms","type":"item:added","data":` + data + `}`
	for _, bb := range []struct {
		name   string
		header http.Header
		body   string
	}{
		{"plain", with(plain), `{"type":"item:added","data":` + data + `}`},
		{"binary", with(binary("Content-Type: application/json", "ce-time: 2026-11-22T09:59:58Z")), data},
		{"structured", with(structured), envelope},
		{"batch of 10", with(batched), "[" + strings.Repeat(envelope+",", 9) + envelope + "]"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			body := []byte(bb.body)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := event.Read(bb.header, body, "shop", now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
