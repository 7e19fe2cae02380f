// Package ses is Amazon SES as a neighbour: mail that its receipt rules put into a bucket is taken in, and the password of its SMTP
// endpoint is made of an IAM key.
//
// How a message comes in. Objects are found by listing the bucket, or told by notifications in an SQS queue; each becomes a job, by its
// key and ETag, in the transaction before the notification is deleted. The job fetches the object into a spool and hands it to package
// transport as SMTP does; the transaction that stores the message also notes so in the job, which then moves or deletes the object and ends.
// So a message is stored if and only if its job says so: a crash before leaves the job, to be done again; a crash after leaves an object
// that the job only has still to move. Once it ended, what is told of the
// object again finds it gone.
//
// What can't be delivered to everybody it was for is moved aside, so that nothing is lost that SES took.
package ses
