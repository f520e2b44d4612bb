"""Installs the clients: a virtual environment or a node_modules folder for each group."""

import glob
import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Version of Node that openai-node needs.
NODE_LEAST = 20


class Client:
    """One line of the table: a script, and the folder whose packages it needs."""

    def __init__(self, name, folder, script, light=False, python=(3, 11), dialect=None):
        self.name, self.folder, self.light, self.python = name, folder, light, python
        self.script, self.dialect = os.path.join(HERE, folder, script), dialect

    def needs_node(self):
        """Returns whether the script runs in Node."""
        return self.script.endswith(".mjs")


CLIENTS = [
    Client("examples", "examples", "checks.py", True),
    Client("openai-python", "openai_python", "checks.py", True),
    Client("openai-node", "openai_node", "checks.mjs", True),
    Client("vercel-ai", "openai_node", "vercel.mjs"),
    Client("livekit-openai", "livekit", "openai_checks.py", python=(3, 12)),
    Client("pipecat-openai", "pipecat", "openai_checks.py", python=(3, 12)),
    Client("wyoming", "wyoming", "checks.py", True),
    Client("wyoming-openai", "wyoming_openai", "checks.py", python=(3, 12)),
    Client("open-webui", "replays", "open_webui.py", True),
    # The application speaks over aiohttp, which LiveKit's packages bring along.
    Client("open-webui-realtime", "livekit", "../replays/open_webui_realtime.py", python=(3, 12)),
    Client("librechat", "replays", "librechat.py", True),
    Client("sillytavern", "replays", "sillytavern.py", True),
    *(Client(f"{library}-{dialect}", library, "socket_checks.py", python=(3, 12), dialect=dialect)
      for dialect in ("deepgram", "cartesia", "elevenlabs") for library in ("livekit", "pipecat")),
]


def has_node():
    """Returns whether there is a Node that is new enough, and npm."""
    if not shutil.which("node") or not shutil.which("npm"):
        return False
    version = subprocess.run(["node", "--version"], check=False, capture_output=True, text=True).stdout
    major = version.strip().removeprefix("v").split(".")[0]
    return major.isdigit() and int(major) >= NODE_LEAST


def find_python(least):
    """Returns a Python of at least this version: this one, one of the PATH, or one of pyenv."""
    if sys.version_info[:2] >= least:
        return sys.executable
    named = [shutil.which(f"python3.{minor}") for minor in range(14, least[1] - 1, -1)]
    for path in [*filter(None, named), *sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3")))]:
        done = subprocess.run([path, "-c", f"import sys; sys.exit(sys.version_info[:2] < {least})"],
                              check=False, capture_output=True)
        if done.returncode == 0:
            return path
    raise RuntimeError(f"no Python of version {least[0]}.{least[1]} or later")


def install(client, cache):
    """Installs what a client needs unless it is there, and returns the command of its script."""
    source = os.path.join(HERE, client.folder)
    target = os.path.join(cache, client.folder)
    if os.path.exists(os.path.join(source, "package.json")):
        files = ["package.json", "package-lock.json"]
        once(target, source, files, "node", lambda: install_node(source, target, files))
        return ["node", copy_scripts(source, target, client.script)]
    if os.path.exists(os.path.join(source, "requirements.txt")):
        python = find_python(client.python)
        once(target, source, ["requirements.txt"], python, lambda: install_python(source, target, python))
        return [os.path.join(target, "bin", "python"), client.script, *filter(None, [client.dialect])]
    return [sys.executable, client.script]


def once(target, source, files, tool, action):
    """Runs an installation unless the same one was finished before."""
    digest = hashlib.sha256(tool.encode())
    for name in files:
        with open(os.path.join(source, name), "rb") as file:
            digest.update(file.read())
    stamp = os.path.join(target, "installed")
    if os.path.exists(stamp):
        with open(stamp, encoding="ascii") as file:
            if file.read() == digest.hexdigest():
                return
    print(f"installing {os.path.basename(target)}", file=sys.stderr, flush=True)
    shutil.rmtree(target, ignore_errors=True)
    action()
    with open(stamp, "w", encoding="ascii") as file:
        file.write(digest.hexdigest())


def install_python(source, target, python):
    """Makes a virtual environment of the pinned packages."""
    subprocess.run([python, "-m", "venv", target], check=True)
    subprocess.run([os.path.join(target, "bin", "pip"), "install", "--quiet", "--no-deps",
                    "--requirement", os.path.join(source, "requirements.txt")], check=True)


def install_node(source, target, files):
    """Installs the packages of the lockfile."""
    os.makedirs(target)
    for name in files:
        shutil.copy(os.path.join(source, name), target)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=target, check=True,
                   stdout=sys.stderr)


def copy_scripts(source, target, script):
    """Copies the scripts beside node_modules, where Node looks for packages."""
    for path in glob.glob(os.path.join(source, "*.mjs")):
        shutil.copy(path, target)
    return os.path.join(target, os.path.basename(script))
