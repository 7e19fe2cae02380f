// Package spam judges mail from other servers: what its recipients, their colleagues and a filter beside the server make of it.
//
// # What a verdict is made of
//
// Nothing is spam by its looks. A message is judged by what users did with others: they move mail into Junk E-mail and out of it, or mark
// it $Junk and $NotJunk. Where nobody ever did, every message passes and is not even read for it.
//
//   - Each user's own words (Bayes): how often each token stood in what the user called spam and what not. It speaks once it knows
//     MinTrained messages of either kind, and gives -6.25 to 6.25 points: a probability of 0.9 is spam.
//   - The sender's reputation in the organisation: of what it sent, how much was called spam and by how many users. It gives -1 to 4
//     points, up to 7 where three users or more agree, so that nobody alone takes mail from colleagues. A sender is the domain that DMARC
//     or DKIM proves, or else the network of the client: /24 or /64.
//   - The lists that the operator named: whose client is listed is spam.
//
// 5 points are spam, and 2.5 are GRAY. With rspamd configured its action is the verdict instead; while it doesn't answer, the above stands
// in, and the verdict is PROCESSING_FAILED unless it is spam.
//
// # Tokens
//
// Words of the text parts, with HTML stripped of its markup, of the subject and of the sender's name, the hosts of links, and some
// fields, each under a prefix of its own. The first 64 KB of text and 1,000 tokens are looked at; a write function touches no more
// rows. A token is 64 bits of a keyed hash: the database doesn't tell what people write about, and nobody makes tokens collide. The bits
// of Robinson and Fisher: a token's probability is drawn to 0.5 where it was seen rarely, the 150 tokens that say most are combined by
// two chi-square tests, and where both hypotheses fit or neither does the answer is 0.5.
//
// # Training
//
// package mailbox tells of what users do in the transaction that does it. A row waits for a job, which reads the message, wherever it is by
// then, and counts it once, whatever is done how often: what it was counted as before is taken back. Copies of a message are one message.
//
// Few users ever move a message out of Junk E-mail, and Bayes without ham knows nothing. So a user who calls messages spam is taken to
// have said the opposite of those that were read and left outside of Junk E-mail and Deleted Items for a day: as many as there are of
// spam. Moved into Junk E-mail later, they are counted anew.
//
// What import brings is learned like what users say here, if it is at most 90 days old and until 200 messages of its kind are known: a hoard
// of old spam would outweigh what is taken for ham.
//
// Counts are bounded: 50,000 tokens of a user, of which rare and old ones go first; messages are remembered for half a year, after which
// their effect can't be taken back. What a delivery costs: nothing for a user without enough training, whose mailbox is looked up in
// memory; else hashing the message once and about one query for 128 tokens.
//
// # Reputation
//
// Deliveries are counted in memory and written once a minute; a crash loses a minute of them, which are statistics. Counts fade by half
// in thirty days without ever being touched for it: what is added weighs 2^(t/30 days), so only proportions, and the sum divided by the
// weight of now, mean something (forward decay). Of an organisation that knows 50,000 senders new ones are counted only once a user reports
// them, as a domain and its subdomains can be made up for each message.
//
// # Figures
//
// BenchmarkJudge, two cores under other load, SQLite: 0.03 ms for a user without training, which is the look at the sender, and 0.5 ms for
// one with it, for a message of some 200 words. TestAccuracy, on generated mail of which one word in ten is of its kind: no ham was taken
// for spam, and after 20, 50 and 200 messages of either kind 42, 98 and 100 of 100 messages of spam were found.
package spam
