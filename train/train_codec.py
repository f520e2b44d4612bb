"""Trains the codec: a Mimi of small dimensions for the codes of codes.py.

    python train_codec.py decoder DATA OUT --steps 15500 [--threads 1] [--device cuda] [--seed 0]
    python train_codec.py encoder DATA OUT --steps 4000

The codebooks are fixed from the start. The decoder learns to turn codes into the waveform that vocoder.render gives for them,
which is a function of the codes: nothing has to be invented, so spectral losses do and no discriminator is needed. The
encoder learns to find the vectors that quantize to the right codes. Writes OUT/decoder.pt or OUT/encoder.pt, which hold that
part alone, their state to go on from, and a log.
"""
import argparse
import pathlib
import time

import numpy as np
import torch
from torch import nn

from codes import BOOK, CODEBOOKS, ENVELOPE, FRAME, LABELS, PCS, RATE, USED, VOICING, Quantizer, voicing_vectors, with_voicing
from mimi import Mimi
from progress import Curves, save
from spelling import PHONES
from vocoder import render

# Parts of a code's vector: the envelope, what its first stage leaves, voicing, and the bits of the two phones.
WHOLE, REST, LABEL = slice(0, PCS), slice(PCS, 2 * PCS), slice(2 * PCS, 2 * PCS + LABELS)
PHONE = [slice(LABEL.stop + 6 * k, LABEL.stop + 6 * k + 6) for k in range(2)]
VECTOR = PHONE[1].stop + 1         # with the mark; not the codec's width, or transformers leaves the projections out
FAR = 50                           # mark in the last component of an entry 0, which must never be the nearest
PARTS = dict(decoder=("upsample", "decoder_transformer", "decoder", "acoustic.output_proj"),
             encoder=("encoder", "encoder_transformer", "downsample"))


def codebooks(quantizer):
    """Vectors of every code, (32, BOOK, VECTOR); the silent codebooks are zero."""
    table = np.zeros((CODEBOOKS, BOOK, VECTOR), np.float32)
    bits = np.arange(BOOK)[:, None] >> np.arange(6) & 1
    for k in range(2):
        table[k, :, PHONE[k]] = bits - 0.5
        table[k, 1 + len(PHONES):, -1] = FAR           # no phone
    table[VOICING, :, LABEL] = voicing_vectors()
    for stage, book in enumerate(quantizer.books):
        table[ENVELOPE + stage, :, REST if stage else WHOLE] = book
    # Entry 0 ends the speech and is never the nearest; in the silent codebooks it is, all their entries being equal.
    table[:USED, 0] = 0
    table[:USED, 0, -1] = FAR
    return table


def build(quantizer):
    """A Mimi whose quantizer is ours, and the vectors of its codes."""
    model = Mimi(dim=VECTOR, size=BOOK, count=CODEBOOKS)
    table = torch.from_numpy(codebooks(quantizer))
    for index, layer in enumerate([*model.semantic.layers, *model.acoustic.layers]):
        layer.codebook.embed_sum.copy_(table[index])
    with torch.no_grad():
        # In: the encoder's latent is the vector itself.
        for part in (model.semantic, model.acoustic):
            part.input_proj.weight.copy_(torch.eye(VECTOR, model.dims["hidden"])[..., None])
            part.input_proj.weight[-1] = 0
        # Out: each component scaled to about one; phones and the mark of the entries 0 add nothing.
        scale = torch.ones(VECTOR)
        scale[WHOLE] = scale[REST] = torch.from_numpy(1 / quantizer.spread).clamp(max=12)
        scale[LABEL.stop:] = 0
        mix = torch.randn(model.dims["hidden"], VECTOR) * VECTOR ** -0.5
        mix[WHOLE, WHOLE] = mix[WHOLE, REST] = torch.eye(PCS)
        mix[REST, LABEL] = torch.eye(PCS, LABELS)
        model.acoustic.output_proj.weight.copy_((mix * scale)[..., None])
        model.semantic.output_proj.weight.zero_()
        up = model.upsample.conv.weight
        up.copy_(torch.tensor([1.0, 1.0, 0.0, 0.0]).expand_as(up) + 0.4 * torch.randn_like(up))
    return model, table


def part_of(model, name):
    """State of the decoder's or the encoder's parameters alone."""
    return {k: v for k, v in model.state_dict().items() if belongs(k, name)}


def belongs(key, name):
    key = key.replace("quantizer.semantic_residual_vector_quantizer", "semantic")
    key = key.replace("quantizer.acoustic_residual_vector_quantizer", "acoustic")
    return any(key.startswith(p + ".") for p in PARTS[name])


class Spectra(nn.Module):
    """Distance of two waveforms over several resolutions: magnitudes, and compressed complex values."""

    def __init__(self, sizes=(2048, 512, 128)):
        super().__init__()
        self.sizes = sizes
        for size in sizes:
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)

    def forward(self, y, target):
        magnitude, phase = 0, 0
        for size in self.sizes:
            window = getattr(self, f"window{size}")
            a, b = (torch.stft(x, size, size // 4, window=window, return_complex=True) / size ** 0.5 for x in (y, target))
            ma, mb = (torch.sqrt(v.real ** 2 + v.imag ** 2 + 1e-7) for v in (a, b))
            magnitude = magnitude + (ma - mb).norm() / mb.norm() + 0.5 * (ma.log() - mb.log()).abs().mean()
            ca, cb = a * ma ** -0.6, b * mb ** -0.6
            phase = phase + torch.view_as_real(ca - cb).abs().mean() / torch.view_as_real(cb).abs().mean()
        return magnitude / len(self.sizes), phase / len(self.sizes)


class Crops:
    """Random stretches of codes with the sound they stand for."""

    def __init__(self, path, quantizer, frames):
        pack = np.load(path)
        self.lengths = pack["lengths"]
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.high, self.low = pack["high"], pack["low"]
        self.usable = np.flatnonzero(self.lengths >= frames)
        self.frames, self.quantizer, self.pool = frames, quantizer, []

    def crop(self, rng):
        i = rng.choice(self.usable)
        at = self.starts[i] + rng.integers(0, self.lengths[i] - self.frames + 1)
        crop = self.high[at:at + self.frames].astype(np.int64)
        if rng.random() < 0.5:
            crop = with_voicing(crop, self.low[at:at + self.frames].astype(np.int64))
        if rng.random() < 0.3:
            # Codes that the language model will draw are not always those of one sound.
            k = int(rng.integers(VOICING, USED))
            crop[:, k] = np.where(rng.random(self.frames) < 0.3, rng.permutation(crop[:, k]), crop[:, k])
        return crop, render(self.quantizer, crop)

    def batch(self, size, rng, fresh, pool):
        """Rendering costs about as much as a step, so crops are drawn from a pool in which `fresh` are new each time."""
        while len(self.pool) < pool:
            self.pool.append(self.crop(rng))
        for slot in rng.choice(pool, fresh, replace=False):
            self.pool[slot] = self.crop(rng)
        codes, audio = zip(*(self.pool[k] for k in rng.choice(pool, size, replace=False)))
        return torch.from_numpy(np.stack(codes)), torch.from_numpy(np.stack(audio))


def decoder_losses(model, spectra, codes, audio):
    magnitude, phase = spectra(model.decode(codes).float(), audio)
    return dict(magnitude=magnitude, phase=phase)


def encoder_losses(model, table, codes, audio):
    """How far the latents are from the vectors of the right codes."""
    vectors = [table[k][codes[..., k]] for k in range(USED)]
    whole = vectors[ENVELOPE][..., WHOLE] + sum(v[..., REST] for v in vectors[ENVELOPE + 1:])
    wanted = dict(envelope=(WHOLE, whole), rest=(REST, whole - vectors[ENVELOPE][..., WHOLE]),
                  labels=(LABEL, vectors[VOICING][..., LABEL]),
                  phones=(slice(PHONE[0].start, PHONE[1].stop),
                          torch.cat([vectors[k][..., PHONE[k]] for k in range(2)], -1)))
    z = model.latents(audio).transpose(1, 2).float()
    return {name: ((z[..., part] - vector) ** 2).sum(-1).mean() for name, (part, vector) in wanted.items()}


def main():
    args = argparse.ArgumentParser()
    args.add_argument("part", choices=list(PARTS))
    args.add_argument("data", type=pathlib.Path)
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--steps", type=int, default=15500)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--device", default="cpu")
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--frames", type=int, default=12)
    args.add_argument("--batch", type=int, default=6)
    args.add_argument("--fresh", type=int, default=1, help="newly rendered crops of a step")
    args.add_argument("--pool", type=int, default=300)
    args.add_argument("--rate", type=float, default=2e-3)
    args.add_argument("--stop", type=int, default=None, help="end here, with the state kept")
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    quantizer = Quantizer.load(args.data / "quantizer.npz")
    model, table = build(quantizer)
    model, table = model.to(args.device), table.to(args.device)
    parameters = [p for name, p in model.named_parameters() if belongs(name, args.part)]
    optimizer = torch.optim.AdamW(parameters, lr=args.rate, betas=(0.8, 0.98), weight_decay=0.0, fused=True)
    state_file, begun = args.out / f"{args.part}-state.pt", 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=False)
        model.load_state_dict(state["part"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        begun = state["step"]
    print(f"{sum(p.numel() for p in parameters) / 1e6:.2f} M weights in training, from step {begun}", flush=True)
    rng = np.random.default_rng([args.seed, begun])
    crops = Crops(args.data / "train.npz", quantizer, args.frames)
    spectra = Spectra().to(args.device)

    def keep(step):
        part = part_of(model, args.part)
        save(dict(part=part, optimizer=optimizer.state_dict(), step=step), state_file)
        torch.save(part, args.out / f"{args.part}.pt")

    curves, saved, step = Curves(args.out / f"{args.part}.jsonl"), time.time(), begun
    for step in range(begun, args.steps):
        if step == args.stop:
            break
        # Up over 50 steps, flat to the middle, then down to zero.
        rate = min(1, (step + 1) / 50, 2 * (1 - step / args.steps) + 0.005)
        for g in optimizer.param_groups:
            g["lr"] = args.rate * rate
        codes, audio = (x.to(args.device) for x in crops.batch(args.batch, rng, args.fresh, args.pool))
        shown = decoder_losses(model, spectra, codes, audio) if args.part == "decoder" else \
            encoder_losses(model, table, codes, audio)
        optimizer.zero_grad(set_to_none=True)
        sum(shown.values()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        curves.add(shown)
        if step % 100 == 99:
            curves.write(step + 1, dict(rate=round(rate, 3), audio_s=(step + 1) * args.batch * args.frames * FRAME // RATE))
        if time.time() - saved > 120:
            saved = time.time()
            keep(step + 1)
    else:
        step = args.steps
    keep(step)


if __name__ == "__main__":
    main()
