"""How chunks become a film: memory, prompts over time, the loop, and what is kept on disk."""
