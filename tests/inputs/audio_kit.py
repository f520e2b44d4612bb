"""Pieces for test recordings: a signal like speech, byte layouts, and ffmpeg and sox as writers."""

import os
import struct
import subprocess
from pathlib import Path

import numpy as np

# Expectations of a case.
SAME, REFUSED, LIKE = "same", "refused", "like"
SECONDS = 0.9
SEED = 7


def signal(rate, channel=0, seconds=SECONDS):
    """Returns a signal like speech, full scale 1: syllables of changing pitch, none like another."""
    count = round(seconds * rate)
    time = np.arange(count) / rate
    draws = np.random.default_rng(SEED + channel)
    out = np.zeros(count)
    for start in np.arange(0.0, seconds, 0.11):
        begin = start + draws.uniform(0, 0.03)
        length = draws.uniform(0.05, 0.16)
        shape = np.where((time > begin) & (time < begin + length), np.sin(np.pi * (time - begin) / length) ** 2, 0)
        pitch = draws.uniform(90, 260) * (1 + draws.uniform(-0.3, 0.3) * (time - begin))
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        formants = draws.uniform(300, 1200), draws.uniform(1200, 2600)
        for harmonic in range(1, 14):
            near = sum(np.exp(-(((harmonic * 170 - formant) / 350) ** 2)) for formant in formants)
            out += shape * (near + 0.08) * np.sin(harmonic * phase + draws.uniform(0, 6))
    return 0.45 * out / np.abs(out).max()


def frames(rate, channels, seconds=SECONDS):
    """Returns channels that differ, interleaved as rows."""
    return np.stack([signal(rate, channel, seconds) for channel in range(channels)], axis=1)


def whole(rows, bits):
    """Returns samples of `bits` bits as whole numbers."""
    top = 2 ** (bits - 1)
    return np.clip(np.round(rows * top), -top, top - 1).astype(np.int64)


def packed(rows, bits, order="<"):
    """Returns samples as bytes, each in the fewest whole bytes, the sample in the highest bits."""
    width = (bits + 7) // 8
    if width == 1:
        return (whole(rows, 8) + 128).astype(np.uint8).tobytes()
    values = whole(rows, bits) << (8 * width - bits)
    wide = values.astype("<i8").tobytes()
    kept = np.frombuffer(wide, np.uint8).reshape(-1, 8)[:, :width]
    return (kept if order == "<" else kept[:, ::-1]).tobytes()


def chunk(name, body, size=None, order="<"):
    """Returns a RIFF chunk with its pad byte."""
    length = len(body) if size is None else size
    return name + struct.pack(order + "I", length) + body + b"\0" * (len(body) % 2)


def fmt(tag=1, channels=1, rate=16000, bits=16, align=None, byte_rate=None, extra=b"", order="<"):
    """Returns the body of a format chunk."""
    align = channels * ((bits + 7) // 8) if align is None else align
    byte_rate = rate * align if byte_rate is None else byte_rate
    return struct.pack(order + "HHIIHH", tag, channels, rate, byte_rate & 0xFFFFFFFF, align, bits) + extra


def extensible(sub, channels, rate, bits, valid, mask):
    """Returns the body of a WAVEFORMATEXTENSIBLE chunk."""
    guid = struct.pack("<H", sub) + bytes.fromhex("000000001000800000aa00389b71")
    return fmt(0xFFFE, channels, rate, bits, extra=struct.pack("<HHI", 22, valid, mask) + guid)


def riff(form, *chunks, size=None, magic=b"RIFF", order="<"):
    """Returns a RIFF file of a format and chunks."""
    body = b"WAVE" + chunk(b"fmt ", form, order=order) + b"".join(chunks)
    return magic + struct.pack(order + "I", len(body) if size is None else size) + body


def wav(rate=16000, channels=1, bits=16, data_size=None, riff_size=None, tail=b"", before=b"", **fields):
    """Returns a WAV file of whole numbers, with lengths as given."""
    data = packed(frames(rate, channels), bits)
    form = fmt(1, channels, rate, bits, **fields)
    return riff(form, before, chunk(b"data", data, data_size), tail, size=riff_size)


def run(*command):
    """Runs a program; raises with its words if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.decode(errors='replace')[-400:]}")


def source(folder, rate, channels, seconds=SECONDS):
    """Returns the path of a WAV file of the signal, made once."""
    path = Path(folder) / f"source-{rate}-{channels}-{seconds}.wav"
    if not path.exists():
        rows = frames(rate, channels, seconds)
        mask = {1: 4, 2: 3, 3: 7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}[channels]
        form = extensible(1, channels, rate, 16, 16, mask) if channels > 2 else fmt(1, channels, rate)
        path.write_bytes(riff(form, chunk(b"data", packed(rows, 16))))
    return path


def ffmpeg(folder, name, *options, rate=16000, channels=1, seconds=SECONDS):
    """Makes a file of the signal with ffmpeg and returns its bytes."""
    path = Path(folder) / f"made-{name}"
    run("ffmpeg", "-v", "error", "-y", "-i", source(folder, rate, channels, seconds), *options, path)
    data = path.read_bytes()
    os.unlink(path)
    return data


def sox(folder, name, *options, rate=16000, channels=1):
    """Makes a file of the signal with sox and returns its bytes."""
    path = Path(folder) / f"made-{name}"
    run("sox", source(folder, rate, channels), *options, path)
    data = path.read_bytes()
    os.unlink(path)
    return data


def sox_decoded(folder, data):
    """Returns the samples of an Ogg Vorbis file of one channel at 24 kHz, by libvorbis."""
    path = Path(folder) / "made-x.ogg"
    path.write_bytes(data)
    done = subprocess.run(["sox", path, "-t", "raw", "-e", "signed", "-b", "16", "-"], capture_output=True, check=True)
    return done.stdout


def ogg_pages(data):
    """Splits an Ogg file into its pages."""
    pages, at = [], 0
    while at < len(data):
        count = data[at + 26]
        end = at + 27 + count + sum(data[at + 27 : at + 27 + count])
        pages.append(bytearray(data[at:end]))
        at = end
    return pages


def mended(page):
    """Returns an Ogg page with the right checksum."""
    page[22:26] = b"\0" * 4
    total = 0
    for byte in page:
        total ^= byte << 24
        for _ in range(8):
            total = (total << 1 ^ (0x04C11DB7 if total >> 31 else 0)) & 0xFFFFFFFF
    page[22:26] = struct.pack("<I", total)
    return page
