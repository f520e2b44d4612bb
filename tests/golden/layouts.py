"""The forms in which one checkpoint is found in the wild: transformers' layout and the original (Sesame) one."""

import json
import re
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import CsmConfig, CsmForConditionalGeneration
from transformers.models.csm.modeling_csm import apply_rotary_pos_emb

Tensors = dict[str, torch.Tensor]
CODEC_PREFIX = "codec_model."

# transformers' name -> original name; the first that matches wins. `N` stands for a layer number.
ORIGINAL_NAMES = [
    ("embed_text_tokens.weight", "text_embeddings.weight"),
    ("depth_decoder.model.embed_tokens.weight", "audio_embeddings.weight"),
    ("depth_decoder.model.inputs_embeds_projector.weight", "projection.weight"),
    ("depth_decoder.codebooks_head.weight", "audio_head"),
    ("lm_head.weight", "codebook0_head.weight"),
    ("backbone_model.norm.weight", "backbone.norm.scale"),
    ("depth_decoder.model.norm.weight", "decoder.norm.scale"),
]
ORIGINAL_STACKS = {"backbone_model.layers": "backbone.layers", "depth_decoder.model.layers": "decoder.layers"}
ORIGINAL_PARTS = {
    "self_attn.q_proj.weight": "attn.q_proj.weight",
    "self_attn.k_proj.weight": "attn.k_proj.weight",
    "self_attn.v_proj.weight": "attn.v_proj.weight",
    "self_attn.o_proj.weight": "attn.output_proj.weight",
    "mlp.gate_proj.weight": "mlp.w1.weight",
    "mlp.down_proj.weight": "mlp.w2.weight",
    "mlp.up_proj.weight": "mlp.w3.weight",
    "input_layernorm.weight": "sa_norm.scale",
    "post_attention_layernorm.weight": "mlp_norm.scale",
}


def saved_by_transformers(model: CsmForConditionalGeneration) -> tuple[dict, Tensors]:
    """config.json and tensors exactly as `save_pretrained` names them."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        config = json.loads(Path(folder, "config.json").read_text())
        return config, load_file(Path(folder, "model.safetensors"))


def config_4x(config: dict) -> dict:
    """The same configuration as transformers 4.x wrote it: `rope_theta` and `rope_scaling` beside each other."""
    old = {key: config_4x(value) if key.endswith("_config") else value for key, value in config.items()}
    rope = dict(old.pop("rope_parameters"))
    old["rope_theta"] = rope.pop("rope_theta")
    if rope["rope_type"] != "default":
        old["rope_scaling"] = rope
    for new_name, old_name in [("dtype", "torch_dtype"), ("_frame_rate", "frame_rate")]:
        if new_name in old:
            old[old_name] = old.pop(new_name)
    if "transformers_version" in old:
        old["transformers_version"] = "4.52.4"
    old.pop("tie_word_embeddings", None)
    return dict(sorted(old.items()))


def check_configs_agree(new: dict, old: dict) -> None:
    """transformers must read the same model from both forms."""
    pair = [CsmConfig.from_dict(json.loads(json.dumps(form))).to_dict() for form in (new, old)]
    for form in pair:
        form.pop("transformers_version")
    assert pair[0] == pair[1], "config.json and config.4x.json describe different models"


def original_config(config: dict) -> dict:
    """sesame/csm-1b keeps both key sets in one file: its own flavours and transformers' dimensions."""
    flavours = {
        "audio_num_codebooks": config["num_codebooks"],
        "audio_vocab_size": config["vocab_size"],
        "backbone_flavor": "llama-1B",
        "decoder_flavor": "llama-100M",
        "text_vocab_size": config["text_vocab_size"],
    }
    return dict(sorted((config_4x(config) | flavours).items()))


def to_interleaved(weight: torch.Tensor, head_dim: int) -> torch.Tensor:
    """q or k projection (heads * head_dim, in) from rotate-half row order to adjacent pairs."""
    rows, width = weight.shape
    halves = weight.view(rows // head_dim, 2, head_dim // 2, width)
    return halves.transpose(1, 2).reshape(rows, width).contiguous()


def original_name(name: str) -> str:
    """The original name of one tensor of transformers' layout."""
    for ours, theirs in ORIGINAL_NAMES:
        if name == ours:
            return theirs
    stack, layer, part = re.fullmatch(r"(.+\.layers)\.(\d+)\.(.+)", name).groups()
    return f"{ORIGINAL_STACKS[stack]}.{layer}.{ORIGINAL_PARTS[part]}"


def to_original(tensors: Tensors, config: CsmConfig) -> tuple[Tensors, Tensors]:
    """The original layout: (CSM, Mimi apart under its own names)."""
    csm, mimi = {}, {}
    for name, tensor in tensors.items():
        if name.startswith(CODEC_PREFIX):
            mimi[name.removeprefix(CODEC_PREFIX)] = tensor
            continue
        if re.search(r"self_attn\.[qk]_proj", name):
            stack = config if name.startswith("backbone_model") else config.depth_decoder_config
            tensor = to_interleaved(tensor, stack.head_dim)
        csm[original_name(name)] = tensor
    return csm, mimi


def rotate_pairs(vectors: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Interleaved RoPE, as the original implementation applies it, of (heads, positions, head_dim)."""
    pairs = torch.view_as_complex(vectors.reshape(*vectors.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


@torch.no_grad()
def check_rope_layouts(model: CsmForConditionalGeneration, original: Tensors) -> None:
    """Interleaved RoPE on the original rows must give transformers' attention scores."""
    stacks = [("backbone", model.backbone_model), ("decoder", model.depth_decoder.model)]
    for stack, module in stacks:
        attention, head_dim = module.layers[0].self_attn, module.config.head_dim
        inputs = torch.randn(9, module.config.hidden_size, generator=torch.Generator().manual_seed(0))
        positions = torch.arange(20, 29)
        cos, sin = module.rotary_emb(inputs, positions[None])

        def split(weight: torch.Tensor) -> torch.Tensor:
            return (inputs @ weight.T).view(len(inputs), -1, head_dim).transpose(0, 1)

        ours = [split(attention.q_proj.weight), split(attention.k_proj.weight)]
        ours = apply_rotary_pos_emb(ours[0][None], ours[1][None], cos, sin)
        angles = positions[:, None].float() * module.rotary_emb.inv_freq
        theirs = [rotate_pairs(split(original[f"{stack}.layers.0.attn.{p}_proj.weight"]), angles) for p in "qk"]
        groups = ours[0].shape[1] // ours[1].shape[1]
        scores = [q @ k.repeat_interleave(groups, -3).mT for q, k in ((ours[0][0], ours[1][0]), theirs)]
        torch.testing.assert_close(scores[0], scores[1], rtol=1e-4, atol=1e-4)
