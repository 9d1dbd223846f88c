"""Prompts and notes of the shipped workflows."""

NEGATIVE = (
    "Bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, images, static, overall "
    "gray, worst quality, low quality, JPEG compression residue, ugly, incomplete, extra fingers, poorly drawn hands, "
    "poorly drawn faces, deformed, disfigured, misshapen limbs, fused fingers, still picture, messy background, three "
    "legs, many people in the background, walking backwards"
)
FOX = (
    "A red fox trots through fresh snow in a quiet pine forest at first light. Its breath steams in the cold air, "
    "powder lifts from its paws at every step, and the low golden sun breaks through the trunks behind it and rims its "
    "fur. It stops, pricks up its ears, turns its head to the camera and trots on. The camera moves alongside, close, "
    "at the height of the fox's eyes, with the forest softly out of focus. Cinematic nature documentary, natural "
    "colours, fine detail in fur and snow."
)
SHIP = (
    "A three-masted sailing ship runs before the wind across a rough grey-green sea under racing clouds. The bow drops "
    "into a trough and rises again in a burst of white spray, the canvas strains and snaps, ropes swing, foam streams "
    "off the deck. A shaft of sunlight breaks through and sweeps over the sails. Slow aerial shot that circles the "
    "ship from the bow to the stern, horizon level. Cinematic, dramatic light, fine detail in water and rigging."
)
TRAIN = (
    "A black steam locomotive pulls four red carriages over a tall stone viaduct in an autumn valley. Thick white "
    "steam rolls back along the train and drifts between the arches, the driving rods turn steadily, yellow and "
    "copper trees cover the slopes, a river glitters far below. The camera flies beside the train at the same speed "
    "and slowly pulls away until the whole viaduct is in view. Cinematic aerial shot, soft morning light, fine detail."
)
BIRD = (
    "A hummingbird hovers in front of a red trumpet flower in a sunlit garden. Its wings are a blur, its green throat "
    "feathers flash as it turns, it dips its bill into the flower, draws back, and dips it into the next one. Small "
    "drops of dew fall from the petals. Close-up with a long lens, the camera holds still, the garden behind is a soft "
    "wash of green and gold. Nature documentary, morning light, fine detail in the feathers."
)
PAPER_BOAT = """\
# The paper boat: {chunks} chunks of 33 frames, {seconds} s.
# Each prompt says boat, place, light and camera anew: the model knows only the current one.
0: A small boat folded from a page of newspaper drifts down a rain-filled gutter beside a cobbled street at dusk.
   Raindrops draw rings on the water, wet stones gleam, the warm light of shop windows trembles in the puddles. The
   camera glides along at water level, close to the boat, shallow depth of field. Cinematic, soft blue evening light.

{0} blend 3: The small newspaper boat races down the gutter, which has become a rushing stream in a heavy downpour. It
   rocks and spins past fallen leaves, spray flies up, lightning flashes on the wet cobbles. The camera rushes along
   at water level, close to the boat. Cinematic, dark blue storm light.

{1} cut: The small newspaper boat slides out onto a wide, calm canal at night. The rain has stopped, the black water is
   smooth, street lamps and the arch of a stone bridge are mirrored in it. The camera slows down behind the boat and
   rises a little. Cinematic, quiet, deep blue night with warm lamps.

{2} blend 3: Hundreds of glowing paper lanterns float on the canal at night around the small newspaper boat. Their
   golden light shines through its thin paper and dances on the ripples as they drift together in one direction. The
   camera circles the boat slowly, close to the water. Cinematic, warm golden light, deep shadows.

{3} cut: The small newspaper boat floats alone on a wide, still lake at sunrise. Mist lies on the flat water, the sky is
   pink and pale gold, one last lantern goes out beside it. The camera rises slowly until the boat is a white dot on
   the shining water. Cinematic, soft morning light, calm.
""".replace("\n   ", " ").rstrip()


LAKE = (
    "A still mountain lake at dawn with a small wooden rowing boat tied to a jetty. Thin mist drifts over the water, "
    "the boat turns slowly on its rope and sends rings over the mirrored peaks, a bird crosses the sky. The camera "
    "glides forward along the jetty, low over the boards. Cinematic, soft pink and blue light, fine detail in wood and "
    "water."
)
SUNNY_END = (
    "The small wooden rowing boat glides out onto the mountain lake in bright morning sun, oars dipping, drops "
    "glittering as they fall. The mist is gone, the peaks shine, reeds sway along the shore. The camera follows the "
    "boat from the jetty. Cinematic, warm clear light, fine detail in wood and water."
)
STORMY_END = (
    "A storm breaks over the mountain lake: black clouds pour over the peaks, wind whips the water into waves, the "
    "small wooden rowing boat tears at its rope and rain lashes the jetty. Lightning flares behind the mountains. The "
    "camera shakes and holds on the boat. Cinematic, dark dramatic light, fine detail in water and rain."
)
GO_ON = (
    "The red fox stops at the edge of a frozen stream in the snowy pine forest, lowers its head and sniffs the ice, "
    "then trots carefully across it and disappears between the trunks. Snow falls in large slow flakes. The camera "
    "follows close, at the height of the fox's eyes. Cinematic nature documentary, natural colours, fine detail in fur."
)
PICTURE = (
    "The scene of the picture comes to life: a light wind moves what can move, light and shadow wander slowly, and the "
    "camera glides forward a little. Natural motion, the same style and colours as the picture, fine detail."
)
CLIP = (
    "The scene of the video goes on: the motion continues at the same pace, and the camera goes on as it moved before. "
    "The same place, light, style and colours, natural motion, fine detail."
)
KEYFRAMES = """\
# One prompt for each picture; the keyframes stand at the same chunks.
0: A quiet street in an old town at noon, white walls, blue doors, a cat asleep on a step. The camera glides along.
3: The scene of the first picture, which comes to life: a light wind, slow camera, the picture's own style and colours.
6 blend 3: The scene of the second picture, which comes to life: a light wind, slow camera, the picture's own style."""

# No `code` in the notes' text: Nodes 2.0 draws it blue on blue.
MODELS_NOTE = """\
**Transformer**, 28 GB: run this in models/diffusion_models, then press R here.

```
hf download BestWishYsh/Helios-{0} --include "transformer/*" --local-dir Helios-{0}
```
The rest of that repository, transformer_ode with it, is not needed.

**Text encoder** and **VAE**: ComfyUI offers to fetch them. By hand: [text encoder]({1}/{2}/{3}) into \
models/{2}, [VAE]({1}/{4}/{5}) into models/{4}."""
FILM_NOTE = """\
**length** is in frames and rounded up to chunks of 33, which are 1.4 s: 99 is 4.1 s, 495 is 20.6 s. With another \
**seed** it is another film.

{0}"""
DISTILLED_NOTE = "**steps** 1,1,1 is faster than the recipe's 2,2,2, with less structure."
BASE_NOTE = """\
Base takes 50 steps for each chunk, with and without the negative prompt: it is the slowest Helios. To try prompts, \
set **steps** to 20."""
MID_NOTE = """\
Mid takes 20 steps at each of three sizes, with and without the negative prompt. To try prompts, set **steps** to \
10,10,10."""
SMALL_GPU_NOTE = """\
For GPUs with little memory:
- **weight_dtype** fp8_e4m3fn: the weights take 14 GB, not 28. What the GPU cannot hold waits in RAM.
- **tiling** on: the VAE decodes a tile at a time.

A long film takes no more GPU memory than a short one."""
IMAGE_NOTE = """\
The picture becomes what the film looks back to; the film begins right after it. It may have any size: \
**resize** crops, \
stretches or pads it.

Where the first second hardly moves: write motion into the prompt, try another **seed**, or switch \
**skip_first_chunk** \
on (advanced)."""
VIDEO_NOTE = """\
**Choose your video first**, of 33 frames (1.4 s) or more. The film goes on from its last frames and looks back to its \
first. Frames are taken as 24 a second.

What is saved is the continuation, without the video."""
MEMORY_NOTE = """\
**Helios Save Memory** writes what the film goes on from to output/helios: open the workflow {0} - Extend a Film \
tomorrow. Or just make **length** larger and run again: chunks that were made are kept (autosave), and it goes on \
after them."""
EXTEND_NOTE = """\
**memory_file** is what Helios Save Memory wrote at the end of another workflow; press R to see new files. What \
is made \
here is the continuation, and the memory after it is saved again, for the next one.

With the **seed** it was made with the film goes on as if it had never stopped."""
ENDINGS_NOTE = """\
One beginning, two endings: both samplers go on from the same memory. Change one prompt and run: only that \
ending is made \
again. **LatentConcat** puts beginning and ending together."""
REROLL_NOTE = """\
Three samplers in a chain: chunks 0 and 1, chunk 2, the rest. Do not like chunk 2? Give **the middle one \
another seed** \
and run: the chunks before it stay, it and what follows is made again. To look at it alone, bypass the last \
sampler and its \
LatentConcat.

Each sampler has a seed of its own: one that the film had before would repeat its noise from the beginning. \
Chunks are counted through, so that all three share the schedule."""
KEYFRAMES_NOTE = """\
At chunk 3 the film **cuts** to the first picture, at chunk 6 it **blends** into the second within three \
chunks: what the \
film remembers is replaced, and it goes on from there. The prompts change at the same chunks.

The **report** shows each chunk with its prompt and seam."""
LONG_NOTE = """\
A minute of film goes straight into the file in output/video, which can be watched while it grows. Memory stays \
the same \
for an hour.

Stopped, crashed or switched off? **Run it again**: finished chunks are found on disk."""
SCHEDULE_NOTE = """\
Each line is a prompt: **start transition: prompt**. It starts at a chunk (4), a second (5.5s) or a frame (132f). \
**cut** changes the words at once, **blend 3** over three chunks.

Either way the film goes on from its last frames, so name your subject in every prompt."""

# --- The demo ---

STAR = "A large yellow star bounces from side to side on a navy background."
STAR_GOES_ON = "A large yellow star rises on a white background."
SQUARE = "A large orange square moves to the right, against a teal background."
TRIANGLE = "A small pink triangle moves right on a gray background."
BAR = "A small cyan bar drifts left on a black background."
PICTURES = """\
0: A large green square stays still on a black background.
1: A large orange star rests on a white background."""
DEMO_KEYFRAMES = """\
# One prompt for each picture; the keyframes stand at the same chunks.
0: A large blue triangle bounces from side to side on a gray background.
3: A large green square moves right on a black background.
6 blend 3: A large orange star rises on a white background."""
DEMO_NOTE = """\
A tiny Helios that comes with the pack: nothing to download, no GPU needed. It shows how the nodes work together; \
the other workflows do the same with the real model.

It knows:
- **bars, squares, triangles, stars**: one or two of them, small, medium or large
- **red, orange, yellow, green, blue, purple, pink, cyan**
- on **black, gray, white, navy, brown, teal**
- that **move left, right, up, down**, **bounce** from side to side or **stay still**

Width and height are 192 and 128, no others."""
DEMO_EXTEND_NOTE = """\
Run **Helios Demo - Text to Video** first, then press R. **memory_file** is what Helios Save Memory wrote there, or in \
another of the demo's workflows. What is made here is the continuation, and the memory after it is saved again.

With the **seed** it was made with the film goes on as if it had never stopped."""
DEMO_BASE_NOTE = """\
Base takes 25 steps for each chunk, each with and without the (empty) negative prompt."""
DEMO_IMAGE_NOTE = """\
One chunk is made, and its first frame is the picture. In its place connect **Load Image** to image of Helios History \
Memory: a bar, square, triangle or star in plain colours.

The film begins right after the picture; the picture itself is not in it."""
DEMO_VIDEO_NOTE = """\
One chunk is made, and the film goes on from it: from its last frames, at the same pace.

What is saved is the continuation, without the video."""
