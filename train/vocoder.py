"""The sound that codes stand for: a deterministic vocoder, which the codec's decoder learns to be.

Three choices make it easy to learn:
* Pitch is locked to the frame. Each 80 ms frame holds a whole number of pitch periods that starts at its first sample, so
  the waveform is a function of the frame's envelope and that number alone. The price: pitch moves in steps of 12.5 Hz.
* The noise of a frame is one fixed pattern of 1920 samples.
* The low voice is the high one with a longer vocal tract. Only the pitch code tells them apart.
"""
import numpy as np

from codes import FRAME, GRID, HOP, MCEP, PITCHES, RATE, STEPS, VOICING, voicing_vectors

LOW_WARP = 0.87                    # the low voice's formants against the high one's
ALPHA = 0.42                       # frequency warping of flite's mel cepstrum, at 16 kHz
SIZE = 768                         # samples of an impulse response
BINS = SIZE // 2 + 1
GAIN = 1 / 40000


def _warp_matrix(warp):
    """cos(m * warped frequency) of each bin of a 24 kHz spectrum; above the 8 kHz band its edge is held."""
    frequency = np.minimum(np.arange(BINS) * RATE / SIZE / warp, 7900.0)
    omega = 2 * np.pi * frequency / 16000
    bark = omega + 2 * np.arctan(ALPHA * np.sin(omega) / (1 - ALPHA * np.cos(omega)))
    return np.cos(np.arange(MCEP)[:, None] * bark[None]).astype(np.float32)


_HZ = np.arange(BINS) * RATE / SIZE
_WARP = {False: _warp_matrix(1.0), True: _warp_matrix(LOW_WARP)}
# Pulses below about 4.5 kHz, noise above; and nothing much above 8 kHz.
_PULSE = (1 / (1 + (_HZ / 4500) ** 6)).astype(np.float32)
_BAND = (-8.0 * np.clip((_HZ - 7600) / 1500, 0, 1)).astype(np.float32)
_NOISE = np.random.default_rng(7).standard_normal(FRAME).astype(np.float32)
_FOLD = np.concatenate([[1.0], np.full(SIZE // 2 - 1, 2.0), [1.0], np.zeros(SIZE // 2 - 1)]).astype(np.float32)
_EMPHASIS = np.concatenate([[1, 1], np.full(MCEP - 2, 1.2)]).astype(np.float32)   # sharper formants


def _responses(mcep, low_voice, weight):
    """Minimum-phase spectra (N, BINS) of envelopes (N, 25) in voices (N,) times a magnitude weight."""
    shape = np.empty((len(mcep), BINS), np.float32)
    for low in (False, True):
        shape[low_voice == low] = (mcep[low_voice == low] * _EMPHASIS) @ _WARP[low]
    log = shape + _BAND + np.log(weight + 1e-3)
    cepstrum = np.fft.irfft(log, SIZE).astype(np.float32) * _FOLD
    return np.exp(np.fft.rfft(cepstrum, SIZE))


def synthesize(mcep, voicing, low_voice, index):
    """Waveform of envelopes (T, 16, 25), voicing (T, 4), voices (T,) and pitch indices (T,). Causal frame by frame."""
    frames = len(mcep)
    out = np.zeros(frames * FRAME + SIZE, np.float32)
    # Pulses: at whole fractions of the frame, where their 20 ms are voiced.
    where, envelope, gain, low = [], [], [], []
    for t in np.flatnonzero(voicing.any(1)):
        n = PITCHES[index[t]]
        at = np.rint(np.arange(n) * FRAME / n).astype(int)
        at = at[voicing[t, at * 4 // FRAME]]
        where.append(t * FRAME + at)
        envelope.append(mcep[t, at // HOP])
        gain.append(np.full(len(at), np.sqrt(FRAME / n)))
        low.append(np.full(len(at), low_voice[t]))
    if where:
        where, envelope, gain, low = (np.concatenate(x) for x in (where, envelope, gain, low))
        pulses = np.fft.irfft(_responses(envelope, low, _PULSE), SIZE).astype(np.float32) * gain[:, None]
        np.add.at(out, where[:, None] + np.arange(SIZE)[None], pulses)
    # Noise: filtered step by step; in voiced steps only above the pulses' band.
    flat = mcep.reshape(-1, MCEP)
    on = voicing.repeat(GRID, 1).reshape(-1)
    weight = np.where(on[:, None], 0.5 * np.sqrt(np.maximum(0, 1 - _PULSE ** 2))[None], 1.0)
    spectra = _responses(flat, low_voice.repeat(STEPS), weight)
    blocks = np.tile(_NOISE.reshape(STEPS, HOP), (frames, 1))
    shaped = np.fft.irfft(np.fft.rfft(blocks, SIZE) * spectra, SIZE).astype(np.float32)
    np.add.at(out, (np.arange(len(flat)) * HOP)[:, None] + np.arange(SIZE)[None], shaped)
    return out[:frames * FRAME] * GAIN


_VOICING = voicing_vectors()


def render(quantizer, codes):
    """Waveform (T * FRAME,) of codes (T, USED)."""
    codes = codes.astype(int)
    table = _VOICING[codes[:, VOICING]] > 0.5
    return synthesize(quantizer.decode(codes), table[:, :4], table[:, 4], table[:, 5:].argmax(1))
