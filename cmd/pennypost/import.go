package main

import "github.com/spf13/cobra"

func importCommand(load loader) *cobra.Command {
	cmd := group("import", "Bring an organization and its mail here from elsewhere; again and again, for what changed")
	cmd.AddCommand(importWorkMailCommand(load), importPasswordsCommand(load), importIMAPCommand(load))
	return cmd
}
