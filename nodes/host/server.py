"""What a node says to its page, and what it writes of its workflow into files."""

import json
import logging

from comfy.cli_args import args
from server import PromptServer

log = logging.getLogger("helios")


class NodeText:
    """What a node says while it runs: on the node, line by line, in the log, and in its result.

    `node` and `graph` tell which node of which workflow that is, "" where nobody says.
    """

    def __init__(self, node_id):
        self.node, self.graph = str(node_id or ""), running_workflow() or ""
        self._lines = []

    def say(self, text: str) -> None:
        """Add lines to what the node says."""
        text = text.encode("utf-8", "replace").decode()  # half a character would end a run
        log.info("%s", text)
        self._lines.append(text)
        if self.node and (server := running_server()) is not None:
            message = {"node": self.node, "text": "\n".join(self._lines), "workflow": self.graph or None}
            server.send_sync("helios.text", message)

    def ui(self, preview=None) -> dict:
        """A node's ui with all that it said, so that the host says it again for a cached node, and a preview."""
        return {
            **(preview.as_dict() if preview else {}),
            **({"text": ["\n".join(self._lines)]} if self._lines else {}),
        }


def running_server() -> PromptServer | None:
    return getattr(PromptServer, "instance", None)


def running_workflow() -> str | None:
    """The id of the workflow that runs, as its frontend sent it: node ids are the same in many."""
    if (server := running_server()) is None:
        return None
    running, _ = server.prompt_queue.get_current_queue_volatile()
    info = running[0][3].get("extra_pnginfo") if running else None
    return ((info or {}).get("workflow") or {}).get("id")


def prompts_are_kept() -> bool:
    """In files; not where the host is started with --disable-metadata."""
    return not args.disable_metadata


def workflow_of(hidden) -> dict[str, str]:
    """What goes into a file, so that dropping it on the canvas brings its workflow back."""
    workflow = {"prompt": hidden.prompt, **(hidden.extra_pnginfo or {})} if prompts_are_kept() else {}
    return {key: json.dumps(value) for key, value in workflow.items() if value is not None}
