package ses

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// What a notification may have.
const (
	maxNotification = 1 << 20 // bytes; SQS has messages of that size at most
	maxTold         = 100     // objects of one
	maxTo           = 500     // recipients of a message
	maxKey          = 1024    // bytes of an object's key, S3's own bound
)

// told is an object that a notification tells of.
type told struct {
	bucket, key string
	// envelope is SES's word on whom the message is from and for; nil where the notification is the store's own.
	envelope *envelope
}

// envelope is whom a message is from and for, and what SES found out about it.
type envelope struct {
	From string   `json:"from,omitempty"` // empty for the null reverse-path
	To   []string `json:"to"`
	// Spam and Virus are SES's verdicts: PASS, FAIL, GRAY, PROCESSING_FAILED, DISABLED; empty where it says nothing.
	Spam  string `json:"spam,omitempty"`
	Virus string `json:"virus,omitempty"`
}

var (
	errNotification = errors.New("it is none of SES, S3, SNS or EventBridge that tells of an object")
	errLarge        = errors.New("it is too large")
)

// parseNotification reads a message of the queue: a notification of SES of an S3 action or an event of S3 (also through EventBridge), each as
// it is or in the envelope of SNS. None and no error is what tells of nothing: the tests that SES, SNS and S3 send at set-up, objects that
// are removed, and what SES tells of mail that it sends.
func parseNotification(text []byte) ([]told, error) {
	if len(text) > maxNotification {
		return nil, errLarge
	}
	// SNS puts the message into a text; what is in that is not unpacked again.
	var sns struct{ Type, Message string }
	if err := json.Unmarshal(text, &sns); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotification, err)
	}
	switch {
	case sns.Type == "Notification" && strings.HasPrefix(sns.Message, "Successfully validated SNS topic"):
		return nil, nil
	case sns.Type == "Notification":
		text = []byte(sns.Message)
	case sns.Type == "SubscriptionConfirmation" || sns.Type == "UnsubscribeConfirmation":
		return nil, nil
	}
	var n struct {
		NotificationType string     `json:"notificationType"`
		Receipt          sesReceipt `json:"receipt"`
		Mail             sesMail    `json:"mail"`
		Records          []struct {
			EventSource string `json:"eventSource"`
			EventName   string `json:"eventName"`
			S3          s3Entity
		}
		Event      string // s3:TestEvent
		Source     string `json:"source"`
		DetailType string `json:"detail-type"`
		Detail     s3Entity
	}
	if err := json.Unmarshal(text, &n); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotification, err)
	}
	switch {
	case n.NotificationType == "Received":
		return fromSES(&n.Receipt, &n.Mail)
	case n.NotificationType != "":
		return nil, nil
	case n.Event == "s3:TestEvent":
		return nil, nil
	case n.Source == "aws.s3":
		if n.DetailType != "Object Created" {
			return nil, nil
		}
		t, err := n.Detail.told()
		return []told{t}, err
	case len(n.Records) == 0:
		return nil, errNotification
	case len(n.Records) > maxTold:
		return nil, errLarge
	}
	var list []told
	for i := range n.Records {
		r := &n.Records[i]
		if r.EventSource != "aws:s3" && !strings.HasSuffix(r.EventSource, ":s3") { // "minio:s3", "ceph:s3"
			return nil, errNotification
		}
		if name := strings.TrimPrefix(r.EventName, "s3:"); !strings.HasPrefix(name, "ObjectCreated:") {
			continue
		}
		key, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotification, err)
		}
		r.S3.Object.Key = key
		t, err := r.S3.told()
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

type s3Entity struct {
	Bucket struct {
		Name string `json:"name"`
	} `json:"bucket"`
	Object struct {
		Key string `json:"key"`
	} `json:"object"`
}

func (e *s3Entity) told() (told, error) {
	if e.Bucket.Name == "" || e.Object.Key == "" || len(e.Object.Key) > maxKey {
		return told{}, errNotification
	}
	return told{bucket: e.Bucket.Name, key: e.Object.Key}, nil
}

type sesReceipt struct {
	Recipients   []string   `json:"recipients"`
	SpamVerdict  sesVerdict `json:"spamVerdict"`
	VirusVerdict sesVerdict `json:"virusVerdict"`
	Action       struct {
		Type       string `json:"type"`
		BucketName string `json:"bucketName"`
		ObjectKey  string `json:"objectKey"`
	} `json:"action"`
}

type sesVerdict struct {
	Status string `json:"status"`
}

type sesMail struct {
	Source string `json:"source"`
}

// fromSES reads a notification of SES. Those of other actions than S3 tell of no object. mail.destination is of the header, and counts for
// nothing: receipt.recipients are those of the envelope.
func fromSES(r *sesReceipt, m *sesMail) ([]told, error) {
	a := &r.Action
	switch {
	case a.Type != "S3":
		return nil, nil
	case a.BucketName == "" || a.ObjectKey == "" || len(a.ObjectKey) > maxKey || len(r.Recipients) == 0:
		return nil, errNotification
	case len(r.Recipients) > maxTo:
		return nil, errLarge
	}
	from := strings.Trim(m.Source, "<>")
	return []told{{a.BucketName, a.ObjectKey, &envelope{From: from, To: r.Recipients, Spam: word(r.SpamVerdict.Status), Virus: word(r.VirusVerdict.Status)}}}, nil
}

// word is one of SES's verdicts, or nothing.
func word(s string) string {
	switch s = strings.ToUpper(strings.TrimSpace(s)); s {
	case "PASS", "FAIL", "GRAY", "PROCESSING_FAILED", "DISABLED":
		return s
	}
	return ""
}
