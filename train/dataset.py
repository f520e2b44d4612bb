"""From texts to what both models are trained on: token ids, frames of codes, and where in the text each frame is.

    python dataset.py OUT --flite ./flite          # OUT holds texts.py's files and tokenizer.json of spelling.py

Writes quantizer.npz, train.npz and heldout.npz. Phones end on a 20 ms grid, so a frame holds one of few patterns.
"""
import argparse
import concurrent.futures
import pathlib

import numpy as np
from tokenizers import Tokenizer

from codes import FRAME, GRID, MCEP, RATE, STEPS, Quantizer, pitch_index, voicing_code
from flite import utterances
from spelling import PHONES, Spelling

FLOOR = 2.2                        # log gain of silence
LONGEST = 230                      # frames of the longest text
VOWELS = "aeiou"


def on_grid(phones, track):
    """Rounds each phone to the 20 ms grid. Returns the warped track and [(phone, first step, steps)]."""
    start, source, spans, at = 0.0, [], [], 0
    last = len(phones) - 1
    for index, (name, end) in enumerate(phones):
        a, b = start / 0.005, min(end / 0.005, len(track))
        start = end
        length = b - a
        if name == "pau":
            # Short silence before and after, a pause within of at most 240 ms.
            steps = 4 if index == 0 else 12 if index == last else min(48, max(GRID, GRID * round(length / GRID)))
            # Its part next to the speech.
            a, b = (max(a, b - steps), b) if index == 0 else (a, min(b, a + steps))
        else:
            steps = max(2 * GRID if length > 1.6 * GRID else GRID, GRID * int(length / GRID + 0.5))
        source.append(a + (np.arange(steps) + 0.5) / steps * (b - a))
        spans.append((name, at, steps))
        at += steps
    positions = np.clip(np.concatenate(source), 0, len(track) - 1.001)
    low = positions.astype(int)
    part = (positions - low)[:, None].astype(np.float32)
    warped = track[low] * (1 - part) + track[np.minimum(low + 1, len(track) - 1)] * part
    # Pitch is not interpolated: it is 0 where unvoiced.
    warped[:, 0] = track[np.rint(positions).astype(int).clip(0, len(track) - 1), 0]
    return warped.astype(np.float32), spans


def frames_of(track):
    """Whole frames: envelopes (T, 16, 25), voicing (T, 4), pitch in periods a frame (T,), zero where unvoiced."""
    short = -len(track) % STEPS
    track = np.concatenate([track, np.zeros((short, track.shape[1]), np.float32)])
    mcep = track[:, 1:1 + MCEP].copy()
    if short:
        mcep[-short:] = 0
        mcep[-short:, 0] = FLOOR
    # Silence is one point, not many: below the floor the shape fades.
    mcep[:, 0] = np.maximum(mcep[:, 0], FLOOR)
    mcep[:, 1:] *= np.clip((mcep[:, :1] - FLOOR) / 1.5, 0, 1)
    f0 = track[:, 0].reshape(-1, STEPS)
    on = (f0 > 0) & (mcep[:, 0].reshape(-1, STEPS) > FLOOR + 0.8)
    voicing = on.reshape(-1, 4, GRID).mean(2) >= 0.5
    mean = np.where(on, f0, 0).sum(1) / np.maximum(on.sum(1), 1)
    pitch = np.where(voicing.any(1), mean * FRAME / RATE, 0)
    return mcep.reshape(-1, STEPS, MCEP), voicing, pitch


def match(spelled, spoken, band=12):
    """Index into `spelled` of each of the `spoken` phones, by least edits; both are lists of names. A phone without a
    partner gets that of its neighbour before it."""
    n, m = len(spelled), len(spoken)
    band += abs(n - m)
    far = 1e9
    cost = [[far] * (m + 1) for _ in range(n + 1)]
    step = [[0] * (m + 1) for _ in range(n + 1)]
    cost[0] = [float(j) for j in range(m + 1)]
    for i in range(1, n + 1):
        a, above, row, how = spelled[i - 1], cost[i - 1], cost[i], step[i]
        row[0] = float(i)
        centre = i * m // n
        for j in range(max(1, centre - band), min(m, centre + band) + 1):
            b = spoken[j - 1]
            best, kind = above[j - 1] + (0 if a == b else 0.6 if a[0] in VOWELS and b[0] in VOWELS else 1.1), 1
            if above[j] + 1 < best:
                best, kind = above[j] + 1, 2
            if row[j - 1] + 1 < best:
                best, kind = row[j - 1] + 1, 3
            row[j], how[j] = best, kind
    found, i, j = [-1] * m, n, m
    while i > 0 and j > 0:
        kind = step[i][j]
        if kind == 1:
            found[j - 1] = i - 1
        i, j = i - (kind != 3), j - (kind != 2)
    for j in range(m):
        if found[j] < 0:
            found[j] = found[j - 1] if j else 0
    return found


def pointers(spelling, ids, spans, frames):
    """For each frame, at its first and third quarter: the token (T, 2) that is spoken there, and the phone (T, 2)."""
    spelled = [(phone, at) for at, i in enumerate(ids) for phone in spelling.phones[i]]
    spoken = [(name, first, steps) for name, first, steps in spans]
    partner = match([p for p, _ in spelled], [name for name, *_ in spoken])
    token, phone = np.zeros(frames * STEPS, np.uint16), np.zeros(frames * STEPS, np.uint8)
    for (name, first, steps), k in zip(spoken, partner):
        token[first:first + steps] = spelled[k][1]
        phone[first:first + steps] = PHONES.index(name)
    end = spoken[-1][1] + spoken[-1][2]
    token[end:] = len(ids) - 1
    steps = np.arange(frames)[:, None] * STEPS + np.array([4, 12])
    return token[steps], phone[steps]


def analyse(texts, binary, tokenizer, spelling):
    """What flite makes of each text; texts that last too long are left out."""
    out = []
    for text, (phones, track) in zip(texts, utterances(texts, binary)):
        track, spans = on_grid(phones, track)
        if len(track) > LONGEST * STEPS:
            continue
        mcep, voicing, pitch = frames_of(track)
        # The edge of the first word is the speaker's bracket, as in the fleet.
        ids = tokenizer.encode("[0]" + text, add_special_tokens=False).ids[3:]
        token, phone = pointers(spelling, ids, spans, len(mcep))
        out.append((text, np.array(ids, np.uint16), mcep, voicing, pitch, token, phone))
    return out


def _begin(folder, binary):
    global _work
    path = folder / "tokenizer.json"
    _work = (binary, Tokenizer.from_file(str(path)), Spelling(path))


def _analyse(texts):
    return analyse(texts, *_work)


class Analyst:
    """`analyse` in as many processes as there are cores."""

    def __init__(self, folder, binary):
        self.pool = concurrent.futures.ProcessPoolExecutor(initializer=_begin, initargs=(folder, binary))

    def __call__(self, texts):
        parts = [texts[i:i + 200] for i in range(0, len(texts), 200)]
        return [item for part in self.pool.map(_analyse, parts) for item in part]


def save(path, quantizer, items):
    """One flat file: ids, codes and pointers of all texts, one after the other, with their lengths."""
    high, low = [], []
    for at in range(0, len(items), 2000):
        # Many texts at once: a text alone is too short for fast products.
        mcep, voicing, pitch, phones = (np.concatenate([item[k] for item in items[at:at + 2000]]) for k in (2, 3, 4, 6))
        high.append(quantizer.encode(mcep, phones, voicing_code(voicing, pitch_index(pitch, False), False)))
        low.append(voicing_code(voicing, pitch_index(pitch, True), True).astype(np.uint8))
    lengths = np.array([len(item[2]) for item in items], np.int32)
    np.savez(path, texts=np.array([i[0] for i in items]), id_lengths=np.array([len(i[1]) for i in items], np.int32),
             ids=np.concatenate([i[1] for i in items]), lengths=lengths, high=np.concatenate(high), low=np.concatenate(low),
             token=np.concatenate([i[5] for i in items]))
    print(f"{path}: {len(items)} texts, {lengths.sum() * FRAME / RATE / 3600:.2f} h", flush=True)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--flite", default="./flite")
    args.add_argument("--fit", type=int, default=6000, help="texts the quantizer is fitted on")
    args.add_argument("--limit", type=int, default=None)
    args.add_argument("--seed", type=int, default=3)
    args = args.parse_args()
    train = (args.out / "train.txt").read_text().split("\n")[:-1][:args.limit]
    heldout = (args.out / "heldout.txt").read_text().split("\n")[:-1]
    analyst = Analyst(args.out, args.flite)
    items = analyst(train[:args.fit])
    if not (args.out / "quantizer.npz").exists():
        envelopes = np.concatenate([i[2] for i in items])
        Quantizer.fit(envelopes, np.random.default_rng(args.seed)).save(args.out / "quantizer.npz")
    quantizer = Quantizer.load(args.out / "quantizer.npz")
    items += analyst(train[args.fit:])
    save(args.out / "train.npz", quantizer, items)
    save(args.out / "heldout.npz", quantizer, analyst(heldout))


if __name__ == "__main__":
    main()
