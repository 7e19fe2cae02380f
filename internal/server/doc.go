// Package server puts Pennypost together. New opens what a configuration names and wires it in one plain function, Run
// serves until its context ends. It also holds the data directory: the lock, the first administrator's key, and the control
// socket through which an operator's verbs reach a running server.
//
// What lies in the data directory:
//
//	lock           held by the one server or verb that works on the directory
//	pennypost.db   the SQLite database (and -wal, -shm beside it), unless database_url names another
//	blobs/         large message bodies, unless blob_url names another place
//	spool/         large messages on their way in
//	secret.key     the key that seals secrets in the database, unless secret_key_file names another
//	admin.key      the first administrator's access key, for pennypost env
//	tls/           the development certificate
//	run/           the control socket
package server
