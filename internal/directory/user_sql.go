package directory

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
)

// attribute is a text of a user and the column that holds it.
type attribute struct {
	column string
	text   *string
}

// texts are the plain texts a change may set, in the order of updateUser's parameters.
func (c *UserChange) texts() []attribute {
	return []attribute{
		{"display_name", c.DisplayName},
		{"first_name", c.FirstName},
		{"last_name", c.LastName},
		{"initials", c.Initials},
		{"telephone", c.Telephone},
		{"street", c.Street},
		{"job_title", c.JobTitle},
		{"city", c.City},
		{"company", c.Company},
		{"zip_code", c.ZipCode},
		{"department", c.Department},
		{"country", c.Country},
		{"office", c.Office},
	}
}

const profileColumns = `first_name, last_name, initials, telephone, street, job_title, city, company, zip_code, department,
	country, office`

// targets are where profileColumns go.
func (p *Profile) targets() []any {
	return []any{
		&p.FirstName, &p.LastName, &p.Initials, &p.Telephone, &p.Street, &p.JobTitle, &p.City, &p.Company, &p.ZipCode,
		&p.Department, &p.Country, &p.Office,
	}
}

// updateUser keeps what it is given NULL for.
const updateUser = `UPDATE entity SET
	display_name = COALESCE($2, display_name), first_name = COALESCE($3, first_name),
	last_name = COALESCE($4, last_name), initials = COALESCE($5, initials), telephone = COALESCE($6, telephone),
	street = COALESCE($7, street), job_title = COALESCE($8, job_title), city = COALESCE($9, city),
	company = COALESCE($10, company), zip_code = COALESCE($11, zip_code), department = COALESCE($12, department),
	country = COALESCE($13, country), office = COALESCE($14, office),
	display_key = COALESCE($15, display_key), role = COALESCE($16, role), hidden = COALESCE($17, hidden)
	WHERE key = $1`

const updateProviderUser = `UPDATE entity SET provider_user = $2 WHERE key = $1`

func updateUserTx(ctx context.Context, tx *db.Tx, e *Entity, c UserChange) error {
	args := []any{e.Key}
	for _, a := range c.texts() {
		args = append(args, a.text)
	}
	var display *string
	if c.DisplayName != nil {
		key := displayKey(*c.DisplayName)
		display = &key
	}
	var role *int64
	if c.Role != nil {
		r := int64(*c.Role)
		role = &r
	}
	if _, err := tx.Exec(ctx, updateUser, append(args, display, role, c.Hidden)...); err != nil {
		return fmt.Errorf("update user %s: %w", e.ID, err)
	}
	if c.IdentityProviderUserID != nil {
		if _, err := tx.Exec(ctx, updateProviderUser, e.Key, orNull(Fold(*c.IdentityProviderUserID))); err != nil {
			return fmt.Errorf("update user %s: %w", e.ID, err)
		}
	}
	return nil
}

// orNull stores an empty text as NULL, for columns whose index passes over it.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
