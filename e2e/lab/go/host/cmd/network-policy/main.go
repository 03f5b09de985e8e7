// Command network-policy enforces NetworkPolicy on one node of the lab, in the network namespace that it runs in.
// Package lab/host/internal/networkpolicy says how, and what a pod that starts has to know about it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"lab/host/internal/health"
	"lab/host/internal/kubeclient"
	"lab/host/internal/networkpolicy"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig `file` of the host cluster")
	node := flag.String("node", "", "`name` of the node whose pods are governed")
	nft := flag.String("nft", "nft", "`path` of the nft program")
	healthAddress := flag.String("health", "127.0.0.1:10360", "`address` of /healthz")
	flag.Parse()
	if *kubeconfig == "" || *node == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: network-policy --kubeconfig FILE --node NAME [--nft PATH] [--health ADDRESS]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig, *node, *nft, *healthAddress); err != nil && ctx.Err() == nil {
		slog.Error("network-policy ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, node, nft, healthAddress string) error {
	client, err := kubeclient.New(kubeconfig, "network-policy")
	if err != nil {
		return err
	}
	enforcer := networkpolicy.NewEnforcer(node, networkpolicy.NftApply(nft))
	check := func(context.Context) error { return enforcer.Health() }
	if _, err := health.Serve(ctx, healthAddress, check); err != nil {
		return err
	}
	return enforcer.Run(ctx, client)
}
