// Command network-policy enforces NetworkPolicy on one node of the lab, in the network namespace that it runs in.
// Package lab/host/internal/networkpolicy says how, and what a pod that starts has to know about it.
package main

import (
	"context"

	"k8s.io/client-go/kubernetes"

	"lab/host/internal/networkpolicy"
	"lab/host/internal/program"
)

func main() {
	var node, nft *string
	program.Program{
		Name:   "network-policy",
		Health: "127.0.0.1:10360",
		Flags: func(flags *program.Flags) {
			node = flags.Required("node", "`name` of the node whose pods are governed")
			nft = flags.String("nft", "nft", "`path` of the nft program")
		},
		Work: func(client kubernetes.Interface) (program.Work, error) {
			enforcer := networkpolicy.NewEnforcer(*node, networkpolicy.NftApply(*nft))
			return program.Work{
				Check: func(context.Context) error { return enforcer.Health() },
				Run:   func(ctx context.Context) error { return enforcer.Run(ctx, client) },
			}, nil
		},
	}.Main()
}
