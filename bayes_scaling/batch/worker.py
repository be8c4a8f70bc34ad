"""A worker process: ``python -m bayes_scaling.batch.worker`` takes chunks from its standard input and answers with their outcomes.

Messages are pickles between a process and its own child over a pipe; nothing that is stored or comes from elsewhere is read so.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
from typing import Any


def main() -> None:
    """Work until the other end goes away."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not come between the answers
    chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                chunks.put(pickle.load(sys.stdin.buffer))
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(0)  # whoever asked is gone (kill -9, even), in the middle of a chunk or not

    threading.Thread(target=listen, daemon=True).start()
    while True:
        chunk = chunks.get()
        from bayes_scaling.batch.work import attempt  # heavy: not before there is something to do

        answer = attempt(chunk)
        pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    main()
