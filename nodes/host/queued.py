"""What is queued, while the host validates it."""

from contextvars import ContextVar

from server import PromptServer

# Of the request that is being answered: each has a context of its own.
_prompt: ContextVar[dict] = ContextVar("helios_prompt")


def queued_value(node_id, name: str):
    """The value of another of a node's widgets, for its `validate_inputs`; None where it is linked or not known.

    An argument of `validate_inputs` would tell it too, but for each of them the host switches its own checks off and
    says the error once more, at a widget that has no fault.
    """
    node = _prompt.get({}).get(node_id)
    value = node["inputs"].get(name) if isinstance(node, dict) else None
    return None if isinstance(value, list) else value


def is_queued_without(node_id, name: str) -> bool:
    """Whether nothing is connected to a node's input `name`, for its `validate_inputs`; False where it is not known."""
    node = _prompt.get({}).get(node_id)
    return isinstance(node, dict) and node["inputs"].get(name) is None


def _remember(request: dict) -> dict:
    prompt = request.get("prompt")
    _prompt.set(prompt if isinstance(prompt, dict) else {})
    return request


if getattr(PromptServer, "instance", None) is not None:
    PromptServer.instance.add_on_prompt_handler(_remember)
