"""Times CSM and Mimi as PyPI's torch and transformers run them, for `csm bench engine` to set beside ours.

    python transformers_peer.py steps --model DIR --dtype bf16 --rows 5 --frames 10 --threads 2
    python transformers_peer.py codec --model DIR --rows 5 --frames-per-call 1 --frames 20 --threads 2

DIR is a checkpoint folder in transformers' layout, the same that ours reads. One process measures one thing and prints
one JSON object as the last line of its output. Needs the packages of tests/golden/requirements.txt.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # everything comes from DIR

import torch
import transformers
from transformers import CsmConfig, CsmForConditionalGeneration

DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}
TEMPERATURE, TOP_K = 0.9, 50  # CSM's own, and what ours is measured with
CODEBOOKS = 32


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    with torch.inference_mode():
        measured = steps(args) if args.what == "steps" else codec(args)
    versions = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
    print(json.dumps(measured | {"implementation": versions, "rows": args.rows, "peak_rss_bytes": peak_rss()}))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["steps", "codec"])
    parser.add_argument("--model", type=Path, required=True, metavar="DIR")
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="of the CSM weights; the codec is always f32")
    parser.add_argument("--rows", type=positive, default=1, help="utterances in one batch")
    parser.add_argument("--frames", type=positive, default=10, help="frames that are timed")
    parser.add_argument("--warm-up", type=positive, default=2, metavar="N", help="frames before those, not timed")
    parser.add_argument("--prompt", type=positive, default=32, metavar="N", help="text positions before the first frame")
    parser.add_argument("--frames-per-call", type=positive, default=1, help="codec: frames that one call decodes")
    parser.add_argument("--threads", type=positive, default=os.cpu_count())
    parser.add_argument("--device", default="cpu", help="of the CSM, such as cuda:0; the codec is always the CPU's")
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def load(folder: Path, dtype: torch.dtype) -> tuple[CsmForConditionalGeneration, str | None]:
    """The model of `folder`; where transformers cannot load it, random weights of the same dimensions, and why."""
    try:
        return CsmForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval(), None
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        print(f"cannot load {folder}: {error}", file=sys.stderr)
        config = CsmConfig.from_json_file(folder / "config.json")
        model = CsmForConditionalGeneration._from_config(config, dtype=dtype).eval()
        return model, f"random weights of the same dimensions, since the folder did not load ({type(error).__name__})"


def steps(args: argparse.Namespace) -> dict:
    """Frames of `generate()`, timed from one call of the backbone to the next: sampling and depth decoder included."""
    model, note = load(args.model, DTYPES[args.dtype])
    model = model.to(args.device)
    # No utterance may end early: no code equals this, so every row makes every frame.
    model.config.codebook_eos_token_id = -1
    clock = Clock(model.backbone_model)
    wanted = args.warm_up + args.frames + 1  # the last frame has no call after it that would end its time
    vocabulary = model.config.text_vocab_size
    ids = torch.stack([torch.randint(vocabulary, (args.prompt,)) for _ in range(args.rows)]).to(args.device)
    made = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=wanted,
        do_sample=True,
        temperature=TEMPERATURE,
        top_k=TOP_K,
        depth_decoder_do_sample=True,
        depth_decoder_temperature=TEMPERATURE,
        depth_decoder_top_k=TOP_K,
    )
    if tuple(made.shape) != (args.rows, wanted, CODEBOOKS):
        sys.exit(f"asked for {wanted} frames in {args.rows} rows, got {tuple(made.shape)}")
    # Frame i begins with call i of the backbone; call 0 takes the whole prompt.
    timed = slice(args.warm_up, args.warm_up + args.frames)
    whole, backbone = (times[timed] for times in clock.milliseconds())
    mean_backbone = sum(backbone) / len(backbone)
    mean = sum(whole) / len(whole)
    return {
        "weights": args.dtype,
        "frames": len(whole),
        "prompt_positions": args.prompt,
        "mean_ms": mean,
        "median_ms": sorted(whole)[len(whole) // 2],
        "stages": {"backbone": mean_backbone, "depth": mean - mean_backbone},
        "note": note,
    }


class Clock:
    """Notes when calls of a module begin and end."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.begun: list[float] = []
        self.ended: list[float] = []
        module.register_forward_pre_hook(lambda *_: self.begun.append(self.now()))
        module.register_forward_hook(lambda *_: self.ended.append(self.now()))

    @staticmethod
    def now() -> float:
        """Once the device is done with what it was asked for."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def milliseconds(self) -> tuple[list[float], list[float]]:
        """From each call to the next, and how long each call took."""
        whole = [1e3 * (later - earlier) for earlier, later in zip(self.begun, self.begun[1:])]
        return whole, [1e3 * (end - begin) for begin, end in zip(self.begun, self.ended)]


def codec(args: argparse.Namespace) -> dict:
    """`MimiModel.decode` of random codes. It keeps the transformer's keys between calls and no convolution's state, so
    calls of few frames are not seamless: this is the time, not a way to stream."""
    model, note = load(args.model, torch.bfloat16)
    mimi = model.codec_model.float()
    del model
    codes = mimi.config.codebook_size
    calls = -(-args.frames // args.frames_per_call)
    past, times = None, []
    for call in range(args.warm_up + calls):
        block = torch.randint(codes, (args.rows, CODEBOOKS, args.frames_per_call))
        begun = time.perf_counter()
        decoded = mimi.decode(block, decoder_past_key_values=past, use_cache=True)
        if call >= args.warm_up:
            times.append(1e3 * (time.perf_counter() - begun))
        past = decoded.decoder_past_key_values
    frames = calls * args.frames_per_call
    return {
        "frames": frames,
        "frames_per_call": args.frames_per_call,
        "ms_per_frame_and_row": sum(times) / (frames * args.rows),
        "note": note,
    }


def peak_rss() -> int:
    """Bytes, as Linux counts them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
