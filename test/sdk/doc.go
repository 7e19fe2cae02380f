// Package sdk lets the official SDKs judge the API: one scenario, in which every operation that is built is called, every
// member of its output is compared, and every exception that can be reached is met as the SDK's own type, is played by
// boto3, the AWS CLI, and the SDKs for Go, JavaScript and Java against the real binary.
package sdk
