package migration

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// PasswordLine is a line of a file of passwords.
type PasswordLine struct {
	Line           int // in the file, from 1
	User, Password string
	// Problem says why the line is of no use, empty for one that is. It does not repeat the password.
	Problem string
}

// byteOrderMark is what spreadsheets begin a file of UTF-8 with.
const byteOrderMark = "\uFEFF"

// MaxPasswordLines bounds a file of passwords.
const MaxPasswordLines = 200_000

// ReadPasswords reads CSV (RFC 4180) in UTF-8 with two fields a line: a user's id, name or address, and a password. A first line
// "user,password" is a heading. Passwords are taken as they stand, with the spaces around them. The error is the reader's, or says
// that there are too many lines.
func ReadPasswords(r io.Reader) ([]PasswordLine, error) {
	text := bufio.NewReader(r)
	if mark, err := text.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
		_, _ = text.Discard(len(mark)) // it is buffered
	}
	in := csv.NewReader(text)
	in.FieldsPerRecord = -1
	var lines []PasswordLine
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if len(lines) == MaxPasswordLines {
			return nil, fmt.Errorf("there are more than %d lines: cut the file up", MaxPasswordLines)
		}
		var broken *csv.ParseError
		if errors.As(err, &broken) {
			lines = append(lines, PasswordLine{Line: broken.StartLine, Problem: "this is not CSV: " + broken.Err.Error()})
			continue
		}
		if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		if line == 1 && len(record) == 2 && strings.EqualFold(record[0], "user") && strings.EqualFold(record[1], "password") {
			continue
		}
		l := PasswordLine{Line: line}
		switch user := strings.TrimSpace(record[0]); {
		case len(record) != 2:
			l.Problem = fmt.Sprintf("there are %d fields; there must be two, user and password: one with a comma or a quote in it stands in double quotes, and a quote in it twice", len(record))
		case user == "":
			l.Problem = "there is no user"
		default:
			l.User, l.Password = user, record[1]
		}
		lines = append(lines, l)
	}
}
