"""The command `helios`: films without ComfyUI. Everything here may print; nothing else in `helios_core` does."""
