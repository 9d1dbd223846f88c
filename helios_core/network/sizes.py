"""How many bytes the network takes, from its sizes alone."""

from .config import CHUNK_LATENTS, HeliosConfig


def activation_bytes(config: HeliosConfig, height: int, width: int, size: int) -> int:
    """Peak bytes of activations of one film's step at full size, the history's tokens counted.

    height and width in latents, `size` the bytes of a number.
    """
    noisy = CHUNK_LATENTS * height * width // 4
    # Two full frames (anchor, short); two frames as one at a quarter (mid), sixteen as four at a sixteenth (long).
    history = height * width // 4 * 2 + -(-height // 4) * -(-width // 4) + 4 * -(-height // 8) * -(-width // 8)
    return (noisy + history) * token_bytes(config, size)


def token_bytes(config: HeliosConfig, size: int) -> int:
    """Peak bytes a token takes inside a block: residual, attention's inputs with a float32 copy, or the MLP's."""
    attention = 5 * config.dim * size + 2 * config.dim * 4
    mlp = 3 * config.dim * size + 2 * config.ffn_dim * size
    return max(attention, mlp)


def text_bytes(config: HeliosConfig, tokens: int, size: int) -> int:
    """Bytes of all blocks' keys and values of one prompt."""
    return 2 * config.num_layers * tokens * config.dim * size
