package sieve

import "fmt"

// Error is a fault of a script. Compile finds most; what depends on the message or on variables a run finds.
type Error struct {
	Line, Column int    // from 1; columns are characters
	Text         string // what is wrong with which word, and what to do
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

// position is where in the script a word begins.
type position struct{ line, column int }

func (p position) errorf(format string, args ...any) *Error {
	return &Error{Line: p.line, Column: p.column, Text: fmt.Sprintf(format, args...)}
}

// show returns a word of the script as a message can hold it.
func show(s string) string {
	const most = 60
	if len(s) > most {
		s = cutString(s, most) + "…"
	}
	return fmt.Sprintf("%q", s)
}
