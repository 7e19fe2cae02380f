package main

import "time"

// scale is how much of everything is done. Every load is bounded by a count and, beside that, by most.
type scale struct {
	rounds  int
	most    time.Duration // no operation of a load begins later than this
	syncs   int           // per writer
	calls   int           // API calls per client, without a password
	hashes  int           // users created with a password, over all clients
	users   int           // made as each server offers it
	small   int           // deliveries of 4 KB by one connection; by 16 and 64, three times as many
	large   int           // deliveries of 64 KB by one connection; by 16 and 64, three times as many
	mailbox int           // messages in the large mailbox
	single  int           // commands that touch one message, or none
	appends int           // by one connection; by 16, three times as many
	logins  int
	selects int
	search  int // of each kind
	idle    int // connections
	notices int // deliveries to idling connections
	lists   []int
	pages   int // of ListUsers
}

// full is what figures are published from. It takes about half an hour on two cores, five minutes of it for the lists.
var full = scale{
	rounds: 3, most: 30 * time.Second, syncs: 2000, calls: 2000, hashes: 100, users: 50, small: 1000, large: 500, mailbox: 20_000,
	single: 1000, appends: 300, logins: 30, selects: 100, search: 5, idle: 300, notices: 30,
	lists: []int{100, 10_000, 1_000_000}, pages: 200,
}

// quick is for a look while working: about three minutes, and too little to publish.
var quick = scale{
	rounds: 1, most: 5 * time.Second, syncs: 300, calls: 300, hashes: 10, users: 10, small: 150, large: 80, mailbox: 2000,
	single: 200, appends: 60, logins: 5, selects: 20, search: 2, idle: 60, notices: 5,
	lists: []int{100, 10_000, 100_000}, pages: 50,
}
