"""Names for content: the same on every machine and day."""

from dataclasses import fields, is_dataclass
from hashlib import blake2b

import torch
from torch import Tensor


def fingerprint(*parts) -> str:
    """32 hex digits that are the same, on every machine and day, for the same content.

    Of tensors, texts, bytes, numbers, None, and of tuples, lists, dicts and dataclasses of these; TypeError for others.
    """
    digest = blake2b(digest_size=16)

    def add(part):
        kind = type(part).__name__
        if isinstance(part, Tensor):
            data = part.detach().cpu().contiguous().reshape(-1)
            digest.update(f"tensor {part.dtype} {tuple(part.shape)} ".encode())
            digest.update(data.view(torch.uint8).numpy())
        elif part is None or isinstance(part, str | bytes | bool | int | float):
            content = part if isinstance(part, bytes) else repr(part).encode()
            digest.update(f"{kind} {len(content)} ".encode() + content)
        elif is_dataclass(part) and not isinstance(part, type):
            add({field.name: getattr(part, field.name) for field in fields(part)} | {"": kind})
        elif isinstance(part, tuple | list):
            digest.update(f"{kind} {len(part)} ".encode())
            for item in part:
                add(item)
        elif isinstance(part, dict):
            digest.update(f"dict {len(part)} ".encode())
            for key in sorted(part, key=repr):
                add(key)
                add(part[key])
        else:
            raise TypeError(f"a {kind} has no fingerprint")

    add(parts)
    return digest.hexdigest()
