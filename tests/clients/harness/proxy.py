"""Recording HTTP proxy: notes each request, its answer and how the answer ended."""

import asyncio
import threading


class Exchanges:
    """Keeps the exchanges of all proxies, in order; threads may wait for one."""

    def __init__(self):
        self.items = []
        self.changed = threading.Condition()

    def add(self, exchange):
        """Keeps an exchange and gives it its number."""
        with self.changed:
            exchange["n"] = len(self.items)
            self.items.append(exchange)
            self.changed.notify_all()

    def note(self, exchange, **values):
        """Adds to an exchange what is known by now."""
        with self.changed:
            exchange.update(values)
            self.changed.notify_all()

    def wait(self, since, accept, seconds):
        """Returns the first exchange from `since` on that `accept` takes, or None after `seconds`."""

        def find():
            return next((x for x in self.items[since:] if accept(x)), None)

        with self.changed:
            self.changed.wait_for(find, timeout=seconds)
            found = find()
            return dict(found) if found else None


def header(exchange, name):
    """Returns the value of an answer's header, or None."""
    for key, value in exchange.get("response_headers") or []:
        if key.lower() == name:
            return value
    return None


def parse_head(head):
    """Splits a head into its first line and its list of headers."""
    lines = head.decode("latin-1").split("\r\n")
    headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if ":" in line]
    return lines[0], headers


def body_kind(headers):
    """Returns `("chunked", None)`, `("length", n)` or `("close", None)`."""
    table = {name.lower(): value for name, value in headers}
    if table.get("transfer-encoding", "").lower() == "chunked":
        return "chunked", None
    if "content-length" in table:
        return "length", int(table["content-length"])
    return "close", None


async def pieces(reader, kind, length):
    """Yields the raw pieces of a body; raises `IncompleteReadError` if it ends too early."""
    if kind == "length":
        while length:
            piece = await reader.read(min(length, 65536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", length)
            length -= len(piece)
            yield piece, len(piece)
    elif kind == "chunked":
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            data = await reader.readexactly(size + 2)
            yield line + data, size
            if size == 0:
                return
    else:
        while piece := await reader.read(65536):
            yield piece, len(piece)


class Watched(asyncio.StreamReaderProtocol):
    """Protocol of a stream that tells when the caller has left, without reading from the stream."""

    def __init__(self, reader, served):
        super().__init__(reader, served)
        self.gone = asyncio.get_running_loop().create_future()

    def eof_received(self):
        self._left()
        return super().eof_received()

    def connection_lost(self, error):
        self._left()
        super().connection_lost(error)

    def _left(self):
        if not self.gone.done():
            self.gone.set_result(None)


class Proxy:
    """Listens on a free port and passes each request on to one gateway."""

    def __init__(self, loop, exchanges, upstream, name):
        self.exchanges, self.upstream, self.name = exchanges, upstream, name
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), loop).result(10)

    async def _listen(self):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: Watched(asyncio.StreamReader(limit=1 << 20), self._serve), "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        up_writer = None
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.upstream, limit=1 << 20)
            while await self._exchange(reader, writer, up_reader, up_writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for one in (writer, up_writer):
                if one:
                    one.close()

    async def _exchange(self, reader, writer, up_reader, up_writer):
        """Passes one request and its answer; returns whether the connections can take another."""
        head = await reader.readuntil(b"\r\n\r\n")
        line, headers = parse_head(head[:-4])
        method, path, _ = line.split(" ", 2)
        exchange = {"proxy": self.name, "method": method, "path": path, "request_headers": headers,
                    "body": "", "status": None, "bytes": 0, "end": None}
        up_writer.write(head)
        kind, length = body_kind(headers)
        body = b""
        if kind != "close":
            async for piece, _size in pieces(reader, kind, length):
                body += piece
                up_writer.write(piece)
                await up_writer.drain()
        exchange["body"] = body[:65536].decode("utf-8", "replace")
        self.exchanges.add(exchange)
        gone = writer.transport.get_protocol().gone
        work = asyncio.ensure_future(self._answer(exchange, reader, writer, up_reader, up_writer))
        await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        work.cancel()
        self.exchanges.note(exchange, end="client closed")
        return False

    async def _answer(self, exchange, reader, writer, up_reader, up_writer):
        """Copies head and body of the answer; returns whether the connection stays open."""
        head = await up_reader.readuntil(b"\r\n\r\n")
        line, headers = parse_head(head[:-4])
        status = int(line.split(" ")[1])
        writer.write(head)
        self.exchanges.note(exchange, status=status, response_headers=headers)
        if status == 101:
            await asyncio.wait({asyncio.ensure_future(copy(reader, up_writer)),
                                asyncio.ensure_future(copy(up_reader, writer))},
                               return_when=asyncio.FIRST_COMPLETED)
            self.exchanges.note(exchange, end="closed")
            return False
        empty = exchange["method"] == "HEAD" or status in (204, 304)
        kind, length = ("length", 0) if empty else body_kind(headers)
        try:
            async for piece, size in pieces(up_reader, kind, length):
                writer.write(piece)
                exchange["bytes"] += size
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.exchanges.note(exchange, end="aborted")
            return False
        self.exchanges.note(exchange, end="complete")
        closes = any(n.lower() == "connection" and v.lower() == "close" for n, v in headers)
        return kind != "close" and not closes


async def copy(reader, writer):
    """Copies bytes until one side ends."""
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass


def start_loop():
    """Starts an event loop in a thread of its own and returns it."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop
