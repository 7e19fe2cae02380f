package main

import "github.com/spf13/cobra"

func importCommand() *cobra.Command {
	cmd := group("import", "Bring what is elsewhere here; again and again, for what changed")
	cmd.AddCommand(importIMAPCommand())
	return cmd
}
