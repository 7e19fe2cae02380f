package ses

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// SMTPPassword makes the password of SES's SMTP endpoint in a region of the secret of an IAM access key, whose id is the user name
// ("Obtaining Amazon SES SMTP credentials" in SES's guide).
func SMTPPassword(secretAccessKey, region string) string {
	key := []byte("AWS4" + secretAccessKey)
	for _, part := range []string{"11111111", region, "ses", "aws4_request", "SendRawEmail"} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	const version = 4
	return base64.StdEncoding.EncodeToString(append([]byte{version}, key...))
}
