"""What nodes say: it is sent as they say it, and kept with their results."""

from models import Graph

WORKFLOW = {"workflow": {"id": "3b0c6a1e-0000-4000-8000-000000000001"}}


def film(server, seed) -> tuple[Graph, str]:
    """A film of one chunk, whose every node can be cached, and its sampler's id."""
    graph = Graph(server)
    demo = graph.add("HeliosDemoLoader", variant="distilled")[0]
    prompt = graph.add("CLIPTextEncode", clip=[demo, 1], text="A large red circle on a white background.")
    samples = graph.sample([demo, 0], size=(64, 64), positive=prompt, length=33, steps="1,1,1", seed=seed)
    graph.add("PreviewImage", images=graph.decode(samples, [demo, 2]))
    return graph, samples[0]


def run(server, graph, **extra_data) -> tuple[dict, list[dict]]:
    """The outputs, and what the nodes said."""
    with server.events() as events:
        prompt_id = server.queue(graph, extra_data=extra_data, client_id=events.client_id)
        events.wait_done(prompt_id)
        return server.wait(prompt_id)["outputs"], events.of("helios.text")


def test_texts_stay_with_the_results(any_server):
    graph, sampler = film(any_server, 501)
    outputs, said = run(any_server, graph, extra_pnginfo=WORKFLOW)
    assert {(message["node"], message["workflow"]) for message in said} == {(sampler, WORKFLOW["workflow"]["id"])}
    assert outputs[sampler]["text"] == [said[-1]["text"]] and "33 frames" in said[-1]["text"]

    again, nothing = run(any_server, graph, extra_pnginfo=WORKFLOW)  # all is cached
    assert nothing == []
    if "has_intermediate_output" in any_server.object_info("HeliosChunkSampler"):  # the oldest host does not send it
        assert again[sampler] == outputs[sampler]


def test_without_a_workflow(server):
    """A prompt of the API has none."""
    graph, sampler = film(server, 502)
    outputs, said = run(server, graph)
    assert {message["workflow"] for message in said} == {None} and "text" in outputs[sampler]
