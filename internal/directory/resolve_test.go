package directory

import (
	"context"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

func TestAnIdentifierIsAnIDThenAnAddressThenAName(t *testing.T) {
	onBoth(t, func(f *fixture) {
		ann := f.user("ann")
		f.enable(ann, "ann@acme.awsapps.com")
		f.user(string(ann))                      // a name that is another's id
		named := f.user("Ann@acme.awsapps.com")  // a name that is another's address
		plain := f.user("bob@elsewhere.example") // a name that only looks like an address
		f.read(func(ctx context.Context, tx *db.Tx) error {
			for _, c := range []struct {
				ident string
				how   Narrow
				want  EntityID // "" for none
			}{
				{string(ann), Narrow{}, ann},
				{string(ann), Narrow{NoAddress: true}, ann},
				{string(ann), Narrow{IDOnly: true}, ann},
				{"ANN@acme.awsapps.com", Narrow{}, ann},
				{"ANN@acme.awsapps.com", Narrow{NoAddress: true}, named},
				{"ANN@acme.awsapps.com", Narrow{IDOnly: true}, ""},
				{"BOB@elsewhere.example", Narrow{}, plain},
				{"Ann", Narrow{}, ann},
				{"Ann", Narrow{NoAddress: true}, ann},
				{"Ann", Narrow{IDOnly: true}, ""},
				{"Ann", Narrow{Kind: KindGroup}, ""},
				{"nobody", Narrow{}, ""},
				{"nobody@acme.awsapps.com", Narrow{}, ""},
			} {
				e, err := f.ResolveTx(ctx, tx, f.org, c.ident, c.how)
				switch {
				case c.want == "" && !fault.Is(err, fault.NotFound, fault.Entity):
					f.t.Errorf("%s, %+v: %v, %v; want NotFound", c.ident, c.how, e, err)
				case c.want != "" && (err != nil || e.ID != c.want):
					f.t.Errorf("%s, %+v: %v, %v; want %s", c.ident, c.how, e, err, c.want)
				}
			}
			return nil
		})
	})
}
