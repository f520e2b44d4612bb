"""Trains a small SilentCipher that really marks and detects, so that CI can test the whole way without the real one.

    python tests/golden/silentcipher/train_small.py            # writes small/, half an hour on one core
    python tests/golden/silentcipher/train_small.py --expect   # only small/expected.json anew
    python tests/golden/silentcipher/train_small.py --evaluate # measures what small/ can do, with the reference package

The layers are the reference package's, fewer channels; data, initial values and training are ours. The audio is made
here: espeak-ng's speech, buzzes and noises. This network says nothing about the quality or robustness of the real one.

Why it learns in minutes: the five symbols begin as five ripples over frequency, 1 + cos of different periods, which
dec_c passes through unchanged, and dec_m's last layer begins as the sum of the same ripples. Training then refines a
mark that exists, instead of finding one. Its level falls as the symbols are read: from 20 dB under the audio to 37.
"""

import argparse
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import torch
import torchaudio
import yaml
from safetensors.numpy import load_file
from silentcipher.model import Layer, MsgDecoder
from torch.nn import functional

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import make_silentcipher as golden  # noqa: E402

RATE = 24_000
INNER = 44_100
N_FFT, HOP, BAND, SYMBOLS, TILE = 4096, 2048, 1024, 5, 21
ROWS = BAND + 16  # above the band dec_c's output is zeroed; 16 rows are more than its layers reach
ENERGY = 0.002837200844477648

ENC, DEC_C, DEC_M = 6, 10, 12  # channels
REPEATS = 32  # of carrier and message, fixed in the package
# Cycles per row. Low enough to survive the window (4 rows wide), most above the ripple of voiced speech.
RIPPLES = [0.10, 0.13, 0.16, 0.19, 0.22]

SEED = 7
FIRST_SDR, LAST_SDR, USED_SDR = 20.0, 37.0, 32
STEPS = 1370
CROP = 1.4  # seconds
BATCH = 4
LEARNING_RATE = 2e-3

WORDS = (
    "the of and that was his with for had you not her but one all they when there said she who were from will could "
    "water seven people again river thousand yellow window quickly shadow machine thirty breakfast garden question "
    "measure voice future pleasure orange judge church through zebra thin fish sister sixteen house snow"
).split()
VOICES = ["en-us", "en-gb", "en-us+f3", "en-gb+m3", "de", "fr+f2", "es", "it+f4", "pl", "en-us+m7"]


def rng_of(*key) -> np.random.Generator:
    """Random numbers of one thing."""
    return np.random.default_rng([SEED, *(zlib.crc32(str(part).encode()) for part in key)])


def resample(pcm: torch.Tensor, source: int, target: int) -> torch.Tensor:
    """torchaudio's, as the reference uses it."""
    return torchaudio.functional.resample(pcm, source, target)


def speech(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """espeak-ng says random words."""
    words = " ".join(rng.choice(WORDS, int(seconds * 3.2) + 3))
    command = ["espeak-ng", "--stdout", "-v", str(rng.choice(VOICES)), "-s", str(rng.integers(120, 210))]
    wav = subprocess.run([*command, "-p", str(rng.integers(20, 80)), words], capture_output=True, check=True).stdout
    pcm = np.frombuffer(wav[44:], "<i2").astype(np.float32)
    pcm = resample(torch.from_numpy(pcm.copy())[None], 22_050, RATE)[0].numpy()
    return np.resize(pcm, int(seconds * RATE))


def noise(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Noise of a random smooth spectrum, mostly falling like speech, sometimes a hiss, with slow changes of level."""
    count = int(seconds * RATE)
    spectrum = np.fft.rfft(rng.normal(size=count))
    hertz = np.linspace(0, RATE / 2, len(spectrum))
    tilt = rng.choice([-9.0, -6.0, -3.0, 0.0, 3.0]) * np.log2(np.maximum(hertz, 100) / 1000)
    points = np.interp(hertz, np.linspace(0, RATE / 2, 12), rng.normal(0, 5, 12))
    pcm = np.fft.irfft(spectrum * 10 ** ((tilt + points) / 20), count)
    knots = int(seconds * 6) + 2
    level = np.interp(np.arange(count), np.linspace(0, count, knots), rng.normal(0, 6, knots))
    return pcm * 10 ** (level * rng.integers(0, 2) / 20)


def buzz(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A gliding harmonic sound over some noise."""
    count = int(seconds * RATE)
    pitch = np.interp(np.arange(count), np.linspace(0, count, 12), rng.uniform(80, 260, 12))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tilt = rng.uniform(0.5, 1.5)
    pcm = sum(np.sin(h * phase + rng.uniform(0, 6)) / h**tilt for h in range(1, 40))
    return pcm + noise(rng, seconds) * rng.uniform(0.002, 0.1)


def clip(rng: np.random.Generator, kind: str, seconds: float) -> torch.Tensor:
    """One clip at 24 kHz of peak 0.1 to 0.9, over a faint floor of noise as synthetic speech has it, in 16 bit."""
    pcm = {"speech": speech, "noise": noise, "buzz": buzz, "mixed": mixed}[kind](rng, seconds)
    pcm = pcm / np.abs(pcm).max()
    pcm = pcm + rng.normal(size=len(pcm)) * 10 ** (rng.uniform(-80, -50) / 20)
    pcm = pcm / np.abs(pcm).max() * rng.uniform(0.1, 0.9)
    return torch.from_numpy(np.round(pcm * 32_767) / 32_768).float()


def mixed(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Stretches of the other kinds, each with its own level."""
    parts, left = [], seconds
    while left > 0.05:
        length = min(left, rng.uniform(0.1, 0.6))
        pcm = (noise if rng.random() < 0.5 else buzz)(rng, length)
        parts.append(pcm / np.abs(pcm).max() * np.hanning(len(pcm)) * 10 ** rng.uniform(-2, 0))
        left -= length
    return np.resize(np.concatenate(parts), int(seconds * RATE))


KINDS = ["speech", "noise", "speech", "buzz", "speech", "mixed"]


def pool(name: str, count: int, seconds: float) -> list[torch.Tensor]:
    """Clips of every kind in turn, half of them speech."""
    return [clip(rng_of(name, i), KINDS[i % len(KINDS)], seconds) for i in range(count)]


def near_identity(layer: Layer, spread: float = 0.05) -> None:
    """A layer that passes its channels on: the open gate halves, so the middle tap doubles."""
    with torch.no_grad():
        for part in (layer.conv, layer.gate):
            part.weight.normal_(0, spread / np.sqrt(part.weight[0].numel()) * 3)
            part.bias.zero_()
        middle = layer.conv.kernel_size[0] // 2
        for channel in range(min(layer.conv.in_channels, layer.conv.out_channels)):
            layer.conv.weight[channel, channel, middle, middle] += 2


class SmallEncoder(golden.NarrowEncoder):
    """enc_c."""

    widths = (1, ENC, ENC, ENC)


class SmallCarrierDecoder(golden.NarrowCarrierDecoder):
    """dec_c."""

    widths = (ENC + 2 * REPEATS, DEC_C, DEC_C, DEC_C, 1)


class SmallMsgDecoder(golden.NarrowMsgDecoder):
    """dec_m."""

    width = DEC_M


class Marker(torch.nn.Module):
    """enc_c and dec_c. In training dec_c has one input for the 32 equal ones of carrier and of message each."""

    def __init__(self):
        super().__init__()
        self.enc_c = SmallEncoder(message_dim=SYMBOLS, message_band_size=BAND, n_fft=N_FFT)
        self.main = torch.nn.Sequential(*golden.narrow([ENC + 2, DEC_C, DEC_C, DEC_C, 1], [3, 3, 3, 1]))
        rows = torch.arange(BAND)
        with torch.no_grad():
            self.enc_c.linear.bias.zero_()
            for symbol, cycles in enumerate(RIPPLES):
                self.enc_c.linear.weight[:, symbol] = torch.cos(2 * torch.pi * cycles * rows)
            for layer in self.main:
                near_identity(layer)
            first = self.main[0].conv.weight
            first[0, :, 1, 1] = torch.eye(ENC + 2)[-1] * 2  # channel 0 is the message
            self.main[-1].bn.bias.fill_(1.0)  # 1 + cos is not negative: the absolute value changes nothing

    def forward(self, carrier: torch.Tensor, symbols: torch.Tensor, sdr: float) -> torch.Tensor:
        """Marked magnitude of (B, 2049, T), for symbols (B, T)."""
        one_hot = functional.one_hot(symbols, SYMBOLS).float().transpose(1, 2)[:, None]
        message = self.enc_c.transform_message(one_hot)[:, :, :ROWS]
        low = carrier[:, None, :ROWS]
        info = self.main(torch.cat([self.enc_c(low), low, message], 1)).abs()[:, 0, :BAND]
        rms = (info**2).sum(1, keepdim=True).div(N_FFT // 2 + 1).sqrt()
        level = (carrier**2).mean((1, 2), keepdim=True).sqrt()
        info = info / (rms + 1e-6) * 10 ** (-sdr / 20) * level
        return functional.relu(carrier - functional.pad(info, (0, 0, 0, carrier.shape[1] - BAND)))

    def state_dicts(self) -> tuple[dict, dict]:
        """What the package loads as enc_c and dec_c."""
        dec_c = SmallCarrierDecoder(config=None, conv_dim=1)
        saved = self.main.state_dict()
        for part in ("conv", "gate"):
            name = f"0.{part}.weight"
            features, carrier, message = saved[name].split([ENC, 1, 1], 1)
            spread = [shared.repeat(1, REPEATS, 1, 1) / REPEATS for shared in (carrier, message)]
            saved[name] = torch.cat([features, *spread], 1)
        dec_c.main.load_state_dict(saved)
        return self.enc_c.state_dict(), dec_c.state_dict()


def make_reader() -> MsgDecoder:
    """dec_m; its first layer begins with filters for small magnitudes of several sizes, where the mark is."""
    dec_m = SmallMsgDecoder(message_dim=SYMBOLS, message_band_size=BAND)
    layers = [layer for layer in dec_m.main if isinstance(layer, Layer)]
    with torch.no_grad():
        for layer in layers[1:-1]:
            near_identity(layer, 0.3)
        size = 10 ** torch.linspace(-1.5, 0.3, DEC_M)  # magnitudes of about this size pass, larger ones close the gate
        first = layers[0]
        first.conv.weight.normal_(0, 0.1).mul_(1 / size[:, None, None, None])
        first.conv.weight[:, 0, 1, 1] += 2 / size
        first.gate.weight.zero_()
        first.gate.weight[:, 0] = -(1 / size / 3)[:, None, None]
        first.gate.bias.fill_(2.0)
        rows = torch.arange(BAND)
        ripples = sum(torch.cos(2 * torch.pi * cycles * rows) for cycles in RIPPLES)
        dec_m.linear.weight.copy_(ripples[None] / BAND**0.5)
    return dec_m


WINDOW = torch.hann_window(N_FFT)


def stft(pcm: torch.Tensor) -> torch.Tensor:
    """As the package's: padded to whole windows, always by something."""
    pcm = functional.pad(pcm, (0, N_FFT - pcm.shape[1] % N_FFT))
    return torch.stft(pcm, N_FFT, HOP, N_FFT, WINDOW, return_complex=True)


def normalised(pcm: torch.Tensor) -> torch.Tensor:
    """At the package's power."""
    return pcm * (ENERGY / (pcm**2).mean(1, keepdim=True)).sqrt()


def delivered(marker: Marker, pcm: torch.Tensor, symbols: torch.Tensor, sdr: float) -> torch.Tensor:
    """Marked audio at 24 kHz of normalised power; pcm is 24 kHz."""
    inner = normalised(resample(pcm, RATE, INNER))
    spectrum = stft(inner)
    magnitude = spectrum.abs()
    phasor = spectrum / magnitude.clamp_min(1e-12)
    marked = marker(magnitude, symbols[:, : magnitude.shape[2]], sdr)
    audio = torch.istft(marked * phasor, N_FFT, HOP, N_FFT, WINDOW)[:, : inner.shape[1]]
    return resample(audio, INNER, RATE)[:, : pcm.shape[1]]


def read(reader: MsgDecoder, pcm: torch.Tensor) -> torch.Tensor:
    """Logits (B, 5, T) of 24 kHz audio."""
    magnitude = stft(normalised(resample(pcm, RATE, INNER))).abs()
    return reader(magnitude[:, None])[:, 0]


def train(steps: int) -> tuple[Marker, MsgDecoder]:
    """Adam on the cross entropy of every frame's symbol."""
    torch.manual_seed(SEED)
    rng = rng_of("train")
    clips = pool("train", 150, 4.0)
    marker, reader = Marker(), make_reader()
    for module in [*marker.modules(), *reader.modules()]:
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.05
    parameters = [*marker.parameters(), *reader.parameters()]
    optimiser = torch.optim.Adam(parameters, LEARNING_RATE, betas=(0.9, 0.99))
    started, sdr, good = time.monotonic(), FIRST_SDR, 0.2
    length = int(CROP * RATE)
    for step in range(steps):
        part = step / steps
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1, step / 50) * min(1, 0.05 + (1 - part) / 0.5)
        frozen = part > 0.7  # the last part trains with the statistics that eval mode has
        for network in (marker, reader):
            network.train(not frozen)
        batch = []
        for index in rng.integers(0, len(clips), BATCH):
            start = rng.integers(0, len(clips[index]) - length)
            batch.append(clips[index][start : start + length])
        pcm = torch.stack(batch)
        symbols = torch.from_numpy(rng.integers(0, SYMBOLS, (BATCH, 64)))
        audio = delivered(marker, pcm, symbols, sdr)
        level = 10 ** (rng.uniform(-75, -45) / 20)  # rounding to 16 bit, and worse
        audio = audio + torch.from_numpy(rng.normal(0, level * ENERGY**0.5, audio.shape)).float()
        logits = read(reader, audio)
        logits = logits[:, :, : 1 + audio.shape[1] * INNER // RATE // HOP]  # frames after it hold next to nothing
        wanted = symbols[:, : logits.shape[2]]
        loss = functional.cross_entropy(logits, wanted)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        right = (logits.argmax(1) == wanted).float().mean().item()
        good = 0.95 * good + 0.05 * right
        if good > 0.95 and step % 4 == 0:
            sdr = min(LAST_SDR, sdr + 0.5)
        if step % 50 == 0:
            seconds = time.monotonic() - started
            print(f"{seconds:5.0f} s step {step} sdr {sdr:.2f} loss {loss.item():.3f} right {good:.3f}", flush=True)
    return marker, reader


def save(marker: Marker, reader: MsgDecoder, folder: Path) -> None:
    """The three checkpoints and hparams.yaml."""
    folder.mkdir(exist_ok=True)
    enc_c, dec_c = marker.state_dicts()
    for name, state in {"enc_c": enc_c, "dec_c": dec_c, "dec_m_0": reader.state_dict()}.items():
        torch.save(state, folder / f"{name}.ckpt")
    hparams = {**golden.HPARAMS, "message_sdr": USED_SDR, "name": "trained small SilentCipher"}
    (folder / "hparams.yaml").write_text(yaml.safe_dump(hparams, sort_keys=False), encoding="utf-8")


def attacks(rng: np.random.Generator) -> dict:
    """What happens to marked audio on its way, at 24 kHz."""
    return {
        "int16": lambda pcm: pcm,
        "noise 40 dB": lambda pcm: pcm + rng.normal(0, pcm.std() * 0.01, len(pcm)).astype(np.float32),
        "noise 30 dB": lambda pcm: pcm + rng.normal(0, pcm.std() * 0.0316, len(pcm)).astype(np.float32),
        "quarter level": lambda pcm: pcm / 4,
        "first 0.5 ms lost": lambda pcm: pcm[12:],
        "first 11 hops lost": lambda pcm: pcm[12_261:],  # 12,260.03 samples of 24 kHz
    }


def share(values: list) -> str:
    """The mean over all clips, then of each kind."""
    kinds = {}
    for index, value in enumerate(values):
        kinds.setdefault(KINDS[index % len(KINDS)], []).append(value)
    each = ", ".join(f"{kind} {np.mean(those):.2f}" for kind, those in kinds.items())
    return f"{np.mean(values):.3f} ({each})"


def rounded(pcm: np.ndarray) -> np.ndarray:
    """As 16-bit audio."""
    return (np.round(pcm * 32_768).clip(-32_768, 32_767) / 32_768).astype(np.float32)


def evaluate(folder: Path, count: int, sdr: float) -> None:
    """The reference package marks and reads held-out clips of 3 s: share of symbols right and of exact payloads."""
    golden.replace_in_package(SmallEncoder, SmallCarrierDecoder, SmallMsgDecoder)
    clips = [pcm.numpy() for pcm in pool("held out", count, 3.0)]
    for mode in golden.MODES:
        rng = rng_of("evaluate")
        right, exact, sdrs, unmarked = {}, {}, [], 0
        for pcm in clips:
            payload = rng.integers(0, 256, 5).tolist()
            tile = golden.symbols_of(payload)
            model = golden.load(folder.parent, mode, folder.name)
            with golden.quiet():
                inner = golden.TorchaudioResampler.resample(pcm, RATE, INNER)
                at_inner, _ = model.encode_wav(inner, INNER, payload, message_sdr=sdr, calc_sdr=False)
                marked, _ = model.encode_wav(pcm, RATE, payload, message_sdr=sdr, calc_sdr=False)
            sdrs.append(10 * np.log10((inner**2).mean() / ((inner - at_inner) ** 2).mean()))
            unmarked += golden.decode(model, pcm, RATE)[0]["status"]
            for name, attack in attacks(rng).items():
                heard = rounded(attack(marked[: len(pcm)]))
                made, _ = golden.decode(golden.load(folder.parent, mode, folder.name), heard, RATE)
                shift = 11 if "hops" in name else 0
                used = len(made["symbols"]) // TILE * TILE
                wanted = np.resize(tile, used + shift)[shift:]
                right.setdefault(name, []).append(np.mean(np.array(made["symbols"][:used]) == wanted))
                exact.setdefault(name, []).append(made["payload"] == payload)
        print(f"{mode}: {sdr:g} dB, really {np.mean(sdrs):.1f}; unmarked with status true: {unmarked}/{len(clips)}")
        for name in right:
            print(f"  {name}: symbols {share(right[name])}, payload exact {share(exact[name])}")


def expect(folder: Path) -> None:
    """expected.json: what the reference package reads from the golden clip before and after it marked it."""
    golden.replace_in_package(SmallEncoder, SmallCarrierDecoder, SmallMsgDecoder)
    source = load_file(HERE / "golden.safetensors")["clip"]
    pcm = golden.cut(source, 0, len(source))
    described = {}
    for mode in golden.MODES:
        model = golden.load(folder.parent, mode, folder.name)
        described[mode] = {"unmarked": golden.decode(model, pcm, RATE)[0]}
        for sdr in (USED_SDR, 36):
            model = golden.load(folder.parent, mode, folder.name)
            with golden.quiet():
                marked, _ = model.encode_wav(pcm, RATE, golden.CSM_PAYLOAD, message_sdr=sdr, calc_sdr=False)
            model = golden.load(folder.parent, mode, folder.name)
            described[mode][str(sdr)] = golden.decode(model, rounded(marked[: len(pcm)]), RATE)[0]
    (folder / "expected.json").write_text(golden.as_json(described), encoding="utf-8")


def main() -> None:
    """Trains or evaluates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--folder", type=Path, default=HERE / "small")
    parser.add_argument("--evaluate", action="store_true", help="train nothing, measure what is in the folder")
    parser.add_argument("--expect", action="store_true", help="train nothing, write expected.json anew")
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--sdr", type=float, default=USED_SDR)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.evaluate:
        evaluate(arguments.folder, arguments.clips, arguments.sdr)
        return
    if not arguments.expect:
        save(*train(arguments.steps), arguments.folder)
    expect(arguments.folder)


if __name__ == "__main__":
    main()
