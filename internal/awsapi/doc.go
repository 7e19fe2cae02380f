// Package awsapi is the face of the AWS APIs: Amazon WorkMail (JSON 1.1), Amazon WorkMail Message Flow (REST-JSON by path)
// and the one operation of STS that clients ask for, on one endpoint; and of our own operations, in WorkMail's protocol.
//
// A request goes through the front in this order: the signature is read and its key looked up, the body is read and the
// signature verified, the operation's input is decoded and its constraints checked, the key's policy is asked, the handler
// calls the core, the output is encoded. The first check that fails answers. A handler sees only valid input and decides
// nothing; what the core refuses becomes an exception by the one table in exception.go.
//
// Operations without a handler answer HTTP 501, NotImplementedException, once the signature is good.
package awsapi
