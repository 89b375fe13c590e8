"""A process that decodes: it gets samples over a socket and answers with one message a picture, in order.

    request    length (8 bytes), then a pickle of (items, names)
    answer     kind (1 byte), length (8 bytes), then the pixels h w C, or a pickle that says what is wrong

It ends with its parent, however that ends: the parent alone holds the other end of the pipe `life`, and when that end
closes the kernel kills this process, even while a decoder holds the interpreter.
"""

import fcntl
import os
import pickle
import select
import signal
import socket
import struct
from contextlib import suppress
from typing import Any

from striate.base.errors import StriateError
from striate.data.decode import DecodeFault, decoded
from striate.data.items import Items
from striate.data.picture import Picture

PIXELS, FAULT, REFUSED, NO_MEMORY, RAISED, READY = range(6)  # kinds of answers
REQUEST = struct.Struct("<Q")
ANSWER = struct.Struct("<BQ")


def receive(line: socket.socket, view: memoryview) -> None:
    """Fill a buffer.

    Raises:
        EOFError: the other side is gone.
        TimeoutError: nothing came for as long as the socket waits.
    """
    while view:
        count = line.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]


def main(line_number: int, life: int) -> None:
    """Work until the parent closes the line.

    Args:
        line_number: descriptor of the socket.
        life: descriptor of the pipe that nothing is written to.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    _die_with(life)
    with socket.socket(fileno=line_number) as line, suppress(EOFError, ConnectionError):
        picture = _request(line)
        assert isinstance(picture, Picture)
        line.sendall(ANSWER.pack(READY, 0))
        while True:
            items, names = _request(line)
            for row, name in enumerate(names):
                kind, told = _decoded(items, row, name, picture)
                line.sendall(ANSWER.pack(kind, len(told)))
                line.sendall(told)


def _die_with(life: int) -> None:
    """Let the kernel send SIGKILL when the other end of this pipe closes."""
    # prctl(PR_SET_PDEATHSIG) would strike when the thread that started us ends, not the process.
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    if hasattr(fcntl, "F_SETSIG"):  # elsewhere SIGIO comes, which ends a process too
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([life], [], [], 0)[0]:  # it closed before that
        os._exit(1)


def _request(line: socket.socket) -> Any:
    length = bytearray(REQUEST.size)
    receive(line, memoryview(length))
    content = bytearray(REQUEST.unpack(length)[0])
    receive(line, memoryview(content))
    return pickle.loads(content)  # from our own parent, over a line that nobody else has


def _decoded(items: Items, row: int, name: str, picture: Picture) -> tuple[int, memoryview | bytes]:
    try:
        pixels = decoded(items.content(row, name), picture, name).transpose(1, 2, 0)  # it lies unbroken
        return PIXELS, pixels.data.cast("B")
    except DecodeFault as error:
        return FAULT, pickle.dumps(error.fault)
    except StriateError as error:
        return REFUSED, pickle.dumps((error.where, error.what, error.must, str(error.got), error.fix))
    except MemoryError:
        return NO_MEMORY, b""
    except Exception as error:  # a fault of ours or of a library: it belongs to this picture, and must be told
        return RAISED, pickle.dumps(f"{type(error).__name__}: {error}"[:500])
