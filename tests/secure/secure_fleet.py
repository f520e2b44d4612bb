"""A fleet whose Redis speaks TLS alone and knows the users of k8s/components/redis-secure/users.acl."""

import re
import secrets
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/observability"))
from fleet import ANSWER_SECONDS, Fleet, free_port, http, until  # noqa: E402, F401

ACL = ROOT / "k8s/components/redis-secure/users.acl"
# Words of the file that only Redis 7.2, Valkey 7.2 and later know.
NEWER = (" +client|setinfo", " +waitaof")
NEWER_SINCE = (7, 2)


def make_secrets(folder):
    """Makes passwords, rules and certificates for this machine, as docs/redis.md says."""
    subprocess.run([str(ROOT / "scripts/redis-secrets.sh"), str(folder), "127.0.0.1", "localhost"], check=True,
                   capture_output=True)
    return folder


def faults_of(fleet, check):
    """Runs a check on a fleet and ends the fleet; prints the faults and returns them. A check that breaks off shows the logs."""
    try:
        faults = check(fleet)
    except BaseException:
        for log in sorted(fleet.folder.glob("*.log")):
            print(f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-8:], sep="\n", file=sys.stderr)
        raise
    finally:
        fleet.end()
    for fault in faults:
        print(f"FAULT: {fault}")
    return faults


def server_version():
    """Returns major and minor of the redis-server on PATH."""
    said = subprocess.run(["redis-server", "--version"], check=True, capture_output=True, text=True).stdout
    return tuple(map(int, re.search(r"v=(\d+)\.(\d+)", said).groups()))


def known_rules(text):
    """Returns rules without the words that the server on PATH does not know."""
    if server_version() < NEWER_SINCE:
        for word in NEWER:
            text = text.replace(word, "")
    return text


class SecureFleet(Fleet):
    """Fleet with a Redis that is reached by TLS and a user's password alone."""

    def __init__(self, binaries, model, trust="CSM_REDIS_CA"):
        super().__init__(binaries, model, rules=None)
        self.secrets = make_secrets(self.folder / "secrets")
        self.passwords = {file.name: file.read_text().strip() for file in (self.secrets / "passwords").iterdir()}
        self.passwords["admin"] = secrets.token_hex(16)
        self.authority = self.secrets / "tls/ca.crt"
        self.environment |= {trust: str(self.authority)}

    def url(self, user):
        """Returns the URL of Redis for a user of the fleet."""
        return f"rediss://csm-{user}:{self.passwords[user]}@127.0.0.1:{self.redis_port}"

    def start_redis(self, *settings):
        """Starts Redis on a TLS port alone; `csm-admin` stands beside the shipped users, for the check itself."""
        acl, tls = self.folder / "users.acl", self.secrets / "tls"
        admin = f"user csm-admin on >{self.passwords['admin']} ~* &* +@all\n"
        acl.write_text(known_rules((self.secrets / "users.acl").read_text()) + admin)
        self.start("redis", ["redis-server", "--port", "0", "--tls-port", str(self.redis_port), "--bind", "127.0.0.1",
                             "--tls-cert-file", str(tls / "tls.crt"), "--tls-key-file", str(tls / "tls.key"),
                             "--tls-ca-cert-file", str(self.authority), "--tls-auth-clients", "no", "--save", "",
                             "--aclfile", str(acl), *(settings or ("--appendonly", "no"))])
        until("Redis", lambda: self.redis("PING").strip() == "PONG")

    def start_program(self, program, name, *settings):
        """Starts a gateway or a worker as its own user of Redis."""
        self.environment["CSM_REDIS_URL"] = self.url(program)
        super().start_program(program, name, *settings)

    def redis_cli(self, user, *words):
        """Returns the command line of redis-cli as a user."""
        return ["redis-cli", "--tls", "--cacert", str(self.authority), "-p", str(self.redis_port), "--no-auth-warning",
                "--user", f"csm-{user}", "--pass", self.passwords[user], *words]

    def redis(self, *words):
        """Runs redis-cli as the check's own user; returns what it prints."""
        done = subprocess.run(self.redis_cli("admin", *words), capture_output=True, text=True, timeout=ANSWER_SECONDS)
        if done.returncode:
            raise OSError(done.stderr)
        return done.stdout

    def csm(self, *words, timeout=60):
        """Runs `csm` as the operator; returns the finished process."""
        environment = self.environment | {"CSM_REDIS_URL": self.url("operator"),
                                          "CSM_URL": f"http://127.0.0.1:{next(iter(self.api.values()))}"}
        return subprocess.run([str(self.binaries / "csm"), *words], capture_output=True, text=True, timeout=timeout,
                              env=environment, cwd=self.folder)
