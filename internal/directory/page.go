package directory

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// position is where a list that is ordered by a text stopped: the text, and a key to tell equal ones apart.
type position struct {
	text string
	key  int64
}

// String is the cursor of the position.
func (p position) String() string { return strconv.FormatInt(p.key, 10) + ":" + p.text }

// textCursor reads the cursor of a list that is ordered by a text. The first page begins before everything.
func textCursor(page Page) (position, error) {
	if page.After == "" {
		return position{}, nil
	}
	number, text, ok := strings.Cut(page.After, ":")
	key, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || checkText("cursor", text, 1024) != nil {
		return position{}, badCursor()
	}
	return position{text: text, key: key}, nil
}

// keyCursor reads the cursor of a list that is ordered by a key.
func keyCursor(page Page) (int64, error) {
	if page.After == "" {
		return 0, nil
	}
	key, err := strconv.ParseInt(page.After, 10, 64)
	if err != nil || key <= 0 {
		return 0, badCursor()
	}
	return key, nil
}

func keyCursorOf(key int64) string { return strconv.FormatInt(key, 10) }

func badCursor() error {
	return fault.New(fault.Invalid, fault.Token, "the page token is not one that this list gave out; begin again without a token")
}

// cutPage takes a page out of items, of which one more than fits was read, and returns the cursor of the next.
func cutPage[T any](items []T, page Page, cursor func(*T) string) (cut []T, next string) {
	limit := page.limit()
	if len(items) <= limit {
		return items, ""
	}
	return items[:limit], cursor(&items[limit-1])
}

// queryEntities runs a query of the entity columns.
func queryEntities(ctx context.Context, tx *db.Tx, query string, args ...any) ([]Entity, error) {
	var entities []Entity
	err := tx.Each(ctx, func(row db.Row) error {
		e, err := scanEntity(row)
		if err != nil {
			return err
		}
		entities = append(entities, *e)
		return nil
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list entities: %w", err)
	}
	return entities, nil
}
