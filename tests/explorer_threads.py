"""A worker in a thread in place of a process: the same code without seconds of imports."""

import io
import os
import threading
import time

from marginlens.explorer.jobs import process
from marginlens.explorer.jobs.ipc import receive
from marginlens.explorer.jobs.worker import Worker

__all__ = ["Collected", "Threaded", "until"]


class Threaded(process.Process):
    """As a process is seen, but that its end is only asked for by ``kill``."""

    def __init__(self, heard):
        import queue

        self.commands, self.first, self.heard = queue.Queue(), True, heard
        ends = os.pipe()
        self.reading, self.writing = os.fdopen(ends[0], "rb"), os.fdopen(ends[1], "wb")
        self.worker = threading.Thread(target=self._work, daemon=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.worker.start()
        self.reader.start()

    pid = 0

    def _work(self):
        with self.writing:
            job = self.commands.get()
            if "recipe" in (job or {}):
                Worker(job, self.commands, self.writing).run()

    def _read(self):
        with self.reading:
            while (message := receive(self.reading)) is not None:
                self.heard(self, *message)
        self.heard(self, None, {})

    def tell(self, command):
        self.commands.put(command)

    def kill(self):
        for command in ({"do": "stop"}, None):
            if self.worker.is_alive():
                self.commands.put(command)

    def why_ended(self):
        return "the thread has ended"


class Collected(io.BytesIO):
    """Where a worker writes: its messages, and what is to be done when one comes."""

    def __init__(self, then=lambda header: None):
        super().__init__()
        self.messages, self.then = [], then

    def write(self, content):
        self.messages.append(receive(io.BytesIO(content)))
        self.then(self.messages[-1][0])
        return len(content)

    def of(self, kind):
        return [message for message in self.messages if message[0]["kind"] == kind]


def until(true, seconds=600.0):
    """Wait until something is true, and return it."""
    last = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < last, "waited in vain"
        time.sleep(0.01)
    return found
