package deliver

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// attempt sends parcel once as p says and tells how that ended. It lasts no
// longer than the timeout of the route, the answer's body included.
func attempt(ctx context.Context, client *egress.Client, p *plan, parcel *parcel) outcome.Outcome {
	start := time.Now()
	o := send(ctx, client, p, parcel, start)
	o.Took = time.Since(start)
	return o
}

func send(ctx context.Context, client *egress.Client, p *plan, parcel *parcel, now time.Time) outcome.Outcome {
	b := parcel.body(p.Format)
	if b.err != nil {
		return outcome.Outcome{Reason: outcome.Unsendable, Detail: "the body cannot be rendered"}
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	req := (&http.Request{
		Method: http.MethodPost, URL: p.url, Host: p.url.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        p.header.Clone(),
		Body:          io.NopCloser(bytes.NewReader(b.bytes)),
		GetBody:       func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.bytes)), nil },
		ContentLength: int64(len(b.bytes)),
	}).WithContext(ctx)
	req.Header.Set("Content-Type", b.contentType)
	p.signer.Sign(req.Header, parcel.id, now, b.bytes)
	if err := p.auth.Apply(req); err != nil {
		return outcome.Outcome{Reason: outcome.Unsendable, Detail: "the credentials cannot be applied"}
	}
	resp, err := client.Send(req)
	if err != nil {
		reason, detail := egress.Classify(err)
		return outcome.Outcome{Reason: reason, Status: resp.Status, Detail: detail}
	}
	return outcome.Outcome{
		Reason: outcome.FromStatus(resp.Status), Status: resp.Status,
		RetryAfter: retryAfter(resp.Header, now),
	}
}
