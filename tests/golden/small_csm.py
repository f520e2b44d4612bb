"""The small CSM that the golden values are made with: its configuration, weights and tokenizer.

Everything here is deterministic and independent of torch's random numbers: each tensor is drawn from a numpy generator
keyed by (seed, tensor name). The sizes are tiny, but each mechanism of the full model is present and visible in the
output: grouped-query attention, a head_dim that is not hidden / heads, Llama-3 scaled RoPE with different bounds in
backbone and depth decoder, 32 codebooks with 3 ids above the codec's codes, and a Mimi sliding window.
"""

import zlib

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import CsmConfig, CsmForConditionalGeneration

CODEBOOKS = 32
CODEBOOK_SIZE = 64  # Mimi codes; audio ids at or above it are specials that are never chosen
AUDIO_VOCAB = CODEBOOK_SIZE + 3
SAMPLE_RATE = 24_000
FRAME_SAMPLES = 1_920

# Chosen by search so that no greedy choice and no nearest codebook entry is a near tie (see reference.py).
CSM_SEED = 77
MIMI_SEED = 51

SPECIALS = ["<|begin_of_text|>", "<|end_of_text|>", "<|AUDIO|>", "<|audio_eos|>"]
MERGES = [("t", "h"), ("th", "e"), ("i", "n"), ("Ġ", "the"), ("e", "r"), ("l", "l"), ("o", "u"), ("Ġ", "a")]
TEXT_VOCAB = 256 + len(MERGES) + len(SPECIALS)
# Llama 3's split of text into words, verbatim from its tokenizer.json.
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def llama3_rope(original: int, low: float, high: float) -> dict:
    """RoPE parameters of the Llama-3 scaled kind, in the 5.x form."""
    return {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 32.0,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }


def make_config() -> CsmConfig:
    """The configuration of the whole model, codec included."""
    bos, _eos, audio, audio_eos = range(TEXT_VOCAB - len(SPECIALS), TEXT_VOCAB)
    depth = {
        "num_codebooks": CODEBOOKS,
        "backbone_hidden_size": 48,
        "vocab_size": AUDIO_VOCAB,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,  # on purpose not 32 / 4
        "max_position_embeddings": 33,
        "rope_parameters": llama3_rope(original=16, low=0.125, high=1.0),
    }
    codec = {
        "model_type": "mimi",
        "frame_rate": 12.5,
        "hidden_size": 32,
        "num_filters": 2,
        "codebook_size": CODEBOOK_SIZE,
        "codebook_dim": 16,
        "vector_quantization_hidden_dimension": 16,
        "num_quantizers": CODEBOOKS,
        "upsample_groups": 32,
        "num_hidden_layers": 2,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "sliding_window": 50,  # positions at 25 Hz, so 25 frames
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
    }
    return CsmConfig(
        num_codebooks=CODEBOOKS,
        vocab_size=AUDIO_VOCAB,
        text_vocab_size=TEXT_VOCAB,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=12,
        max_position_embeddings=2048,
        rope_parameters=llama3_rope(original=128, low=1.0, high=4.0),
        bos_token_id=bos,
        pad_token_id=audio,
        audio_token_id=audio,
        audio_eos_token_id=audio_eos,
        codebook_pad_token_id=AUDIO_VOCAB - 1,
        codebook_eos_token_id=0,
        depth_decoder_config=depth,
        codec_config=codec,
        attn_implementation="eager",
    )


def named_rng(seed: int, name: str) -> np.random.Generator:
    """One generator per name, so that a value does not depend on the order in which values are made."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def csm_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One weight of backbone, depth decoder or heads, scaled so that every part moves the logits."""
    rng = named_rng(CSM_SEED, name)
    if name.endswith("norm.weight"):
        return rng.uniform(0.5, 1.5, shape)
    if name == "embed_text_tokens.weight":
        return rng.normal(0.0, 1.0, shape)
    if "embed_tokens" in name:
        return rng.normal(0.0, 0.35, shape)
    fan_in = shape[1]  # (out, in), and (codebook, in, out) for the depth heads
    if "lm_head" in name or "codebooks_head" in name:
        gain = 20.0
    elif "q_proj" in name or "k_proj" in name:
        gain = 1.4
    else:
        gain = 1.5
    return rng.normal(0.0, gain / np.sqrt(fan_in), shape)


def mimi_codebook(name: str, shape: tuple[int, ...], level: int) -> np.ndarray:
    """A codebook buffer. The vector is embed_sum / max(cluster_usage, 1e-5); entry 7 lies below that floor."""
    stem = name.rsplit(".", 1)[0]
    usage = named_rng(MIMI_SEED, stem + ".usage").uniform(0.2, 3.0, CODEBOOK_SIZE)
    usage[7] = 4e-6
    if name.endswith("cluster_usage"):
        return usage
    if name.endswith("embed_sum"):
        vectors = named_rng(MIMI_SEED, stem + ".vectors").normal(0.0, 1.2 * 0.95**level, shape)
        return vectors * np.maximum(usage, 1e-5)[:, None]
    return np.ones(shape)  # initialized


def mimi_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One weight of the codec."""
    rng = named_rng(MIMI_SEED, name)
    if ".codebook." in name:
        return mimi_codebook(name, shape, level=int(name.split(".layers.")[1].split(".")[0]))
    if name.endswith("layer_scale.scale"):
        return rng.uniform(0.3, 0.8, shape)  # not the real 0.01: the transformers must be heard
    if name.endswith("layernorm.weight"):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith("bias"):
        return rng.normal(0.0, 0.05, shape)
    fan_in = shape[1] * (shape[2] if len(shape) == 3 else 1)
    if "decoder_seanet.layers.14" in name:
        gain = 0.4  # the last convolution: keeps the waveform within -1..1
    else:
        gain = 1.4 if "q_proj" in name or "k_proj" in name else 1.2
    return rng.normal(0.0, gain / np.sqrt(fan_in), shape)


def make_model(config: CsmConfig) -> CsmForConditionalGeneration:
    """The reference model with our weights. Values are rounded to bf16, so that the files pack small in git."""
    model = CsmForConditionalGeneration(config).eval()
    persistent = model.state_dict().keys()
    tensors = dict(model.named_parameters()) | {k: v for k, v in model.named_buffers() if k in persistent}
    with torch.no_grad():
        for name, tensor in tensors.items():
            make = mimi_tensor if name.startswith("codec_model.") else csm_tensor
            values = torch.from_numpy(make(name, tuple(tensor.shape)))
            tensor.copy_(values.to(torch.bfloat16).to(torch.float32))
    return model


def make_tokenizer() -> Tokenizer:
    """Byte-level BPE shaped like Llama 3's tokenizer.json, whose template adds the begin token alone."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = alphabet + ["".join(pair) for pair in MERGES]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=MERGES, ignore_merges=True))
    tokenizer.add_special_tokens([AddedToken(content, special=True, normalized=False) for content in SPECIALS])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    bos = SPECIALS[0]
    template = processors.TemplateProcessing(
        single=f"{bos} $A",
        pair=f"{bos} $A {bos}:1 $B:1",
        special_tokens=[(bos, tokenizer.token_to_id(bos))],
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def make_clip(name: str, samples: int) -> np.ndarray:
    """A 24 kHz clip, int16: a few gliding tones with tremolo and a little noise."""
    rng = named_rng(MIMI_SEED, name)
    time = np.arange(samples) / SAMPLE_RATE
    wave = 0.02 * rng.normal(size=samples)
    for _ in range(4):
        start, glide, tremolo = rng.uniform(90, 900), rng.uniform(-150, 600), rng.uniform(2, 9)
        tone = np.sin(2 * np.pi * (start * time + 0.5 * glide * time**2))
        wave += 0.15 * tone * (0.55 + 0.45 * np.sin(2 * np.pi * tremolo * time + rng.uniform(0, 6)))
    return np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)
