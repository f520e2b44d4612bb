"""Draws the spectrograms of one sentence, of the model and of flite: python spectrogram.py URL OUT [TEXT].

URL is a gateway whose fleet speaks with the toy voice.
"""
import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot
from scipy.signal import resample_poly

from evaluate import flite, request

TEXT = "The birch canoe slid on the smooth planks."
WINDOW, HOP, RATE = 512, 128, 16_000


def spectrum(sound):
    """Magnitudes in dB, below the loudest, of a sound at 16 kHz."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, WINDOW // 2), WINDOW)[::HOP] * np.hanning(WINDOW)
    db = 20 * np.log10(np.abs(np.fft.rfft(frames)).T + 1e-6)
    return np.maximum(db - db.max(), -80)


def main():
    url, out = sys.argv[1:3]
    text = sys.argv[3] if len(sys.argv) > 3 else TEXT
    sounds = {"flite, slt": flite(text)[0]}
    for speaker, name in ((1, "tiny, higher voice"), (0, "tiny, lower voice")):
        sounds[name] = resample_poly(request(url, text, speaker, 0.9, 3)[0][0], 2, 3)
    figure, axes = pyplot.subplots(len(sounds), 1, figsize=(10, 7), sharex=True)
    for axis, (name, sound) in zip(axes, sounds.items()):
        axis.imshow(spectrum(sound), origin="lower", aspect="auto", cmap="magma", extent=(0, len(sound) / RATE, 0, RATE / 2000))
        axis.set(title=name, ylabel="kHz")
    axes[-1].set(xlabel=f"seconds: {text}")
    figure.tight_layout()
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    main()
