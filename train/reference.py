"""Writes what the reference implementations make of a finished folder, for the test tests/it/toy_voice.rs.

    python reference.py FOLDER ../tests/golden/toy_voice.json

- `ids`: ids of texts by the package tokenizers, which has another engine of regular expressions than the fleet
- `codes`: greedy codes by transformers in f32, (frames, 32)

Needs transformers beside requirements.txt. The prompt is put together as the fleet does it: begin, "[0]text", end.
"""
import json
import pathlib
import sys

import torch
from tokenizers import Tokenizer
from transformers import CsmForConditionalGeneration

from codes import BOOK
from spelling import SPECIALS

FRAMES = 25
SPOKEN = ["Good things take time.", "The boy was there when the sun rose."]
TEXTS = [
    *SPOKEN, "", " ", "a", "I", "Hello!", "HELLO THERE", "hello  there ", "don't", "Don’t you dare", "it's John's, isn't it?",
    "'quoted' \"words\"", "well-known mother-in-law", "wait... what?!", "a,b;c:d", "(in brackets) [and these]", "tab\tand\nline",
    "naïve café, Zürich", "日本語 and English", "smile 🙂 please", "42 is 6 times 7", "x = y + z", "e-mail: me@example.com",
    "queueing onomatopoeia", "Llanfairpwllgwyngyll", "zzzz qqq xyz", "The rhythm of psychology", "mixed CamelCaseWords",
    "unquestionably counterrevolutionaries", "cwm crwth", "straße", "a" * 60, "ﬁne ligature", "é", "́", "--", "—dash—",
]


@torch.no_grad()
def main():
    folder, out = sys.argv[1:]
    model, notes = CsmForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    print({kind: sorted(keys)[:5] for kind, keys in notes.items() if keys} or "every tensor has its place")
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    begin, end = (tokenizer.token_to_id(name) for name in SPECIALS[:2])
    harvard = pathlib.Path(__file__).with_name("heldout-harvard.txt").read_text().splitlines()[:60]

    def ids(speaker, text):
        return [begin, *tokenizer.encode(f"[{speaker}]{text}", add_special_tokens=False).ids, end]

    special = list(range(BOOK, model.config.vocab_size))
    codes = []
    for speaker, text in enumerate(SPOKEN):
        prompt = torch.tensor([ids(speaker, text)])
        made = model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=FRAMES,
                              suppress_tokens=special, depth_decoder_do_sample=False, depth_decoder_suppress_tokens=special)[0]
        codes.append(dict(speaker=speaker, text=text, codes=made.tolist()))
    texts = [dict(speaker=i % 3, text=text, ids=ids(i % 3, text)) for i, text in enumerate([*TEXTS, *harvard])]
    pathlib.Path(out).write_text(json.dumps(dict(ids=texts, codes=codes), separators=(",", ":")).replace("},{", "},\n{") + "\n")
    print(f"{len(texts)} texts; frames {[len(c['codes']) for c in codes]}")


if __name__ == "__main__":
    main()
