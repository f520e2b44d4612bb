"""How well a recogniser understands speech, beside flite's own voice saying the same sentences.

    python evaluate.py DATA --url http://127.0.0.1:8080 [--sentences 500] [--speakers 0] [--temperatures 0 0.9] [--wavs OUT]
    python evaluate.py DATA --codes                # what the codes themselves lose, through the vocoder
    python evaluate.py DATA --codec PARTS          # and through the codec's decoder

The listener is pocketsphinx with its own English models and no knowledge of the sentences: a harsh judge of a robot, so its
score of flite's own voice stands beside each figure. Prints word accuracy (1 - errors / words) by source and length of the
sentences.
"""
import argparse
import base64
import concurrent.futures
import io
import json
import pathlib
import re
import subprocess
import tempfile
import urllib.request
import wave

import numpy as np
from pocketsphinx import Decoder
from scipy.signal import resample_poly

from spelling import differences

WORKERS = 2


def read_wav(file):
    with wave.open(file) as f:
        pcm = np.frombuffer(f.readframes(f.getnframes()), "<i2").astype(np.float32) / 32768
        return pcm[::f.getnchannels()], f.getframerate()


def flite(text):
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", f.name], check=True)
        return read_wav(f.name)


def words(text):
    return re.findall(r"[a-z']+", text.lower())


_decoder = None


def hear(sound, rate):
    """The words that pocketsphinx hears."""
    global _decoder
    _decoder = _decoder or Decoder(loglevel="FATAL")
    if len(sound) == 0:
        return ""
    sound = resample_poly(sound, 2, 3) if rate == 24000 else sound
    sound = np.concatenate([np.zeros(3200), sound, np.zeros(4800)])
    sound = sound / max(np.abs(sound).max(), 1e-4) * 0.6
    _decoder.start_utt()
    _decoder.process_raw((sound * 32767).astype("<i2").tobytes(), full_utt=True)
    _decoder.end_utt()
    return _decoder.hyp().hypstr if _decoder.hyp() else ""


def median_pitch(sound, rate):
    """Median of the pitch of voiced frames, in Hz, by autocorrelation."""
    size, found = rate // 12, []
    for at in range(0, len(sound) - size, size // 2):
        x = sound[at:at + size] - sound[at:at + size].mean()
        if (x ** 2).mean() < 1e-4:
            continue
        power = np.fft.rfft(x, 2 * size)
        r = np.fft.irfft(power * power.conj())[:size]
        low, high = rate // 260, rate // 65
        k = low + int(r[low:high].argmax())
        if r[k] > 0.5 * r[0]:
            found.append(rate / k)
    return float(np.median(found)) if found else 0.0


def request(url, text, speaker, temperature, seed):
    """Speech of the fleet, and its finish reason."""
    body = dict(text=text, speaker=speaker, temperature=temperature, seed=seed)
    r = urllib.request.Request(url + "/generate", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(r, timeout=600) as answer:
        wav = base64.b64decode(json.load(answer)["audio"])
        return read_wav(io.BytesIO(wav)), answer.headers.get("x-finish-reason", "unknown")


def score(name, texts, sounds, pool, show=0):
    """Prints and returns word accuracy of all texts; the first half of the texts is from WordNet."""
    heard = list(pool.map(hear, [s for s, _ in sounds], [r for _, r in sounds], chunksize=8))
    wrong = np.array([min(differences(words(t), words(h)), len(words(t))) for t, h in zip(texts, heard)])
    many = np.array([len(words(t)) for t in texts])
    number = np.arange(len(texts))
    parts = {"WordNet": number < len(texts) // 2, "Harvard": number >= len(texts) // 2,
             "to 6 words": many <= 6, "7 to 9": (many > 6) & (many < 10), "10 or more": many >= 10}
    accuracy = lambda part: 1 - wrong[part].sum() / max(1, many[part].sum())
    print(f"{name:32s} word accuracy {accuracy(number):.3f}   "
          + "   ".join(f"{part} {accuracy(chosen):.3f}" for part, chosen in parts.items())
          + f"   {sum(len(s) / r for s, r in sounds):.0f} s", flush=True)
    for text, h in list(zip(texts, heard))[:show]:
        print(f"    {text!r} -> {h!r}")
    return accuracy(number)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("data", type=pathlib.Path)
    args.add_argument("--url")
    args.add_argument("--codes", action="store_true")
    args.add_argument("--codec", type=pathlib.Path)
    args.add_argument("--sentences", type=int, default=500)
    args.add_argument("--speakers", type=int, nargs="*", default=[0])
    args.add_argument("--temperatures", type=float, nargs="*", default=[0.0, 0.9])
    args.add_argument("--wavs", type=pathlib.Path)
    args.add_argument("--show", type=int, default=0)
    args = args.parse_args()
    all_texts = (args.data / "heldout.txt").read_text().split("\n")[:-1]
    half = args.sentences // 2
    chosen = [*range(half), *range(len(all_texts) // 2, len(all_texts) // 2 + half)]
    texts = [all_texts[i] for i in chosen]
    pool = concurrent.futures.ProcessPoolExecutor(WORKERS)
    threads = concurrent.futures.ThreadPoolExecutor(5)
    base = score("flite slt", texts, list(pool.map(flite, texts)), pool, args.show)
    if args.codes or args.codec:
        from codes import Quantizer, with_voicing
        from vocoder import render
        pack = np.load(args.data / "heldout.npz")
        at = {t: i for i, t in enumerate(pack["texts"])}
        starts = np.cumsum(pack["lengths"]) - pack["lengths"]
        spans = [slice(starts[at[t]], starts[at[t]] + pack["lengths"][at[t]]) for t in texts]
        quantizer = Quantizer.load(args.data / "quantizer.npz")
        voices = dict(high=[pack["high"][s] for s in spans], low=[with_voicing(pack["high"][s], pack["low"][s]) for s in spans])
        for voice, codes in voices.items():
            if args.codes:
                score(f"vocoder of the codes, {voice}", texts, [(render(quantizer, c), 24000) for c in codes], pool, args.show)
            if args.codec:
                import torch
                from train_codec import build
                model, _ = build(quantizer)
                model.load_state_dict(torch.load(args.codec / "decoder.pt"), strict=False)
                with torch.no_grad():
                    sounds = [model.decode(torch.from_numpy(c.astype(np.int64))[None])[0].numpy() for c in codes]
                score(f"decoder of the codes, {voice}", texts, [(s, 24000) for s in sounds], pool, args.show)
    for speaker in args.speakers if args.url else []:
        for temperature in args.temperatures:
            said = list(threads.map(lambda i: request(args.url, texts[i], speaker, temperature, i), range(len(texts))))
            sounds = [s for s, _ in said]
            mine = score(f"speaker {speaker}, temperature {temperature}", texts, sounds, pool, args.show)
            ends = {e: sum(e == x for _, x in said) for e in sorted({x for _, x in said})}
            pitch = [median_pitch(*s) for s in sounds[:100]]
            print(f"    {mine / base:.3f} of flite's; ended by {ends}; median pitch {min(pitch):.0f} to {max(pitch):.0f} Hz")
            if args.wavs:
                args.wavs.mkdir(parents=True, exist_ok=True)
                for i, (sound, rate) in enumerate(sounds[:20]):
                    with wave.open(str(args.wavs / f"{i:03d}-{speaker}-{temperature}.wav"), "wb") as f:
                        f.setnchannels(1); f.setsampwidth(2); f.setframerate(rate)
                        f.writeframes((sound * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    main()
