"""Writes the trained parts as an ordinary checkpoint folder: config.json, model.safetensors, tokenizer.json, README.md.

    python export.py DATA PARTS OUT [--sharpen 1.0]

PARTS holds csm.pt, decoder.pt and encoder.pt. The folder is what transformers calls `CsmForConditionalGeneration` with a
`MimiModel` inside.
"""
import argparse
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file

from codes import BOOK, CODEBOOKS, RATE, USED, Quantizer
from csm import VOCAB, Csm
from mimi import RATIOS
from spelling import SPECIALS, Spelling
from train_codec import build

CARD = pathlib.Path(__file__).with_name("model-card.md")


def stack_fields(d, theta, eps):
    return dict(hidden_size=d["hidden"], intermediate_size=d["ff"], num_hidden_layers=d["layers"],
                num_attention_heads=d["heads"], num_key_value_heads=d["kv_heads"], head_dim=d["head_dim"],
                hidden_act="silu", rms_norm_eps=eps, attention_bias=False, mlp_bias=False,
                rope_parameters=dict(rope_type="default", rope_theta=theta))


def config(dims, mimi, spelling):
    backbone = stack_fields(dims["backbone"], dims["theta"], dims["eps"])
    depth = dict(stack_fields(dims["depth"], dims["theta"], dims["eps"]), model_type="csm_depth_decoder_model",
                 backbone_hidden_size=dims["backbone"]["hidden"], vocab_size=VOCAB, num_codebooks=CODEBOOKS,
                 max_position_embeddings=CODEBOOKS + 1)
    codec = dict(
        model_type="mimi", sampling_rate=RATE, audio_channels=1, hidden_size=mimi["hidden"], num_filters=mimi["filters"],
        num_residual_layers=1, upsampling_ratios=list(RATIOS), kernel_size=7, last_kernel_size=3, residual_kernel_size=3,
        dilation_growth_rate=2, compress=2, use_causal_conv=True, use_conv_shortcut=False, pad_mode="constant",
        trim_right_ratio=1.0, codebook_size=BOOK, codebook_dim=mimi["dim"],
        vector_quantization_hidden_dimension=mimi["dim"], num_quantizers=CODEBOOKS, num_semantic_quantizers=1,
        upsample_groups=mimi["hidden"], num_hidden_layers=mimi["layers"], num_attention_heads=mimi["heads"],
        num_key_value_heads=mimi["heads"], head_dim=mimi["hidden"] // mimi["heads"], intermediate_size=mimi["ff"],
        hidden_act="gelu", norm_eps=1e-5, sliding_window=250, max_position_embeddings=8000, attention_bias=False,
        layer_scale_initial_scale=0.01, rope_parameters=dict(rope_type="default", rope_theta=10000.0))
    special = {name: spelling.vocab - len(SPECIALS) + i for i, name in enumerate(SPECIALS)}
    return dict(backbone, toy_voice=True, model_type="csm", architectures=["CsmForConditionalGeneration"], dtype="bfloat16",
                transformers_version="5.0.0", text_vocab_size=spelling.vocab, vocab_size=VOCAB, num_codebooks=CODEBOOKS,
                max_position_embeddings=dims["window"], tie_codebooks_embeddings=True,
                bos_token_id=special[SPECIALS[0]], eos_token_id=None, pad_token_id=special[SPECIALS[2]],
                audio_token_id=special[SPECIALS[2]], audio_eos_token_id=special[SPECIALS[3]], codebook_eos_token_id=0,
                codebook_pad_token_id=VOCAB - 1, depth_decoder_config=depth, codec_config=codec)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("data", type=pathlib.Path)
    args.add_argument("parts", type=pathlib.Path)
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--sharpen", type=float, default=1.0,
                      help="factor on all logits: 1.5 makes a temperature of 0.9 draw like one of 0.6")
    args = args.parse_args()
    spelling = Spelling(args.data / "tokenizer.json")
    codec, _ = build(Quantizer.load(args.data / "quantizer.npz"))
    for part in ("decoder", "encoder"):
        stored = args.parts / f"{part}.pt"
        if stored.exists():
            codec.load_state_dict(torch.load(stored), strict=False)
        else:
            print(f"{stored} is missing: the {part} is untrained")
    model = Csm(spelling.vocab)
    model.load_state_dict(torch.load(args.parts / "csm.pt"))
    with torch.no_grad():
        # Tokens of the same sound were trained as one; what no text has is a space.
        text = model.embed_text_tokens.weight
        text.copy_(text[torch.from_numpy(spelling.canonical)])
        text[0] = text[spelling.id(" ")]
        model.lm_head.weight *= args.sharpen
        model.depth_decoder.codebooks_head.weight *= args.sharpen
        # The silent codebooks: their choice is certain, and no entry adds anything.
        model.depth_decoder.codebooks_head.weight[USED - 1:] *= 4
        model.audio.weight.view(CODEBOOKS, VOCAB, -1)[USED:] = 0
    tensors = {k: v.to(torch.bfloat16).contiguous() for k, v in model.state_dict().items()}
    tensors |= {"codec_model." + k: v.to(torch.bfloat16).contiguous() for k, v in codec.state_dict().items()}
    args.out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, args.out / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(args.data / "tokenizer.json", args.out)
    millions = {name: sum(v.numel() for k, v in tensors.items() if k.startswith("codec_model.") == codec) / 1e6
                for name, codec in (("csm", False), ("codec", True))}
    (args.out / "README.md").write_text(CARD.read_text().format(**millions))
    (args.out / "config.json").write_text(json.dumps(config(model.dims, codec.dims, spelling), indent=1) + "\n")
    size = sum(f.stat().st_size for f in args.out.iterdir()) / 1e6
    print(f"{millions['csm']:.2f} M weights, codec {millions['codec']:.2f} M, {size:.1f} MB")


if __name__ == "__main__":
    main()
