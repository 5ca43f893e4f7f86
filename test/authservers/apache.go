// Package authservers runs real servers that ask who is calling, on loopback, for
// the tests of authorization: Apache httpd as Debian builds it, and an OAuth 2.0
// provider that is a module of its own below.
package authservers

import (
	"bytes"
	"crypto/md5"  //nolint:gosec // what Apache's digest files hold
	"crypto/sha1" //nolint:gosec // what its password files may hold
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/eventually"
)

// Realm is that of what asks for Basic or Digest.
const Realm = "hooks"

// An Apache answers POSTs of users who prove themselves: at /basic and /digest by
// password, at /short by Digest with nonces that last a second, and over TLS to
// whom the certificate says.
type Apache struct {
	HTTP, HTTPS string // base addresses; at the latter only clients with a certificate are let in
	dir         string
}

// StartApache starts an Apache with one user that ends with the test. Its TLS
// trusts, and is trusted by whom trusts, the authority ca.
func StartApache(tb testing.TB, user, password string, ca *Authority) *Apache {
	tb.Helper()
	fetch := exec.CommandContext(tb.Context(), filepath.Join(repository(tb), "hack/apache/fetch.sh"))
	var words bytes.Buffer
	fetch.Stderr = &words
	out, err := fetch.Output()
	if err != nil {
		tb.Fatalf("there is no Apache httpd: %v\n%s", err, words.String())
	}
	root := strings.TrimSpace(string(out))
	a := &Apache{dir: openDir(tb)}
	plain, secure := freeAddress(tb), freeAddress(tb)
	a.HTTP, a.HTTPS = "http://"+plain, "https://"+secure
	digest := md5.Sum([]byte(user + ":" + Realm + ":" + password)) //nolint:gosec // as above
	hash := sha1.Sum([]byte(password))                             //nolint:gosec // as above
	server := ca.Issue(tb, "127.0.0.1")
	a.write(tb, map[string]string{
		"httpd.conf": a.configuration(root, plain, secure),
		"digests":    user + ":" + Realm + ":" + hex.EncodeToString(digest[:]) + "\n",
		"passwords":  user + ":{SHA}" + base64.StdEncoding.EncodeToString(hash[:]) + "\n",
		"server.crt": server.Chain, "server.key": server.Key, "ca.crt": ca.PEM,
		"www/basic": "basic", "www/digest": "digest", "www/short": "short", "www/certificate": "certificate",
	})
	a.start(tb, root, plain)
	return a
}

// openDir is a folder that others may read too: what root starts serves as nobody.
func openDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "postrider-apache-") //nolint:usetesting // that one nobody else may read
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // as said
		tb.Fatal(err)
	}
	return dir
}

func (a *Apache) write(tb testing.TB, files map[string]string) {
	tb.Helper()
	if err := os.Mkdir(filepath.Join(a.dir, "www"), 0o755); err != nil { //nolint:gosec // another user serves it
		tb.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // likewise
			tb.Fatal(err)
		}
	}
}

func (a *Apache) configuration(root, plain, secure string) string {
	var b strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "auth_digest", "ssl"} {
		fmt.Fprintf(&b, "LoadModule %s_module %s/usr/lib/apache2/modules/mod_%s.so\n", m, strings.TrimSuffix(root, "/"), m)
	}
	if os.Getuid() == 0 { // it serves as nobody then
		b.WriteString("User nobody\nGroup nogroup\n")
	}
	fmt.Fprintf(&b, `
ServerRoot %[1]s
DefaultRuntimeDir %[1]s
Mutex file:%[1]s
PidFile pid
ErrorLog error.log
LogLevel warn
LogFormat "%%U %%>s %%u %%{SSL_CLIENT_S_DN_CN}x" short
CustomLog access.log short
ServerName 127.0.0.1
StartServers 1
DocumentRoot %[1]s/www
Listen %[2]s
Listen %[3]s
<Location /basic>
	AuthType Basic
	AuthName %[4]s
	AuthUserFile %[1]s/passwords
	Require valid-user
</Location>
<Location /digest>
	AuthType Digest
	AuthName %[4]s
	AuthUserFile %[1]s/digests
	Require valid-user
</Location>
<Location /short>
	AuthType Digest
	AuthName %[4]s
	AuthUserFile %[1]s/digests
	AuthDigestNonceLifetime 1
	Require valid-user
</Location>
<VirtualHost %[3]s>
	SSLEngine on
	SSLCertificateFile %[1]s/server.crt
	SSLCertificateKeyFile %[1]s/server.key
	SSLCACertificateFile %[1]s/ca.crt
	SSLVerifyClient require
</VirtualHost>
`, a.dir, plain, secure, Realm)
	return b.String()
}

func (a *Apache) start(tb testing.TB, root, plain string) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), filepath.Join(root, "usr/sbin/apache2"), "-DFOREGROUND", "-f", filepath.Join(a.dir, "httpd.conf"))
	if root != "/" {
		libraries, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*"))
		if err != nil || len(libraries) == 0 {
			tb.Fatalf("the libraries of Apache are not below %s: %v", root, err)
		}
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	}
	var words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &words, &words
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends its children itself
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it ends by a signal
		close(ended)
	}()
	tb.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
	})
	eventually.True(tb, "Apache", func() bool {
		select {
		case <-ended:
			log, _ := os.ReadFile(filepath.Join(a.dir, "error.log"))
			tb.Fatalf("Apache has ended: %s\n%s", words.String(), log)
		default:
		}
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(tb.Context(), "tcp", plain)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

// Log is what was asked for so far, one line each: path, status, the user, and
// the name in the client's certificate ("-" = none).
func (a *Apache) Log(tb testing.TB) []string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, "access.log"))
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// freeAddress is one that nobody listens at.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	return l.Addr().String()
}

// repository is the folder of this module.
func repository(tb testing.TB) string {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/postrider/postrider").Output()
	if err != nil {
		tb.Fatalf("finding the module: %v", err)
	}
	return strings.TrimSpace(string(out))
}
