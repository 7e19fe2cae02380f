package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// callTime bounds a call of Amazon Route 53.
const callTime = 30 * time.Second

// Route53 is an account with Amazon Route 53.
type Route53 struct {
	AccessKeyID, Secret string // both empty for the AWS environment's
	Endpoint            string // empty for Amazon's own
}

func (r *Route53) client() *route53.Client {
	providers := []credentials.Provider{&credentials.Static{Value: credentials.Value{AccessKeyID: r.AccessKeyID, SecretAccessKey: r.Secret}}}
	if r.AccessKeyID == "" {
		providers = []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{}}
	}
	chain := credentials.NewChainCredentials(providers)
	o := route53.Options{
		Region: "us-east-1", // it is one service for all regions, signed for this one
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			v, err := chain.GetWithContext(&credentials.CredContext{Client: &http.Client{Timeout: callTime}})
			if err == nil && v.AccessKeyID == "" {
				err = errors.New("there are no credentials for Route 53: set access_key_id and secret_file, or the AWS environment")
			}
			return aws.Credentials{AccessKeyID: v.AccessKeyID, SecretAccessKey: v.SecretAccessKey, SessionToken: v.SessionToken}, err
		}),
		HTTPClient: awshttp.NewBuildableClient().WithTimeout(callTime),
	}
	if r.Endpoint != "" {
		o.BaseEndpoint = aws.String(r.Endpoint)
	}
	return route53.New(o)
}

// zoneID finds the public zone of a name.
func (r *Route53) zoneID(ctx context.Context, c *route53.Client, zone string) (string, error) {
	out, err := c.ListHostedZonesByName(ctx, &route53.ListHostedZonesByNameInput{DNSName: aws.String(zone + ".")})
	if err != nil {
		return "", fmt.Errorf("find the zone %s: %w", zone, err)
	}
	for _, z := range out.HostedZones {
		if aws.ToString(z.Name) == zone+"." && (z.Config == nil || !z.Config.PrivateZone) {
			return aws.ToString(z.Id), nil
		}
	}
	return "", fmt.Errorf("the account has no public zone %s", zone)
}

func (r *Route53) sets(ctx context.Context, c *route53.Client, id string) ([]types.ResourceRecordSet, error) {
	var sets []types.ResourceRecordSet
	in := &route53.ListResourceRecordSetsInput{HostedZoneId: &id}
	for {
		out, err := c.ListResourceRecordSets(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("read the zone: %w", err)
		}
		if sets = append(sets, out.ResourceRecordSets...); !out.IsTruncated {
			return sets, nil
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier
	}
}

// Records reads a zone. A set that is an alias of Amazon's, or one of several for a name, has no data.
func (r *Route53) Records(ctx context.Context, zone string) ([]Record, error) {
	c := r.client()
	id, err := r.zoneID(ctx, c, zone)
	if err != nil {
		return nil, err
	}
	sets, err := r.sets(ctx, c, id)
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, s := range sets {
		at := Record{Name: unescape(aws.ToString(s.Name)), TTL: uint32(aws.ToInt64(s.TTL)), Type: string(s.Type)}
		if special(&s) {
			records = append(records, at)
			continue
		}
		for _, v := range s.ResourceRecords {
			one := at
			one.Data, one.native = aws.ToString(v.Value), aws.ToString(v.Value)
			if s.Type == types.RRTypeTxt {
				one.Data = unquote(one.Data)
			}
			records = append(records, one)
		}
	}
	return records, nil
}

// special reports whether a set is more than a list of records.
func special(s *types.ResourceRecordSet) bool { return s.AliasTarget != nil || s.SetIdentifier != nil }

// Change replaces the sets that the records belong to, in one batch. The other records of a set keep the form that they have.
func (r *Route53) Change(ctx context.Context, zone string, remove, add []Record) error {
	c := r.client()
	id, err := r.zoneID(ctx, c, zone)
	if err != nil {
		return err
	}
	sets, err := r.sets(ctx, c, id)
	if err != nil {
		return err
	}
	changes, err := batch(sets, remove, add)
	if err != nil || len(changes) == 0 {
		return err
	}
	if _, err := c.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: &id, ChangeBatch: &types.ChangeBatch{Changes: changes}}); err != nil {
		return fmt.Errorf("change the zone %s: %w", zone, err)
	}
	return nil
}

// batch makes the changes of sets. What is deleted stands before what is made, as an alias excludes all else at its name.
func batch(sets []types.ResourceRecordSet, remove, add []Record) (changes []types.Change, err error) {
	type place struct{ name, kind string }
	var places []place
	for _, r := range slices.Concat(remove, add) {
		if p := (place{r.Name, r.Type}); !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	var made []types.Change
	for _, p := range places {
		set := &types.ResourceRecordSet{Name: aws.String(p.name + "."), Type: types.RRType(p.kind)}
		i := slices.IndexFunc(sets, func(s types.ResourceRecordSet) bool {
			return unescape(aws.ToString(s.Name)) == p.name && string(s.Type) == p.kind
		})
		if i >= 0 {
			if special(&sets[i]) {
				return nil, fmt.Errorf("the records %s of %s are an alias or depend on who asks: change them by hand", p.kind, p.name)
			}
			*set = sets[i]
			set.ResourceRecords = slices.Clone(set.ResourceRecords)
		}
		for _, r := range remove {
			if r.Name == p.name && r.Type == p.kind {
				value, ok := r.native.(string)
				if !ok {
					value = r.data()
				}
				set.ResourceRecords = slices.DeleteFunc(set.ResourceRecords, func(v types.ResourceRecord) bool { return aws.ToString(v.Value) == value })
			}
		}
		for _, r := range add {
			if r.Name == p.name && r.Type == p.kind {
				set.ResourceRecords = append(set.ResourceRecords, types.ResourceRecord{Value: aws.String(r.data())})
				if set.TTL == nil {
					set.TTL = aws.Int64(int64(r.TTL))
				}
			}
		}
		switch {
		case len(set.ResourceRecords) > 0:
			made = append(made, types.Change{Action: types.ChangeActionUpsert, ResourceRecordSet: set})
		case i >= 0:
			changes = append(changes, types.Change{Action: types.ChangeActionDelete, ResourceRecordSet: &sets[i]})
		}
	}
	return append(changes, made...), nil
}

// unescape is a name of Route 53 as others write it: it has octal escapes for what is no letter, such as the star.
func unescape(name string) string {
	return strings.ToLower(strings.TrimSuffix(strings.ReplaceAll(name, `\052`, "*"), "."))
}

// unquote joins the strings of a text.
func unquote(value string) string {
	var out strings.Builder
	inside, escaped := false, false
	for _, c := range []byte(value) {
		switch {
		case escaped:
			escaped = false
			out.WriteByte(c)
		case inside && c == '\\':
			escaped = true
		case c == '"':
			inside = !inside
		case inside:
			out.WriteByte(c)
		}
	}
	return out.String()
}
