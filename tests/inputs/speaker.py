"""A program that cuts and normalises texts: one JSON object a line, in and out.

in:  {"text": "It cost $5.", "normalize": true}
out: {"sentences": [{"text": "It cost five dollars.", "written": "It cost $5."}]}
"""

import json
import shlex
import subprocess

SECONDS = 300


def speak(command, texts, normalize=True):
    """Lists the sentences of each text. An answer without sentences has none."""
    asked = "".join(json.dumps({"text": text, "normalize": normalize}) + "\n" for text in texts)
    run = subprocess.run(shlex.split(command), input=asked, stdout=subprocess.PIPE, encoding="utf-8", timeout=SECONDS)
    answers = [json.loads(line) for line in run.stdout.split("\n") if line]
    if run.returncode or len(answers) != len(texts):
        raise SystemExit(f"{command}: exit status {run.returncode}, {len(answers)} answers to {len(texts)} texts")
    return [answer.get("sentences", []) for answer in answers]


def said(command, texts):
    """Lists what is said of each text."""
    return [" ".join(sentence["text"] for sentence in sentences) for sentences in speak(command, texts)]
