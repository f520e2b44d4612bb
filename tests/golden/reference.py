"""What the reference implementation answers: prompts, greedy frames, and Mimi's codes and waveforms.

The modules are transformers' own; only the loop over frames is ours, because `generate` hides the logits. Each case is
held against `generate` as well, so that the loop cannot differ from the reference unnoticed.
"""

from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import CsmForConditionalGeneration, DynamicCache
from transformers.models.mimi.modeling_mimi import MimiEuclideanCodebook

from small_csm import CODEBOOK_SIZE, CODEBOOKS, FRAME_SAMPLES, SPECIALS

FRAMES = 25
LOGIT_FRAMES = 6
TEXT_COLUMN = CODEBOOKS  # the 33rd column of a prompt row

# A choice or a nearest code closer than this to the runner-up could flip by float error alone.
MIN_LOGIT_GAP = 1e-2
MIN_DISTANCE_GAP = 5e-4


@dataclass
class Segment:
    """One turn of a prompt; the last has no audio and is the text to speak."""

    speaker: int
    text: str
    pcm: np.ndarray | None = None


def text_ids(tokenizer: Tokenizer, speaker: int, text: str) -> list[int]:
    """begin + "[speaker]text" + end. Special tokens spelled in the text stay plain text."""
    bos, eos = (tokenizer.token_to_id(name) for name in SPECIALS[:2])
    tokenizer.encode_special_tokens = True
    return [bos, *tokenizer.encode(f"[{speaker}]{text}", add_special_tokens=False).ids, eos]


def to_float(pcm: np.ndarray) -> torch.Tensor:
    """int16 samples as Mimi's input (1, 1, samples), zero-padded to whole frames as the original implementation does."""
    padded = np.pad(pcm, (0, -len(pcm) % FRAME_SAMPLES)).astype(np.float32) / 32768
    return torch.from_numpy(padded)[None, None]


@torch.no_grad()
def encode(model: CsmForConditionalGeneration, pcm: np.ndarray) -> torch.Tensor:
    """Mimi codes (frames, 32) of a clip."""
    return model.codec_model.encode(to_float(pcm)).audio_codes[0].T.contiguous()


@torch.no_grad()
def decode(model: CsmForConditionalGeneration, codes: torch.Tensor) -> torch.Tensor:
    """Waveform (frames * 1920,) of codes (frames, 32), in one shot."""
    return model.codec_model.decode(codes.T[None]).audio_values[0, 0]


def prompt_rows(model, tokenizer: Tokenizer, segments: list[Segment]) -> torch.Tensor:
    """Prompt (positions, 33): columns 0..31 hold the codes of an audio position, column 32 the id of a text position.

    A text position has -1 in the code columns and an audio position -1 in the text column.
    """
    rows = []
    for segment in segments:
        ids = torch.tensor(text_ids(tokenizer, segment.speaker, segment.text))
        text = torch.full((len(ids), CODEBOOKS + 1), -1)
        text[:, TEXT_COLUMN] = ids
        rows.append(text)
        if segment.pcm is not None:
            codes = encode(model, segment.pcm)
            codes = torch.cat([codes, torch.zeros(1, CODEBOOKS, dtype=codes.dtype)])  # the end-of-audio frame
            rows.append(torch.nn.functional.pad(codes, (0, 1), value=-1))
    return torch.cat(rows)


def embed_prompt(model: CsmForConditionalGeneration, rows: torch.Tensor) -> torch.Tensor:
    """Input embeddings (1, positions, hidden): one text row, or the sum of 32 audio rows, per position."""
    is_text = rows[:, TEXT_COLUMN] >= 0
    embeds = torch.empty(len(rows), model.config.hidden_size)
    embeds[is_text] = model.embed_text_tokens(rows[is_text, TEXT_COLUMN])
    if not is_text.all():
        embeds[~is_text] = model.backbone_model.embed_tokens(rows[None, ~is_text, :TEXT_COLUMN])[0]
    return embeds[None]


def choose(logits: torch.Tensor) -> int:
    """Greedy choice among real Mimi codes. Fails on a near tie."""
    top = logits[:CODEBOOK_SIZE].topk(2)
    gap = (top.values[0] - top.values[1]).item()
    assert gap > MIN_LOGIT_GAP, f"near tie: gap {gap:.2e}; choose another CSM_SEED"
    return int(top.indices[0])


def depth_frame(model: CsmForConditionalGeneration, hidden: torch.Tensor) -> tuple[list[int], torch.Tensor]:
    """One frame from the backbone's last hidden state (hidden,): its 32 codes and raw logits (32, vocab)."""
    logits = [model.lm_head(hidden)]
    codes = [choose(logits[0])]
    cache = DynamicCache(config=model.config.depth_decoder_config)
    # Position 0 is a place holder that the decoder replaces by the backbone's hidden state.
    inputs, state = torch.tensor([[0, codes[0]]]), hidden[None]
    for _ in range(CODEBOOKS - 1):
        output = model.depth_decoder(
            input_ids=inputs, backbone_last_hidden_state=state, past_key_values=cache, use_cache=True, logits_to_keep=1
        )
        logits.append(output.logits[0, -1])
        codes.append(choose(logits[-1]))
        inputs, state = torch.tensor([[codes[-1]]]), None
    return codes, torch.stack(logits)


@torch.no_grad()
def greedy(model: CsmForConditionalGeneration, rows: torch.Tensor, frames: int = FRAMES) -> dict[str, torch.Tensor]:
    """Greedy continuation: hidden (frames, hidden), raw logits (frames, 32, vocab), codes (frames, 32)."""
    cache = DynamicCache(config=model.config)
    embeds = embed_prompt(model, rows)
    hidden, logits, codes = [], [], []
    for _ in range(frames):
        output = model.backbone_model(inputs_embeds=embeds, past_key_values=cache, use_cache=True)
        hidden.append(output.last_hidden_state[0, -1])
        frame, frame_logits = depth_frame(model, hidden[-1])
        assert any(frame), "a frame of zeros would end the utterance; choose another CSM_SEED"
        codes.append(frame)
        logits.append(frame_logits)
        embeds = model.backbone_model.embed_tokens(torch.tensor([[frame]]))
    return {"hidden": torch.stack(hidden), "logits": torch.stack(logits), "codes": torch.tensor(codes)}


@torch.no_grad()
def check_against_generate(model, rows: torch.Tensor, segments: list[Segment], codes: torch.Tensor) -> None:
    """`generate` itself, from text ids and context waveforms, must give the same codes."""
    config = model.config
    is_audio = rows[:, TEXT_COLUMN] < 0
    is_eos = is_audio & (rows[:, :TEXT_COLUMN] == 0).all(dim=1)
    ids = torch.where(is_audio, config.audio_token_id, rows[:, TEXT_COLUMN])
    ids = torch.where(is_eos, config.audio_eos_token_id, ids)
    clips = [to_float(segment.pcm) for segment in segments if segment.pcm is not None]
    audio = {}
    if clips:
        cutoffs = torch.tensor([[clip.shape[-1] for clip in clips]]).cumsum(dim=1)
        audio = {"input_values": torch.cat(clips, dim=-1), "input_values_cutoffs": cutoffs}
    special = list(range(CODEBOOK_SIZE, config.vocab_size))
    generated = model.generate(
        input_ids=ids[None],
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        do_sample=False,
        max_new_tokens=len(codes),
        suppress_tokens=special,
        depth_decoder_do_sample=False,
        depth_decoder_suppress_tokens=special,
        **audio,
    )
    assert torch.equal(generated[0], codes), "the loop here and generate() disagree"


@torch.no_grad()
def smallest_distance_gap(model: CsmForConditionalGeneration, pcm: np.ndarray) -> float:
    """How far, at the least, the second nearest codebook entry is behind the nearest while encoding a clip."""
    gaps = []

    def record(codebook: MimiEuclideanCodebook, vectors: torch.Tensor) -> torch.Tensor:
        distances = torch.cdist(vectors.double(), codebook.embed.double())
        nearest = distances.topk(2, dim=-1, largest=False)
        gaps.append((nearest.values[:, 1] - nearest.values[:, 0]).min().item())
        return nearest.indices[:, 0]

    original = MimiEuclideanCodebook.quantize
    MimiEuclideanCodebook.quantize = record
    try:
        encode(model, pcm)
    finally:
        MimiEuclideanCodebook.quantize = original
    return min(gaps)
