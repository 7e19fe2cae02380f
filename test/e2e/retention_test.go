package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/test/harness"
)

// TestRetentionRemovesMail puts a policy while a client has its inbox open. The server's clock can't be moved, and a message's
// date is not its age, so the test puts back when some messages came, in the store of a server that does not run.
func TestRetentionRemovesMail(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	org := office(t, s, "keep", "ann")
	const user = "ann@keep.awsapps.com"
	c := s.IMAP(user, password)
	for _, subject := range []string{"old", "older", "dated"} {
		message := fmt.Sprintf("Subject: %s\r\n\r\nx\r\n", subject)
		c.Do(fmt.Sprintf("APPEND INBOX \"01-Jan-2001 00:00:00 +0000\" {%d+}\r\n%s", len(message), message))
	}
	c.Append("Deleted Items", "Subject: thrown away\r\n\r\nx\r\n")
	c.Append("Sent Items", "Subject: sent\r\n\r\nx\r\n")
	s.Stop()
	damage(t, s.Dir, fmt.Sprintf(`UPDATE item SET saved = saved - %d WHERE uid < 3`, 40*24*time.Hour.Microseconds()))
	s.Start()

	c = s.IMAP(user, password)
	c.Do("ENABLE QRESYNC")
	c.Do("SELECT INBOX")
	folders := c.Do(`LIST "" "*"`)
	period := aws.Int32(30)
	_, err := s.WorkMail().PutRetentionPolicy(t.Context(), &workmail.PutRetentionPolicyInput{
		OrganizationId: &org, Name: aws.String("thirty-days"), FolderConfigurations: []types.FolderConfiguration{
			{Name: types.FolderNameInbox, Action: types.RetentionActionDelete, Period: period},
			{Name: types.FolderNameDeletedItems, Action: types.RetentionActionPermanentlyDelete, Period: period},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the open session is told", func() bool { return slices.Contains(c.Do("NOOP"), "* VANISHED 1:2") })
	if got := c.Subjects("INBOX", "ALL"); !slices.Equal(got, []string{"dated"}) {
		t.Errorf("the inbox holds %q", got)
	}
	harness.Eventually(t, "Deleted Items is empty", func() bool { return len(c.Subjects("Deleted Items", "ALL")) == 0 })
	if got := c.Subjects("Sent Items", "ALL"); len(got) != 1 {
		t.Errorf("a folder that the policy does not name holds %q", got)
	}
	if now := c.Do(`LIST "" "*"`); !slices.Equal(now, folders) {
		t.Errorf("the folders were %q and are %q", folders, now)
	}
	if usage := strings.Join(c.Do("GETQUOTAROOT INBOX"), " "); !strings.Contains(usage, "(STORAGE 1 ") {
		t.Errorf("the quota says %q", usage)
	}
}
