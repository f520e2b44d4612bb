"""Makes the golden values that the Rust CSM must reproduce, with PyTorch and transformers on small random weights.

    python -m venv /tmp/golden && . /tmp/golden/bin/activate
    pip install -r tests/golden/requirements.txt
    python tests/golden/make_golden.py            # writes the files beside this script
    python tests/golden/make_golden.py --check    # makes them in memory and compares with the committed ones

CPU, f32, deterministic, a few seconds. The Rust tests read the committed files and need no Python.
"""

import argparse
import io
import json
import sys
import wave
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file

import compare
import layouts
import reference
import small_csm
from reference import Segment

HERE = Path(__file__).parent
TOLERANCE = 1e-5  # of a tensor's largest magnitude; integers must be equal

CONTEXT_SAMPLES = 21_777  # 11.3 frames: padded to 12
LONG_SAMPLES = 56_333  # 29.3 frames: padded to 30, past Mimi's window of 25
DECODE_FRAMES = 30  # past Mimi's window

# Texts whose ids the tokenizer side must reproduce: case, digits, spaces, Unicode, and special tokens as plain text.
PROMPTS = [
    (0, "Hello from Sesame!"),
    (3, " It's 12345, THE other 7."),
    (12, "Zwölf Boxkämpfer: 東京 — naïve 🙂"),
    (0, "two  spaces\n\nand lines\t"),
    (1, "ignore this<|end_of_text|><|begin_of_text|>[5]and <|audio_eos|> that"),
]


def wav_bytes(pcm: np.ndarray) -> bytes:
    """A 24 kHz mono 16-bit WAV."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setparams((1, 2, small_csm.SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes(pcm.astype("<i2").tobytes())
    return buffer.getvalue()


def checkpoint_files(model, tokenizer) -> dict:
    """The same model as a transformers folder and as an original folder."""
    config, tensors = layouts.saved_by_transformers(model)
    original, mimi = layouts.to_original(tensors, model.config)
    old = layouts.config_4x(config)
    layouts.check_configs_agree(config, old)
    layouts.check_rope_layouts(model, original)
    tokenizer_json = json.loads(tokenizer.to_str())

    def arrays(named: layouts.Tensors) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in named.items()}

    return {
        "hf/config.json": config,
        "hf/config.4x.json": old,
        "hf/tokenizer.json": tokenizer_json,
        "hf/model.safetensors": arrays(tensors),
        "original/config.json": layouts.original_config(config),
        "original/tokenizer.json": tokenizer_json,
        "original/model.safetensors": arrays(original),
        "original/mimi/config.json": old["codec_config"] | {"architectures": ["MimiModel"]},
        "original/mimi/model.safetensors": arrays(mimi),
    }


def segment_json(tokenizer, segment: Segment) -> dict:
    """One turn as the tests rebuild it."""
    ids = reference.text_ids(tokenizer, segment.speaker, segment.text)
    described = {"speaker": segment.speaker, "text": segment.text, "ids": ids}
    return described if segment.pcm is None else described | {"audio": "context.wav"}


def generation_case(model, tokenizer, segments: list[Segment]) -> tuple[dict, dict]:
    """Greedy generation of one prompt: (description, tensors)."""
    rows = reference.prompt_rows(model, tokenizer, segments)
    made = reference.greedy(model, rows)
    reference.check_against_generate(model, rows, segments, made["codes"])
    logits = made["logits"]
    top = logits[..., : small_csm.CODEBOOK_SIZE].topk(2).values
    described = {
        "segments": [segment_json(tokenizer, segment) for segment in segments],
        "positions": len(rows),
        "frames": len(logits),
        "logit_frames": reference.LOGIT_FRAMES,
        "smallest_gap": round((top[..., 0] - top[..., 1]).min().item(), 5),
        "choices_changed_by_mask": int((logits.argmax(-1) >= small_csm.CODEBOOK_SIZE).sum()),
    }
    tensors = {
        "prompt": rows.numpy().astype(np.int64),
        "hidden": made["hidden"].numpy(),
        "logits": logits[: reference.LOGIT_FRAMES].numpy(),
        "codes": made["codes"].numpy().astype(np.uint32),
    }
    return described, tensors


def mimi_case(model, clips: dict[str, np.ndarray]) -> tuple[dict, dict]:
    """Mimi alone: codes of both clips, waveform of random codes."""
    gap = min(reference.smallest_distance_gap(model, clip) for clip in clips.values())
    assert gap > reference.MIN_DISTANCE_GAP, f"near tie: gap {gap:.2e}; choose another MIMI_SEED"
    rng = small_csm.named_rng(small_csm.MIMI_SEED, "decode")
    codes = rng.integers(0, small_csm.CODEBOOK_SIZE, (DECODE_FRAMES, small_csm.CODEBOOKS))
    tensors = {
        "context.pcm": reference.to_float(clips["context"])[0, 0].numpy(),
        "decode.codes": codes.astype(np.uint32),
        "decode.audio": reference.decode(model, torch.from_numpy(codes)).numpy(),
    }
    for name, clip in clips.items():
        tensors[f"{name}.codes"] = reference.encode(model, clip).numpy().astype(np.uint32)
    window = model.config.codec_config.sliding_window
    return {"smallest_distance_gap": round(gap, 6), "window_positions": window, "window_frames": window // 2}, tensors


def golden_files(model, tokenizer) -> dict:
    """golden.json, golden.safetensors and the WAV inputs."""
    clips = {
        "context": small_csm.make_clip("context", CONTEXT_SAMPLES),
        "long": small_csm.make_clip("long", LONG_SAMPLES),
    }
    context = Segment(1, "How are you, friend?", clips["context"])
    cases = {
        "text": generation_case(model, tokenizer, [Segment(0, "Hello from Sesame!")]),
        "context": generation_case(model, tokenizer, [context, Segment(0, "I'm fine in 2026, and you?")]),
        "mimi": mimi_case(model, clips),
    }
    described = {
        "made_with": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
        "seeds": {"csm": small_csm.CSM_SEED, "mimi": small_csm.MIMI_SEED},
        "prompts": [segment_json(tokenizer, Segment(speaker, text)) for speaker, text in PROMPTS],
    }
    tensors = {}
    for case, (description, values) in cases.items():
        described[case] = description
        tensors |= {f"{case}.{name}": value for name, value in values.items()}
    audio = reference.decode(model, torch.from_numpy(tensors["text.codes"].astype(np.int64)))
    tensors["text.audio"] = audio.numpy()
    wavs = {f"{name}.wav": wav_bytes(clip) for name, clip in clips.items()}
    return {"golden.json": described, "golden.safetensors": tensors, **wavs}


def write(path: Path, content) -> None:
    """Writes one file, by its ending: tensors, JSON or bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        contiguous = {name: np.ascontiguousarray(array) for name, array in sorted(content.items())}
        save_file(contiguous, path, metadata={"format": "pt"})
    elif path.suffix == ".json":
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        path.write_bytes(content)
    path.chmod(0o644)


def differences(path: Path, content) -> list[str]:
    """How a committed file differs from what was made now; empty when it does not."""
    if not path.exists():
        return ["missing"]
    if path.suffix == ".json":
        return [] if json.loads(path.read_text(encoding="utf-8")) == content else ["content differs"]
    if path.suffix != ".safetensors":
        return [] if path.read_bytes() == content else ["bytes differ"]
    return compare.tensor_differences(load_file(path), content, TOLERANCE, least=1.0)


def main() -> int:
    """Writes or checks every file; the exit status is 1 when the check finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    check = parser.parse_args().check
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)  # tiny matrices: threads only add noise to the sums
    model = small_csm.make_model(small_csm.make_config())
    tokenizer = small_csm.make_tokenizer()
    files = checkpoint_files(model, tokenizer) | golden_files(model, tokenizer)
    return compare.write_or_check(files.items(), HERE, check, write, differences)


if __name__ == "__main__":
    sys.exit(main())
