// Package managesieve is the ManageSieve face (RFC 5804): it turns the commands by which users' programs manage Sieve scripts into calls
// of transport/script, and their results into responses. It holds no rule about scripts.
//
// One goroutine serves a connection: it reads a command, runs it, writes the response, and flushes when it would wait for the client.
// wire.go is the grammar. Literals of clients come without being asked for ("{n+}"), so that a command must be read to its end whatever
// is wrong with it; what would be too much to read ends the connection.
//
// Nobody signs in without TLS. What was said before the handshake is forgotten, and so is what came behind STARTTLS without waiting.
package managesieve
