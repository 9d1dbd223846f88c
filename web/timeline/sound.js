// A sound to place prompts by: how loud it is, a hundred times a second.

const RATE = 100; // peaks a second

/** @typedef {{name: string, peaks: Float32Array, seconds: number}} Sound */

/**
 * The loudest sample of each hundredth of a second, over all channels.
 * @param {Float32Array[]} channels
 * @param {number} sampleRate
 */
export function peaksOf(channels, sampleRate) {
  const length = channels[0]?.length ?? 0;
  const peaks = new Float32Array(Math.ceil((length / sampleRate) * RATE));
  for (const samples of channels)
    for (let i = 0; i < length; i += 1) {
      const at = Math.floor((i / sampleRate) * RATE);
      const level = Math.abs(samples[i]);
      if (level > peaks[at]) peaks[at] = level;
    }
  return peaks;
}

/**
 * @param {Sound} sound
 * @param {number} from seconds
 * @param {number} to
 */
export function peakBetween({ peaks }, from, to) {
  let peak = 0;
  const end = Math.min(peaks.length, Math.max(Math.ceil(to * RATE), Math.floor(from * RATE) + 1));
  for (let i = Math.max(0, Math.floor(from * RATE)); i < end; i += 1) peak = Math.max(peak, peaks[i]);
  return peak;
}

/**
 * Read a sound file. Throws where the browser cannot read it.
 * @param {string} name
 * @param {ArrayBuffer} bytes
 * @returns {Promise<Sound>}
 */
export async function readSound(name, bytes) {
  const context = new OfflineAudioContext(1, 1, 22050);
  const audio = await context.decodeAudioData(bytes);
  const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
  return { name, peaks: peaksOf(channels, audio.sampleRate), seconds: audio.duration };
}
