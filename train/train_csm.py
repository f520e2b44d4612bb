"""Trains the language model: from a text's tokens to frames of codes.

    python train_csm.py DATA OUT --steps 7000 [--threads 1] [--device cuda] [--seed 0]

Writes OUT/csm.pt (weights), OUT/csm-state.pt (to go on after an interruption, which happens by itself) and OUT/csm.jsonl.
Rows are conversations of one to four texts, so the model learns what context is; in some of them the speakers' numbers have
each other's voice, so the recording in the context says how a speaker sounds, not the number.

One loss looks inside: three attention heads are taught where in the text the speech is, which flite knows.
"""
import argparse
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F

from codes import CODEBOOKS, USED, VOICING
from csm import VOCAB, Csm
from progress import Curves, save
from spelling import Spelling

WATCH = {1: 1, 2: 2}               # watched heads of a layer: layer 1 where the speech is, layer 2 where it goes next


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for the matrices inside the stacks (Jordan 2024, kellerjordan.github.io/posts/muon); equal
    shapes go through Newton-Schulz together."""

    def __init__(self, params, lr, momentum=0.95, decay=0.01):
        super().__init__(params, dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group["params"]:
                state = self.state[p]
                m = state.setdefault("m", torch.zeros_like(p))
                m.mul_(group["momentum"]).add_(p.grad)
                shapes.setdefault(p.shape, []).append((p, p.grad + group["momentum"] * m))
            for shape, pairs in shapes.items():
                x = torch.stack([u for _, u in pairs])
                flip = shape[0] > shape[1]
                x = x.transpose(1, 2) if flip else x
                x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
                for _ in range(5):
                    a = x @ x.transpose(1, 2)
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = (x.transpose(1, 2) if flip else x).float()
                scale = 0.2 * math.sqrt(max(shape))      # as large as AdamW's update
                for (p, _), u in zip(pairs, x):
                    p.mul_(1 - group["lr"] * group["decay"]).add_(u, alpha=-group["lr"] * scale)


def optimizers(model, muon, adam):
    matrices, rest = [], []
    for name, p in model.named_parameters():
        (matrices if ".layers." in name and p.ndim == 2 else rest).append(p)
    return [Muon(matrices, lr=muon),
            torch.optim.AdamW(rest, lr=adam, betas=(0.9, 0.97), weight_decay=0.0, fused=True)]


class Texts:
    """The set of dataset.py, and conversations drawn from it."""

    def __init__(self, path, spelling):
        pack = np.load(path)
        self.spelling = spelling
        self.lengths, self.id_lengths = pack["lengths"], pack["id_lengths"]
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.id_starts = np.cumsum(self.id_lengths) - self.id_lengths
        self.ids, self.high, self.low = pack["ids"].astype(np.int64), pack["high"].astype(np.int64), pack["low"].astype(np.int64)
        self.token = pack["token"].astype(np.int64)
        self.sizes = self.id_lengths + 5 + self.lengths + 1

    def __len__(self):
        return len(self.lengths)

    def segment(self, i, speaker, low_voice):
        """(prompt ids, codes with the end frame, tokens pointed at)."""
        span = slice(self.starts[i], self.starts[i] + self.lengths[i])
        codes = self.high[span].copy()
        if low_voice:
            codes[:, VOICING] = self.low[span]
        head = [self.spelling.begin, *self.spelling.speaker_ids(speaker)]
        ids = np.concatenate([head, self.ids[self.id_starts[i]:self.id_starts[i] + self.id_lengths[i]], [self.spelling.end]])
        codes = np.concatenate([codes, np.zeros((1, USED), np.int64)])
        # The end frame points at the end of the text.
        token = np.concatenate([self.token[span] + len(head), np.full((1, 2), len(ids) - 1)])
        return ids, codes, token

    def row(self, texts, rng):
        """A conversation: [(segment, whether its frames are learnt)]."""
        labels = [int(rng.choice([0, 1])) if rng.random() < 0.85 else int(rng.integers(10)) for _ in range(2)]
        if labels[0] % 2 == labels[1] % 2:
            labels[1] = labels[0]
        swapped = len(texts) > 1 and rng.random() < 0.3
        seen, row = set(), []
        for i in texts:
            speaker = labels[int(rng.random() < 0.25)]
            low_voice = (speaker % 2 == 0) != swapped
            # Who speaks against the number cannot be known before being heard once.
            row.append((self.segment(i, speaker, low_voice), not swapped or speaker in seen))
            seen.add(speaker)
        return row

    def conversations(self, rng, alone):
        """Groups of texts that cover the set once; `alone` is the share that is by itself."""
        order, groups, at = rng.permutation(len(self)), [], 0
        while at < len(order):
            count = 1 if rng.random() < alone else int(rng.choice([2, 3, 4]))
            group = order[at:at + count]
            while len(group) > 1 and self.sizes[group].sum() > 800:
                group = group[:-1]
            groups.append(group)
            at += len(group)
        return groups

    def batches(self, positions, rng, short_steps, given=0):
        """Endless batches of about so many positions, of rows of similar sizes. Short texts come first, because where in the
        text the speech is, is learnt on them; over `short_steps` batches the longer ones are let in, then conversations.
        `given`: batches that an earlier run has had."""
        while True:
            part = min(1.0, 0.3 + 0.7 * given / max(1, short_steps))
            groups = self.conversations(rng, 0.6) if part == 1 else [
                np.array([i]) for i in np.flatnonzero(self.sizes <= np.quantile(self.sizes, part))]
            sizes = np.array([self.sizes[g].sum() for g in groups])
            order = np.argsort(sizes + rng.random(len(sizes)) * 8)
            cut, batches = 0, []
            while cut < len(order):
                size = max(1, positions // int(sizes[order[min(cut + positions // 100, len(order) - 1)]]))
                batches.append(order[cut:cut + size])
                cut += size
            chosen = rng.permutation(len(batches))
            for b in chosen if part == 1 else chosen[:100]:
                given += 1
                yield [self.row(groups[k], rng) for k in batches[b]]


def collate(rows, rng, noise):
    """Tensors of a batch. `noise`: how often an input frame is spoilt, so that the model leans on the text."""
    width = max(sum(len(ids) + len(codes) for (ids, codes, *_), _ in row) for row in rows)
    width += -width % 16
    n = len(rows)
    text, codes = np.zeros((n, width), np.int64), np.zeros((n, width, USED), np.int64)
    is_text, is_audio = np.zeros((n, width), bool), np.zeros((n, width), bool)
    first = np.zeros((n, width), np.int64)             # where the segment of a position begins
    flat, targets, tokens, begins, limits = [], [], [], [], []
    for b, row in enumerate(rows):
        at = 0
        for (ids, c, token), learnt in row:
            l, frames = len(ids), len(c)
            text[b, at:at + l], is_text[b, at:at + l] = ids, True
            codes[b, at + l:at + l + frames], is_audio[b, at + l:at + l + frames] = c, True
            if learnt:
                flat.append(b * width + at + l - 1 + np.arange(frames))
                targets.append(c)
                tokens.append(token + at)
                begins.append(np.full(frames, at))
                limits.append(np.full(frames, at + l))
            at += l + frames
    if noise:
        spoilt = is_audio & (codes.any(-1)) & (rng.random((n, width)) < noise)
        pool = codes[is_audio]
        if spoilt.any():
            mine = codes[spoilt]
            other = pool[rng.integers(len(pool), size=len(mine))]
            start = rng.choice([0, 2, 3, 4, 5, 6], size=len(mine))     # spoilt from this codebook on
            codes[spoilt] = np.where(np.arange(USED)[None] < start[:, None], mine, other)
    whole = lambda parts: torch.from_numpy(np.concatenate(parts))
    return dict(text=torch.from_numpy(text), is_text=torch.from_numpy(is_text), is_audio=torch.from_numpy(is_audio),
                codes=torch.from_numpy(codes), rows=whole(flat), targets=whole(targets), tokens=whole(tokens),
                begins=whole(begins), limits=whole(limits))


def losses(model, batch, pick, tail):
    """Losses of a batch. `pick`: the rows whose frames the depth decoder learns; `tail`: how many of them, and of the end
    frames, teach the silent codebooks."""
    n, width = batch["text"].shape
    x = model.embed_text_tokens(batch["text"]) * batch["is_text"][..., None]
    x = x + model.frames(batch["codes"]) * batch["is_audio"][..., None]
    hidden, seen = model.backbone_model(x, WATCH)
    rows, targets = batch["rows"], batch["targets"]
    h = hidden.reshape(n * width, -1)[rows]
    first = model.lm_head(h).float()
    out = {"c0": F.cross_entropy(first, targets[:, 0])}
    out["right"] = (first.detach().argmax(-1) == targets[:, 0]).float().mean()
    state = model.depth(h[pick], targets[pick, :USED - 1])[:, 1:]
    head = model.depth_decoder.codebooks_head.weight
    logits = torch.einsum("nkd,kdv->nkv", state, head[:USED - 1].to(state.dtype)).float()
    ce = F.cross_entropy(logits.reshape(-1, VOCAB), targets[pick, 1:].reshape(-1), reduction="none").view(len(pick), -1)
    # The second phone counts as much as the first.
    out["c1"], out["depth"] = ce[:, 0].mean(), ce[:, 1:].mean()
    out["voicing"], out["envelope"], out["last"] = (ce[:, k].mean().detach() for k in (1, 2, -1))
    if tail:
        ends = (targets == 0).all(1).nonzero()[:tail, 0]
        some = torch.cat([pick[:tail], ends])
        full = F.pad(targets[some], (0, CODEBOOKS - USED))
        state = model.depth(h[some].detach(), full[:, :-1])[:, USED:]
        logits = torch.einsum("nkd,kdv->nkv", state, head[USED - 1:].to(state.dtype)).float()
        out["tail"] = F.cross_entropy(logits.reshape(-1, VOCAB), full[:, USED:].reshape(-1))
    # Where the watched heads look, against where flite was.
    position = torch.arange(width, device=x.device).float()
    tokens = batch["tokens"].float()
    earlier = torch.cat([tokens[:1, 1], tokens[:-1, 1]])
    now = torch.maximum(torch.minimum(earlier, tokens[:, 1]), batch["begins"].float())
    later = position[None] > (rows % width)[:, None]
    outside = (position[None] >= batch["limits"][:, None]) | (position[None] < batch["begins"][:, None])
    attend = 0
    for layer, number, centre in ((1, 0, now), (2, 0, tokens[:, 0]), (2, 1, tokens[:, 1])):
        scores = seen[layer][:, number].reshape(n * width, width)[rows].float().masked_fill(later, -1e4)
        wanted = (-0.5 * ((position[None] - centre[:, None]) / 0.6) ** 2).masked_fill(outside, -1e4).softmax(-1)
        attend = attend + (wanted * (wanted.clamp_min(1e-9).log() - scores.log_softmax(-1))).sum(-1).mean() / 3
    out["attend"] = attend
    return out


def total(parts, progress):
    guide = 0.5 * (1 - 0.8 * progress)
    return parts["c0"] + parts["c1"] + 3 * parts["depth"] + 0.3 * parts.get("tail", 0) + guide * parts["attend"]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("data", type=pathlib.Path)
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--steps", type=int, default=7000)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--device", default="cpu")
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--positions", type=int, default=1792, help="positions of a batch")
    args.add_argument("--muon", type=float, default=0.006)
    args.add_argument("--adam", type=float, default=0.003)
    args.add_argument("--noise", type=float, default=0.12)
    args.add_argument("--short-steps", type=int, default=2000, help="batches until texts of all lengths take part")
    args.add_argument("--stop", type=int, default=None, help="end here, with the state kept")
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    spelling = Spelling(args.data / "tokenizer.json")
    train, heldout = Texts(args.data / "train.npz", spelling), Texts(args.data / "heldout.npz", spelling)
    model = Csm(spelling.vocab).to(args.device)
    optimizer = optimizers(model, args.muon, args.adam)
    state_file, begun = args.out / "csm-state.pt", 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=False)
        model.load_state_dict(state["model"])
        for o, s in zip(optimizer, state["optimizers"]):
            o.load_state_dict(s)
        begun = state["step"]
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M weights, from step {begun}", flush=True)
    bases = [[args.muon], [args.adam]]
    on = lambda batch: {k: v.to(args.device) for k, v in batch.items()}
    check_rng = np.random.default_rng(5)
    check = [collate([heldout.row([i], check_rng) for i in range(j, min(j + 50, len(heldout)))], check_rng, 0)
             for j in range(0, len(heldout), 50)]
    # A run that goes on draws other batches than the first time, in the order of its own.
    rng = np.random.default_rng([args.seed, begun])
    batches = train.batches(args.positions, rng, args.short_steps, begun)
    cast = lambda: torch.autocast(args.device, torch.bfloat16)

    def keep(step):
        state = dict(model=model.state_dict(), optimizers=[o.state_dict() for o in optimizer], step=step)
        save(state, state_file)
        torch.save(model.state_dict(), args.out / "csm.pt")

    curves, texts, saved = Curves(args.out / "csm.jsonl"), 0, time.time()
    for step, rows in zip(range(begun, args.steps), batches):
        if step == args.stop:
            break
        progress = step / args.steps
        # Up over 100 steps, flat to 55 %, then down to zero.
        rate = min(1, (step + 1) / 100, (1 - progress) / 0.45 + 0.002)
        for o, base in zip(optimizer, bases):
            for g, b in zip(o.param_groups, base):
                g["lr"] = b * rate
        batch = on(collate(rows, rng, args.noise))
        pick = torch.from_numpy(rng.permutation(len(batch["rows"]))[:len(batch["rows"]) // 2]).to(args.device)
        with cast():
            parts = losses(model, batch, pick, 8)
            loss = total(parts, progress)
        for o in optimizer:
            o.zero_grad(set_to_none=True)
        loss.backward()
        model.audio.weight.grad.view(CODEBOOKS, VOCAB, -1)[USED:] = 0      # the silent codebooks' embeddings stay zero
        torch.nn.utils.clip_grad_norm_(optimizer[1].param_groups[0]["params"], 1.0)
        for o in optimizer:
            o.step()
        texts += sum(map(len, rows))
        curves.add(parts)
        if step % 50 == 49:
            means = None
            if step % 500 == 499:
                with torch.no_grad(), cast():
                    held = [losses(model, on(b), torch.arange(len(b["rows"]), device=args.device), 0) for b in check]
                means = {k: round(float(np.mean([float(h[k]) for h in held])), 4) for k in held[0]}
            curves.write(step + 1, dict(texts=texts, rate=round(rate, 3)), means)
        if time.time() - saved > 120:
            saved = time.time()
            keep(step + 1)
    else:
        step = args.steps
    keep(step)


if __name__ == "__main__":
    main()
