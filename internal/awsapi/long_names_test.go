package awsapi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
)

// TestPagesOfLongNames lists by display names of 256 characters that take four bytes each, or fold to three characters: a page
// token holds the last one, and may not be longer than the API lets it come back.
func TestPagesOfLongNames(t *testing.T) {
	for what, character := range map[string]string{"four bytes": "\U00020000", "three characters": "\U0001D160", "two": "İ"} {
		t.Run(what, func(t *testing.T) {
			inBoth(t, func(w *world) {
				org := w.organization("long")
				want := []string{"u1", "u2", "u3"}
				for _, name := range want {
					must(w, w.CreateUser, &workmail.CreateUserInput{
						OrganizationId: &org, Name: str(name), DisplayName: str(strings.Repeat(character, 254) + name),
					})
				}
				must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &org, Name: str("other"), DisplayName: str("x")})
				for _, prefix := range []int{1, 254} {
					var got []string
					pages := workmail.NewListUsersPaginator(w, &workmail.ListUsersInput{
						OrganizationId: &org, MaxResults: aws.Int32(1),
						Filters: &types.ListUsersFilters{DisplayNamePrefix: str(strings.Repeat(character, prefix))},
					})
					for pages.HasMorePages() {
						page, err := pages.NextPage(w.ctx)
						if err != nil {
							t.Fatal(err)
						}
						if n := len(aws.ToString(page.NextToken)); n > 1024 {
							t.Errorf("a page token of %d characters", n)
						}
						for _, u := range page.Users {
							got = append(got, *u.Name)
						}
					}
					if !slices.Equal(got, want) {
						t.Errorf("a prefix of %d characters lists %q, want %q", prefix, got, want)
					}
				}
			})
		})
	}
}
