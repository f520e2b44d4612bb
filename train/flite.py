"""What flite says of words and texts, by the program that flite.c becomes."""
import re
import struct
import subprocess

import numpy as np


def words(spellings, binary):
    """Phones of each word, without stress, by lexicon and letter-to-sound rules. Words without phones are left out."""
    out = subprocess.run([binary, "words"], input="\n".join(spellings) + "\n", stdout=subprocess.PIPE, text=True, check=True)
    spoken = {word: [re.sub(r"\d", "", p) for p in phones] for word, *phones in map(str.split, out.stdout.splitlines())}
    return {word: phones for word, phones in spoken.items() if phones}


def utterances(texts, binary):
    """([(phone, end in seconds)], vocoder parameters (frames, channels)) of each text."""
    out = subprocess.run([binary, "utterances"], input=("\n".join(texts) + "\n").encode(), stdout=subprocess.PIPE,
                         check=True).stdout
    at, records = 0, []
    for _ in texts:
        segments, frames, channels = struct.unpack_from("<3i", out, at)
        at += 12
        phones = []
        for _ in range(segments):
            name = out[at:at + 8].split(b"\0")[0].decode()
            end, _token = struct.unpack_from("<fi", out, at + 8)
            phones.append((name, end))
            at += 16
        track = np.frombuffer(out, "<f4", frames * channels, at).reshape(frames, channels)
        at += 4 * frames * channels
        records.append((phones, track))
    return records
