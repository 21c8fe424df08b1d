"""Signals are handed on to the event loop, whatever becomes of what they call for."""

from __future__ import annotations

import os
import select
import signal

from gateway.process.hearing import heard_by_a_thread


def test_a_signal_that_cannot_be_acted_upon_is_handed_on_and_so_is_the_next() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    heard: list[bool] = []

    def no_more_threads(again: bool) -> None:
        heard.append(again)
        raise RuntimeError("can't start new thread")

    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        with heard_by_a_thread(no_more_threads):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
                assert select.select([reading], [], [], 20)[0]
                assert os.read(reading, 1) == bytes([signal.SIGTERM])
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGTERM, handler)
        os.close(reading)
        os.close(writing)
    assert heard == [False, True]
