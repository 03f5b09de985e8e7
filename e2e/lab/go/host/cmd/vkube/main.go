// Command vkube is the control plane of a virtual cluster in one file: kine,
// kube-apiserver and kube-controller-manager. Its image links those names to
// it, so that a tenant's pod carries one program instead of three. A store that
// does not exist yet starts with what the other two would write into it, if the
// environment says WARREN_NEW_STORE=planted.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"lab/host/internal/bootstrap"

	kine "github.com/k3s-io/kine/pkg/app"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "kine":
		go plant(storeIsNew())
		if err := kine.New().Run(os.Args); err != nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	default:
		fmt.Fprintf(os.Stderr, "vkube holds no program %q\n", name)
		os.Exit(2)
	}
}

// storeIsNew must be asked before kine starts, which makes the file.
func storeIsNew() (socket string, isNew bool) {
	if os.Getenv("WARREN_NEW_STORE") != "planted" {
		return "", false
	}
	return bootstrap.IsNew(os.Args[1:], func(file string) bool {
		_, err := os.Stat(file)
		return !errors.Is(err, os.ErrNotExist)
	})
}

// plant fills a new store. Nothing depends on it but time, so a failure is only told.
func plant(socket string, isNew bool) {
	if !isNew {
		return
	}
	entries, err := bootstrap.Entries(time.Now())
	if err == nil {
		err = bootstrap.Plant(context.Background(), socket, entries)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the new store is left to the API server:", err)
	}
}
