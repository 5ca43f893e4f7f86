package egress

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
)

// ErrDenied is wrapped by what [Guard.Check] returns and so by what
// [Client.Send] returns when the guard refused the address.
var ErrDenied = errors.New("the address may not be dialled")

// A Guard decides which addresses may be dialled. The zero Guard allows what is
// globally reachable and nothing else.
type Guard struct {
	// Allow are ranges that the platform grants although they are not
	// globally reachable; IPv4 ranges in their IPv4 form. They win.
	Allow []netip.Prefix
}

// Check returns an error wrapping [ErrDenied] unless addr may be dialled. The
// error names the class of the address and not the address, which would let a
// tenant map the inner network.
func (g Guard) Check(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("") // ::ffff:127.0.0.1 is 127.0.0.1, and no prefix contains a zone
	for _, p := range g.Allow {
		if p.Contains(addr) {
			return nil
		}
	}
	if class := classify(addr); class != "" {
		return denial(class)
	}
	return nil
}

// control runs after DNS and before connect, on the very address about to be
// dialled, so a name that resolves differently the second time gains nothing.
func (g Guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return denial(classNotIP)
	}
	return g.Check(to.Addr())
}

// A denial is the class of an address as an error.
type denial string

func (d denial) Error() string { return ErrDenied.Error() + ": " + string(d) }
func (denial) Unwrap() error   { return ErrDenied }
