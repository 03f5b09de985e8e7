package bootstrap

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// patience is for the whole of it: the API server does what is left over.
	patience = 10 * time.Second
	writers  = 8
)

// IsNew says whether a kine with these arguments starts on a store in a file
// that does not exist yet, and returns the socket that it will listen on.
// Any other store is left alone.
func IsNew(arguments []string, exists func(string) bool) (socket string, isNew bool) {
	endpoint := flag(arguments, "endpoint")
	file, isFile := strings.CutPrefix(endpoint, "sqlite://")
	file, _, _ = strings.Cut(file, "?")
	socket = flag(arguments, "listen-address")
	isNew = isFile && file != "" && strings.HasPrefix(socket, "unix://") && !exists(file)
	return socket, isNew
}

func flag(arguments []string, name string) string {
	for index, argument := range arguments {
		argument = strings.TrimPrefix(strings.TrimPrefix(argument, "-"), "-")
		if value, found := strings.CutPrefix(argument, name+"="); found {
			return value
		}
		if argument == name && index+1 < len(arguments) {
			return arguments[index+1]
		}
	}
	return ""
}

// Plant creates the entries in the store behind a socket as soon as it answers.
// What is there already stays as it is.
func Plant(ctx context.Context, socket string, entries []Entry) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{socket},
		Context:   ctx,
		DialOptions: []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		},
	})
	if err != nil {
		return err
	}
	defer client.Close()

	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for _, entry := range entries {
		group.Go(func() error {
			if err := create(ctx, client, entry); err != nil {
				return fmt.Errorf("create %s: %w", entry.Key, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// create is the transaction that kine knows as a creation.
func create(ctx context.Context, client *clientv3.Client, entry Entry) error {
	_, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(entry.Key), "=", 0)).
		Then(clientv3.OpPut(entry.Key, string(entry.Value))).
		Else(clientv3.OpGet(entry.Key)).
		Commit()
	return err
}
