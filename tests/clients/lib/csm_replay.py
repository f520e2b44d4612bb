"""Shared by the replays: sends the recorded requests of an application and checks the answers."""

import http.client
import json
from urllib.parse import urlsplit

from csm_checks import (
    BAD_VOICE, BASE, BUSY_BASE, LONG, SHORT, assert_cancelled, assert_resumed, assert_running,
    assert_whole, cancel, job_since, kill_worker_of, mark, samples_of)


class Replay:
    """One application: its headers, and the body that it sends for a text and a voice."""

    def __init__(self, headers, body, kind="mp3", media="audio/mpeg"):
        self.headers, self.body, self.kind, self.media = headers, body, kind, media

    def send(self, text, voice="alloy", base=BASE, **more):
        """Sends the application's request; returns the connection and the answer's head."""
        address = urlsplit(base)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=90)
        body = json.dumps({**self.body(text, voice), **more})
        connection.request("POST", "/v1/audio/speech", body, self.headers)
        return connection, connection.getresponse()

    def whole(self, text, **more):
        """Sends a request and reads the whole answer, which must be sound of the expected type."""
        connection, answer = self.send(text, **more)
        data = answer.read()
        connection.close()
        assert answer.status == 200, f"{answer.status}: {data[:300]!r}"
        found = answer.headers["content-type"]
        assert found == self.media, f"the type is {found}"
        assert answer.headers["content-encoding"] is None, "the sound was compressed again"
        return data

    def speak(self):
        """Speaks a short text."""
        at = mark()
        data = self.whole(SHORT)
        assert_whole(job_since(at), samples_of(data, self.kind), self.kind)

    def stream(self):
        """Reads the first bytes while the job runs."""
        at = mark()
        connection, answer = self.send(LONG)
        data = answer.read1(4096)
        assert_running(job_since(at))
        data += answer.read()
        connection.close()
        assert_whole(job_since(at), samples_of(data, self.kind), self.kind)

    def cancelled(self):
        """Closes the connection in mid-speech, which must cancel the job."""
        at = mark()
        connection, answer = self.send(LONG)
        answer.read1(4096)
        assert_running(job_since(at))
        answer.close()
        connection.close()
        assert_cancelled(job_since(at))

    def refusal(self, status, **more):
        """Sends a request that is refused; returns the head and the error object."""
        connection, answer = self.send(SHORT, **more)
        body = answer.read()
        connection.close()
        assert answer.status == status, f"{answer.status}: {body[:300]!r}"
        assert answer.headers["content-type"].startswith("application/json"), answer.headers["content-type"]
        error = json.loads(body)["error"]
        missing = {"message", "type", "param", "code"} - set(error)
        assert not missing, f"the error lacks {missing}"
        return answer, error

    def bad_voice(self):
        """Names an unknown voice; the message names it and the known ones."""
        _, error = self.refusal(400, voice=BAD_VOICE)
        assert error["param"] == "voice" and BAD_VOICE in error["message"], error
        assert "alloy" in error["message"], error

    def busy(self):
        """Asks a gateway without room."""
        answer, _ = self.refusal(429, base=BUSY_BASE)
        assert float(answer.headers["retry-after"]) > 0

    def broken(self):
        """Cancels the job behind a stream; the body must not end cleanly."""
        at = mark()
        connection, answer = self.send(LONG)
        answer.read1(4096)
        cancel(job_since(at))
        try:
            answer.read()
        except (http.client.IncompleteRead, ConnectionError):
            return
        finally:
            connection.close()
        raise AssertionError("the broken stream ended cleanly")

    def worker_lost(self):
        """Kills the worker in mid-speech; another finishes and every sample arrives."""
        at = mark()
        connection, answer = self.send(LONG)
        data = answer.read1(4096)
        kill_worker_of(job_since(at))
        data += answer.read()
        connection.close()
        assert_resumed(job_since(at))
        assert_whole(job_since(at), samples_of(data, self.kind), self.kind)

    def checks(self):
        """Returns the checks that all applications share."""
        return {"speak": self.speak, "stream": self.stream, "cancel": self.cancelled,
                "bad voice": self.bad_voice, "busy": self.busy, "broken": self.broken}
