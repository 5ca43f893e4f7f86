package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// portVariable names the environment variable that moves all ports.
const portVariable = "POSTRIDER_PORT"

// firstPort is the default. The samples name it: their receivers listen there.
const firstPort = 9400

// Who listens where: consecutive ports of 127.0.0.1, counted from the first.
const (
	portReceiver = iota
	portEvents
	portAdmin
	portHealth
	portKubernetes
	portEtcd
	portEtcdPeer
	portCount
)

var portOwners = [portCount]string{"the sample receiver", "the dispatcher's events", "the dispatcher's report and metrics",
	"the manager's health", "kube-apiserver", "etcd", "etcd's peers"}

// ports is the first of them.
type ports int

func choosePorts() (ports, error) {
	text := os.Getenv(portVariable)
	if text == "" {
		return firstPort, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1024 || n > 65535-portCount {
		return 0, fmt.Errorf("%s=%q is not the first of %d consecutive ports between 1024 and 65535; write it like %s=9500",
			portVariable, text, portCount, portVariable)
	}
	return ports(n), nil
}

func (p ports) number(who int) string  { return strconv.Itoa(int(p) + who) }
func (p ports) address(who int) string { return net.JoinHostPort("127.0.0.1", p.number(who)) }

// check fails when another program has one of the ports. It waits a moment for
// those of a run that was just killed.
func (p ports) check(ctx context.Context) error {
	const patience, pause = 2 * time.Second, 50 * time.Millisecond
	for who, owner := range portOwners {
		for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", p.address(who))
			if err == nil {
				if err := l.Close(); err != nil {
					return err
				}
				break
			}
			if !errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("port %d (%s): %w", int(p)+who, owner, err)
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("port %d (for %s) is in use by another program.\n"+
					"  Stop that program, or move Postrider's %d ports:\n    %s=%d make run", int(p)+who, owner, portCount, portVariable, int(p)+100)
			}
		}
	}
	return nil
}
