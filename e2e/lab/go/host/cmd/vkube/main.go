// Command vkube is the control plane of a virtual cluster in one file: kine,
// kube-apiserver and kube-controller-manager. Its image links those names to
// it, so that a tenant's pod carries one program instead of three.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
