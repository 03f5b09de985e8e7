package health

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestHealthzSaysOkOrWhatIsWrong(t *testing.T) {
	var broken atomic.Bool
	address, err := Serve(t.Context(), "127.0.0.1:0", func(context.Context) error {
		if broken.Load() {
			return errors.New("the last apply failed")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	get := func() (int, string) {
		response, err := http.Get("http://" + address.String() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, strings.TrimSpace(string(body))
	}
	if code, body := get(); code != http.StatusOK || body != "ok" {
		t.Errorf("healthy: got %d %q", code, body)
	}
	broken.Store(true)
	if code, body := get(); code != http.StatusServiceUnavailable || body != "the last apply failed" {
		t.Errorf("unhealthy: got %d %q", code, body)
	}
}

func TestAPortThatIsTakenIsAnError(t *testing.T) {
	healthy := func(context.Context) error { return nil }
	address, err := Serve(t.Context(), "127.0.0.1:0", healthy)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Serve(t.Context(), address.String(), healthy); err == nil {
		t.Error("a second server on the same port was accepted")
	}
}
