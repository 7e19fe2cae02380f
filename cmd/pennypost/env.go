package main

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pennypost/pennypost/internal/lazyregexp"
	"github.com/pennypost/pennypost/internal/server"
)

func envCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print what a shell must export to reach the running server, for eval",
		Long: "Print lines for eval in a POSIX shell, and nothing else, that lead the AWS CLI and SDKs and mail clients to the server " +
			"that holds the data directory:\n\n    eval \"$(pennypost env --data ./data)\"\n\nWhere no server holds it, or one of its " +
			"listeners does not accept, it prints nothing, says why on standard error and exits 1.",
		Args: cobra.NoArgs,
	}
	key := cmd.Flags().String("key", "", "id of the access key to use (default: the first administrator's)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		e, err := server.Inspect(cmd.Context(), c.Data, *key)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), exports(e, os.Getenv))
		return err
	}
	return cmd
}

// inTheWay are variables that would lead an AWS client elsewhere, or make it sign with another identity.
var inTheWay = []string{
	"AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE",
	"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT",
}

// exports writes e as lines for eval in a shell with the variables of getenv. An address that is off is unset: one exported earlier would
// lead elsewhere.
func exports(e server.Environment, getenv func(string) string) string {
	var b strings.Builder
	set := func(name, value string) {
		if value == "" {
			fmt.Fprintf(&b, "unset %s\n", name)
			return
		}
		fmt.Fprintf(&b, "export %s=%s\n", name, quoted(value))
	}
	set("AWS_ENDPOINT_URL_WORKMAIL", e.Endpoint)
	set("AWS_ENDPOINT_URL_WORKMAILMESSAGEFLOW", e.Endpoint)
	set("AWS_ENDPOINT_URL_PENNYPOST", e.Endpoint)
	set("AWS_ACCESS_KEY_ID", e.Key.ID)
	set("AWS_SECRET_ACCESS_KEY", e.Key.Secret)
	set("AWS_REGION", e.Region)
	set("AWS_DEFAULT_REGION", e.Region) // boto3 reads only this one
	for _, name := range inTheWay {
		set(name, "")
	}
	for _, v := range pastProxy(e.Endpoint, getenv) {
		set(v.name, v.value)
	}
	for _, key := range []string{"http", "https", "smtp", "submission", "submissions", "imap", "imaps", "managesieve"} {
		set("PENNYPOST_"+strings.ToUpper(key)+"_ADDR", e.Addresses[key])
	}
	set("PENNYPOST_CA_FILE", e.CAFile)
	return b.String()
}

type variable struct{ name, value string }

// pastProxy is the variables with which clients ask the endpoint itself where the shell names a proxy, which would not find it.
func pastProxy(endpoint string, getenv func(string) string) (out []variable) {
	names := []string{"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
	u, err := url.Parse(endpoint)
	if err != nil || !slices.ContainsFunc(names, func(name string) bool { return getenv(name) != "" }) {
		return nil
	}
	hosts := []string{u.Hostname()}
	if strings.Contains(hosts[0], ":") {
		hosts = append(hosts, "["+hosts[0]+"]") // as Python compares it
	}
	upper, lower := getenv("NO_PROXY"), getenv("no_proxy")
	// Of the two Go reads the first, Python and curl the second; where one is empty, both read the other.
	for _, v := range []variable{{"NO_PROXY", cmp.Or(upper, lower)}, {"no_proxy", cmp.Or(lower, upper)}} {
		if list := withEntries(v.value, hosts); list != getenv(v.name) {
			out = append(out, variable{v.name, list})
		}
	}
	return out
}

// withEntries adds to a list of NO_PROXY the entries that it lacks.
func withEntries(list string, entries []string) string {
	var has []string
	for entry := range strings.SplitSeq(list, ",") {
		has = append(has, strings.TrimSpace(entry))
	}
	if slices.Contains(has, "*") {
		return list
	}
	for _, entry := range entries {
		if !slices.Contains(has, entry) {
			list = strings.TrimPrefix(list+","+entry, ",")
		}
	}
	return list
}

var plain = lazyregexp.New(`\A[A-Za-z0-9_./:=@%+-]+\z`)

// quote makes one word of a POSIX shell, and leaves alone what is one.
func quote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return quoted(s)
}

// quoted puts s between single quotes (POSIX.1-2024, Shell Command Language, section 2.2.2).
func quoted(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
