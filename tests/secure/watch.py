"""Who sends which command to Redis: lines that tell users apart by their ports, and what MONITOR prints."""

import re
import socket
import subprocess
import threading
from collections import Counter, defaultdict

# Commands that have subcommands, which rules name one by one.
CONTAINERS = {"acl", "client", "cluster", "command", "config", "script", "xgroup", "xinfo"}
LINE = re.compile(r'\d+\.\d+ \[0 (lua|127\.0\.0\.1:(\d+))\] (.*)')
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Line:
    """Port of one user in front of Redis; notes the ports from which it connects there."""

    def __init__(self, user, port, users):
        self.user, self.port, self.users = user, port, users
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        """Passes each connection on."""
        while True:
            caller, _ = self.listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                caller.close()
                continue
            self.users[server.getsockname()[1]] = self.user
            for source, target in ((caller, server), (server, caller)):
                threading.Thread(target=self.copy, args=(source, target), daemon=True).start()

    @staticmethod
    def copy(source, target):
        """Copies one direction until either end closes."""
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Monitor:
    """MONITOR of a fleet's Redis. Commands of administrators, such as CONFIG, are not in it."""

    def __init__(self, fleet):
        self.file, self.users = fleet.folder / "monitor.txt", {}
        self.lines = {user: Line(user, fleet.redis_port, self.users) for user in ("gateway", "worker", "operator")}
        with open(self.file, "wb") as output:
            fleet.processes["monitor"] = subprocess.Popen(fleet.redis_cli("admin", "MONITOR"), stdout=output)

    def commands(self):
        """Returns how often each user sent each command; those of a script are its caller's."""
        counts, last = defaultdict(Counter), None
        for line in self.file.read_text(errors="replace").splitlines():
            found = LINE.match(line)
            words = WORD.findall(found[3]) if found else []
            if words:
                name = words[0].lower()
                if name in CONTAINERS and len(words) > 1:
                    name += f"|{words[1].lower()}"
                user = last if found[1] == "lua" else self.users.get(int(found[2]), "admin")
                last = user
                counts[name][user] += 1
        return counts
