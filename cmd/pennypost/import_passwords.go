package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/migration"
	"github.com/pennypost/pennypost/internal/server"
	"github.com/pennypost/pennypost/internal/web"
)

const (
	maxPasswordFile = 64 << 20
	// So many users are found at once, and so many passwords, which cost more, are set: progress is told in between.
	findAtOnce = 500
	setAtOnce  = 8
)

// linkRequest are the flags of importPasswordsCommand about links.
type linkRequest struct {
	users   []string
	life    time.Duration
	baseURL string
}

func importPasswordsCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "passwords",
		Short: "Give users passwords: from a file, or by links with which they set their own",
		Long: `With --file, sets the passwords of a CSV file of lines "user,password", where user is an id, a name or an address. A line that
can't be is listed with its number, the others go on, and the exit status is 1. What a user has already stays as it is.

With --links, prints CSV with a link for each enabled user without a password, or for each --user. A link sets the password of its
user once; a new one ends the one before.`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	organization := flags.String("organization", "", "id of the organization (m-…)")
	file := flags.String("file", "", "CSV file of user,password that nobody else may read")
	links := flags.Bool("links", false, "print set-password links")
	var r linkRequest
	flags.StringArrayVar(&r.users, "user", nil, "id, name or address of a user to make a link for, with a password or without; may be repeated")
	flags.DurationVar(&r.life, "valid", 7*24*time.Hour, fmt.Sprintf("how long a link is good for, %.0fm to %.0fh", identity.MinLinkLife.Minutes(), identity.MaxLinkLife.Hours()))
	flags.StringVar(&r.baseURL, "base-url", "", "where users reach this server, https://mail.example.org:8443 (empty: the settings hostname and https)")
	if err := cmd.MarkFlagRequired("organization"); err != nil {
		panic("pennypost: " + err.Error()) // the flag was added above
	}
	cmd.MarkFlagsOneRequired("file", "links")
	for _, other := range []string{"links", "user", "valid", "base-url"} {
		cmd.MarkFlagsMutuallyExclusive("file", other)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		if *file != "" {
			lines, err := readPasswords(*file)
			if err != nil {
				return err
			}
			return withOperator(cmd.Context(), c, func(o *server.Operator) error {
				return setPasswords(cmd.Context(), o, *organization, lines, cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		}
		if !*links {
			return errors.New("--links=false asks for nothing: give --links or --file")
		}
		return withOperator(cmd.Context(), c, func(o *server.Operator) error {
			if r.baseURL == "" {
				if r.baseURL, err = o.BaseURL(cmd.Context(), c); err != nil {
					return fmt.Errorf("%w: give --base-url", err)
				}
			}
			if err := checkBaseURL(r.baseURL); err != nil {
				return err
			}
			return printLinks(cmd.Context(), o, *organization, r, cmd.OutOrStdout(), cmd.ErrOrStderr())
		})
	}
	return cmd
}

// readPasswords reads a file of passwords that its owner alone may read.
func readPasswords(path string) ([]migration.PasswordLine, error) {
	text, err := migration.ReadPrivate(path, maxPasswordFile)
	if err != nil {
		return nil, err
	}
	lines, err := migration.ReadPasswords(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return lines, nil
}

// setPasswords sets the passwords of lines, tells of those that can't be on out, and of how far it is on progress.
func setPasswords(ctx context.Context, o *server.Operator, organization string, lines []migration.PasswordLine, out, progress io.Writer) error {
	failed := 0
	fail := func(line int, problem string) {
		failed++
		fmt.Fprintf(out, "line %d: %s\n", line, problem)
	}
	users, err := findLines(ctx, o, organization, lines)
	if err != nil {
		return err
	}
	var good []migration.PasswordLine // with ids for users
	first := map[directory.EntityID]int{}
	for _, l := range lines {
		found := users[l.Line]
		switch {
		case l.Problem != "":
			fail(l.Line, l.Problem)
		case found.Problem != "":
			fail(l.Line, found.Problem)
		case first[found.ID] != 0:
			fail(l.Line, fmt.Sprintf("user %s has a password in line %d already", found.ID, first[found.ID]))
		default:
			first[found.ID] = l.Line
			l.User = string(found.ID)
			good = append(good, l)
		}
	}
	set, done := 0, 0
	for some := range slices.Chunk(good, setAtOnce) {
		r := server.NewPasswords{Organization: organization}
		for _, l := range some {
			r.Passwords = append(r.Passwords, migration.NewPassword{User: directory.EntityID(l.User), Password: l.Password})
		}
		outcomes, err := o.SetPasswords(ctx, r)
		if err != nil {
			return err
		}
		for i, outcome := range outcomes {
			if outcome.Problem != "" {
				fail(some[i].Line, fmt.Sprintf("user %s: %s", some[i].User, outcome.Problem))
			}
			if outcome.Set {
				set++
			}
		}
		if done += len(some); done%(100*setAtOnce) == 0 && done < len(good) {
			fmt.Fprintf(progress, "%d of %d passwords\n", done, len(good))
		}
	}
	fmt.Fprintf(progress, "%d passwords set, %d there already, %d lines could not be done\n", set, len(lines)-set-failed, failed)
	if failed > 0 {
		return statusFaulty
	}
	return nil
}

// findLines returns the users of those lines that name one, by line.
func findLines(ctx context.Context, o *server.Operator, organization string, lines []migration.PasswordLine) (map[int]migration.Found, error) {
	users := map[int]migration.Found{}
	for some := range slices.Chunk(lines, findAtOnce) {
		r := server.PasswordUsers{Organization: organization}
		for _, l := range some {
			r.Users = append(r.Users, l.User)
		}
		found, err := o.FindUsers(ctx, r)
		if err != nil {
			return nil, err
		}
		for i, l := range some {
			users[l.Line] = found[i]
		}
	}
	return users, nil
}

// checkBaseURL refuses what the pages can't be reached by.
func checkBaseURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("--base-url %q is not like https://mail.example.org:8443", text)
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("--base-url %q is not https: the links are secrets", text)
}

// printLinks makes links and prints them as CSV. The users for whom there is none are told on progress.
func printLinks(ctx context.Context, o *server.Operator, organization string, r linkRequest, out, progress io.Writer) error {
	w := csv.NewWriter(out)
	failed, made := 0, 0
	base := strings.TrimSuffix(r.baseURL, "/") + web.PasswordPath + "?" + web.LinkParameter + "="
	print := func(links []server.PasswordLink, named []string) error {
		for i, l := range links {
			if l.Problem != "" {
				failed++
				user := l.User
				if named != nil {
					user = named[i]
				}
				fmt.Fprintf(progress, "user %s: %s\n", user, l.Problem)
				continue
			}
			made++
			if err := w.Write([]string{l.User, l.Name, l.Address, base + l.Secret, l.Expires.Format(time.RFC3339)}); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	}
	// The heading comes first, so that a full disk is found before any link is made.
	if err := w.Write([]string{"user id", "name", "address", "link", "expires"}); err != nil {
		return err
	}
	if err := print(nil, nil); err != nil {
		return err
	}
	const atOnce = 100
	for named := range slices.Chunk(r.users, atOnce) {
		answer, err := o.PasswordLinks(ctx, server.LinkRequest{Organization: organization, Users: named, Life: r.life})
		if err != nil {
			return err
		}
		if err := print(answer.Links, named); err != nil {
			return err
		}
	}
	for request := (server.LinkRequest{Organization: organization, Life: r.life}); len(r.users) == 0; {
		answer, err := o.PasswordLinks(ctx, request)
		if err != nil {
			return err
		}
		if err := print(answer.Links, nil); err != nil {
			return err
		}
		if request.After = answer.Next; request.After == "" {
			break
		}
	}
	fmt.Fprintf(progress, "%d links made\n", made)
	if failed > 0 {
		return statusFaulty
	}
	return nil
}
