package directory

import (
	"context"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

const (
	tagKeyLimit   = 128 // characters
	tagValueLimit = 256
	upsertTag     = `INSERT INTO organization_tag (organization, tag, value) VALUES ($1, $2, $3)
		ON CONFLICT (organization, tag) DO UPDATE SET value = excluded.value`
	deleteTag = `DELETE FROM organization_tag WHERE organization = $1 AND tag = $2`
	countTags = `SELECT COUNT(*) FROM organization_tag WHERE organization = $1`
	listTags  = `SELECT tag, value FROM organization_tag WHERE organization = $1 ORDER BY tag LIMIT $2`
)

// Tag puts tags on an organisation, replacing the values of keys it has. Faults: Invalid (Tag), Limit (Tag), NotFound
// (Resource) for a resource name that is no organisation's, State (Organization).
func (s *Service) Tag(ctx context.Context, p principal.Principal, arn string, tags []Tag) error {
	o, err := s.tagged(ctx, arn)
	if err != nil {
		return err
	}
	for i, t := range tags {
		if err := checkTag(t); err != nil {
			return err
		}
		for _, other := range tags[:i] {
			if other.Key == t.Key {
				return fault.New(fault.Invalid, fault.Tag, "the tag key %q was given twice", t.Key)
			}
		}
	}
	return s.ChangeAlone(ctx, p, o.ID, "TagResource", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		return string(o.ID), s.TagTx(ctx, tx, o, tags...)
	})
}

// TagTx puts tags on an organisation, in a transaction that holds it for itself.
func (s *Service) TagTx(ctx context.Context, tx *db.Tx, o *Organization, tags ...Tag) error {
	for _, t := range tags {
		if err := checkTag(t); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, upsertTag, o.Key, t.Key, t.Value); err != nil {
			return fmt.Errorf("tag organization %s: %w", o.ID, err)
		}
	}
	var n int
	if err := tx.QueryRow(ctx, countTags, o.Key).Scan(&n); err != nil {
		return fmt.Errorf("count tags: %w", err)
	}
	if n > s.limits.Tags {
		return fault.New(fault.Limit, fault.Tag, "the organization would have %d tags; at most %d are allowed", n, s.limits.Tags)
	}
	return nil
}

func checkTag(t Tag) error {
	if t.Key == "" {
		return fault.New(fault.Invalid, fault.Tag, "a tag needs a key")
	}
	if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
		return fault.New(fault.Invalid, fault.Tag, "the tag key %q begins with aws:, which is reserved", t.Key)
	}
	if err := checkText("the tag key", t.Key, tagKeyLimit); err != nil {
		return err
	}
	return checkText("the tag value", t.Value, tagValueLimit)
}

// Untag takes tags off an organisation. Keys it does not have are no error. Faults: NotFound (Resource), State (Organization).
func (s *Service) Untag(ctx context.Context, p principal.Principal, arn string, keys []string) error {
	o, err := s.tagged(ctx, arn)
	if err != nil {
		return err
	}
	return s.Change(ctx, p, o.ID, "UntagResource", func(ctx context.Context, tx *db.Tx, o *Organization) (string, error) {
		for _, key := range keys {
			if checkText("the tag key", key, tagKeyLimit) != nil {
				continue // no tag can have such a key
			}
			if err := s.UntagTx(ctx, tx, o, key); err != nil {
				return "", err
			}
		}
		return string(o.ID), nil
	})
}

// UntagTx takes a tag off an organisation.
func (s *Service) UntagTx(ctx context.Context, tx *db.Tx, o *Organization, key string) error {
	if _, err := tx.Exec(ctx, deleteTag, o.Key, key); err != nil {
		return fmt.Errorf("untag organization %s: %w", o.ID, err)
	}
	return nil
}

// Tags lists the tags of an organisation by key, whatever its state while it is there. Faults: NotFound (Resource).
func (s *Service) Tags(ctx context.Context, p principal.Principal, arn string) ([]Tag, error) {
	if err := mayAdminister(p); err != nil {
		return nil, err
	}
	o, err := s.tagged(ctx, arn)
	if err != nil {
		return nil, err
	}
	if o.State == OrgDeleted {
		return nil, noResource(arn)
	}
	var tags []Tag
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		tags, err = s.TagsTx(ctx, tx, o)
		return err
	})
	return tags, err
}

// TagsTx reads the tags of an organisation by key.
func (s *Service) TagsTx(ctx context.Context, tx *db.Tx, o *Organization) (tags []Tag, err error) {
	tags, err = db.All(ctx, tx, func(row db.Row) (t Tag, err error) {
		err = row.Scan(&t.Key, &t.Value)
		return t, err
	}, listTags, o.Key, s.limits.Tags)
	if err != nil {
		return nil, fmt.Errorf("list tags: %w", err)
	}
	return tags, nil
}

// tagged returns the organisation that a resource name is of, NotFound (Resource) for anything else.
func (s *Service) tagged(ctx context.Context, arn string) (o *Organization, err error) {
	_, id, _ := strings.Cut(arn, ":organization/")
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err = s.OrganizationTx(ctx, tx, OrgID(id))
		if fault.KindOf(err) == fault.NotFound || err == nil && o.ARN() != arn {
			return noResource(arn)
		}
		return err
	})
	return o, err
}

func noResource(arn string) error {
	return fault.New(fault.NotFound, fault.Resource, "resource %s does not exist", arn)
}
