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
# One prompt for each picture, at the same chunks.
0: A quiet street in an old town at noon, white walls, blue doors, a cat asleep on a step. The camera glides along.
3: The scene of the first picture, which comes to life: a light wind, slow camera, the picture's own style and colours.
6 blend 3: The scene of the second picture, which comes to life: a light wind, slow camera, the picture's own style."""

# --- Notes. No `code` in their text: Nodes 2.0 draws it blue on blue. ---

MODELS_NOTE = """\
**The Helios model** (28 GB) is not downloaded for you. Where it is missing, its loader shows the command to get it.

**Text encoder** and **VAE** are Wan 2.1's. ComfyUI offers to download them."""
FILM_NOTE = """\
**length** is rounded up to chunks of 33 frames, 1.4 seconds each. Another **seed** gives another film.

{0}"""
DISTILLED_NOTE = "In a hurry? Set **steps** to 1,1,1."
BASE_NOTE = "Base takes 50 steps a chunk. To try a prompt, set **steps** to 20."
MID_NOTE = "Mid takes 60 steps a chunk. To try a prompt, set **steps** to 10,10,10."
SMALL_GPU_NOTE = """\
**weight_dtype** fp8_e4m3fn halves the model, **tiling** on decodes piece by piece. A long film needs no more GPU \
memory than a short one."""
IMAGE_NOTE = """\
The film begins right after your picture. Any size will do; **resize** says how it is cut.

Too little motion at first? Write motion into the prompt, or try another **seed**."""
VIDEO_NOTE = """\
**Choose your video first.** It needs 33 frames or more (1.4 seconds).

The film continues from its last frames. Only the new part is saved."""
MEMORY_NOTE = """\
**Longer?** Raise length and run again. Finished chunks are kept.

**Another day?** Open Helios - Extend a Film. It continues from the file that this node saves."""
EXTEND_NOTE = """\
Continues the film that Helios Save Memory kept last. For another one, choose **memory_file**. The video is the new \
part.

**The whole film in one file?** Choose the first part, select both bypassed nodes and press Ctrl+B."""
ENDINGS_NOTE = """\
Both endings continue from the same beginning.

Change one prompt and run: only that ending is made again."""
REROLL_NOTE = """\
Change the **seed** of *Chunk 2* and run. Chunks 0 and 1 stay, the rest is made again.

Give each sampler its own seed.

**With one sampler:** press the button on the schedule, click a chunk, press T."""
KEYFRAMES_NOTE = """\
At chunk 3 the film **cuts** to the first picture. At chunk 6 it **blends** into the second one, over three chunks.

Change the prompt at the same chunks.

**Without these nodes:** press the button on the schedule and drop pictures there."""
LONG_NOTE = """\
One minute of film goes straight into a file in output/video. You can watch it while it grows.

Stopped or crashed? **Run again.** It continues where it was.

**The timeline** shows each chunk as it is made: press the button on the schedule."""
SCHEDULE_NOTE = """\
**The button on the schedule opens the timeline.** It writes the text, which can say:
- **4: prompt** from chunk 4 on, or 5.5s
- **4 blend 3: prompt** slowly, over 3 chunks
- **6 image: boat.png** turns to a picture
- **9 seed 7** goes on another way
- **style: film grain** in every prompt"""
UPSCALE_NOTE = """\
Doubles the size of a finished film with SeedVR2. Choose your film on the left. ComfyUI offers to download both \
models (4 GB).

**Needs ComfyUI 0.28 or newer.** In an older one the SeedVR2 nodes are missing."""
SMOOTH_NOTE = """\
Doubles the frames of a finished film, from 24 to 48 a second. Choose your film on the left. ComfyUI offers to \
download the model.

**Needs ComfyUI 0.27 or newer.** In an older one the nodes of the second group are missing."""

# --- The demo ---

STAR = "A large yellow star bounces from side to side on a navy background."
STAR_GOES_ON = "A large yellow star rises on a white background."
SQUARE = "A large orange square moves to the right, against a teal background."
TRIANGLE = "A small pink triangle moves right on a gray background."
BAR = "A small cyan bar drifts left on a black background."
DEMO_ENDING_A = "A large yellow star bounces from side to side on a white background."
DEMO_ENDING_B = "A large red square bounces from side to side on a black background."
DEMO_REROLL = """\
0: A large green square bounces from side to side on a black background.
3 cut: A large pink triangle bounces from side to side on a white background."""
DEMO_KEYFRAMES = """\
# One prompt for each picture, at the same chunks.
0: A large blue triangle bounces from side to side on a gray background.
3: A large green square moves right on a black background.
6 blend 3: A large orange star rises on a white background."""
DEMO_LONG_FILM = """\
0: A large yellow star bounces from side to side on a navy background.
5 blend 3: A large yellow star bounces from side to side on a white background.
9 cut: A large red triangle bounces from side to side on a black background.
13 cut: A large cyan square bounces from side to side on a brown background.
17 blend 3: A large cyan square bounces from side to side on a teal background."""
DEMO_NOTE = """\
A tiny Helios that comes with the pack. Nothing to download, no GPU needed.

It knows
- bars, squares, triangles, stars
- small, medium or large
- red, orange, yellow, green, blue, purple, pink, cyan
- on black, gray, white, navy, brown or teal
- that move left, right, up, down, bounce or stay still

Keep the size at 192 x 128."""
DEMO_BASE_NOTE = "Base takes 25 steps a chunk, each done twice."
DEMO_EXTEND_NOTE = """\
Run **Helios Demo - Text to Video** first: this continues the film that was kept last. The video is the new part.

**The whole film in one file?** Choose the first part, select both bypassed nodes and press Ctrl+B."""
DEMO_IMAGE_NOTE = """\
The film begins right after the picture. Try one of your own: a shape in plain colours, 192 x 128.

The prompt should name what is in the picture."""
DEMO_VIDEO_NOTE = """\
The film continues from the video's last frames, at the same pace. Only the new part is saved.

The prompt should name what is in the video."""
DEMO_LONG_NOTE = """\
Half a minute of film goes straight into a file in output/video. You can watch it while it grows.

Stopped or crashed? **Run again.** It continues where it was.

**The timeline** shows each chunk as it is made: press the button on the schedule."""

# --- Blueprints ---

TEXT_TO_VIDEO_BLUEPRINT = (
    "A film from prompts with Helios, in one node. Give one prompt, or one line for each: 4 blend 3: the prompt of "
    "chunk 4. Alt+T opens its timeline. Connect memory to Helios Save Memory to extend the film later."
)
EXTEND_BLUEPRINT = "Continues a film that Helios Save Memory kept, by a prompt. The video is the new part."
