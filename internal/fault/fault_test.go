package fault

import (
	"errors"
	"fmt"
	"testing"
)

func TestFaultSurvivesWrapping(t *testing.T) {
	cause := errors.New("disk on fire")
	err := fmt.Errorf("append to INBOX: %w", Wrap(cause, Temporary, Mailbox, "mailbox %q can't be written now", "m1"))
	if KindOf(err) != Temporary || !Is(err, Temporary, Mailbox) || Is(err, Temporary, Folder) {
		t.Errorf("KindOf = %v, As = %+v", KindOf(err), As(err))
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if KindOf(cause) != Internal || As(cause) != nil {
		t.Error("an error that is not a fault must be internal")
	}
}

func TestEveryKindHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if k.String() == "" || seen[k.String()] {
			t.Errorf("kind %d has no name of its own: %q", k, k)
		}
		seen[k.String()] = true
	}
}
