"""The command line: each verb of the engine as a command."""
