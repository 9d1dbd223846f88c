"""The network: architecture, checkpoints and LoRAs into it (arXiv 2603.04379, section 3)."""
