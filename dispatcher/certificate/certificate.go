// Package certificate holds the certificate that the listeners show, and reads
// it again when its files change.
package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// poll is how often the files are looked at. The kubelet brings a changed
	// Secret within a minute or two, so this adds nothing to speak of, and to
	// read some kilobytes costs nothing.
	poll = time.Second
	// maxFile bounds what is read of a file, in bytes.
	maxFile = 1 << 20
)

// Files are where the certificate is, with the chain to its authority if there
// is one between, and its key, both in PEM.
type Files struct{ Cert, Key string }

// A Keeper shows the newest certificate of the files that can be used. Its
// methods are for any goroutine.
type Keeper struct {
	files    Files
	log      *slog.Logger
	rejected prometheus.Gauge
	notAfter *prometheus.GaugeVec

	mu        sync.Mutex
	shown     *tls.Certificate
	cert, key []byte // what is shown, as it was read
	doubt     bool   // what was read last cannot be used
	fault     string // why not, once that has been so twice
}

// Open reads the files, which have to be there and good, and registers the metrics.
func Open(files Files, r prometheus.Registerer, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{
		files: files, log: log,
		rejected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postrider_tls_certificate_rejected", Help: "1 while the certificate in the files cannot be used and an older one is shown.",
		}),
		notAfter: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "postrider_tls_certificate_not_after_seconds", Help: "Unix time at which a certificate expires.",
		}, []string{"certificate"}),
	}
	cert, key, err := files.read()
	if err == nil {
		err = k.show(cert, key)
	}
	if err != nil {
		return nil, fmt.Errorf("reading --tls-cert-file and --tls-key-file: %w", err)
	}
	r.MustRegister(k.rejected, k.notAfter)
	return k, nil
}

// Config is that of a listener which shows the certificate, in HTTP/1.1.
func (k *Keeper) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.shown, nil
		},
	}
}

// Follow looks at the files again and again, until ctx is done. Connections
// that are open keep the certificate that they began with.
func (k *Keeper) Follow(ctx context.Context) {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		k.look()
	}
}

// State returns the certificate that is shown, and why the one in the files
// cannot be used, empty when it can.
func (k *Keeper) State() (shown *x509.Certificate, fault string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.shown.Leaf, k.fault
}

// look reads the files and shows what is in them, if it is new and good. Who
// replaces them one after the other may be looked at in between, so what cannot
// be used is a fault only when it stays so.
func (k *Keeper) look() {
	cert, key, err := k.files.read()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil && (!bytes.Equal(cert, k.cert) || !bytes.Equal(key, k.key)) {
		if err = k.show(cert, key); err == nil {
			k.log.Info("a new certificate is shown", "serial", k.shown.Leaf.SerialNumber.String(), "not_after", k.shown.Leaf.NotAfter)
		}
	}
	fault := ""
	if err != nil && k.doubt {
		fault = err.Error()
	}
	if fault != "" && fault != k.fault {
		k.log.Error("the certificate in the files cannot be used, the one before stays", "err", err)
	}
	k.doubt, k.fault = err != nil, fault
	k.rejected.Set(0)
	if fault != "" {
		k.rejected.Set(1)
	}
}

// show shows the certificate if key is its key.
func (k *Keeper) show(cert, key []byte) error {
	pair, err := tls.X509KeyPair(cert, key) // an error says what is missing, and quotes nothing
	if err != nil {
		return fmt.Errorf("%s and %s are not a certificate and its key in PEM: %w", k.files.Cert, k.files.Key, err)
	}
	k.cert, k.key, k.shown = cert, key, &pair
	k.notAfter.WithLabelValues("serving").Set(float64(pair.Leaf.NotAfter.Unix()))
	return nil
}

func (f Files) read() (cert, key []byte, err error) {
	if cert, err = read(f.Cert); err != nil {
		return nil, nil, err
	}
	key, err = read(f.Key)
	return cert, key, err
}

func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxFile:
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxFile)
	case len(bytes.TrimSpace(b)) == 0:
		return nil, errors.New(path + " is empty")
	}
	return b, nil
}
