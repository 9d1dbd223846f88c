"""What newer hosts' descriptions of nodes have beside the older ones'."""

import inspect

from comfy_api.latest import io

KNOWN = frozenset(inspect.signature(io.Schema).parameters)


def schema(**fields) -> io.Schema:
    """An io.Schema, without the fields that this host does not know: one of them would drop the whole pack."""
    return io.Schema(**{name: value for name, value in fields.items() if name in KNOWN})
