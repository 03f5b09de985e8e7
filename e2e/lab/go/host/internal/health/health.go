// Package health answers whether a program of the lab does its work.
package health

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// checkTimeout bounds one check, so that a hanging API server shows as unhealthy and not as silence.
const checkTimeout = 5 * time.Second

// Serve answers GET /healthz on address until ctx ends: 200 and "ok", or 503 and what is wrong. It returns the address
// that it listens on once that is open, so that a port that is taken ends the program at its start.
func Serve(ctx context.Context, address string, check func(context.Context) error) (net.Addr, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open the health port: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		if err := check(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: checkTimeout}
	context.AfterFunc(ctx, func() { server.Close() })
	go func() {
		if err := server.Serve(listener); err != nil && ctx.Err() == nil {
			slog.Error("health port closed", "error", err)
		}
	}()
	return listener.Addr(), nil
}
