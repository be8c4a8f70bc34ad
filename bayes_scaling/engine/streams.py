"""Several streams of results read at once, a thread each: one for every device."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

_LOOK = 0.1  # seconds between looks at whether anybody still reads


def at_once[T](streams: Sequence[Iterator[T]]) -> Iterator[T]:
    """Yield what streams yield, as it comes.

    No stream gets further ahead of the reader than two results, so that memory does not depend on how many there are. An error of one is
    raised, and the others end after the result that they are at, as they do where nobody reads on. One stream alone needs no thread.
    """
    if len(streams) == 1:
        yield from streams[0]
        return
    waiting: queue.Queue[Future[T] | None] = queue.Queue(len(streams))  # None: a stream has ended
    nobody_reads = threading.Event()

    def hand_over(what: Future[T] | None) -> None:
        while not nobody_reads.is_set():
            try:
                return waiting.put(what, timeout=_LOOK)
            except queue.Full:
                pass

    def read(stream: Iterator[T]) -> None:
        try:
            for result in stream:
                done: Future[T] = Future()
                done.set_result(result)
                hand_over(done)
                if nobody_reads.is_set():
                    return
            hand_over(None)
        except BaseException as error:  # raised where the results are read
            failed: Future[T] = Future()
            failed.set_exception(error)
            hand_over(failed)

    readers = [threading.Thread(target=read, args=(stream,)) for stream in streams]
    for reader in readers:
        reader.start()
    try:
        left = len(readers)
        while left:
            what = waiting.get()
            if what is None:
                left -= 1
            else:
                yield what.result()
    finally:
        nobody_reads.set()
        for reader in readers:
            reader.join()
