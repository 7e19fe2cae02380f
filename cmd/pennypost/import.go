package main

import "github.com/spf13/cobra"

func importCommand() *cobra.Command {
	cmd := group("import", "Bring an organization here from elsewhere")
	cmd.AddCommand(importPasswordsCommand())
	return cmd
}
