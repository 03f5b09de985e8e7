// Package kubeclient connects the programs of the lab to its API server.
package kubeclient

import (
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Requests per second. The defaults of client-go (5, burst 10) would make a program that serves a whole cluster lag.
const (
	queriesPerSecond = 100
	queryBurst       = 200
)

// New reads the kubeconfig file at path; userAgent names the program in the API server's audit log.
func New(path, userAgent string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS, config.Burst, config.UserAgent = queriesPerSecond, queryBurst, userAgent
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client from %s: %w", path, err)
	}
	return client, nil
}
