// Command local-storage is the dynamic volume provisioner of the lab: it makes a directory per volume, pinned to the
// node that the scheduler chose, for every StorageClass with provisioner warren.dev/local-path.
package main

import (
	"context"
	"fmt"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"lab/host/internal/localstorage"
	"lab/host/internal/program"
)

func main() {
	var root *string
	program.Program{
		Name:   "local-storage",
		Health: "127.0.0.1:10361",
		Flags: func(flags *program.Flags) {
			root = flags.Required("root", "`directory` that holds the volumes: <root>/<node>/volumes/<volume>")
		},
		Work: func(client kubernetes.Interface) (program.Work, error) {
			provisioner, err := localstorage.Open(*root)
			if err != nil {
				return program.Work{}, err
			}
			check := func(ctx context.Context) error {
				if err := provisioner.Check(); err != nil {
					return err
				}
				return serverReady(ctx, client)
			}
			run := func(ctx context.Context) error {
				// One provisioner per lab, so there is nobody to elect. Zero thresholds: a full disk is retried until
				// it is not.
				controller.NewProvisionController(ctx, client, localstorage.ProvisionerName, provisioner,
					controller.LeaderElection(false),
					controller.FailedProvisionThreshold(0),
					controller.FailedDeleteThreshold(0),
				).Run(ctx)
				return nil
			}
			return program.Work{Check: check, Run: run}, nil
		},
	}.Main()
}

func serverReady(ctx context.Context, client kubernetes.Interface) error {
	if err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return fmt.Errorf("ask the API server: %w", err)
	}
	return nil
}
