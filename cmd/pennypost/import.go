package main

import "github.com/spf13/cobra"

func importCommand() *cobra.Command {
	cmd := group("import", "Bring an organization here from elsewhere; again and again, for what changed")
	cmd.AddCommand(importIMAPCommand(), importPasswordsCommand())
	return cmd
}
