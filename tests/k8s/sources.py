"""What the programs really have: settings, metrics, routes, ports, margins and commands, read from their sources."""

import re
from dataclasses import dataclass
from functools import cached_property

from tree import ROOT, Tree

# Folders in which the settings of the programs are declared.
SETTINGS = {"gateway": ("gateway/src", "shared/src", "shared/queue/src"),
            "worker": ("worker/src", "shared/src", "shared/queue/src")}
MAINS = {"gateway": ("gateway/src/main.rs", "GatewayCli"), "worker": ("worker/src/main.rs", "WorkerCli")}
# Variables that libraries of both programs read: the AWS SDK, the client of the hub, the verifier of certificates.
LIBRARIES = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_PROFILE", "HF_HOME",
             "SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_BACKTRACE", "OTEL_EXPORTER_OTLP_ENDPOINT"}
LIBRARY_SECRETS = {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}

STRUCT = re.compile(r"^(?:pub(?:\([a-z]+\))? )?struct (\w+)[^{;]*\{(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"#\[(?:arg|command)\((.*?)\)\]\s*(?:pub(?:\([a-z]+\))? )?\w+: ([\w:<>]+)", re.DOTALL)
ENUM = r"enum {name}[^{{]*\{{(.*?)^\}}"
VARIANT = re.compile(r"^    ([A-Z]\w*)", re.MULTILINE)


@dataclass(frozen=True)
class Setting:
    """Variable that a program reads."""

    name: str
    secret: bool


def kebab(name):
    """Returns the name of a command by the name of its variant."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


class Sources:
    """Facts of the sources, with the edits of a tree."""

    def __init__(self, tree=None):
        self.tree = tree or Tree()

    def settings(self, program):
        """Returns the settings of a program by their names."""
        return self._settings[program]

    @cached_property
    def _settings(self):
        return {program: self._read_settings(program) for program in MAINS}

    def _read_settings(self, program):
        structs = {}
        for folder in SETTINGS[program]:
            for path in sorted((ROOT / folder).rglob("*.rs")):
                text = self.tree.read(str(path.relative_to(ROOT)))
                if "arg(" in text or "flatten" in text:
                    structs.update(STRUCT.findall(text))
        found = {name: Setting(name, name in LIBRARY_SECRETS) for name in LIBRARIES}
        waiting = [MAINS[program][1]]
        while waiting:
            for attributes, kind in FIELD.findall(structs[waiting.pop()]):
                if "flatten" in attributes:
                    waiting.append(kind.rsplit("::", 1)[-1])
                elif name := re.search(r'env = "(\w+)"', attributes):
                    secret = "hide_env_values" in attributes
                    found[name[1]] = Setting(name[1], secret)
                    if secret:
                        found[f"{name[1]}_FILE"] = Setting(f"{name[1]}_FILE", False)
        return found

    def margin_seconds(self, program):
        """Returns the longest time from the end of a program's drain to its end."""
        text = self.tree.read(MAINS[program][0])
        return int(re.search(r"END_MARGIN: Duration = Duration::from_secs\((\d+)\)", text)[1])

    def listens(self, program):
        """Returns the ports that a program's image listens on, by the names of their settings."""
        text = self.tree.read(f"{program}/Dockerfile")
        return {name: int(port) for name, port in re.findall(r"(CSM_\w*LISTEN)=0\.0\.0\.0:(\d+)", text)}

    @cached_property
    def routes(self):
        """Routes of the admin port."""
        return set(re.findall(r'\.route\("(/\w+)"', self.tree.read("shared/src/process/admin.rs")))

    @cached_property
    def metrics(self):
        """Names of the metrics of the gateway and the worker."""
        names = self.tree.read("tests/it/metric_names.rs")
        return set(re.findall(r'^    "(csm_\w+)",$', names, re.MULTILINE))

    @cached_property
    def all_metrics(self):
        """Names of the metrics, and those of the process' own figures."""
        names = self.tree.read("tests/it/metric_names.rs")
        return frozenset(self.metrics) | set(re.findall(r'^    "(process_\w+)",$', names, re.MULTILINE))

    def is_command(self, words):
        """Returns whether `csm` has the command that these words begin with."""
        def variants(path, name):
            body = re.search(ENUM.format(name=name), self.tree.read(path), re.MULTILINE | re.DOTALL)[1]
            return {kebab(variant) for variant in VARIANT.findall(body)}

        if words[0] not in variants("cli/src/commands.rs", "Command"):
            return False
        group = f"{words[0].capitalize()}Command"
        text = self.tree.read(f"cli/src/commands/{words[0]}.rs")
        return f"enum {group}" not in text or words[1] in variants(f"cli/src/commands/{words[0]}.rs", group)
