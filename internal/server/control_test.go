package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestVerbsTakeTheirTime lets a verb work for longer than the server gives a request.
func TestVerbsTakeTheirTime(t *testing.T) {
	const bound = 20 * time.Millisecond
	s := httptest.NewUnstartedServer(controlHandler(map[string]verb{
		"slow": typed(func(context.Context, nothing) (string, error) {
			<-time.After(5 * bound)
			return "done", nil
		}),
	}, quiet))
	s.Config.ReadTimeout, s.Config.WriteTimeout = bound, bound
	s.Start()
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/slow", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.Client().Do(r)
	if err != nil {
		t.Fatalf("a verb that takes longer than a request: %v", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s", response.Status)
	}
}
