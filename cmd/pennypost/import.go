package main

import "github.com/spf13/cobra"

func importCommand() *cobra.Command {
	cmd := group("import", "Bring organizations and mail here from elsewhere")
	cmd.AddCommand(importWorkMailCommand())
	return cmd
}
