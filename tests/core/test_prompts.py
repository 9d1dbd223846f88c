"""The prompt schedule: its text form, its weights, its blends."""

import math
import re
import time
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from helios_core import Keyframe, PromptSchedule, Segment, parse_schedule
from helios_core.film.prompts import blend_embeddings
from helios_core.film.schedule_text import parse_start
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


PASTED = "\u00a0\u3000\u200b\u200e\u202e\u2066\ufeff\u2028\u2029\v\f\x85\r\x1c\x00\ud83d\uff1a\uff11\uff0e\u0661\u017f"


@settings(max_examples=600)
@given(st.text() | st.text("0123456789.sf blendcut:#\n\t-x", max_size=60) | st.text("014.s blend3:#\n" + PASTED))
def test_any_text_parses_or_names_a_line(text):
    try:
        schedule = parse_schedule(text)
    except ValueError as error:
        found = re.match(r"schedule(?: is empty|, line (\d+)): .", str(error))
        assert found and len(str(error).splitlines()) == 1
        assert found[1] is None or text.splitlines()[int(found[1]) - 1].strip()
        str(error).encode()
    else:
        assert schedule.segments[0].start == 0 and all(s.prompt.strip() for s in schedule.segments)
        schedule.describe().encode()


@pytest.mark.parametrize(
    "text,message",
    [
        ("", r"schedule is empty: write for instance “0: a lighthouse at dawn”"),
        ("# only a note\n\n   ", r"schedule is empty: "),
        ("a cat", r"schedule, line 1: no start found in “a cat”; write “0: your prompt”, .* indent the lines"),
        ("a cat: sleeps", r"schedule, line 1: no start found in “a cat: sleeps”; "),
        ("0: a\nb\n", r"schedule, line 2: no start found in “b”; "),
        ("0: a\n-3: b", r"schedule, line 2: no start found in “-3: b”; "),
        ("0: a\n" + 60 * "b", rf"schedule, line 2: no start found in “{37 * 'b'}\.\.\.”; "),
        ("4: a", r"schedule, line 1: the first prompt begins at chunk 4; one at chunk 0 is needed \(“0: \.\.\.”\)"),
        ("# x\n9: a\n5: b", r"schedule, line 3: the first prompt begins at chunk 5; "),
        ("0: a\n1: b\n1: c", r"schedule, line 3: line 2 has a prompt at chunk 1 too; move or remove one of them"),
        ("0: a\n33f: b\n1: c", r"schedule, line 3: line 2 has a prompt at chunk 1 too; move or remove one of them"),
        ("0: a\n\n0s: b", r"schedule, line 3: line 1 has a prompt at chunk 0 too; "),
        ("0 blend 3: a", r"schedule, line 1: the first prompt has nothing to blend from; write “0: \.\.\.”"),
        ("0: a\n1.5: b", r"schedule, line 2: chunk 1\.5 is not a whole number; write “2” or “1\.5s”"),
        ("0: a\n4 blend 1: b", r"schedule, line 2: “blend 1” is no transition; write “cut”, or “blend 3” with the num"),
        ("0: a\n4 blend 0: b", r"schedule, line 2: “blend 0” is no transition; "),
        ("0: a\n4 blend -3: b", r"schedule, line 2: “blend -3” is no transition; "),
        ("0: a\n4 blend 2.5: b", r"schedule, line 2: “blend 2\.5” is no transition; "),
        ("0: a\n4 cut 3: b", r"schedule, line 2: “cut 3” is no transition; "),
        ("0: a\n4 Fade 3: b", r"schedule, line 2: “fade 3” is no transition; "),
        ("0: a\n4 fade: b", r"schedule, line 2: “fade” is no transition; "),
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
        ("9" * 400 + ": x", "line 1: .* is not “start: prompt”"),
        ("0: a\n" + "9" * 400 + ".5: x", "line 2: .* is not “start: prompt”"),
        ("0: a\n4 blend " + "9" * 5000 + ": b", "line 2: .* is not “start: prompt”"),
        ("0: a\n4 blend three: b", "line 2: “blend three” is no transition"),
        ("0: a\n4 the storm", "line 2: .* is not “start: prompt”"),
        ("0: a\n.5s: b", "line 2: .* is not “start: prompt”"),
        ("0: a\n  4: b", "line 2: .* looks like a prompt of its own but is indented"),
        ("0: a\n1:30: b", "line 2: .* looks like minutes and seconds"),
    ],
    ids=lambda text: text[:20],
)
def test_errors_name_the_line(text, message):
    with pytest.raises(ValueError, match=message):
        parse_schedule(text)


@pytest.mark.parametrize("fps", [float("nan"), 0, -1, float("inf"), 1e300, None, "24", [24], True])
def test_fps_that_cannot_be(fps):
    with pytest.raises(ValueError, match="fps=.*a number above 0"):
        parse_schedule("0: a", fps)


@pytest.mark.parametrize(
    "value, what",
    [
        (7, "the number 7"),
        (1.5, "the number 1.5"),
        (None, "nothing"),
        (["0: a"], "a list"),
        ({"0": "a"}, "a dictionary"),
        (True, "a value of type bool"),
        (b"0: a", "a value of type bytes"),
    ],
)
def test_what_is_no_text(value, what):
    with pytest.raises(ValueError, match=f"^schedule: {what} came where text is needed; write for instance “0: "):
        parse_schedule(value)


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "0: a\n1.5s: b\n2: c",
            r"schedule, line 3: “2” begins at chunk 2 \(2\.75 s\), and so does “1\.5s” in line 2: starts are rounded "
            r"up to whole chunks of 33 frames; move or remove one of them$",
        ),
        ("0: a\n2: b\n1.5 s: c", r"schedule, line 3: “1\.5 s” begins at chunk 2 .* and so does “2” in line 2: starts"),
        ("0: a\n40f: b\n\n2s: c", r"schedule, line 4: “2s” begins at chunk 2 .* and so does “40f” in line 2: starts"),
        ("0: a\n2.75s: b\n2: c", r"schedule, line 3: line 2 has a prompt at chunk 2 too; move or remove one of them$"),
    ],
)
def test_two_that_are_rounded_to_one_chunk(text, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        parse_schedule(text)


@pytest.mark.parametrize("form", ["blend", "Blend", " blend  "])
def test_a_bare_blend_takes_three_chunks(form):
    assert parse_schedule(f"0: a\n4 {form}: b").segments[1] == said(4, "b", 3)


@pytest.mark.parametrize(
    "entry, seconds",
    [("1:30: b", 90), ("1:30 blend 3: b", 90), ("01:05 cut : b", 65), ("1:02:03: b", 3723), ("0:16:9 b", 16)],
)
def test_minutes_are_explained(entry, seconds):
    with pytest.raises(
        ValueError, match=f"line 2: .* looks like minutes and seconds; write seconds, “{seconds}s: ...”"
    ):
        parse_schedule(f"0: a\n{entry}")


def test_numbers_in_prompts_are_no_minutes():
    text = "0: 16:9, a cat\n90s: 12:30 on the clock\n  3 ships: two sink\n  7 blue, 2 red: gulls"
    assert [(s.start, s.prompt) for s in parse_schedule(text).segments] == [
        (0, "16:9, a cat"),
        (66, "12:30 on the clock 3 ships: two sink 7 blue, 2 red: gulls"),
    ]


SPACES = ["\u00a0", "\u3000", "\u2003", "\u202f", "\t", "\x1f"]
MARKS = ["\ufeff", "\u200b", "\u200e", "\u200f\u202a", "\u2066", "\u00ad", "\x00"]
SOFT = ["\u2028", "\u2029", "\v", "\f", "\x85"]


@pytest.mark.parametrize(
    "text",
    [
        "  0: a\n  4: b",
        "# note\n  0: a\n    # note\n  4: b",
        "0\uff1aa\n4\uff1a b",
        "\uff10\uff1a a\n\uff14: b",
        "0: a\n\u0664: b",
        "0: a\n\uff15\uff0e\uff15s: b",
        "0: a\r\n4: b\r\n",
        "0: a\r4: b",
        *(f"{space}0: a\n{space}4{space}cut{space}: b{space}" for space in SPACES),
        *(f"0:{space}a\n\n{space}\n4:{space}{space}b" for space in SPACES),
        *(f"{mark}0: a\n{mark}4: b{mark}\n{mark}" for mark in MARKS),
        *(f"{mark} 0{mark}: {mark}a\n{mark}{mark} 4 {mark}cut{mark}: b" for mark in MARKS),
        *(f"0: a{soft}4: b{soft}" for soft in SOFT),
        *(f"# note{soft}more of it\n0: a{soft}# note{soft}more{soft}{soft}4: b" for soft in SOFT),
    ],
    ids=ascii,
)
def test_pasted_texts(text):
    assert [(s.start, s.prompt) for s in parse_schedule(text).segments] == [(0, "a"), (4, "b")]


@pytest.mark.parametrize("soft", SOFT, ids=ascii)
@pytest.mark.parametrize("space", ["", " ", "\u00a0"], ids=ascii)
def test_line_breaks_of_word_processors_go_on_with_a_prompt(soft, space):
    text = f"0: a lighthouse,{soft}{space}calm sea{soft}{soft}{space}wide shot\n4: a{soft}storm"
    assert [s.prompt for s in parse_schedule(text).segments] == ["a lighthouse, calm sea wide shot", "a storm"]
    with pytest.raises(ValueError, match="line 2: “4 a storm” is not “start: prompt”"):
        parse_schedule(f"0: a{soft}4 a storm")
    with pytest.raises(ValueError, match="line 1: no start found in “a”"):
        parse_schedule(f"a{soft}0: b")


def test_indentation_is_counted_without_what_cannot_be_seen():
    text = "\u200b0: a\n\u200b\u3000b\n\u00a0\u00a0c\n\u200e4: d"
    assert [s.prompt for s in parse_schedule(text).segments] == ["a b c", "d"]


def test_what_joins_letters_and_emoji_stays():
    family, word = "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert parse_schedule(f"0: {family} {word}").segments[0].prompt == f"{family} {word}"


def test_half_a_character_is_refused():
    with pytest.raises(ValueError, match="^schedule, line 3: half of a character, perhaps of an emoji; type it again"):
        parse_schedule("0: a\n# note\n4: b \ud83d")
    assert parse_schedule("0: \U0001f98a").segments[0].prompt == "\U0001f98a"


SIZE = 100_000
LONG = {
    "spaces": "0" + " " * SIZE,
    "spaces, then a prompt": "0" + " " * SIZE + ": x",
    "no-break spaces": "0" + "\u00a0" * SIZE,
    "spaces after a blend": "0: a\n4 blend" + " " * SIZE + "3",
    "spaces and marks": "0" + " \u200b" * (SIZE // 2),
    "marks": "\u200b" * SIZE + "x",
    "digits": "9" * SIZE,
    "decimals": "0 a 1." + "1" * SIZE,
    "letters": "0 " + "a" * SIZE,
    "colons": "0" + ":" * SIZE,
    "minutes": "1:" * (SIZE // 2),
    "line breaks": "\n" * SIZE,
    "soft line breaks": "0: a" + "\u2028b" * (SIZE // 2),
    "comments": "#\n" * (SIZE // 2),
    "lines that go on": "0: a\n" + " b\n" * (SIZE // 3),
    "numbered lines that go on": "0: a\n" + " 1 x:\n" * (SIZE // 6),
    "deeper and deeper": "0: a\n" + "".join(" " * i + "x\n" for i in range(440)),
    "many prompts": "".join(f"{i}: a\n" for i in range(SIZE // 8)),
    "many blends": "0:a\n" + "".join(f"{i} blend 9999:a\n" for i in range(1, SIZE // 18)),
    "one start again and again": "0: a\n" * (SIZE // 5),
    "halves of characters": "0: a" + "\ud83d" * SIZE,
}


def seconds_of(work) -> float:
    """Of this process, the least of some tries: others share the machine."""

    def once():
        begun = time.process_time()
        try:
            work()
        except ValueError:
            pass
        return time.process_time() - begun

    return min(once() for _ in range(5))


@pytest.mark.parametrize("case", LONG)
def test_long_texts_take_no_time(case):
    # Under 0.05 on a machine with nothing else to do; what takes time in proportion to the square takes minutes.
    assert seconds_of(lambda: parse_schedule(LONG[case])) < 0.15


def test_schedules_of_thousands_take_no_time():
    blends = parse_schedule(LONG["many blends"])  # all at once, more of them in each chunk
    many = parse_schedule(LONG["many prompts"])
    assert seconds_of(lambda: [many.at(k) for k in range(len(many.segments))]) < 0.5
    assert seconds_of(lambda: blends.at(SIZE)) < 0.3
    assert seconds_of(lambda: blends.at(SIZE // 20)) < 0.3
    assert seconds_of(many.describe) < 0.3
    assert seconds_of(lambda: parse_schedule("0: " + "x y" * SIZE).describe()) < 0.15
    assert seconds_of(lambda: many.describe_unreached(1)) < 0.15


def test_unreached():
    def keyframe(start):
        return Keyframe(start, None)

    story = parse_schedule("0: the sea\n4 blend 3: a storm\n8: inside the tower, the keeper climbs the stairs")
    assert story.unreached(9) == () and story.describe_unreached(9) == ""
    assert story.unreached(8) == story.segments[2:]
    assert story.describe_unreached(8) == (
        "The film ends before chunk 8 (11.00 s). 1 prompt begins later: "
        "“inside the tower, the keeper climbs...” at chunk 8."
    )
    assert story.describe_unreached(3, fps=30) == (
        "The film ends before chunk 3 (3.30 s). 2 prompts begin later: “a storm” at chunk 4, "
        "“inside the tower, the keeper climbs...” at chunk 8."
    )
    pictures = replace(story, keyframes=(keyframe(2), keyframe(8), keyframe(9)))
    assert pictures.unreached(8) == (*story.segments[2:], *pictures.keyframes[1:])
    assert pictures.describe_unreached(8) == (
        "The film ends before chunk 8 (11.00 s). 1 prompt and 2 pictures begin later: "
        "“inside the tower, the keeper climbs...” at chunk 8, the picture at chunk 8, the picture at chunk 9."
    )
    assert replace(pictures, segments=story.segments[:1]).describe_unreached(9) == (
        "The film ends before chunk 9 (12.38 s). 1 picture begins later: the picture at chunk 9."
    )
    many = parse_schedule("\n".join(f"{i}: shot {i}" for i in range(9)))
    assert many.describe_unreached(2).endswith(
        "7 prompts begin later: “shot 2” at chunk 2, “shot 3” at chunk 3, “shot 4” at chunk 4 and 4 more."
    )
    nodes = PromptSchedule((Segment(0, [["tensor", {}]]), Segment(5, [["tensor", {}]])))
    assert "1 prompt begins later: the prompt at chunk 5." in nodes.describe_unreached(2)
    assert nodes.describe().splitlines()[1] == "chunk 5 (frame 165, 6.88 s) cut: (conditioning)"


@pytest.mark.parametrize(
    "segment, message",
    [
        (Segment(1.5, "b"), "start=1.5"),
        (Segment("2", "b"), "start='2'"),
        (Segment(2, "b", 2.5), "blend=2.5"),
        (Segment(-1, "b"), "begins at chunk -1; chunks are counted from 0"),
    ],
)
def test_starts_that_are_no_chunks(segment, message):
    with pytest.raises(ValueError, match=f"^schedule: .*{message}"):
        PromptSchedule((Segment(0, "a"), segment))
