"""A fleet whose Redis speaks TLS alone and knows the users of k8s/components/redis-secure/users.acl, each with a password."""

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


def openssl(*words):
    """Runs openssl."""
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def authority(folder, name):
    """Makes a certificate authority; returns its certificate and key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", key, "-out", certificate)
    return certificate, key


def certificate(folder, name, issuer):
    """Makes a certificate for this machine by an authority; returns it and its key."""
    request, made, key, names = (folder / f"{name}.{end}" for end in ("csr", "crt", "key", "names"))
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", issuer[0], "-CAkey", issuer[1], "-CAcreateserial", "-days", "2",
            "-extfile", names, "-out", made)
    return made, key


def server_version():
    """Returns major and minor of the redis-server on PATH."""
    said = subprocess.run(["redis-server", "--version"], check=True, capture_output=True, text=True).stdout
    return tuple(map(int, re.search(r"v=(\d+)\.(\d+)", said).groups()))


def rules(folder, passwords):
    """Returns the shipped rules with passwords, without the words that the server on PATH does not know."""
    (folder / "passwords").mkdir(exist_ok=True)
    for user, password in passwords.items():
        (folder / "passwords" / user).write_text(password)
    command = ["sh", str(ACL.with_name("acl.sh")), str(ACL), str(folder / "passwords")]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if server_version() < NEWER_SINCE:
        for word in NEWER:
            text = text.replace(word, "")
    return text


class SecureFleet(Fleet):
    """Fleet with a Redis that is reached by TLS and a user's password alone."""

    def __init__(self, binaries, model, trust="CSM_REDIS_CA"):
        super().__init__(binaries, model, rules=None)
        self.passwords = {user: secrets.token_hex(16) for user in ("gateway", "worker", "operator", "admin")}
        self.authority = authority(self.folder, "authority")
        self.certificate = certificate(self.folder, "redis", self.authority)
        self.trust = {trust: str(self.authority[0])}
        self.environment |= self.trust

    def url(self, user):
        """Returns the URL of Redis for a user of the fleet."""
        return f"rediss://csm-{user}:{self.passwords[user]}@127.0.0.1:{self.redis_port}"

    def start_redis(self, *settings):
        """Starts Redis on a TLS port alone; `csm-admin` stands beside the shipped users, for the check itself."""
        acl = self.folder / "users.acl"
        acl.write_text(rules(self.folder, self.passwords) + f"user csm-admin on >{self.passwords['admin']} ~* &* +@all\n")
        self.start("redis", ["redis-server", "--port", "0", "--tls-port", str(self.redis_port), "--save", "",
                             "--tls-cert-file", str(self.certificate[0]), "--tls-key-file", str(self.certificate[1]),
                             "--tls-ca-cert-file", str(self.authority[0]), "--tls-auth-clients", "no",
                             "--aclfile", str(acl), *(settings or ("--appendonly", "no"))])
        until("Redis", lambda: self.redis("PING").strip() == "PONG")

    def start_program(self, program, name, *settings):
        """Starts a gateway or a worker as its own user of Redis."""
        self.environment["CSM_REDIS_URL"] = self.url(program)
        super().start_program(program, name, *settings)

    def redis_cli(self, user, *words):
        """Returns the command line of redis-cli as a user."""
        return ["redis-cli", "--tls", "--cacert", str(self.authority[0]), "-p", str(self.redis_port), "--no-auth-warning",
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
