package program

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
)

const kubeconfig = `{"apiVersion": "v1", "kind": "Config", "current-context": "lab",
	"clusters": [{"name": "lab", "cluster": {"server": "https://127.0.0.1:1"}}],
	"contexts": [{"name": "lab", "context": {"cluster": "lab"}}]}`

// sample runs until its context ends, and then says so.
var sample = Program{
	Name:   "sample",
	Health: "127.0.0.1:0",
	Flags:  func(flags *Flags) { flags.Required("node", "`name` of the node") },
	Work: func(kubernetes.Interface) (Work, error) {
		return Work{
			Check: func(context.Context) error { return nil },
			Run:   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		}, nil
	},
}

func run(t *testing.T, ctx context.Context, arguments ...string) (string, error) {
	t.Helper()
	var told strings.Builder
	err := sample.run(ctx, arguments, &told)
	return told.String(), err
}

func TestAProgramThatIsCalledWronglySaysWhatItTakes(t *testing.T) {
	for name, arguments := range map[string][]string{
		"a flag that must be given is missing": {"--kubeconfig", "file"},
		"a flag that it does not know":         {"--kubeconfig", "file", "--node", "node1", "--colour", "red"},
		"an argument that is no flag":          {"--kubeconfig", "file", "--node", "node1", "node2"},
	} {
		t.Run(name, func(t *testing.T) {
			told, err := run(t, t.Context(), arguments...)
			if !errors.Is(err, errUsage) {
				t.Errorf("got %v", err)
			}
			if !strings.Contains(told, "-kubeconfig file") || !strings.Contains(told, "-node name") {
				t.Errorf("it does not say what it takes: %q", told)
			}
		})
	}
}

func TestHelpIsNoFailure(t *testing.T) {
	if told, err := run(t, t.Context(), "--help"); !errors.Is(err, flag.ErrHelp) || !strings.Contains(told, "-health") {
		t.Errorf("got %v, told %q", err, told)
	}
}

func TestWorkEndsWhenItIsAskedTo(t *testing.T) {
	ctx, ask := context.WithCancel(t.Context())
	ask()
	if _, err := run(t, ctx, "--kubeconfig", configFile(t), "--node", "node1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAHealthPortThatIsTakenEndsTheProgramAtItsStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	arguments := []string{"--kubeconfig", configFile(t), "--node", "node1", "--health", taken.Addr().String()}
	if _, err := run(t, t.Context(), arguments...); err == nil || errors.Is(err, errUsage) {
		t.Errorf("got %v", err)
	}
}

func configFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
