"""Makes the golden values that the Rust SilentCipher must reproduce, with the reference package on random networks.

    python3.11 -m venv /tmp/silentcipher && . /tmp/silentcipher/bin/activate
    pip install -r tests/golden/silentcipher/requirements.txt && pip install --no-deps silentcipher==1.0.5
    python tests/golden/make_silentcipher.py            # writes the files under silentcipher/
    python tests/golden/make_silentcipher.py --check    # makes them again and compares with the committed ones

CPU, f32, deterministic. The Rust tests read the committed files and need no Python. The package does the work: its
layers, its STFT, its `encode_wav` and `decode_wav`, from checkpoints read by its own loader. Three things are ours: the
widths of the `Narrow*` networks, `TorchaudioResampler` in place of librosa and the cut to the input's length (both as
Sesame's fork has them), and the switch between BatchNorm's modes.
"""

import argparse
import contextlib
import io
import json
import re
import shutil
import sys
import tempfile
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torchaudio
import yaml
from safetensors.numpy import load_file, save_file
from silentcipher import server
from silentcipher.model import CarrierDecoder, Encoder, Layer, MsgDecoder

import compare

HERE = Path(__file__).parent / "silentcipher"
TOLERANCE = 1e-5  # of a tensor's largest magnitude; integers and JSON must be equal

SAMPLE_RATE = 44_100
CLIP_RATE = 24_000
CLIP_SAMPLES = 72_000
CSM_PAYLOAD = [212, 211, 146, 56, 201]
OTHER_PAYLOAD = [0, 255, 27, 228, 129]
MODES = ("batch", "running")

# dec_m's seed was chosen by search, with the slices below, for one network that gives every kind of answer.
SEEDS = {"clip": 11, "enc_c": 21, "dec_c": 31, "dec_m_0": 53, "wide": 51}

HPARAMS = {
    "model_type": "44.1k",
    "SR": SAMPLE_RATE,
    "N_FFT": 4096,
    "HOP_LENGTH": 2048,
    "message_band_size": 1024,
    "message_dim": 5,
    "message_len": 21,
    "message_sdr": 47,
    "n_messages": 1,
    "enc_n_layers": 3,
    "dec_c_n_layers": 4,
    "ensure_negative_message": True,
    "ensure_constrained_message": False,
    "no_normalization": False,
    "frame_level_normalization": False,
    "utterance_level_normalization": True,
    # read by nobody, like the training keys of the real file
    "batch_size": 4,
    "lr": 0.0001,
    "load_ckpt": "somewhere/else",
    "name": "random narrow SilentCipher",
}

COLUMNS = [0, 13, 20, 26]
ROWS = sorted([*range(0, 2049, 8), 1, 1023, 1025, 2047])
STRIDE = 7
RESAMPLE = {(24_000, 44_100): [1, 2, 13, 4000], (44_100, 24_000): [1, 2, 13, 4000],
            (16_000, 44_100): [500], (48_000, 44_100): [500], (44_100, 48_000): [500]}  # fmt: skip
RESAMPLE_START = 1000

# name: (start of each channel, length, rate, payload of each channel, sdr, kept stride)
ENCODE = {
    "main": ([0], 28_800, 24_000, [CSM_PAYLOAD], 36, 1),
    "main_47": ([0], 28_800, 24_000, [CSM_PAYLOAD], 47, STRIDE),
    "one_24000": ([37_976], 1, 24_000, [CSM_PAYLOAD], 36, 1),
    "one_44100": ([37_976], 1, 44_100, [CSM_PAYLOAD], 36, 1),
    "block": ([8000], 8192, 44_100, [CSM_PAYLOAD], 36, STRIDE),
    "tile": ([30_000], 36_864, 44_100, [OTHER_PAYLOAD], 36, STRIDE),
    "half": ([10_000], 12_000, 24_000, [CSM_PAYLOAD], 36, STRIDE),
    "stereo": ([20_000, 40_000], 12_000, 24_000, [CSM_PAYLOAD, OTHER_PAYLOAD], 36, STRIDE),
    "zero": (None, 4800, 24_000, [CSM_PAYLOAD], 36, 1),
}
DECODE_LENGTH = 60_000
DECODE = {
    "batch": {"found": 5400, "none": 1300, "two": 2200, "negative": 5900},
    "running": {"found": 8000, "none": 3300, "two": 2800, "negative": 500},
}
SHIFT = 700  # samples at 24 kHz of the case `shifted`
SEARCH = {"batch": 8300, "running": 5300}


def named_rng(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one tensor: independent of the order in which tensors are made."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def make_clip() -> np.ndarray:
    """Three seconds like speech at 24 kHz, i16: voiced stretches, hisses, near-silent gaps."""
    rng = named_rng(SEEDS["clip"], "clip")
    pcm = rng.normal(0, 1.5, CLIP_SAMPLES)
    at = 0
    while at < CLIP_SAMPLES:
        length = min(int(rng.integers(1500, 5000)), CLIP_SAMPLES - at)
        seconds = np.arange(length) / CLIP_RATE
        if rng.random() < 0.65:
            pitch = rng.uniform(90, 220) * (1 + rng.uniform(-0.2, 0.2) * seconds / 0.2)
            phase = 2 * np.pi * np.cumsum(pitch) / CLIP_RATE
            formants = rng.uniform([300, 900, 2200, 3300], [800, 2100, 3200, 4500])
            sound = np.zeros(length)
            for harmonic in range(1, 60):
                hertz = harmonic * pitch.mean()
                level = sum(np.exp(-(((hertz - f) / (0.08 * f + 60)) ** 2)) for f in formants) + 0.02
                sound += level / harmonic**0.5 * np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi))
        else:
            sound = np.diff(rng.normal(size=length + 1)) * 0.4
        pcm[at : at + length] += sound * np.sin(np.pi * seconds / seconds[-1]) * rng.uniform(800, 5000)
        at += length + int(rng.integers(0, 2000))
    return np.clip(np.round(pcm), -32_768, 32_767).astype(np.int16)


def narrow(widths: Sequence[int], kernels: Sequence[int]) -> list[Layer]:
    """The package's gated layers at other widths."""
    pairs = zip(widths[:-1], widths[1:], kernels, strict=True)
    return [Layer(dim_in, dim_out, kernel, 1, kernel // 2) for dim_in, dim_out, kernel in pairs]


class NarrowEncoder(Encoder):
    """enc_c with 5 instead of 32 outputs."""

    widths = (1, 4, 6, 5)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.main = torch.nn.Sequential(*narrow(self.widths, [3, 3, 3]))


class NarrowCarrierDecoder(CarrierDecoder):
    """dec_c of NarrowEncoder; the 32 repeats of carrier and message are fixed in `encode_wav`."""

    widths = (5 + 32 + 32, 8, 6, 7, 1)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.main = torch.nn.Sequential(*narrow(self.widths, [3, 3, 3, 1]))


class NarrowMsgDecoder(MsgDecoder):
    """dec_m with 6 instead of 128 channels."""

    width = 6

    def __init__(self, **kwargs):
        super().__init__(**kwargs, channel_dim=self.width)


class TorchaudioResampler:
    """Takes librosa's place in the package: the resampler of Sesame's fork."""

    @staticmethod
    def resample(pcm: np.ndarray, orig_sr: int, target_sr: int) -> np.ndarray:
        """As `librosa.resample`."""
        tensor = torch.from_numpy(np.ascontiguousarray(pcm))[None]
        return torchaudio.functional.resample(tensor, orig_sr, target_sr)[0].numpy()


def replace_in_package(encoder: type, carrier_decoder: type, msg_decoder: type) -> None:
    """`get_model` builds these from now on, and resamples as Sesame's fork does."""
    server.Encoder, server.CarrierDecoder, server.MsgDecoder = encoder, carrier_decoder, msg_decoder
    server.librosa = TorchaudioResampler


def randomise(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Fills every weight, bias, BatchNorm affine and running value."""
    for name, tensor in module.state_dict().items():
        rng = named_rng(seed, name)
        if name.endswith("num_batches_tracked"):
            tensor.fill_(74_000)
            continue
        if name.endswith("running_var"):
            values = rng.uniform(0.2, 2.0, tensor.shape)
        elif name.endswith("bn.weight"):
            values = rng.uniform(0.5, 1.5, tensor.shape) * rng.choice([-1, 1], tensor.shape)
        elif tensor.dim() == 1:
            values = rng.normal(0, 0.3, tensor.shape)
        else:
            values = rng.normal(0, 1.5 / np.sqrt(tensor[0].numel()), tensor.shape)
        tensor.copy_(torch.from_numpy(values.astype(np.float32)))
    return module


def write_checkpoints(folder: Path) -> None:
    """`narrow/` and `wide/`."""
    config = argparse.Namespace(**HPARAMS)
    common = {"message_dim": config.message_dim, "message_band_size": config.message_band_size}
    encoder = {**common, "n_layers": config.enc_n_layers, "n_fft": config.N_FFT}
    networks = {
        "enc_c": NarrowEncoder(**encoder),
        "dec_c": NarrowCarrierDecoder(config=config, conv_dim=96),
        "dec_m_0": NarrowMsgDecoder(**common),
    }
    (folder / "narrow").mkdir()
    for name, network in networks.items():
        torch.save(randomise(network, SEEDS[name]).state_dict(), folder / "narrow" / f"{name}.ckpt")
    (folder / "narrow" / "hparams.yaml").write_text(yaml.safe_dump(HPARAMS, sort_keys=False), encoding="utf-8")
    (folder / "wide").mkdir()
    wide = randomise(Encoder(**encoder), SEEDS["wide"])
    torch.save(wide.state_dict(), folder / "wide" / "enc_c.ckpt")
    torch.save(torch.nn.DataParallel(wide).state_dict(), folder / "wide" / "enc_c.module.ckpt")


def load(folder: Path, mode: str, name: str = "narrow") -> server.Model:
    """The package's model of a folder's checkpoints, in one mode of BatchNorm, fresh from its files."""
    model = server.get_model(ckpt_path=str(folder / name), config_path=str(folder / name / "hparams.yaml"))
    for network in [model.enc_c, model.dec_c, *model.dec_m]:
        network.train(mode == "batch")
    return model


@contextlib.contextmanager
def quiet():
    """Silences the package's prints and numpy's warnings about the zero clip."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def record(target, method: str, calls: dict) -> None:
    """Keeps arguments and answer of the latest call of `target.method`."""
    original = getattr(target, method)

    def recorded(*args):
        answer = original(*args)
        calls[method] = (args, answer)
        return answer

    setattr(target, method, recorded)


def cut(clip: np.ndarray, start: int, length: int) -> np.ndarray:
    """A slice of the clip as f32."""
    return clip[start : start + length].astype(np.float32) / np.float32(32_768)


def encode_input(clip: np.ndarray, case: str) -> np.ndarray:
    """The audio of one case: (samples,) or (samples, channels)."""
    starts, length, *_ = ENCODE[case]
    if starts is None:
        return np.zeros(length, np.float32)
    channels = [cut(clip, start, length) for start in starts]
    return channels[0] if len(channels) == 1 else np.stack(channels, axis=1)


def encode(model: server.Model, pcm: np.ndarray, case: str) -> np.ndarray:
    """`encode_wav`, cut to the input's length as Sesame's fork does."""
    _, length, rate, payload, sdr, _ = ENCODE[case]
    with quiet():
        marked, _ = model.encode_wav(pcm, rate, payload, message_sdr=sdr, calc_sdr=False)
    return marked[:length]


def encode_stages(model: server.Model, clip: np.ndarray) -> tuple[dict, dict]:
    """What passes between the parts during `encode_wav` of the case `main`: (common to both modes, of this mode)."""
    calls = {}
    for target, method in [(model.stft, "transform"), (model.stft, "inverse"), (model.enc_c, "transform_message"),
                           (model.enc_c, "forward"), (model.dec_c, "forward")]:  # fmt: skip
        store = calls.setdefault("dec_c", {}) if target is model.dec_c else calls
        record(target, method, store)
    encode(model, encode_input(clip, "main"), "main")
    for method in ("transform", "inverse"):
        delattr(model.stft, method)  # a singleton: the next model has the same one
    magnitude, phase = (part[0] for part in calls["transform"][1])
    assert magnitude.shape == (2049, 27)
    message = calls["transform_message"][1][0, 0]
    common = {
        "magnitude": magnitude[:, COLUMNS],
        "phasor.re": torch.cos(phase)[:, COLUMNS],
        "phasor.im": torch.sin(phase)[:, COLUMNS],
        "message": message[:, COLUMNS],
    }
    (merged, _), waveform = calls["inverse"]
    own = {
        "enc_c": calls["forward"][1][0][:, ROWS][:, :, COLUMNS],
        "info": calls["dec_c"]["forward"][1][0, 0][:, COLUMNS],
        "merged": merged[0][:, COLUMNS],
        "istft": waveform[0, 0, ::STRIDE],
    }
    return tuple({name: value.detach().numpy() for name, value in part.items()} for part in (common, own))


def encode_values(folder: Path, clip: np.ndarray) -> tuple[dict, dict]:
    """Every case of `encode_wav` in both modes: (description, tensors)."""
    described, tensors = {}, {}
    for case, (starts, length, rate, payload, sdr, stride) in ENCODE.items():
        pcm = encode_input(clip, case)
        channels = pcm.reshape(length, -1).T
        inner = [TorchaudioResampler.resample(c, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else c for c in channels]
        described[case] = {
            "start": starts,
            "length": length,
            "rate": rate,
            "payload": payload,
            "sdr": sdr,
            "stride": stride,
            "unmarked": starts is None,
            "power": [float(np.mean(c**2)) for c in inner],
            "frames": 1 + (len(inner[0]) // 4096 + 1) * 2,
        }
        for mode in MODES:
            marked = encode(load(folder, mode), pcm, case)
            if starts is None:
                assert np.array_equal(marked, pcm)
                continue
            assert np.isfinite(marked).all() and marked.shape == pcm.shape
            tensors[f"{case}.{mode}.out"] = marked[::stride].T
    for mode in MODES:
        common, own = encode_stages(load(folder, mode), clip)
        tensors |= {f"main.{name}": value for name, value in common.items()}
        tensors |= {f"main.{mode}.{name}": value for name, value in own.items()}
    return described, tensors


def answer(result: dict) -> dict:
    """The package's answer for one channel."""
    if not result["status"]:
        return {"status": False, "payload": None, "confidence": None}
    return {"status": True, "payload": result["messages"][0], "confidence": result["confidences"][0]}


def decode(model: server.Model, pcm: np.ndarray, rate: int, search: bool = False) -> tuple[dict, np.ndarray]:
    """`decode_wav`: (description, logits of its last pass)."""
    calls = {}
    record(model.dec_m[0], "forward", calls)
    with quiet():
        result = model.decode_wav(pcm, rate, search)
    del model.dec_m[0].forward
    logits = calls["forward"][1][0, 0]
    top = logits.topk(2, dim=0).values
    gap = (top[0] - top[1]).min().item()
    return {"symbols": logits.argmax(0).tolist(), "smallest_gap": gap, **answer(result)}, logits.numpy()


def kind(made: dict) -> str:
    """What the vote came to: by the number of terminators, and a payload that is none."""
    tiles = np.array(made["symbols"][: len(made["symbols"]) // 21 * 21]).reshape(-1, 21)
    zeros = sum(np.bincount(column).argmax() == 0 for column in tiles.T)
    if made["status"] and min(made["payload"]) < 0:
        return "negative"
    return {0: "none", 1: "found", 2: "two"}.get(int(zeros), "more")


def decode_values(folder: Path, clip: np.ndarray) -> tuple[dict, dict]:
    """Every case of `decode_wav` in both modes: (description, tensors)."""
    described, tensors = {}, {}
    for mode in MODES:
        starts = DECODE[mode] | {"shifted": DECODE[mode]["found"] + SHIFT, "zero": None}
        for case, start in starts.items():
            zero = np.zeros(DECODE_LENGTH, np.float32)
            pcm = zero if start is None else cut(clip, start, DECODE_LENGTH)
            made, logits = decode(load(folder, mode), pcm, CLIP_RATE)
            placed = {"start": start, "length": DECODE_LENGTH, "rate": CLIP_RATE}
            if start is None:  # 0/0 on the way
                assert not made["status"] and np.isnan(logits).all()
                described.setdefault(case, {})[mode] = placed | answer({"status": False})
                continue
            assert case == "shifted" or kind(made) == case, f"{mode} {case}: {made}"
            described.setdefault(case, {})[mode] = placed | made
            tensors[f"{case}.{mode}.logits"] = logits
    return described, tensors


def search_values(folder: Path, clip: np.ndarray) -> dict:
    """`decode_wav` with the phase search."""
    described = {}
    for mode, start in SEARCH.items():
        model = load(folder, mode)
        calls = {}
        record(model, "get_best_ps", calls)
        made, _ = decode(model, cut(clip, start, DECODE_LENGTH), CLIP_RATE, search=True)
        placed = {"start": start, "length": DECODE_LENGTH, "rate": CLIP_RATE}
        described[mode] = placed | {"shift": calls["get_best_ps"][1]} | made
    return described


def symbols_of(payload: list[int]) -> list[int]:
    """The 21 symbols of a payload, terminator last."""
    return [(byte >> shift & 3) + 1 for byte in payload for shift in (6, 4, 2, 0)] + [0]


def vote_cases() -> dict[str, list[int]]:
    """Symbol sequences of odd length, as the STFT gives them."""
    csm, other = symbols_of(CSM_PAYLOAD), symbols_of(OTHER_PAYLOAD)
    rng = named_rng(SEEDS["dec_m_0"], "votes")
    noisy = np.array(csm * 5)
    wrong = rng.random(len(noisy)) < 0.3
    noisy[wrong] = rng.integers(0, 5, wrong.sum())
    tie = [min(pair) for pair in zip(csm, other, strict=True)]
    assert tie.count(0) == 1 and tie not in (csm, other)
    at_byte, in_byte = list(csm), list(csm)
    at_byte[7], in_byte[9] = 0, 0
    return {
        "one_tile": csm,
        "short": csm[:19],
        "rotated": (csm * 4)[7 : 7 + 65],
        "tail_ignored": csm * 2 + [4],
        "tie_smallest_wins": csm + other + [1],
        "noisy": noisy.tolist(),
        "lowest": symbols_of([0] * 5),
        "highest": symbols_of([255] * 5),
        "no_terminator": [max(1, symbol) for symbol in csm],
        "two_terminators_mid_byte": in_byte,
        "two_terminators_byte_start": at_byte,
        "all_terminators": [0] * 21,
    }


def vote_values(folder: Path) -> dict:
    """What `decode_wav` makes of given symbols: its network is replaced by one that answers them."""
    described = {}
    for case, symbols in vote_cases().items():
        model = load(folder, "running")
        logits = torch.nn.functional.one_hot(torch.tensor(symbols), 5).T[None, None].float()

        def fixed(carrier: torch.Tensor, logits: torch.Tensor = logits) -> torch.Tensor:
            assert carrier.shape[3] == logits.shape[3]
            return logits

        model.dec_m = [fixed]
        with quiet():
            result = model.decode_wav(np.ones((len(symbols) - 1) * 2048 - 1, np.float32), SAMPLE_RATE, False)
        described[case] = {"symbols": symbols, **answer(result)}
    return described


def wide_values(folder: Path) -> dict:
    """The full-width enc_c, from its file with `module.` names."""
    tensors = {"input": named_rng(SEEDS["wide"], "input").normal(0, 2, (24, 7)).astype(np.float32)}
    for mode in MODES:
        network = Encoder(message_dim=5, message_band_size=1024, n_fft=4096)
        saved = torch.load(folder / "wide" / "enc_c.module.ckpt")
        network.load_state_dict({name.removeprefix("module."): tensor for name, tensor in saved.items()})
        network.train(mode == "batch")
        with torch.no_grad():
            tensors[f"{mode}.enc_c"] = network(torch.from_numpy(tensors["input"])[None, None])[0].numpy()
            tensors["message"] = network.transform_message(torch.eye(5)[None, None])[0, 0, :1024].numpy()
    return tensors


def resample_values(clip: np.ndarray) -> dict:
    """torchaudio's resampler alone."""
    return {
        f"{source}.{target}.{length}": TorchaudioResampler.resample(cut(clip, RESAMPLE_START, length), source, target)
        for (source, target), lengths in RESAMPLE.items()
        for length in lengths
    }


def as_json(described: dict) -> str:
    """JSON with each list of numbers on one line."""
    text = json.dumps(described, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda numbers: re.sub(r"\s+", " ", numbers[0]), text) + "\n"


def make(folder: Path) -> None:
    """Writes every file into an empty folder."""
    clip = make_clip()
    write_checkpoints(folder)
    groups = {"resample": ({}, resample_values(clip)), "encode": encode_values(folder, clip)}
    groups |= {"decode": decode_values(folder, clip), "wide": ({}, wide_values(folder))}
    tensors = {"clip": clip, "sample.columns": np.array(COLUMNS), "sample.rows": np.array(ROWS)}
    for group, (_, values) in groups.items():
        tensors |= {f"{group}.{name}": np.ascontiguousarray(value) for name, value in values.items()}
    assert all(np.isfinite(value).all() for value in tensors.values())
    save_file(dict(sorted(tensors.items())), folder / "golden.safetensors", metadata={"format": "pt"})
    described = {
        "made_with": {module.__name__: module.__version__.split("+")[0] for module in (torch, torchaudio)}
        | {"silentcipher": "1.0.5"},
        "resample": {"start": RESAMPLE_START,
                     "cases": [[*pair, length] for pair, lengths in RESAMPLE.items() for length in lengths]},
        "encode": groups["encode"][0],
        "decode": groups["decode"][0],
        "search": search_values(folder, clip),
        "votes": vote_values(folder),
    }  # fmt: skip
    (folder / "golden.json").write_text(as_json(described), encoding="utf-8")


def tensors_of(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint or a safetensors file."""
    if path.suffix == ".ckpt":
        saved = torch.load(path)
        assert isinstance(saved, OrderedDict)
        return {name: tensor.numpy() for name, tensor in saved.items()}
    return load_file(path)


def differences(path: Path, made: Path) -> list[str]:
    """How a committed file differs from what was made now; empty when it does not."""
    if not path.exists():
        return ["missing"]
    if path.suffix not in (".ckpt", ".safetensors"):
        old, new = (yaml.safe_load(file.read_text(encoding="utf-8")) for file in (path, made))
        return [] if rounded(old) == rounded(new) else ["content differs"]
    return compare.tensor_differences(tensors_of(path), tensors_of(made), TOLERANCE, least=1e-3)


def rounded(value):
    """A document with its floats at four digits: they are margins and powers."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def write(path: Path, made: Path) -> None:
    """Puts a file that was made in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, path)


def main() -> int:
    """Writes or checks every file; the exit status is 1 when the check finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    replace_in_package(NarrowEncoder, NarrowCarrierDecoder, NarrowMsgDecoder)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder)
        made = sorted(path for path in folder.rglob("*") if path.is_file())
        files = [(str(path.relative_to(folder)), path) for path in made]
        return compare.write_or_check(files, HERE, check, write, differences)


if __name__ == "__main__":
    sys.exit(main())
