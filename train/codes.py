"""What a frame of codes says: the codebooks, and the quantizer between them and vocoder parameters.

The codes are not learnt with the codec. They are residual k-means codes of vocoder parameters, so the codec's decoder and
encoder and the language model are three plain regressions or classifications that can be trained at the same time.

Codebooks, all of 256 entries: 0 and 1 the phones at the frame's first and third quarter, 2 voicing, voice and pitch, 3 the
envelope's first stage, 4.. its residual stages, the rest silent (always 0). The phones add nothing to the sound. They tell
the language model where in the text it is, as Mimi's semantic codebook tells CSM. Entry 0 of the codebooks in use is kept
for the end of speech, so a frame of 32 zeros can mean that only.
"""
import numpy as np

RATE, FRAME = 24000, 1920          # samples of a second and of a frame
HOP = 120                          # samples of a vocoder step, 5 ms
STEPS = FRAME // HOP               # vocoder steps of a frame
MCEP = 25                          # mel cepstral coefficients of a step
GRID = 4                           # vocoder steps of the 20 ms grid on which phones begin and end
PCS = 48                           # principal components kept of a frame's envelope
BOOK = 256                         # entries of a codebook
CODEBOOKS = 32
STAGES = 6                         # residual stages of the envelope
VOICING, ENVELOPE = 2, 3           # codebooks of voicing and of the envelope's first stage
USED = ENVELOPE + 1 + STAGES       # codebooks in use
PITCHES = list(range(6, 11)) + list(range(11, 19))   # periods of a frame: low voice 75..125 Hz, high voice 137..225 Hz
LOW = 5                            # how many of PITCHES are of the low voice
LOW_FACTOR = 0.58                  # the low voice's pitch against the high one's
LABELS = 5 + len(PITCHES)          # voicing bits, voice and pitch, as numbers


def pitch_index(pitch, low_voice):
    """Index into PITCHES of each frame's pitch, given in periods a frame."""
    if low_voice:
        return np.clip(np.rint(pitch * LOW_FACTOR).astype(int), PITCHES[0], PITCHES[LOW - 1]) - PITCHES[0]
    return np.clip(np.rint(pitch).astype(int), PITCHES[LOW], PITCHES[-1]) - PITCHES[LOW] + LOW


def voicing_code(voicing, index, low_voice):
    """Code of codebook 2 for voicing (T, 4) and pitch indices (T,): 1 and 2 are unvoiced in the high and the low voice, then
    come 15 patterns for each pitch."""
    pattern = (voicing * np.array([1, 2, 4, 8])).sum(1)
    return np.where(pattern == 0, 2 if low_voice else 1, 2 + index * 15 + pattern)


def voicing_vectors():
    """Entries of codebook 2, (BOOK, LABELS): four voicing bits, whether the voice is the low one, then the pitch one-hot."""
    table = np.zeros((BOOK, LABELS), np.float32)
    table[2, 4] = 1
    for index in range(len(PITCHES)):
        for pattern in range(1, 16):
            row = table[2 + index * 15 + pattern]
            row[:4] = [(pattern >> bit) & 1 for bit in range(4)]
            row[4] = index < LOW
            row[5 + index] = 1
    return table


def with_voicing(codes, voicing):
    """The same frames (T, USED) in another voice or pitch."""
    return np.concatenate([codes[:, :VOICING], voicing[:, None], codes[:, VOICING + 1:]], 1)


def halve(mcep):
    """Means over 10 ms, (T, 8 * 25)."""
    return mcep.reshape(len(mcep), 8, 2, MCEP).mean(2).reshape(len(mcep), -1)


def nearest(x, centres, block=8192):
    norms = (centres ** 2).sum(1)
    return np.concatenate([np.argmin(norms - 2 * x[i:i + block] @ centres.T, 1) for i in range(0, len(x), block)])


def kmeans(x, k, rng, rounds=12):
    centres = x[rng.choice(len(x), k, replace=False)].copy()
    for _ in range(rounds):
        near = nearest(x, centres)
        count = np.bincount(near, minlength=k)
        order = np.argsort(near, kind="stable")
        sums = np.zeros_like(centres)
        sums[count > 0] = np.add.reduceat(x[order], np.searchsorted(near[order], np.flatnonzero(count)))
        centres = np.where(count[:, None] > 0, sums / np.maximum(count, 1)[:, None], centres)
        dead = np.flatnonzero(count < 3)
        if len(dead):
            centres[dead] = x[rng.choice(len(x), len(dead), replace=False)]
    return centres


class Quantizer:
    """Principal components of a frame's envelope, and residual codebooks over them."""

    @classmethod
    def fit(cls, mcep, rng):
        """Fits to envelopes (T, 16, 25)."""
        self = cls()
        x = halve(mcep)
        self.mean = x.mean(0)
        values, vectors = np.linalg.eigh(np.cov((x - self.mean).T))
        self.basis = vectors[:, ::-1][:, :PCS].astype(np.float32)
        self.scale = np.float32(np.sqrt(values[-1]))           # the first component gets deviation 1
        rest = self.project(mcep)
        self.spread = rest.std(0) + 1e-3
        rest = rest[rng.permutation(len(rest))[:80000]]
        self.books = []
        for stage in range(1 + STAGES):
            book = np.zeros((BOOK, PCS), np.float32)
            book[1:] = kmeans(rest, BOOK - 1, rng)
            self.books.append(book)
            rest = rest - book[1 + nearest(rest, book[1:])]
            print(f"stage {stage}: residual {np.sqrt((rest ** 2).sum(1).mean()) * self.scale:.3f}", flush=True)
        return self

    @classmethod
    def load(cls, path):
        self, stored = cls(), np.load(path)
        self.mean, self.basis, self.scale, self.spread = (stored[k] for k in ("mean", "basis", "scale", "spread"))
        self.books = list(stored["books"])
        return self

    def save(self, path):
        np.savez(path, mean=self.mean, basis=self.basis, scale=self.scale, spread=self.spread, books=np.stack(self.books))

    def project(self, mcep):
        return ((halve(mcep) - self.mean) @ self.basis / self.scale).astype(np.float32)

    def encode(self, mcep, phones, voicing):
        """Codes (T, USED) of envelopes (T, 16, 25), numbers of phones (T, 2) and codes of voicing (T,)."""
        rest, codes = self.project(mcep), [1 + phones[:, 0], 1 + phones[:, 1], voicing]
        for book in self.books:
            code = 1 + nearest(rest, book[1:])
            rest = rest - book[code]
            codes.append(code)
        return np.stack(codes, 1).astype(np.uint8)

    def components(self, codes):
        """Principal components (T, PCS) that codes (T, USED) say."""
        return sum(book[codes[:, ENVELOPE + i]] for i, book in enumerate(self.books))

    def decode(self, codes):
        """Envelopes (T, 16, 25) of codes (T, USED)."""
        x = (self.components(codes) * self.scale @ self.basis.T + self.mean).reshape(-1, 8, MCEP)
        return x.repeat(2, axis=1)
