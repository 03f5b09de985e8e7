// Command local-storage is the dynamic volume provisioner of the lab: it makes a directory per volume, pinned to the
// node that the scheduler chose, for every StorageClass with provisioner warren.dev/local-path.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"lab/host/internal/health"
	"lab/host/internal/kubeclient"
	"lab/host/internal/localstorage"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig `file` of the host cluster")
	root := flag.String("root", "", "`directory` that holds the volumes: <root>/<node>/volumes/<volume>")
	healthAddress := flag.String("health", "127.0.0.1:10361", "`address` of /healthz")
	flag.Parse()
	if *kubeconfig == "" || *root == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: local-storage --kubeconfig FILE --root DIRECTORY [--health ADDRESS]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig, *root, *healthAddress); err != nil {
		slog.Error("local-storage ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, root, healthAddress string) error {
	client, err := kubeclient.New(kubeconfig, "local-storage")
	if err != nil {
		return err
	}
	provisioner, err := localstorage.Open(root)
	if err != nil {
		return err
	}
	check := func(ctx context.Context) error {
		if err := provisioner.Check(); err != nil {
			return err
		}
		return serverReady(ctx, client)
	}
	if _, err := health.Serve(ctx, healthAddress, check); err != nil {
		return err
	}
	// One provisioner per lab, so there is nobody to elect. Zero thresholds: a full disk is retried until it is not.
	controller.NewProvisionController(ctx, client, localstorage.ProvisionerName, provisioner,
		controller.LeaderElection(false),
		controller.FailedProvisionThreshold(0),
		controller.FailedDeleteThreshold(0),
	).Run(ctx)
	return nil
}

func serverReady(ctx context.Context, client kubernetes.Interface) error {
	if err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return fmt.Errorf("ask the API server: %w", err)
	}
	return nil
}
