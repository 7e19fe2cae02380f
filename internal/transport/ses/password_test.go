package ses

import "testing"

// TestSMTPPassword compares with what the Python program of SES's guide prints for AWS's example key.
func TestSMTPPassword(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-1": "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9", "eu-west-1": "BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk",
	} {
		if got := SMTPPassword("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region); got != want {
			t.Errorf("in %s %s, want %s", region, got, want)
		}
	}
}
