"""The prompt schedule: its text form, its weights, its blends."""

import math
import re

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from helios_core import PromptSchedule, Segment, parse_schedule
from helios_core.film.prompts import blend_embeddings, parse_start
from oracle import embeddings, relative_error

settings.register_profile("core", deadline=None, max_examples=150, derandomize=True)
settings.load_profile("core")


def said(start, prompt, blend=0):
    """A segment as the text form gives it."""
    return Segment(start, prompt, blend, text=prompt)


words = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1, max_size=20)
words = words.map(str.strip).filter(bool)
continued = words.filter(lambda line: not line.startswith("#"))
between = st.sampled_from(["", "\n", "# a note\n", "   \n\n", "   # 3: not a segment\n"])


@st.composite
def starts(draw, chunk):
    """One of the ways to write a start that ends up at a chunk."""
    frame = draw(st.integers(33 * (chunk - 1) + 1, 33 * chunk)) if chunk else 0
    space = draw(st.sampled_from(["", " "]))
    return draw(st.sampled_from([f"{chunk}", f"{frame}{space}f", f"{frame / 24:.6f}{space}s"]))


@st.composite
def schedules(draw):
    """A schedule's text in any order of its lines, and the segments it means."""
    chunks = draw(st.lists(st.integers(1, 200), unique=True, max_size=5))
    text, segments = draw(between), []
    for chunk in draw(st.permutations([0, *chunks])):
        blend = draw(st.sampled_from([0, 0, 2, 3, 17])) if chunk else 0
        form = draw(st.sampled_from([f" blend {blend}", f"  Blend  {blend} "] if blend else ["", " ", " cut", " CUT "]))
        lines = [draw(words), *draw(st.lists(continued, max_size=2))]
        indent = draw(st.sampled_from(["  ", "\t", "    "]))
        text += f"{draw(starts(chunk))}{form}:{draw(st.sampled_from(['', ' ']))}" + f"\n{indent}".join(lines) + "\n"
        text += draw(between)
        segments.append(said(chunk, " ".join(lines), blend))
    return text, tuple(sorted(segments, key=lambda s: s.start))


@given(schedules())
def test_text_gives_the_segments_it_means(case):
    text, segments = case
    assert parse_schedule(text).segments == segments
    assert parse_schedule(text.replace("\n", "\r\n")).segments == segments


@given(schedules())
def test_written_anew_it_means_the_same(case):
    _, segments = case
    lines = [f"{s.start}{f' blend {s.blend}' if s.blend else ''}: {s.prompt}" for s in segments]
    assert parse_schedule("\n".join(lines)).segments == segments


@given(st.text() | st.text("0123456789.sf blendcut:#\n\t-x", max_size=60))
def test_any_text_parses_or_names_a_line(text):
    try:
        schedule = parse_schedule(text)
    except ValueError as error:
        found = re.match(r"schedule(?: is empty|, line (\d+)): .", str(error))
        assert found
        assert found[1] is None or text.splitlines()[int(found[1]) - 1].strip()
    else:
        assert schedule.segments[0].start == 0 and all(s.prompt.strip() for s in schedule.segments)


@pytest.mark.parametrize(
    "text,message",
    [
        ("", r"schedule is empty: write for instance '0: a lighthouse at dawn'"),
        ("# only a note\n\n   ", r"schedule is empty: "),
        ("a cat", r"schedule, line 1: no start found in 'a cat'; write '0: your prompt', .* indent the lines"),
        ("a cat: sleeps", r"schedule, line 1: no start found in 'a cat: sleeps'; "),
        ("0: a\nb\n", r"schedule, line 2: no start found in 'b'; "),
        ("0: a\n-3: b", r"schedule, line 2: no start found in '-3: b'; "),
        ("0: a\n" + 60 * "b", rf"schedule, line 2: no start found in '{37 * 'b'}\.\.\.'; "),
        ("4: a", r"schedule, line 1: the first prompt begins at chunk 4; one at chunk 0 is needed \('0: \.\.\.'\)"),
        ("# x\n9: a\n5: b", r"schedule, line 3: the first prompt begins at chunk 5; "),
        ("0: a\n1f: b\n1: c", r"schedule, line 3: line 2 has a prompt at chunk 1 too; move or remove one of them"),
        ("0: a\n\n0s: b", r"schedule, line 3: line 1 has a prompt at chunk 0 too; "),
        ("0 blend 3: a", r"schedule, line 1: the first prompt has nothing to blend from; write '0: \.\.\.'"),
        ("0: a\n1.5: b", r"schedule, line 2: chunk 1\.5 is not a whole number; write '2' or '1\.5s'"),
        ("0: a\n4 blend: b", r"schedule, line 2: 'blend' is no transition; write 'cut', or 'blend 3' with the number"),
        ("0: a\n4 blend 1: b", r"schedule, line 2: 'blend 1' is no transition; "),
        ("0: a\n4 blend 0: b", r"schedule, line 2: 'blend 0' is no transition; "),
        ("0: a\n4 blend -3: b", r"schedule, line 2: 'blend -3' is no transition; "),
        ("0: a\n4 blend 2.5: b", r"schedule, line 2: 'blend 2\.5' is no transition; "),
        ("0: a\n4 cut 3: b", r"schedule, line 2: 'cut 3' is no transition; "),
        ("0: a\n4 Fade 3: b", r"schedule, line 2: 'fade 3' is no transition; "),
        ("0: a\n4 fade: b", r"schedule, line 2: 'fade' is no transition; "),
        ("0:", r"schedule, line 1: the prompt is empty; write it after the colon"),
        ("0: a\n4 cut:   \n\n8: b", r"schedule, line 2: the prompt is empty; "),
    ],
)
def test_errors(text, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        parse_schedule(text)


@pytest.mark.parametrize(
    "segments,message",
    [
        ((), r"schedule: a prompt at chunk 0 is needed \(there is none\)"),
        ((Segment(3, "a"),), r"schedule: a prompt at chunk 0 is needed \(the first begins at chunk 3\)"),
        ((Segment(0, "a"), Segment(2, "b"), Segment(2, "c")), r"schedule: two prompts begin at chunk 2; "),
        ((Segment(0, "a", 2),), r"schedule: the first prompt has nothing to blend from; "),
        ((Segment(0, "a"), Segment(2, "b", 1)), r"schedule: a blend takes 2 chunks or more; "),
        ((Segment(0, "a"), Segment(2, "b", -2)), r"schedule: a blend takes 2 chunks or more; "),
    ],
)
def test_segments_that_cannot_be(segments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        PromptSchedule(segments)


@pytest.mark.parametrize(
    "number,unit,fps,chunk",
    [
        ("4", None, 24, 4),
        ("0", "s", 24, 0),
        ("5.5", "s", 24, 4),
        ("5.51", "s", 24, 5),
        ("1.375", "s", 24, 1),
        ("1.38", "s", 24, 2),
        ("5.5", "s", 30, 5),
        ("3.3", "s", 10, 1),
        ("132", "f", 24, 4),
        ("133", "f", 24, 5),
        ("1", "f", 24, 1),
        ("33", "f", 60, 1),
    ],
)
def test_starts_are_rounded_up(number, unit, fps, chunk):
    assert parse_start(number, unit, fps) == chunk
    if chunk:
        text = f"0: a\n{number}{unit or ''}: b"
        assert [s.start for s in parse_schedule(text, fps=fps).segments] == [0, chunk]


@given(st.integers(0, 10**6), st.sampled_from([8, 12, 16, 23.976, 24, 25, 29.97, 30, 60]))
def test_no_start_is_before_what_was_asked(frame, fps):
    assert parse_start(str(frame), "f", fps) == -(-frame // 33)
    chunk = parse_start(f"{frame / fps:.9f}", "s", fps)
    assert chunk * 33 >= frame - 1e-3 and (chunk - 1) * 33 < frame + 1e-3


def test_continuation_lines_comments_and_colons():
    text = "0: a lighthouse: dawn\n# note\n   calm sea\n\n\twide shot\n3 blend 2 :the storm"
    assert parse_schedule(text).segments == (
        said(0, "a lighthouse: dawn calm sea wide shot"),
        said(3, "the storm", 2),
    )


def schedule_of(plan):
    """Segments from [(gap, blend), ...]: prompts are numbered."""
    segments, start = [Segment(0, 0)], 0
    for i, (gap, blend) in enumerate(plan, 1):
        start += gap
        segments.append(Segment(start, i, blend))
    return PromptSchedule(tuple(segments))


plans = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0, 2, 3, 5, 9])), max_size=5)


@given(plans)
def test_weights_are_positive_and_add_up_to_one(plan):
    schedule = schedule_of(plan)
    for chunk in range(30):
        mix = schedule.at(chunk)
        assert all(0 < w <= 1 for w, _ in mix)
        assert math.isclose(sum(w for w, _ in mix), 1)
        assert len({p for _, p in mix}) == len(mix)
    assert schedule.at(10**6) == ((1.0, len(plan)),)


@given(plans)
def test_blends_are_interpolations_of_what_was_there(plan):
    """Overlapping ones too: the old side of a blend goes on with its own blend."""
    schedule = schedule_of(plan)
    texts = [embeddings(i, length=6, tokens=3 + i % 4) for i in range(len(plan) + 1)]
    encoded = schedule.map(texts.__getitem__)
    for chunk in range(20):
        wanted = None
        for i, s in enumerate(schedule.segments):
            if s.start <= chunk:
                weights = torch.linspace(0, 1, s.blend) if s.blend else torch.ones(1)
                weight = weights[min(chunk - s.start, len(weights) - 1)]
                wanted = texts[0] if wanted is None else torch.lerp(wanted, texts[i], weight)
        assert relative_error(blend_embeddings(encoded.at(chunk)), wanted) < 1e-6


@pytest.mark.parametrize("count", [2, 3, 4, 7, 30])
def test_blend_weights_are_linspace(count):
    schedule = PromptSchedule((Segment(0, "old"), Segment(5, "new", count)))
    weights = [dict((p, w) for w, p in schedule.at(k)) for k in range(5, 5 + count)]
    assert [w.get("new", 0.0) for w in weights] == pytest.approx(torch.linspace(0, 1, count).tolist(), abs=1e-6)
    assert [w.get("old", 0.0) for w in weights] == pytest.approx(torch.linspace(1, 0, count).tolist(), abs=1e-6)
    assert schedule.at(4) == schedule.at(5) == ((1.0, "old"),)
    assert schedule.at(4 + count) == schedule.at(5 + count) == ((1.0, "new"),)


def test_a_blend_cut_short_by_another():
    schedule = PromptSchedule((Segment(0, "a"), Segment(1, "b", 5), Segment(3, "c", 3), Segment(9, "d")))
    assert schedule.at(3) == ((0.5, "a"), (0.5, "b"))
    assert schedule.at(4) == ((0.125, "a"), (0.375, "b"), (0.5, "c"))
    assert schedule.at(5) == ((1.0, "c"),)
    assert schedule.at(9) == ((1.0, "d"),)


def test_one_prompt_is_handed_on_as_it_is():
    text = embeddings(1, length=8, tokens=8)
    assert torch.equal(blend_embeddings(((1.0, text),)), text)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_shorter_texts_are_padded_with_zeros(dtype):
    short, long = embeddings(1, length=5, tokens=5).to(dtype), embeddings(2, length=9, tokens=9).to(dtype)
    mixed = blend_embeddings(((0.25, short), (0.75, long)))
    assert mixed.shape == long.shape and mixed.dtype == dtype
    assert torch.equal(mixed[:, 5:], 0.75 * long[:, 5:])
    assert torch.allclose(mixed[:, :5], 0.25 * short + 0.75 * long[:, :5], atol=1e-6)


@given(schedules())
def test_map_changes_prompts_alone(case):
    _, segments = case
    assume(len(segments) > 1)
    schedule = PromptSchedule(segments)
    mapped = schedule.map(str.upper)
    assert [s.prompt for s in mapped.segments] == [s.prompt.upper() for s in segments]
    assert [(s.start, s.blend, s.text) for s in mapped.segments] == [(s.start, s.blend, s.text) for s in segments]
    assert mapped.describe() == schedule.describe()
    assert schedule.segments == segments


def test_segments_may_come_in_any_order():
    late, first = Segment(4, "b"), Segment(0, "a")
    assert PromptSchedule((late, first)) == PromptSchedule((first, late))


@pytest.mark.parametrize("fps,seconds", [(24, "5.50"), (30, "4.40")])
def test_describe(fps, seconds):
    schedule = parse_schedule("0: a\n4 blend 3: b")
    assert schedule.describe(fps) == f"chunk 0 (frame 0, 0.00 s) cut: a\nchunk 4 (frame 132, {seconds} s) blend 3: b"


@pytest.mark.parametrize(
    "text, message",
    [
        ("9" * 400 + ": x", "line 1: .* is not 'start: prompt'"),
        ("0: a\n" + "9" * 400 + ".5: x", "line 2: .* is not 'start: prompt'"),
        ("0: a\n4 blend " + "9" * 5000 + ": b", "line 2: .* is not 'start: prompt'"),
        ("0: a\n4 blend three: b", "line 2: .* is not 'start: prompt'"),
        ("0: a\n4 the storm", "line 2: .* is not 'start: prompt'"),
        ("0: a\n.5s: b", "line 2: .* is not 'start: prompt'"),
        ("0: a\n  4: b", "line 2: .* looks like a segment but is indented"),
        ("0: a\n1:30: b", "line 2: .* looks like minutes and seconds"),
    ],
    ids=lambda text: text[:20],
)
def test_errors_name_the_line(text, message):
    with pytest.raises(ValueError, match=message):
        parse_schedule(text)


@pytest.mark.parametrize("fps", [float("nan"), 0, -1, float("inf")])
def test_fps_that_cannot_be(fps):
    with pytest.raises(ValueError, match="fps=.*a number above 0"):
        parse_schedule("0: a", fps)


@pytest.mark.parametrize(
    "text", ["  0: a\n  4: b", "\ufeff0: a\n4: b", "0\uff1aa\n4\uff1a b"], ids=["indented", "BOM", "wide"]
)
def test_pasted_texts(text):
    assert [(s.start, s.prompt) for s in parse_schedule(text).segments] == [(0, "a"), (4, "b")]
