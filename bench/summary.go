package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/pennypost/pennypost/bench/figure"
	"github.com/pennypost/pennypost/internal/db"
)

// notes say how a table was measured.
var notes = map[string]string{
	sectionLimits: "fsync: 4 KB appends with a sync each. group-commit: durable transactions of one row by the storage engine alone. empty-call: " +
		"signed calls to an HTTP server in a process of its own that checks and does nothing, the most that any API can be asked. durable-call: " +
		"the same, but it answers after one durable transaction of one row, the most that an API that writes can do. On SQLite, or on PostgreSQL " +
		"where the name says so. cN is N at a time.",
	sectionAPI: "Signed calls over plain HTTP on loopback, keep-alive. Only Pennypost has this API. access-effect: GetAccessControlEffect with ten rules. Lists are read in pages of 100 from all over; " +
		"their users are made by the server's own code without its syncs, before and outside of what is measured.",
	sectionUsers: "A user more who can sign in and receive mail, one after the other, by what each server offers for it. Pennypost: two signed calls " +
		"(CreateUser, RegisterToWorkMail) on a connection that is kept, argon2id, each answered after its sync. maddy: two processes on its databases " +
		"(creds create, imap-acct create), bcrypt. Dovecot keeps no users: one process (doveadm pw), SHA512-CRYPT, and a line in a file, not synced. " +
		"With the peers, starting processes is part of what is measured.",
	sectionDelivery: "One recipient a message, 50 users, a new connection every 100 messages; from MAIL FROM to the last 250, then counted in the " +
		"mailboxes over IMAP. In the clear; LMTP with Dovecot, SMTP with the others.",
	sectionIMAP: "Over TLS, handshake and sign-in outside of the measured time but for login. One connection unless c16. fetch-headers, -envelope, " +
		"-flags, -bodies and store-all count messages, the others commands; append-c16 is by sixteen users. login-first is the first sign-in of each " +
		"user after a start; Pennypost remembers in memory that a secret was good. Dovecot and maddy answer STORE before it is on disk, Pennypost and maddy-full after.",
	sectionRelay: "Over TLS, connections kept. Pennypost is signed in to and signs each message with DKIM (RSA with 2,048 bits), Postfix neither. accept: from MAIL FROM to the 250, " +
		"one recipient each, while nobody listens where they go. drain-4k: that queue once Postfix's smtp-sink listens and the server was told to try all, until the last is taken. " +
		"syncs: calls of fsync, fdatasync and their like by the server's processes, PostgreSQL's included, while messages are taken that can't leave.",
	sectionIdle: "Memory is PSS over all processes of a server, pennypost-postgres with its PostgreSQL, which the start does not start. Starts are on the data directory with all mail in it. What a " +
		"connection takes is little beside what a garbage collector lets lie: of servers in Go, look at the range.",
}

// aims are what the figures of ours are held against on an engine.
func aims(server string, engine db.Engine) []figure.Aim {
	var list []figure.Aim
	for _, n := range []int{1, 16} {
		created := rate(sectionAPI, createName(n, false))
		commits, durable := rate(sectionLimits, commitName(engine, n)), rate(sectionLimits, durableName(engine, n))
		list = append(list,
			figure.Aim{Server: server, Figure: created, Of: commits, AtLeast: map[int]float64{1: 0.7, 16: 0.5}[n]},
			figure.Aim{Server: machine, Figure: durable, Of: commits, Note: "the most that any API can reach of this aim"},
			figure.Aim{Server: server, Figure: created, Of: durable, Note: "of that most"})
	}
	for _, n := range []int{1, 16} {
		list = append(list, figure.Aim{Server: server, Figure: rate(sectionAPI, fmt.Sprintf("describe-user-c%d", n)), AtLeast: 5000})
	}
	return list
}

// summary is the report of what was measured.
func (b *bench) summary() *figure.Report {
	r := &figure.Report{
		Title: "Pennypost beside other servers", Notes: notes, Limits: machine,
		Order: []string{sectionLimits, sectionAPI, sectionUsers, sectionDelivery, sectionIMAP, sectionRelay, sectionIdle}, Ours: len(b.engines), Results: b.results,
		Machine: []string{
			made(b.args),
			fmt.Sprintf("%s, %d processors (%s), %s, shared by servers and load; %s",
				time.Now().Format("2 January 2006"), runtime.NumCPU(), processor(), kernel(), runtime.Version()),
			fmt.Sprintf("data on %s, large mailbox of %d messages, %d rounds", filesystem(b.room), b.scale.mailbox, b.scale.rounds),
		},
	}
	for _, t := range b.targets {
		r.Servers = append(r.Servers, t.Name())
		r.Machine = append(r.Machine, t.Version())
		if own, ok := t.own(); ok {
			r.Aims = append(r.Aims, aims(t.Name(), own.Engine())...)
		}
	}
	return r
}

// made says by which command the report was, as a shell takes it.
func made(args []string) string {
	if len(args) == 0 {
		return "made by `make bench`"
	}
	line := "made by `scripts/bench"
	for _, arg := range args {
		if arg == "" || strings.ContainsFunc(arg, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./,=", r)
		}) {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		line += " " + arg
	}
	return line + "`"
}

// processor is the first one's name.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer func() { _ = f.Close() }() // was only read
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(b))
}

// filesystem names the file system of dir, since a figure of syncs on a memory disk is none.
func filesystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "an unknown file system"
	}
	names := map[int64]string{0xEF53: "ext4", 0x58465342: "XFS", 0x9123683E: "Btrfs", 0x01021994: "tmpfs (no disk: syncs cost nothing)", 0x794c7630: "overlayfs", 0x2FC12FC1: "ZFS"}
	if name, ok := names[int64(s.Type)]; ok {
		return name
	}
	return fmt.Sprintf("file system %#x", s.Type)
}
