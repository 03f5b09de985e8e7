// Package program is what the lab's programs that serve a whole cluster or node have in common: how they are told what
// to do, how they end, and how they show that they work.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/kubernetes"

	"lab/host/internal/health"
	"lab/host/internal/kubeclient"
)

// Program is one program, told by its flags what to do.
type Program struct {
	Name string
	// Health is where GET /healthz is answered unless a flag says otherwise.
	Health string
	// Flags adds what this program needs beside --kubeconfig and --health.
	Flags func(*Flags)
	// Work makes the program's work; it begins once the health port is open.
	Work func(kubernetes.Interface) (Work, error)
}

// Work goes on until its context ends.
type Work struct {
	// Check says what is wrong, if anything is.
	Check func(context.Context) error
	Run   func(context.Context) error
}

// Flags is a set of flags of which some must be given.
type Flags struct {
	*flag.FlagSet
	required []*string
}

// Required adds a flag that must not be empty.
func (f *Flags) Required(name, usage string) *string {
	value := f.String(name, "", usage+" (required)")
	f.required = append(f.required, value)
	return value
}

// errUsage stands for flags that are not as they should be; what is wrong was said.
var errUsage = errors.New("wrong usage")

// Main runs the program until it is asked to end, and ends the process: with 2 if it was called wrongly, with 1 if the
// work failed.
func (p Program) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := p.run(ctx, os.Args[1:], os.Stderr)
	// Work that was asked to end may say so in its own way.
	wasAsked := ctx.Err() != nil
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil && !wasAsked:
		slog.Error(p.Name+" ends", "error", err)
		os.Exit(1)
	}
}

func (p Program) run(ctx context.Context, arguments []string, told io.Writer) error {
	flags := Flags{FlagSet: flag.NewFlagSet(p.Name, flag.ContinueOnError)}
	flags.SetOutput(told)
	kubeconfig := flags.Required("kubeconfig", "kubeconfig `file` of the host cluster")
	address := flags.String("health", p.Health, "`address` of /healthz")
	p.Flags(&flags)
	if err := flags.parse(arguments); err != nil {
		return err
	}
	client, err := kubeclient.New(*kubeconfig, p.Name)
	if err != nil {
		return err
	}
	work, err := p.Work(client)
	if err != nil {
		return err
	}
	if _, err := health.Serve(ctx, *address, work.Check); err != nil {
		return err
	}
	return work.Run(ctx)
}

func (f *Flags) parse(arguments []string) error {
	if err := f.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	complete := f.NArg() == 0
	for _, value := range f.required {
		complete = complete && *value != ""
	}
	if !complete {
		fmt.Fprintf(f.Output(), "%s takes flags only, and not all that it needs are there\n", f.Name())
		f.Usage()
		return errUsage
	}
	return nil
}
