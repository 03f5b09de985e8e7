package networkpolicy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const (
	// coalesce lets the events of one moment (a rollout, a namespace that goes) share one run of nft.
	coalesce = 2 * time.Millisecond
	// retryAfter is the pause after a failed apply; the old rules hold until then.
	retryAfter = time.Second
	// applyTimeout bounds one run of nft.
	applyTimeout = 30 * time.Second
)

// Enforcer keeps the table of one node equal to what the cluster asks for.
type Enforcer struct {
	Node string
	// Apply replaces the table; [NftApply] in earnest.
	Apply func(ctx context.Context, text string) error

	retryAfter time.Duration

	mutex  sync.Mutex
	health error
}

// NewEnforcer is not healthy before the first apply.
func NewEnforcer(node string, apply func(context.Context, string) error) *Enforcer {
	return &Enforcer{
		Node: node, Apply: apply, retryAfter: retryAfter,
		health: errors.New("the first look at the cluster is not complete"),
	}
}

// Health is nil while the watches have been read in full and the last apply succeeded.
func (e *Enforcer) Health() error {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return e.health
}

func (e *Enforcer) setHealth(err error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.health = err
}

// Run enforces until ctx ends, and leaves the rules in place then: a restart of the enforcer opens nothing.
func (e *Enforcer) Run(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, namespaces := factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()

	changed := make(chan struct{}, 1) // holds one wake-up; what changed is read from the caches
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { wake() },
		UpdateFunc: func(any, any) { wake() },
		DeleteFunc: func(any) { wake() },
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watch the cluster: %w", err)
		}
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("stopped before %s were read", kind)
		}
	}
	observe := func() (state State, err error) {
		state.Node = e.Node
		var failed [3]error
		state.Pods, failed[0] = pods.Lister().List(labels.Everything())
		state.Namespaces, failed[1] = namespaces.Lister().List(labels.Everything())
		state.Policies, failed[2] = policies.Lister().List(labels.Everything())
		return state, errors.Join(failed[:]...)
	}
	wake() // an empty cluster has a table too, instead of the one that an earlier run left
	return e.loop(ctx, changed, observe)
}

func (e *Enforcer) loop(ctx context.Context, changed <-chan struct{}, observe func() (State, error)) error {
	applied := ""
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-retry:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(coalesce):
		}
		retry = nil
		text, err := e.refresh(ctx, applied, observe)
		e.setHealth(err)
		if err != nil {
			slog.Error("rules not applied", "node", e.Node, "error", err)
			retry = time.After(e.retryAfter)
			continue
		}
		applied = text
	}
}

// refresh applies the rules if they differ from applied. Most changes of a pod do not matter to them, and an apply
// starts the counters again.
func (e *Enforcer) refresh(ctx context.Context, applied string, observe func() (State, error)) (string, error) {
	state, err := observe()
	if err != nil {
		return applied, fmt.Errorf("read the caches: %w", err)
	}
	started := time.Now()
	ruleset := Compile(state)
	text := ruleset.Render()
	if text == applied {
		return applied, nil
	}
	// The end of the program does not cut an apply short.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
	defer cancel()
	if err := e.Apply(ctx, text); err != nil {
		return applied, err
	}
	slog.Info("rules applied", "node", e.Node, "chains", len(ruleset.Chains), "bytes", len(text),
		"duration_ms", time.Since(started).Milliseconds())
	return text, nil
}

// NftApply gives text to the nft program at path.
func NftApply(path string) func(context.Context, string) error {
	return func(ctx context.Context, text string) error {
		command := exec.CommandContext(ctx, path, "-f", "-")
		command.Stdin = strings.NewReader(text)
		var output bytes.Buffer
		command.Stdout, command.Stderr = &output, &output
		if err := command.Run(); err != nil {
			return fmt.Errorf("%s -f -: %w: %s", path, err, strings.TrimSpace(output.String()))
		}
		return nil
	}
}
