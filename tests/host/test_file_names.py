"""Names of files that cannot be, and wires that are a mistake: one sentence each."""

import pytest

from comfy_server import ExecutionFailed
from models import POSITIVE, Graph

REFUSED = {
    "x" * 300: "the name is too long for this disk; choose another name.",
    "file/below": "a file has the name of its folder; choose another name.",
    "file/two/below": "a file has the name of its folder; choose another name.",
    "../elsewhere": "this is no place in ComfyUI's output folder; name one in it.",
    "/elsewhere": "this is no place in ComfyUI's output folder; name one in it.",
}


@pytest.mark.parametrize("prefix", REFUSED, ids=["too long", "below a file", "two below a file", "above", "absolute"])
def test_names_that_cannot_be(server, prefix):
    (server.output_dir / "file").touch()
    graph = Graph(server)
    memory = graph.add("HeliosHistoryMemory", width=64, height=64)
    graph.add("HeliosSaveMemory", memory=memory, filename_prefix=prefix)
    with pytest.raises(ExecutionFailed) as failure:
        graph.run()
    message = failure.value.error["exception_message"]
    assert message.strip().startswith(f"filename_prefix={prefix[:80]}") and message.strip().endswith(REFUSED[prefix])
    assert len(message) < 200


def test_no_name_is_a_name(server):
    graph = Graph(server)
    graph.add("HeliosSaveMemory", memory=graph.add("HeliosHistoryMemory", width=64, height=64), filename_prefix="")
    graph.run()
    assert list(server.output_dir.glob("film_*_.safetensors"))


def test_mistakes_are_said(server):
    """To the page that queued them, before anything is made; what is no mistake is not."""
    graph = Graph(server)
    samples = graph.sample(graph.load(), positive=POSITIVE, length=33, steps="1")
    wrong = graph.add("VAEDecode", samples=samples, vae=graph.vae())
    right = graph.decode(samples)
    for images, fps in ((right, 30.0), (right, 24.0), (wrong, 30.0)):
        video = graph.add("CreateVideo", images=images, fps=fps)
    graph.add("SaveVideo", video=video, filename_prefix="video/mistake", format="auto", codec="auto")
    with server.events() as events:
        prompt_id = server.queue(graph, client_id=events.client_id)
        events.wait_for("helios.mistake", count=2)
        server.interrupt(prompt_id)
        server.wait(prompt_id, check=False)
        said = {message["node"]: message["text"] for message in events.of("helios.mistake")}
    fast = next(key for key, node in graph.items() if node["inputs"].get("fps") == 30.0)
    assert set(said) == {wrong[0], fast}
    assert said[wrong[0]].endswith("Use Helios VAE Decode.") and said[fast].endswith("Set fps to 24.")
