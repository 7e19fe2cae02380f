package ses

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// The notifications of AWS's documentation: SES's of an S3 action, S3's event and its test, EventBridge's, and the envelope of SNS.
const (
	sesNotification = `{"notificationType":"Received","receipt":{"timestamp":"2015-09-11T20:32:33.936Z","processingTimeMillis":406,` +
		`"recipients":["recipient@example.com","hidden@example.com"],"spamVerdict":{"status":"FAIL"},"virusVerdict":{"status":"PASS"},"spfVerdict":{"status":"PASS"},` +
		`"dkimVerdict":{"status":"PASS"},"dmarcVerdict":{"status":"FAIL"},"dmarcPolicy":"reject","action":{"type":"S3","topicArn":"arn:aws:sns:us-east-1:012345678912:example-topic",` +
		`"bucketName":"my-S3-bucket","objectKeyPrefix":"in","objectKey":"in/d6iitobk75ur44p8kdnnp7g2n800"}},"mail":{"timestamp":"2015-09-11T20:32:33.936Z",` +
		`"source":"0000014fbe1c09cf-7cb9f704-7531-4e53-89a1-5fa9744f5eb6-000000@amazonses.com","messageId":"d6iitobk75ur44p8kdnnp7g2n800","destination":["recipient@example.com"],` +
		`"headersTruncated":false,"headers":[{"name":"From","value":"sender@example.com"}],"commonHeaders":{"returnPath":"x@amazonses.com","from":["sender@example.com"],"subject":"Example"}}}`
	s3Event = `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2","eventTime":"1970-01-01T00:00:00.000Z","eventName":"ObjectCreated:Put",` +
		`"userIdentity":{"principalId":"AIDAJDPLRKLG7UEXAMPLE"},"requestParameters":{"sourceIPAddress":"127.0.0.1"},"s3":{"s3SchemaVersion":"1.0","configurationId":"testConfigRule",` +
		`"bucket":{"name":"amzn-s3-demo-bucket","ownerIdentity":{"principalId":"A3NL1KOZZKExample"},"arn":"arn:aws:s3:::amzn-s3-demo-bucket"},` +
		`"object":{"key":"in/Happy+Face%2B.eml","size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e","versionId":"096fKKXTRTtl3on89fVO.nfljtsv6qko","sequencer":"0055AED6DCD90281E5"}}}]}`
	s3Test      = `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02.089Z","Bucket":"amzn-s3-demo-bucket","RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE"}`
	eventBridge = `{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"Object Created","source":"aws.s3","account":"111122223333","time":"2021-11-12T00:00:00Z",` +
		`"region":"ca-central-1","resources":["arn:aws:s3:::amzn-s3-demo-bucket1"],"detail":{"version":"0","bucket":{"name":"amzn-s3-demo-bucket1"},"object":{"key":"in/example key","size":5,` +
		`"etag":"b57f9512698f4b09e608f4f2a65852e5","version-id":"IYV3p45BT0ac8hjHg1houSdS1a.Mro8e","sequencer":"617f08299329d189"},"request-id":"N4N7GDK58NMKJ12R","requester":"123456789012","reason":"PutObject"}}`
)

// inSNS puts a message into the envelope in which SNS gives it to a queue.
func inSNS(text string) string {
	message, _ := json.Marshal(text) // a text can be JSON
	return `{"Type":"Notification","MessageId":"22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324","TopicArn":"arn:aws:sns:us-west-2:123456789012:MyTopic","Subject":"Amazon SES Email Receipt Notification","Message":` +
		string(message) + `,"Timestamp":"2012-05-02T00:54:06.655Z","SignatureVersion":"1","Signature":"EXAMPLEw6JRN","SigningCertURL":"https://sns.us-west-2.amazonaws.com/x.pem","UnsubscribeURL":"https://sns.us-west-2.amazonaws.com/"}`
}

func TestNotifications(t *testing.T) {
	bySES := []told{{"my-S3-bucket", "in/d6iitobk75ur44p8kdnnp7g2n800", &envelope{
		From: "0000014fbe1c09cf-7cb9f704-7531-4e53-89a1-5fa9744f5eb6-000000@amazonses.com", To: []string{"recipient@example.com", "hidden@example.com"}, Spam: "FAIL", Virus: "PASS",
	}}}
	byS3 := []told{{bucket: "amzn-s3-demo-bucket", key: "in/Happy Face+.eml"}}
	many := strings.Replace(sesNotification, `"recipient@example.com","hidden`, strings.Repeat(`"a@example.com",`, maxTo)+`"hidden`, 1)
	for name, c := range map[string]struct {
		text string
		want []told
		ok   bool
	}{
		"SES":                  {sesNotification, bySES, true},
		"SES in SNS":           {inSNS(sesNotification), bySES, true},
		"S3":                   {s3Event, byS3, true},
		"S3 in SNS":            {inSNS(s3Event), byS3, true},
		"EventBridge":          {eventBridge, []told{{bucket: "amzn-s3-demo-bucket1", key: "in/example key"}}, true},
		"EventBridge, deleted": {strings.Replace(eventBridge, "Object Created", "Object Deleted", 1), nil, true},
		"MinIO":                {strings.NewReplacer("aws:s3", "minio:s3", "ObjectCreated:Put", "s3:ObjectCreated:Put").Replace(s3Event), byS3, true},
		"removed":              {strings.Replace(s3Event, "ObjectCreated:Put", "ObjectRemoved:Delete", 1), nil, true},
		"S3's test":            {s3Test, nil, true},
		"SES's test":           {inSNS("Successfully validated SNS topic for Amazon SES event publishing."), nil, true},
		"a subscription":       {`{"Type":"SubscriptionConfirmation","Message":"You have chosen to subscribe"}`, nil, true},
		"another action":       {strings.Replace(sesNotification, `"type":"S3"`, `"type":"WorkMail"`, 1), nil, true},
		"a bounce":             {`{"notificationType":"Bounce","bounce":{},"mail":{"source":"a@b.example"}}`, nil, true},
		"a null sender":        {strings.Replace(sesNotification, `"0000014fbe1c09cf-7cb9f704-7531-4e53-89a1-5fa9744f5eb6-000000@amazonses.com"`, `"<>"`, 1), []told{{bySES[0].bucket, bySES[0].key, &envelope{To: bySES[0].envelope.To, Spam: "FAIL", Virus: "PASS"}}}, true},
		"an odd verdict":       {strings.Replace(sesNotification, `"FAIL"},"virus`, `"MAYBE"},"virus`, 1), []told{{bySES[0].bucket, bySES[0].key, &envelope{From: bySES[0].envelope.From, To: bySES[0].envelope.To, Virus: "PASS"}}}, true},
		"no recipients":        {strings.Replace(sesNotification, `"recipient@example.com","hidden@example.com"`, "", 1), nil, false},
		"too many recipients":  {many, nil, false},
		"no key":               {strings.Replace(sesNotification, `"objectKey":"in/d6iitobk75ur44p8kdnnp7g2n800"`, `"x":1`, 1), nil, false},
		"a long key":           {strings.Replace(s3Event, "in/Happy", strings.Repeat("a", maxKey), 1), nil, false},
		"a broken key":         {strings.Replace(s3Event, "Happy+", "Happy%zz", 1), nil, false},
		"no JSON":              {"hello", nil, false},
		"nothing":              {"", nil, false},
		"other JSON":           {`{"hello":1}`, nil, false},
		"a list":               {`[]`, nil, false},
		"another service":      {strings.Replace(s3Event, "aws:s3", "aws:sqs", 1), nil, false},
		"SNS in SNS":           {inSNS(inSNS(sesNotification)), nil, false},
		"too large":            {`{"x":"` + strings.Repeat("a", maxNotification) + `"}`, nil, false},
	} {
		got, err := parseNotification([]byte(c.text))
		if (err == nil) != c.ok || !reflect.DeepEqual(got, c.want) && len(got)+len(c.want) > 0 {
			t.Errorf("%s: %s, %v", name, show(got), err)
		}
	}
}

func show(list []told) (s string) {
	for _, t := range list {
		s += fmt.Sprintf("%s %s %+v; ", t.bucket, t.key, t.envelope)
	}
	return s
}

func FuzzNotification(f *testing.F) {
	for _, text := range []string{sesNotification, inSNS(sesNotification), s3Event, inSNS(s3Event), s3Test, eventBridge, `{"Type":"Notification"}`, "null"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := parseNotification(text)
		if err != nil && len(list) > 0 || len(list) > maxTold {
			t.Fatalf("%d objects and %v", len(list), err)
		}
		for _, o := range list {
			if o.bucket == "" || o.key == "" || len(o.key) > maxKey || o.envelope != nil && (len(o.envelope.To) == 0 || len(o.envelope.To) > maxTo) {
				t.Fatalf("told %s", show(list))
			}
		}
	})
}
