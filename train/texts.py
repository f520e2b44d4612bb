"""The sentences: WordNet's usage examples, word drills, the phrases of a demonstration, and longer texts joined of them.

    python texts.py OUT [--wordnet /usr/share/wordnet] [--seed 1]

Writes train.txt and heldout.txt, one text a line, in lower case with commas, full stops, question and exclamation marks
and apostrophes, and words.txt, the words with how often WordNet uses them. Half of heldout.txt are WordNet's examples, none
of them in training; the other half are the Harvard sentences beside this file, no source of the training texts.
"""
import argparse
import collections
import pathlib
import random
import re

HERE = pathlib.Path(__file__).parent
PLAIN = re.compile(r"[a-z][a-z ,.?!';:-]*[a-z.?!]$")
LONGEST = 240                      # bytes of the longest text that the fleet speaks as one utterance
HELDOUT = 250                      # held-out sentences of each source


def clean(text):
    text = text.strip().lower().replace(";", ",").replace(":", ",").replace("--", ",")
    return re.sub(r"\s+", " ", text.replace("-", " ")).strip(" ,")


def words(text):
    return re.findall(r"[a-z']+", text)


def wordnet(folder):
    """The examples (in quotes), and the frequency of every word over examples and glosses."""
    examples, count = [], collections.Counter()
    for name in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{name}").read_text(errors="replace").splitlines():
            gloss = line.partition(" | ")[2]
            count.update(words(gloss.lower()))
            for quote in re.findall(r'"([^"]+)"', gloss):
                text = clean(quote)
                if PLAIN.match(text) and 1 <= len(words(text)) <= 16 and len(text) <= 90:
                    examples.append(text)
    return sorted(set(examples)), count


GREETINGS = """hello|hello world|hello there|hi|good morning|good afternoon|good evening|good night|welcome|thank you
thank you very much|please wait|one moment please|goodbye|see you later|how are you|i am fine|yes|no|all right
nice to meet you|have a nice day|this is a test|testing, one, two, three|can you hear me|i can speak|hello, world
this voice is small|i am a very small model|welcome back|it works|well done|happy birthday|good luck|never mind
the quick brown fox jumps over the lazy dog|to be or not to be, that is the question|the sun is shining today
your speech is ready|your job is ready|your job is done|the job has failed|the queue is empty|the server is ready
this is a small speaking model|it was trained on a small computer|i was trained in a few hours
open the door|close the window|turn on the light|turn off the music|what time is it|where are we going""".replace("\n", "|").split("|")
SMALL = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
         "eighteen nineteen").split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
MONTHS = "january february march april may june july august september october november december".split()
THINGS = "job voice speaker worker server queue test message word sentence sample track chapter page room gate line".split()
STATES = "ready|done|empty|waiting|running|full|closed|open|here|late|on time|cold|warm|new|old|small|large|fast|slow|good".split("|")


def number(n):
    if n < 20:
        return SMALL[n]
    if n < 100:
        return TENS[n // 10 - 2] + ("" if n % 10 == 0 else " " + SMALL[n % 10])
    return SMALL[n // 100] + " hundred" + ("" if n % 100 == 0 else " " + number(n % 100))


def phrase(rng):
    n = lambda top=100: rng.randrange(top)
    pick = rng.choice
    return pick([
        lambda: pick(GREETINGS),
        lambda: f"the {pick(THINGS)} is {pick(STATES)}",
        lambda: f"{pick(THINGS)} number {number(n(1000))} is {pick(STATES)}",
        lambda: f"your {pick(THINGS)} is {pick(STATES)}, {pick(GREETINGS)}",
        lambda: f"it is {number(1 + n(12))} {pick(['o clock', 'thirty', 'fifteen', 'in the morning', 'in the evening'])}",
        lambda: f"today is {pick(DAYS)}, {pick(MONTHS)} {number(1 + n(30))}",
        lambda: f"we will meet on {pick(DAYS)} at {number(1 + n(12))}",
        lambda: ", ".join(number(n(20)) for _ in range(2 + n(5))),
        lambda: f"{number(n())} and {number(n())} is {number(n())}",
        lambda: f"there are {number(2 + n(90))} {pick(THINGS)}s in the {pick(THINGS)}",
        lambda: f"{pick(GREETINGS)}, this is {pick(THINGS)} {number(n())}",
    ])()


def joined(sentences, rng):
    """Several sentences as one text, up to the longest that is one utterance."""
    limit, text = rng.randrange(60, LONGEST), ""
    while True:
        sentence = rng.choice(sentences)
        if not sentence[-1] in ".?!":
            sentence += rng.choice([",", ".", "."])
        if len(text) + 1 + len(sentence) > limit:
            return text.rstrip(",")
        text = f"{text} {sentence}".strip()


def main():
    args = argparse.ArgumentParser()
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--wordnet", type=pathlib.Path, default="/usr/share/wordnet")
    args.add_argument("--drills", type=int, default=10000)
    args.add_argument("--phrases", type=int, default=4000)
    args.add_argument("--joined", type=int, default=8000)
    args.add_argument("--seed", type=int, default=1)
    args = args.parse_args()
    rng = random.Random(args.seed)
    examples, count = wordnet(args.wordnet)
    examples = [e for e in examples if all(count[w] >= 3 for w in words(e))]
    # The held-out sentences are the same whatever the seed.
    order = random.Random(1).sample(examples, len(examples))
    kept = [e for e in order if 4 <= len(words(e)) <= 12 and all(count[w] >= 6 for w in words(e))][:HELDOUT]
    harvard = [clean(line) for line in (HERE / "heldout-harvard.txt").read_text().splitlines()][:HELDOUT]
    heldout = [h + "." if h[-1].isalpha() else h for h in kept + harvard]
    barred = {h.strip(".?!") for h in kept + harvard}
    rest = [e for e in examples if e.strip(".?!") not in barred]
    vocabulary = collections.Counter(w for e in rest for w in words(e))
    # Drills: one to four words, drawn so that rarer words come up more often than their share.
    pool = [w for w in vocabulary if count[w] >= 4 and len(w) > 1]
    weight = [vocabulary[w] ** 0.4 for w in pool]
    drills = [" ".join(rng.choices(pool, weight, k=rng.choice([1, 1, 2, 2, 3, 4]))) for _ in range(args.drills)]
    phrases = [phrase(rng) for _ in range(args.phrases)]
    train = [t + rng.choice(["", ".", ".", "."]) if t[-1].isalnum() else t for t in rest + drills + phrases]
    train += [t for t in (joined(rest + phrases, rng) for _ in range(args.joined)) if t]
    train = sorted(t for t in set(train) if t.strip(".?!") not in barred)
    rng.shuffle(train)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "train.txt").write_text("\n".join(train) + "\n")
    (args.out / "heldout.txt").write_text("\n".join(heldout) + "\n")
    (args.out / "words.txt").write_text("".join(f"{w} {n}\n" for w, n in count.most_common() if n >= 2))
    print(f"{len(train)} training texts, {len(heldout)} held out, {len(vocabulary)} words, {len(pool)} in drills")


if __name__ == "__main__":
    main()
