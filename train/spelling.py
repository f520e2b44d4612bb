"""The tokenizer: English spelling to phones, as the normalizer of an ordinary tokenizer.json.

    python spelling.py OUT --flite ./flite         # OUT holds words.txt of texts.py

A model of a few million weights has better things to learn than that `through` rhymes with `blue`. So the normalizer, a list
of replacements, writes phones for letters: whole words for the commonest ones, rules for all others. Both are made from
flite's lexicon (CMU). A rule reads "letter x between these letters is that phone"; rules are found greedily, each the one
that mends most of what is still wrong. The first rule that matches a letter counts.

A letter that a rule has replaced stays visible to the contexts of later rules: its stand-in is one character for letter and
phones together. Every stand-in is a token; the tokens of one sound share their embedding (`Spelling.canonical`).
"""
import argparse
import collections
import json
import math
import pathlib
import re

import numpy as np

import flite

PHONES = ("pau aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z "
          "zh").split()
# One character for each phone, none of them a lower-case letter of the alphabet.
SYMBOLS = dict(zip(PHONES[1:], "ÄÆɄÒŴƏÝBČDÐEŘÉFGHIÍJKLMNŊÓŎPRSŠTÞUÚVWYZŽ"))
LETTERS = "abcdefghijklmnopqrstuvwxyz'"
UNKNOWN, BLANKS = "�", " ,.?!"
SPEAKER = "[]0123456789"
SPECIALS = ["<|begin_of_text|>", "<|end_of_text|>", "<|AUDIO|>", "<|audio_eos|>"]
STAND_INS = 0xE000                 # private use: 64 characters for each letter
CONTEXT = 4                        # letters looked at on each side
# Words that are common in speech and rare in WordNet.
ALWAYS = """i'm you're he's she's it's we're they're i've you've we've they've i'll you'll he'll she'll it'll we'll they'll i'd
you'd he'd she'd we'd they'd isn't aren't wasn't weren't don't doesn't didn't haven't hasn't hadn't can't couldn't won't
wouldn't shouldn't that's there's here's what's who's where's let's o'clock hello hi goodbye okay yes thanks welcome please
sorry server worker queue gateway job demo audio online email website""".split()


# ---------------------------------------------------------------- letters and phones, aligned
def align(word, phones, chance):
    """For each letter the zero to two phones that it stands for, or None."""
    n, m = len(word), len(phones)
    best = [[-math.inf] * (m + 1) for _ in range(n + 1)]
    taken = [[0] * (m + 1) for _ in range(n + 1)]
    best[0][0] = 0.0
    for i in range(n):
        for j in range(m + 1):
            if best[i][j] == -math.inf:
                continue
            for k in range(min(2, m - j) + 1):
                score = best[i][j] + math.log(chance[word[i], tuple(phones[j:j + k])]) - (k == 2)
                if score > best[i + 1][j + k]:
                    best[i + 1][j + k], taken[i + 1][j + k] = score, k
    if best[n][m] == -math.inf:
        return None
    found, j = [], m
    for i in range(n, 0, -1):
        k = taken[i][j]
        found.append(tuple(phones[j - k:j]))
        j -= k
    return found[::-1]


def alignments(lexicon, rounds=6):
    """Alignments of all words, by expectation maximisation from what stands at the same place of letters and phones."""
    together, seen = collections.Counter(), collections.Counter()
    for word, phones in lexicon.items():
        for i, letter in enumerate(word):
            seen[letter] += 1
            for j, phone in enumerate(phones):
                together[letter, (phone,)] += abs(i / len(word) - j / len(phones)) < 0.25
    chance = collections.defaultdict(lambda: 1e-5, {k: 0.5 * n / seen[k[0]] + 1e-5 for k, n in together.items()})
    chance.update({(letter, ()): 0.1 for letter in LETTERS})
    for _ in range(rounds):
        found = {w: a for w, p in lexicon.items() if (a := align(w, p, chance))}
        together, seen = collections.Counter(), collections.Counter()
        for word, parts in found.items():
            together.update(zip(word, parts))
            seen.update(word)
        chance = collections.defaultdict(lambda: 1e-6, {k: n / seen[k[0]] for k, n in together.items()})
    return found


# ---------------------------------------------------------------- rules
def letter_rules(places, limit, least):
    """Rules of one letter, [(gain, left, right, phones)], the last and most general first. `places`: [(left, right, phones,
    weight)] with contexts padded by #."""
    shapes = [(l, r) for l in range(CONTEXT + 1) for r in range(CONTEXT + 1) if 0 < l + r <= 5]
    kinds = {}
    target = np.array([kinds.setdefault(p, len(kinds)) for _, _, p, _ in places])
    weight = np.array([w for *_, w in places])
    kind, many = list(kinds), len(kinds)
    contexts, names, sums = [], [], []
    for l, r in shapes:
        index = {}
        number = np.full(len(places), -1)
        for k, (left, right, _, _) in enumerate(places):
            context = (left[CONTEXT - l:], right[:r])
            if "##" not in context[0] and "##" not in context[1]:
                number[k] = index.setdefault(context, len(index))
        inside = number >= 0
        contexts.append(number)
        names.append(list(index))
        sums.append(np.bincount(number[inside] * many + target[inside], weight[inside], len(index) * many).reshape(-1, many))
    first = np.bincount(target, weight, many)
    said = np.full(len(places), first.argmax())
    rules = [(first.max(), "", "", kind[first.argmax()])]
    while len(rules) <= limit:
        right_now = (said == target) * weight
        best = (0, 0, 0, 0, 0)
        for s, (number, table) in enumerate(zip(contexts, sums)):
            inside = number >= 0
            gains = table - np.bincount(number[inside], right_now[inside], len(table))[:, None]
            at = gains.argmax()
            worth = gains.flat[at] * (1 - 0.02 * sum(shapes[s]))      # of equals, the shorter context
            best = max(best, (worth, gains.flat[at], s, at // many, at % many))
        if best[1] <= least:
            break
        _, gain, s, context, phones = best
        said[contexts[s] == context] = phones
        rules.append((gain, *names[s][context], kind[phones]))
    return rules


class Reader:
    """The commonest words as they are, and the rules for all others."""

    def __init__(self, lexicon, count, words, rules):
        # A letter is at most one token, so that a text's bytes bound its tokens.
        fits = lambda w: len(lexicon[w]) <= len(w)
        ranked = sorted(filter(fits, lexicon), key=lambda w: (w not in ALWAYS, -count[w]))
        self.words = {w: lexicon[w] for w in ranked[:words]}
        found = alignments(lexicon)
        places = collections.defaultdict(list)
        for word, parts in found.items():
            if word in self.words:
                continue
            padded = "#" * CONTEXT + word + "#" * CONTEXT
            for i, phones in enumerate(parts):
                places[word[i]].append((padded[i:i + CONTEXT], padded[i + CONTEXT + 1:i + 2 * CONTEXT + 1], phones,
                                        count[word] ** 0.7))
        lists = {letter: letter_rules(places[letter], 150, 1.0) for letter in LETTERS if letter in places}
        gains = sorted((g for found in lists.values() for g, *_ in found[1:]), reverse=True)
        least = gains[min(rules, len(gains) - 1)]
        self.rules = {}
        for letter, found in lists.items():
            keep = 1 + max((i for i in range(1, len(found)) if found[i][0] >= least), default=0)
            self.rules[letter] = [(l, r, p) for _, l, r, p in found[1:keep][::-1] + found[:1]]

    def read(self, word):
        if word in self.words:
            return list(self.words[word])
        padded, phones = "#" * CONTEXT + word + "#" * CONTEXT, []
        for i, letter in enumerate(word):
            left, right = padded[i:i + CONTEXT], padded[i + CONTEXT + 1:i + 2 * CONTEXT + 1]
            phones += next((p for l, r, p in self.rules.get(letter, []) if left.endswith(l) and right.startswith(r)), ())
        return phones


# ---------------------------------------------------------------- tokenizer.json
def stand_in(letter, number):
    return chr(STAND_INS + LETTERS.index(letter) * 64 + number)


def tokenizer(reader):
    """(tokenizer.json as a dictionary, the phones of each id)."""
    phones_of = {SYMBOLS[p]: (p,) for p in PHONES[1:]}
    number = {}
    for letter, rules in reader.rules.items():
        kinds = {p: n for n, p in enumerate(dict.fromkeys(p for *_, p in rules))}
        for phones, n in kinds.items():
            number[letter, phones] = n
            phones_of[stand_in(letter, n)] = phones
    any_letter = "a-z'" + f"{chr(STAND_INS)}-{chr(STAND_INS + 64 * len(LETTERS) - 1)}"
    one = lambda c: f"[{c}{stand_in(c, 0)}-{stand_in(c, 63)}]"

    def context(letters, before):
        edge = letters.startswith("#") if before else letters.endswith("#")
        letters = "".join(map(one, letters.strip("#")))
        if before:
            return (f"(?<![{any_letter}])" if edge and not letters else f"(?<=[^{any_letter}]{letters})" if edge else
                    f"(?<={letters})" if letters else "")
        return f"(?={letters}(?![{any_letter}]))" if edge else f"(?={letters})" if letters else ""

    replace = lambda pattern, content: {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}
    spell = lambda phones: "".join(SYMBOLS[p] for p in phones)
    steps = [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
             replace("[’‘`]", "'"), replace("[;:]", ","), replace(r"[^a-z'\[\]0-9,.?!]+", " "),
             replace(r"\[(?![0-9])|(?<![0-9])\]", " "), replace(r"(?<![a-z])'|'(?![a-z])", "")]
    # Longer words first: `don` is no word within `don't`.
    for word in sorted(reader.words, key=lambda w: (-len(w), w)):
        steps.append(replace(rf"\b{word}\b", spell(reader.words[word])))
    hard = "".join(SYMBOLS[p] for p in ("p", "t", "k", "f", "th"))
    for pattern, phones in ((r"n't\b", ["n", "t"]), (rf"(?<=[{hard}])'s\b", ["s"]), (r"'s\b", ["z"]), (r"'ll\b", ["ax", "l"]), (r"'ve\b", ["v"]),
                            (r"'re\b", ["er"]), (r"'d\b", ["d"]), (r"'m\b", ["m"])):
        steps.append(replace(pattern, spell(phones)))
    # A space before the text, so that a word's edge is a character to look back at.
    for letter, rules in reader.rules.items():
        for left, right, phones in rules:
            steps.append(replace(context(left, True) + letter + context(right, False), stand_in(letter, number[letter, phones])))
    silent = "".join(c for c, p in phones_of.items() if not p)
    steps.append(replace(f"[{silent}']", ""))
    # A letter without a rule and any other character would be unknown: it is dropped.
    known = [UNKNOWN, *BLANKS, *SPEAKER, *(c for c, p in phones_of.items() if p)]
    vocab = {c: i for i, c in enumerate(known)}
    specials = {name: len(vocab) + i for i, name in enumerate(SPECIALS)}
    begin = {"SpecialToken": {"id": SPECIALS[0], "type_id": 0}}
    text = lambda name, kind: {"Sequence": {"id": name, "type_id": kind}}
    whole = dict(
        version="1.0", truncation=None, padding=None,
        added_tokens=[dict(id=i, content=n, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
                      for n, i in specials.items()],
        normalizer=dict(type="Sequence", normalizers=steps),
        pre_tokenizer=dict(type="Split", pattern={"Regex": "."}, behavior="Isolated", invert=False),
        post_processor=dict(type="TemplateProcessing", single=[begin, text("A", 0)],
                            pair=[begin, text("A", 0), {"SpecialToken": {"id": SPECIALS[0], "type_id": 1}}, text("B", 1)],
                            special_tokens={SPECIALS[0]: dict(id=SPECIALS[0], ids=[specials[SPECIALS[0]]], tokens=[SPECIALS[0]])}),
        decoder=None,
        model=dict(type="WordLevel", vocab=vocab | specials, unk_token=UNKNOWN))
    return whole, [list(phones_of.get(c, ())) for c in known]


class Spelling:
    """The tokenizer as training uses it."""

    def __init__(self, path):
        stored = json.loads(pathlib.Path(path).read_text())
        vocab = stored["model"]["vocab"]
        self.vocab = len(vocab)
        self.begin, self.end = (vocab[name] for name in SPECIALS[:2])
        self._ids = vocab
        self.phones = json.loads(pathlib.Path(path).with_name("phones.json").read_text())
        # The first id of the same sound.
        first = {}
        self.canonical = np.array([first.setdefault(tuple(p), i) if p else i for i, p in enumerate(self.phones)]
                                  + list(range(len(self.phones), self.vocab)))

    def id(self, token):
        return self._ids[token]

    def speaker_ids(self, speaker):
        return [self._ids[c] for c in f"[{speaker}]"]


def differences(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        before, row[0] = row[:], i + 1
        for j, y in enumerate(b):
            row[j + 1] = min(before[j + 1] + 1, row[j] + 1, before[j] + (x != y))
    return row[-1]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--flite", default="./flite")
    args.add_argument("--words", type=int, default=4000, help="words that are written out")
    args.add_argument("--rules", type=int, default=700)
    args = args.parse_args()
    count = {w: int(n) for w, n in (line.split() for line in (args.out / "words.txt").read_text().splitlines())}
    count.update({w: 1 for w in ALWAYS if w not in count})
    plain = [w for w in count if re.fullmatch(r"[a-z]+('[a-z]+)?", w) and len(w) <= 16]
    lexicon = flite.words(plain, args.flite)
    # The lexicon has no contractions; the voice itself knows them.
    for word, (phones, _) in zip(ALWAYS, flite.utterances(ALWAYS, args.flite)):
        lexicon[word] = [name for name, _ in phones if name != "pau"]
    reader = Reader(lexicon, count, args.words, args.rules)
    whole, phones = tokenizer(reader)
    (args.out / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=False, indent=0) + "\n")
    (args.out / "phones.json").write_text(json.dumps(phones) + "\n")
    heldout = collections.Counter(re.findall(r"[a-z']+", (args.out / "heldout.txt").read_text()))
    for name, weights in (("WordNet", count), ("held-out texts", heldout)):
        known = {w: n for w, n in weights.items() if w in lexicon}
        right = sum(n for w, n in known.items() if reader.read(w) == lexicon[w])
        wrong = sum(n * differences(reader.read(w), lexicon[w]) for w, n in known.items())
        phones = sum(n * len(lexicon[w]) for w, n in known.items())
        print(f"{name}: words right {right / sum(known.values()):.3f}, phones {1 - wrong / phones:.4f}")
    print(f"{len(reader.words)} words, {sum(map(len, reader.rules.values()))} rules, {len(whole['model']['vocab'])} ids")


if __name__ == "__main__":
    main()
