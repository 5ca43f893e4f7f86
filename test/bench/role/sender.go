package role

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// A sender sends signed requests as anybody would with net/http and a dozen
// lines: no timeout, no guard, no retry, no record.
type sender struct {
	client *http.Client
	urls   []string
	keys   [][]byte
}

func newSender(addresses []string, routes int) *sender {
	s := &sender{client: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 512, // as many as there are requests at once: no connection is closed while there is work
		DisableCompression:  true,
	}}}
	for route := range routes {
		s.urls = append(s.urls, URL(addresses, route))
		s.keys = append(s.keys, Key(route))
	}
	return s
}

// send posts body to a route and reads the answer.
func (s *sender) send(ctx context.Context, route int, id string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.urls[route], bytes.NewReader(body))
	if err != nil {
		return err
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, s.keys[route])
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", timestamp)
	req.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))

	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the receiver answers %s", resp.Status)
	}
	return nil
}
