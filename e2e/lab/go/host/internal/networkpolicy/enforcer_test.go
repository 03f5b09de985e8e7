package networkpolicy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// enforced runs an enforcer against a cluster in memory. Each apply waits for the test: its text arrives on applies,
// and its result is what the test puts into results.
type enforced struct {
	t        *testing.T
	enforcer *Enforcer
	client   kubernetes.Interface
	applies  chan string
	results  chan error
}

func start(t *testing.T, documents string) *enforced {
	t.Helper()
	state := stateOf(t, documents)
	var objects []runtime.Object
	for _, o := range state.Pods {
		objects = append(objects, o)
	}
	for _, o := range state.Namespaces {
		objects = append(objects, o)
	}
	for _, o := range state.Policies {
		objects = append(objects, o)
	}
	client := fake.NewClientset(objects...)
	watching := make(chan struct{}, 3)
	// The fake server forgets what happens between a list and its watch, so changes have to wait for the watches.
	client.PrependWatchReactor("*", func(action clienttesting.Action) (bool, watch.Interface, error) {
		watcher, err := client.Tracker().Watch(action.GetResource(), action.GetNamespace())
		watching <- struct{}{}
		return true, watcher, err
	})
	e := &enforced{t: t, client: client, applies: make(chan string), results: make(chan error)}
	ctx, cancel := context.WithCancel(context.Background())
	e.enforcer = NewEnforcer("node1", func(_ context.Context, text string) error {
		select {
		case e.applies <- text:
			return <-e.results
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	e.enforcer.retryAfter = time.Millisecond
	ended := make(chan error)
	if e.enforcer.Health() == nil {
		t.Error("healthy before anything was applied")
	}
	go func() { ended <- e.enforcer.Run(ctx, client) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the enforcer ended with %v", err)
		}
	})
	for range 3 {
		<-watching
	}
	return e
}

// next is the text of the next apply, which waits for a result then.
func (e *enforced) next() string {
	e.t.Helper()
	select {
	case text := <-e.applies:
		return text
	case <-time.After(30 * time.Second):
		e.t.Fatal("no apply")
		return ""
	}
}

const oneClosedPod = `
kind: Namespace
metadata: {name: shop}
---
kind: Pod
metadata: {namespace: shop, name: fresh, labels: {app: fresh}}
spec: {nodeName: node1, containers: []}
status: {phase: Pending}
`

func (e *enforced) giveAddress(address string) {
	e.t.Helper()
	pods := e.client.CoreV1().Pods("shop")
	pod, err := pods.Get(context.Background(), "fresh", metav1.GetOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: address}
	if _, err := pods.UpdateStatus(context.Background(), pod, metav1.UpdateOptions{}); err != nil {
		e.t.Fatal(err)
	}
}

func TestAPodIsCoveredAsSoonAsItsAddressIsKnown(t *testing.T) {
	e := start(t, oneClosedPod+policyYAML("shop", `podSelector: {}`))
	if text := e.next(); strings.Contains(text, "jump") {
		t.Errorf("rules without an address:\n%s", text)
	}
	e.results <- nil
	e.giveAddress("10.78.1.20")
	if text := e.next(); !strings.Contains(text, "10.78.1.20 : jump ingress_0") {
		t.Errorf("no rules for the new address:\n%s", text)
	}
	e.results <- nil
}

func TestChangesThatMatterToNoRuleAreNotApplied(t *testing.T) {
	applies := 0
	e := NewEnforcer("node1", func(context.Context, string) error { applies++; return nil })
	state := stateOf(t, oneClosedPod+policyYAML("shop", `podSelector: {}`))
	observe := func() (State, error) { return state, nil }
	applied := ""
	for _, step := range []struct {
		change func()
		want   int
	}{
		{func() {}, 1},
		{func() { state.Pods[0].Status.Message = "pulling the image" }, 1},
		{func() { state.Pods[0].Status.PodIP = "10.78.1.20" }, 2},
		{func() { state.Pods[0].Labels["mood"] = "good" }, 2},
		{func() { state.Policies = nil }, 3},
	} {
		step.change()
		text, err := e.refresh(t.Context(), applied, observe)
		if err != nil {
			t.Fatal(err)
		}
		if applied = text; applies != step.want {
			t.Fatalf("%d applies, want %d", applies, step.want)
		}
	}
}

func TestAFailedApplyShowsAndIsTriedAgain(t *testing.T) {
	e := start(t, oneClosedPod+policyYAML("shop", `podSelector: {}`))
	first := e.next()
	for range 3 { // one repetition could be due to an event that waited
		e.results <- errors.New("nft said no")
		if again := e.next(); again != first {
			t.Errorf("another text:\n%s", again)
		}
	}
	// An apply is asked for after the result of the one before was noted.
	if err := e.enforcer.Health(); err == nil || err.Error() != "nft said no" {
		t.Errorf("health after a failure: %v", err)
	}
	e.results <- nil
	e.giveAddress("10.78.1.20")
	e.next()
	if err := e.enforcer.Health(); err != nil {
		t.Errorf("health after a success: %v", err)
	}
	e.results <- nil
}

func TestNftThatFailsTellsWhy(t *testing.T) {
	err := NftApply("/bin/false")(context.Background(), "")
	if err == nil || !strings.Contains(err.Error(), "/bin/false -f -: exit status 1") {
		t.Errorf("got %v", err)
	}
}
