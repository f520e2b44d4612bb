"""HTTP port by which the scripts of the clients steer the fleet and read the records."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from .proxy import header


class Control:
    """Serves marks, exchanges, ids of jobs, and the killing of workers."""

    def __init__(self, fleet, exchanges):
        self.fleet, self.exchanges = fleet, exchanges
        control = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                """Answers a call with JSON; an error becomes the script's error."""
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                try:
                    status, answer = 200, control.answer(url.path, query)
                except Exception as error:  # the script reports it
                    status, answer = 500, {"error": f"{type(error).__name__}: {error}"}
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path, query):
        """Answers one call of a script."""
        since, seconds = int(query.get("since", 0)), float(query.get("wait", 30))
        if path == "/mark":
            self.fleet.wait_for_workers()
            return {"exchanges": len(self.exchanges.items), "accepted": len(self.fleet.jobs_accepted())}
        if path == "/exchanges":
            return self.exchanges.items[since:]
        if path == "/exchange":
            return self.exchanges.wait(since, accept(query), seconds)
        if path == "/job":
            found = self.exchanges.wait(since, lambda x: header(x, "x-job-id"), seconds)
            return {"job": found and header(found, "x-job-id")}
        if path == "/accepted":
            return {"job": self.fleet.accepted_job(since, seconds)}
        if path == "/kill":
            return {"worker": self.fleet.kill_worker_of(query["job"])}
        raise ValueError(f"no such call: {path}")


def accept(query):
    """Makes the test for an exchange from a call's query: its path, and whether it has ended."""

    def test(exchange):
        return (exchange["path"].startswith(query.get("path", ""))
                and ("ended" not in query or exchange["end"] is not None))

    return test
