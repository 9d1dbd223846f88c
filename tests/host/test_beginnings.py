"""Films that begin with a picture or a video, and that turn to a picture while they run, in a real ComfyUI.

The same is computed by the core from latents that the host's own VAE nodes make of the same pictures.
"""

from dataclasses import replace

import av
import pytest
import torch

from comfy_server import ExecutionFailed
from helios_core import RECIPES, HistoryMemory, Keyframe, PromptSchedule, Segment
from helios_core.media.frames import fit_frames, moments
from models import NEGATIVE, OTHER, POSITIVE, SIZE, Graph, core_film, prompts, relative_error

WIDTH, HEIGHT = SIZE
QUIET = {f"{which}_noise_{end}": 0.0 for which in ("anchor", "history") for end in ("min", "max")}
SILENT = dict(anchor_noise=None, history_noise=None)


def picture(height=HEIGHT, width=WIDTH, seed=0):
    """A smooth random picture (1, H, W, 3)."""
    coarse = torch.rand(1, 3, 4, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear").movedim(1, -1).contiguous()


def clip(count, height=HEIGHT, width=WIDTH):
    """From one picture to another, (T, H, W, 3)."""
    t = torch.linspace(0, 1, count).view(-1, 1, 1, 1)
    return (1 - t) * picture(height, width, 1) + t * picture(height, width, 2)


def encoded(graph, frames):
    """Ask for frames' latents: call the result once the graph has run."""
    saved = graph.encoded(graph.images(frames))
    return lambda: saved.latents


def image_latents(graph, image):
    alone, repeated = encoded(graph, image), encoded(graph, image.expand(33, -1, -1, -1))
    return lambda: (alone(), repeated()[:, :, -1:])


def begin(graph, **inputs):
    return graph.add("HeliosHistoryMemory", width=WIDTH, height=HEIGHT, vae=graph.vae(), **inputs)


def test_image_to_video(any_server):
    graph, image = Graph(any_server), picture()
    memory = begin(graph, image=graph.images(image), seed=3)
    saved = graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=memory))
    latents = image_latents(graph, image)
    graph.run()
    wanted = HistoryMemory.from_image(*latents(), seed=3)
    assert relative_error(saved.latents, core_film(RECIPES["distilled"], memory=wanted)) < 1e-5
    assert relative_error(saved.latents, core_film(RECIPES["distilled"])) > 0.01  # not as if there were none


def test_image_to_video_with_guidance(server):
    graph, image = Graph(server), picture()
    memory = begin(graph, image=graph.images(image), seed=9)
    saved = graph.save(
        graph.sample(graph.load(variant="mid"), **prompts("mid"), memory=memory, steps="3,3,3", length=33)
    )
    latents = image_latents(graph, image)
    graph.run()
    recipe = replace(RECIPES["mid"], steps=(3, 3, 3))
    wanted = HistoryMemory.from_image(*latents(), seed=9)
    assert relative_error(saved.latents, core_film(recipe, memory=wanted, negative=NEGATIVE, chunks=1)) < 1e-5


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch", "fit"])
def test_pictures_of_any_shape(server, resize):
    """Workflows of before call stretch "fit"."""
    graph, image = Graph(server), picture(90, 50)
    memory = begin(graph, image=graph.images(image), resize=resize, **QUIET)
    fitted = image_latents(graph, fit_frames(image, WIDTH, HEIGHT, resize.replace("fit", "stretch")))
    saved = graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=memory, length=33))
    graph.run()
    wanted = HistoryMemory.from_image(*fitted(), seed=0, **SILENT)
    assert relative_error(saved.latents, core_film(RECIPES["distilled"], memory=wanted, chunks=1)) < 1e-5


def video_latents(graph, frames):
    first = encoded(graph, frames[:1])
    count = len(frames) // 33
    windows = [encoded(graph, window) for window in frames[len(frames) - 33 * min(3, count) :].split(33)]
    return lambda: (first(), torch.cat([w() for w in windows], dim=2))


@pytest.mark.parametrize(("count", "noise"), [(33, True), (40, False), (140, True)])
def test_video_to_video(server, count, noise):
    """From images, and from a VIDEO that is in memory: the same film."""
    graph, frames = Graph(server), clip(count)
    images = graph.images(frames)
    options = {"seed": 3, **({} if noise else QUIET)}
    model = graph.load()
    saved = [
        graph.save(graph.sample(model, positive=POSITIVE, memory=begin(graph, video=video, **options), length=33))
        for video in (images, graph.add("CreateVideo", images=images, fps=24.0))
    ]
    latents = video_latents(graph, frames)
    graph.run()
    wanted = HistoryMemory.from_video(*latents(), count=count // 33, seed=3, **({} if noise else SILENT))
    for film in saved:
        assert relative_error(film.latents, core_film(RECIPES["distilled"], memory=wanted, chunks=1)) < 1e-5


def test_video_to_video_from_a_file(any_server):
    """What Load Video gives; lossless, so that the frames are known."""
    path = any_server.input_dir / "clip.mkv"
    frames = (clip(45) * 255).round().to(torch.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "bgr0"
        for pixels in frames.numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    graph = Graph(any_server)
    video = graph.add("LoadVideo", file="clip.mkv")
    memory = begin(graph, video=video, seed=5)
    saved = graph.save(graph.sample(graph.load(), positive=POSITIVE, memory=memory, seed=5, length=33))
    latents = video_latents(graph, frames.float() / 255)
    graph.run()
    wanted = HistoryMemory.from_video(*latents(), count=1, seed=5)
    assert relative_error(saved.latents, core_film(RECIPES["distilled"], memory=wanted, chunks=1, seed=5)) < 1e-5


@pytest.mark.parametrize(
    "fps, resampled, said",
    [
        (30.0, True, "video: 60 frames at 30 FPS, 48 at 24; the last 33 are used (1.4 s)."),
        (30.0, False, "video: 60 frames at 30 FPS; the last 33 are used (1.4 s). They play at 24 FPS, 0.8 times as"),
        (12.0, True, "video: 60 frames at 12 FPS, 120 at 24; the last 99 are used (4.1 s)."),
        (24.0, True, "video: 60 frames at 24 FPS; the last 33 are used (1.4 s)."),
        (None, True, "video: 60 frames; the last 33 are used (1.4 s)."),
    ],
)
def test_the_rate_of_a_video(server, fps, resampled, said):
    """What is taken of it is said; images have no rate."""
    graph, frames = Graph(server), clip(60)
    video = graph.images(frames)
    if fps:
        video = graph.add("CreateVideo", images=video, fps=fps)
    memory = begin(graph, video=video, video_fps="resample to 24" if resampled else "take every frame", **QUIET)
    saved = graph.add("HeliosSaveMemory", memory=memory, filename_prefix="helios/rate/")
    chosen = frames[moments(60, fps, 24)] if fps and resampled else frames
    latents, before = video_latents(graph, chosen), len(server.log())
    outputs = graph.run()["outputs"]
    assert said in server.log()[before:] and outputs[saved[0]]
    path = max((server.output_dir / "helios" / "rate").glob("*.safetensors"))
    wanted = HistoryMemory.from_video(*latents(), count=len(chosen) // 33, seed=0, **SILENT)
    assert relative_error(HistoryMemory.load(path)[0].frames, wanted.frames) < 1e-5


def test_grey_pictures(server):
    """Of one channel, or of two: grey and alpha. As colours they make the same film, and Save Memory shows them."""
    graph, image = Graph(server), picture()
    alpha = torch.rand(1, HEIGHT, WIDTH, 1)
    memories = []
    for pixels in (image[..., :1].repeat(1, 1, 1, 3), image[..., :1], torch.cat([image[..., :1], alpha], dim=-1)):
        loaded = graph.images(pixels.contiguous())
        memory = begin(graph, image=loaded, **QUIET)
        graph.add("HeliosSaveMemory", memory=memory, filename_prefix="helios/grey/", image=loaded)
    graph.run()
    memories = [HistoryMemory.load(p)[0] for p in sorted((server.output_dir / "helios" / "grey").iterdir())]
    assert len(memories) == 3 and memories[0] == memories[1] == memories[2]


@pytest.mark.parametrize("what", ["image", "video"])
def test_pixels_that_are_no_numbers(server, what):
    graph, frames = Graph(server), clip(1 if what == "image" else 40)
    frames[-1, 3, 4] = torch.nan
    graph.add("HeliosSaveMemory", memory=begin(graph, **{what: graph.images(frames)}), filename_prefix="helios/nan")
    with pytest.raises(ExecutionFailed, match=rf"{what}: there are pixels that are no numbers \(NaN or infinity\)"):
        graph.run()


def schedule_of(graph, *keyframes):
    """Two prompts, the second from chunk 1 on, and keyframes."""
    schedule = graph.add(
        "HeliosPromptSegment", conditioning=graph.text(POSITIVE), start=0, transition="cut", blend_chunks=3
    )
    schedule = graph.add(
        "HeliosPromptSegment",
        conditioning=graph.text(OTHER),
        start=1,
        transition="cut",
        blend_chunks=3,
        schedule=schedule,
    )
    for image, options in keyframes:
        settings = dict(schedule=schedule, vae=graph.vae(), image=graph.images(image), transition="cut", blend_chunks=3)
        schedule = graph.add("HeliosKeyframe", **{**settings, **options})
    return schedule


def test_keyframes(any_server):
    """A cut where the prompt changes too, then a blend, of pictures of any shape, noisy and not."""
    graph, one, two = Graph(any_server), picture(seed=4), picture(100, 100, seed=5)
    schedule = schedule_of(
        graph, (one, dict(start=1, **QUIET)), (two, dict(start=2, transition="blend", blend_chunks=3, resize="pad"))
    )
    saved = graph.save(graph.sample(graph.load(), schedule=schedule, length=33 * 5))
    first, second = image_latents(graph, one), image_latents(graph, fit_frames(two, WIDTH, HEIGHT, "pad"))
    graph.run()
    keyframes = Keyframe(1, *first(), **SILENT), Keyframe(2, *second(), blend=3)
    wanted = PromptSchedule((Segment(0, POSITIVE), Segment(1, OTHER)), keyframes)
    assert relative_error(saved.latents, core_film(RECIPES["distilled"], schedule=wanted, chunks=5)) < 1e-5
    plain = core_film(RECIPES["distilled"], schedule=PromptSchedule(wanted.segments), chunks=5)
    assert torch.equal(plain[:, :, :9], core_film(RECIPES["distilled"], schedule=wanted, chunks=5)[:, :, :9])
    assert relative_error(saved.latents[:, :, 9:], plain[:, :, 9:]) > 0.01


def test_a_prompt_after_a_keyframe_keeps_it(server):
    """Segments and keyframes are chained in any order."""
    graph, image = Graph(server), picture(seed=4)
    schedule = graph.add(
        "HeliosPromptSegment", conditioning=graph.text(POSITIVE), start=0, transition="cut", blend_chunks=3
    )
    schedule = graph.add(
        "HeliosKeyframe",
        schedule=schedule,
        vae=graph.vae(),
        image=graph.images(image),
        start=1,
        transition="cut",
        blend_chunks=3,
        **QUIET,
    )
    schedule = graph.add(
        "HeliosPromptSegment",
        conditioning=graph.text(OTHER),
        start=1,
        transition="cut",
        blend_chunks=3,
        schedule=schedule,
    )
    saved = graph.save(graph.sample(graph.load(), schedule=schedule))
    latents = image_latents(graph, image)
    graph.run()
    wanted = PromptSchedule((Segment(0, POSITIVE), Segment(1, OTHER)), (Keyframe(1, *latents(), **SILENT),))
    assert relative_error(saved.latents, core_film(RECIPES["distilled"], schedule=wanted)) < 1e-5
