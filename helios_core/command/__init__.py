"""The command helios."""
