"""Ways to connect a film that run, and show it wrong: said when such a prompt is queued, to its page and the log."""

import json
from pathlib import Path

from server import PromptServer

from .server import log

MISTAKES = json.loads((Path(__file__).parents[2] / "web" / "mistakes.json").read_text(encoding="utf-8"))

_told: set[tuple[str, str]] = set()


def mistakes_in(prompt: dict) -> list[tuple[str, str]]:
    """(node, what is wrong) in a prompt in API form."""
    return [
        (key, mistake["text"])
        for key, node in prompt.items()
        for mistake in MISTAKES
        if node["class_type"] in mistake["into"]
        and isinstance(link := node["inputs"].get(mistake["input"]), list)
        and (prompt[link[0]]["class_type"], link[1]) == (mistake["from"], mistake["output"])
        and mistake["widgets"].items() <= node["inputs"].items()
    ]


def _tell(request: dict) -> dict:
    """Anything may be sent; what is no prompt the host refuses later."""
    try:
        found = mistakes_in(request["prompt"])
    except (AttributeError, IndexError, KeyError, TypeError):
        return request
    client = request.get("client_id")
    for node, text in found:
        if (node, text) not in _told:
            _told.add((node, text))
            log.warning("Node %s: %s", node, text)
        if client:
            PromptServer.instance.send_sync("helios.mistake", {"node": node, "text": text}, client)
    return request


if getattr(PromptServer, "instance", None) is not None:
    PromptServer.instance.add_on_prompt_handler(_tell)
