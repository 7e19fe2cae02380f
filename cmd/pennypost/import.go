package main

import "github.com/spf13/cobra"

func importCommand() *cobra.Command {
	cmd := group("import", "Bring an organization and its mail here from elsewhere; again and again, for what changed")
	cmd.AddCommand(importWorkMailCommand(), importPasswordsCommand(), importIMAPCommand())
	return cmd
}
