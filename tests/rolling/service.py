"""The Service in front of the gateways: HAProxy, which treats connections as kube-proxy does.

A new connection goes to a ready pod. An open one stays with its pod, ready or not. A connection that its pod refuses is
not tried on another one.
"""

import json
import socket
import subprocess

PODS_MAX = 4
ANSWER_SECONDS = 10
BACKEND = "gateways"


def configuration(port, path, probe):
    """Returns HAProxy's configuration. A check is the readiness probe of the manifest."""
    return f"""
global
    stats socket {path} level admin
defaults
    mode tcp
    retries 0
    timeout connect {ANSWER_SECONDS}s
    timeout client 1h
    timeout server 1h
frontend service
    bind 127.0.0.1:{port}
    default_backend {BACKEND}
backend {BACKEND}
    option httpchk GET {probe.path}
    http-check expect status 200
    default-server check inter {probe.period}s fall {probe.failures} rise 1
    server-template pod 1-{PODS_MAX} 127.0.0.1:1 disabled
"""


class Service:
    """HAProxy with a place for each pod."""

    def __init__(self, folder, port, probe):
        self.port, self.socket = port, folder / "haproxy.sock"
        self.file = folder / "haproxy.cfg"
        self.file.write_text(configuration(port, self.socket, probe))
        self.places = {}

    def command(self):
        """Returns the command that starts HAProxy; fails if it refuses its configuration."""
        subprocess.run(["haproxy", "-c", "-q", "-f", str(self.file)], check=True, timeout=ANSWER_SECONDS)
        return ["haproxy", "-db", "-f", str(self.file)]

    def order(self, words):
        """Gives HAProxy an order; returns its answer, and fails if it is an error."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(str(self.socket))
            connection.sendall(words.encode() + b"\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode().strip()
        return answer

    def change(self, place, what):
        """Changes a place; fails if HAProxy complains."""
        answer = self.order(f"set server {BACKEND}/pod{place} {what}")
        if answer and "no need to change" not in answer and "changed from" not in answer:
            raise ValueError(f"{what}: {answer}")

    def add(self, pod, port, admin):
        """Sends new connections to a pod."""
        place = next(number for number in range(1, PODS_MAX + 1) if number not in self.places.values())
        self.places[pod] = place
        self.change(place, f"addr 127.0.0.1 port {port}")
        self.change(place, f"check-port {admin}")
        self.change(place, "state ready")

    def drain(self, pod):
        """Sends no new connection to a pod."""
        self.change(self.places[pod], "state drain")

    def remove(self, pod):
        """Forgets a pod that has ended."""
        self.change(self.places.pop(pod), "state maint")

    def states(self):
        """Returns the state of each place, as HAProxy's statistics name it."""
        entries = json.loads(self.order("show stat json"))
        rows = [{field["field"]["name"]: field["value"]["value"] for field in entry} for entry in entries]
        return {row["svname"]: row["status"] for row in rows if row["pxname"] == BACKEND and row["svname"] != "BACKEND"}
