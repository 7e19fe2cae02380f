package directory

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
)

func TestTags(t *testing.T) {
	onBoth(t, func(f *fixture) {
		arn := f.org.ARN()
		f.ok(f.Tag(f.ctx, admin, arn, []Tag{{"b", "1"}, {"A", ""}}))
		f.ok(f.Tag(f.ctx, admin, arn, []Tag{{"b", "2"}, {"a", "Ä"}})) // keys keep their case
		if got, want := must(f.Tags(f.ctx, admin, arn))(f.t), []Tag{{"A", ""}, {"a", "Ä"}, {"b", "2"}}; !slices.Equal(got, want) {
			f.t.Errorf("tags %v, want %v", got, want)
		}
		f.ok(f.Untag(f.ctx, admin, arn, []string{"b", "none", "\x00"}))
		for what, c := range map[string]struct {
			arn  string
			tags []Tag
			kind fault.Kind
			of   fault.Subject
		}{
			"no key":         {arn, []Tag{{"", "x"}}, fault.Invalid, fault.Tag},
			"aws:":           {arn, []Tag{{"AWS:x", "x"}}, fault.Invalid, fault.Tag},
			"twice":          {arn, []Tag{{"x", "x"}, {"x", "y"}}, fault.Invalid, fault.Tag},
			"long key":       {arn, []Tag{{strings.Repeat("k", 129), "x"}}, fault.Invalid, fault.Entity},
			"another region": {strings.Replace(arn, "us-east-1", "eu-west-1", 1), []Tag{{"x", "x"}}, fault.NotFound, fault.Resource},
			"unknown":        {"arn:aws:workmail:us-east-1:000000000000:organization/" + string(unknownOrg), []Tag{{"x", "x"}}, fault.NotFound, fault.Resource},
			"something else": {"arn:aws:s3:::bucket", []Tag{{"x", "x"}}, fault.NotFound, fault.Resource},
		} {
			if err := f.Tag(f.ctx, admin, c.arn, c.tags); fault.KindOf(err) != c.kind {
				f.t.Errorf("%s: %v", what, err)
			}
		}
		var many []Tag
		for i := range 49 {
			many = append(many, Tag{fmt.Sprint("k", i), ""})
		}
		f.wantFault(f.Tag(f.ctx, admin, arn, many), fault.Limit, fault.Tag) // with A and a there would be 51
		if got := must(f.Tags(f.ctx, admin, arn))(f.t); len(got) != 2 {
			f.t.Errorf("a refused call left %v", got)
		}
		f.ok(f.Tag(f.ctx, admin, arn, many[:48]))

		f.setState(f.org, OrgDeleting)
		f.wantFault(f.Tag(f.ctx, admin, arn, nil), fault.State, fault.Organization)
		f.wantFault(f.Untag(f.ctx, admin, arn, []string{"A"}), fault.State, fault.Organization)
		if got := must(f.Tags(f.ctx, admin, arn))(f.t); len(got) != 50 {
			f.t.Errorf("%d tags", len(got))
		}
	})
}
