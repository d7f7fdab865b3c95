"""The command line: one file a command, each a thin call of what the rest of the package does."""
