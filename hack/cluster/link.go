package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/postrider/postrider/hack/local/child"
)

// plug lays the cable between the machine and the node whose first process is pid.
func (c *cluster) plug(ctx context.Context, pid string) error {
	if err := ip(ctx, "link", "add", hostLink, "type", "veth", "peer", "name", nodeLink, "netns", pid); err != nil {
		return err
	}
	link, err := net.InterfaceByName(hostLink)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path("link"), []byte(strconv.Itoa(link.Index)), 0o600); err != nil {
		return err
	}
	return errors.Join(ip(ctx, "addr", "add", hostIP+linkPrefix, "dev", hostLink), ip(ctx, "link", "set", hostLink, "up"))
}

// unplug removes the machine's end of the cable. The kernel does so by itself
// when the network of the node is gone, which connections that were broken off
// can hold up for minutes.
func (c *cluster) unplug(ctx context.Context) error {
	index, err := os.ReadFile(c.path("link"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	link, err := net.InterfaceByName(hostLink)
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	if strconv.Itoa(link.Index) != string(index) { // it is of another cluster
		return nil
	}
	return ip(ctx, "link", "del", hostLink)
}

// addressesFree makes sure that the network of the node is not that of others.
func addressesFree() error {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && (network.Contains(net.ParseIP(nodeIP)) || network.IP.String() == hostIP) {
			return fmt.Errorf("the cluster wants %s%s for itself, but this machine has the address %s: another cluster may be up", nodeIP, linkPrefix, network)
		}
	}
	return nil
}

func ip(ctx context.Context, args ...string) error {
	_, err := child.Run(ctx, child.Command{Name: "ip " + strings.Join(args, " "), Path: "ip", Args: args})
	return err
}
