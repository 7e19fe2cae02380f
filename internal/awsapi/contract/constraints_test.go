package contract

import (
	"errors"
	"reflect"
	"testing"

	"github.com/pennypost/pennypost/internal/awsapi/contract/contracttest"
	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
)

// TestEveryConstraintOfEveryMember hands every operation values just inside and just outside each constraint, of wrong types, null
// and absent.
func TestEveryConstraintOfEveryMember(t *testing.T) {
	cases := 0
	for _, op := range Operations() {
		var absent any // the last input that was decoded without a member
		for _, c := range contracttest.Cases(t, op.Input, nil) {
			cases++
			input, unknown, err := op.Decode(c.Document, c.InPath)
			var syntax *schema.SyntaxError
			breach := ""
			if errors.As(err, new(schema.Breaches)) {
				breach = err.Error()
			}
			if errors.As(err, &syntax) != c.Unreadable || breach != c.Breach || len(unknown) != 0 {
				t.Errorf("%s %s %s, %.300s:\n%v, unknown %q\nwant %q", op.Name, c.Path, c.Kind, c.Document, err, unknown, c.Breach)
			}
			switch {
			case c.Kind == contracttest.Missing && err == nil:
				absent = input
			case c.Kind == contracttest.Null && err == nil && !reflect.DeepEqual(input, absent):
				t.Errorf("%s %s: null is %+v, absent is %+v", op.Name, c.Path, input, absent)
			}
		}
	}
	if cases < 5000 {
		t.Errorf("only %d cases were tried", cases)
	}
}

func TestSamplesHaveTheirLength(t *testing.T) {
	for _, op := range Operations() {
		for _, m := range op.Input.Members {
			if m.Shape.Pattern == nil {
				continue
			}
			for n := range 130 {
				s, ok := contracttest.Text(t, m.Shape, n)
				if ok && (len([]rune(s)) != n || !m.Shape.Pattern.Match(s)) {
					t.Errorf("%s.%s: the sample %q for %d characters does not match %s", op.Name, m.Name, s, n, m.Shape.Pattern)
				}
			}
		}
	}
}
