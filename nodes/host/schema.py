"""What newer hosts' descriptions of nodes have beside the older ones'."""

import inspect

from comfy_api.latest import io

# Hides a widget behind "advanced" on hosts that know how; a schema argument of that name would break the older ones.
ADVANCED = {"advanced": True}
# A seed that changes after each run would begin another film where a cancelled one is to be continued.
FIXED_SEED = io.ControlAfterGenerate.fixed if hasattr(io, "ControlAfterGenerate") else True
KNOWN = frozenset(inspect.signature(io.Schema).parameters)


def schema(**fields) -> io.Schema:
    """An io.Schema, without the fields that this host does not know: one of them would drop the whole pack."""
    return io.Schema(**{name: value for name, value in fields.items() if name in KNOWN})
