"""What `spaces` does on a ZeroGPU Space, as far as the app can tell, without a card: each call runs in a fork.

Whatever goes in or comes out is pickled; what the fork changes in memory ends with it; of an exception only its kind
comes through; closing the generator ends the fork's after its present value. Unlike there it goes on only when the next
value is asked for, so that a test knows how far it was. It notes what was asked in LENT.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

FORK = multiprocessing.get_context("fork")


def GPU(task: Callable[..., Iterator[Any]], duration: Callable[..., int]) -> Callable[..., Iterator[Any]]:
    def lent(*given: Any) -> Iterator[Any]:
        if not os.path.exists(os.environ["LENT"]):
            raise RuntimeError("You have exceeded your GPU quota")
        pickled, stop, asked, ours, theirs = (
            pickle.dumps(given),
            FORK.Event(),
            FORK.Semaphore(0),
            *FORK.Pipe(duplex=False),
        )

        def iterate() -> None:
            values = task(*pickle.loads(pickled))
            try:
                for value in values:
                    if stop.is_set():
                        values.close()
                        return
                    theirs.send(("value", value))
                    asked.acquire()
            except Exception as error:
                theirs.send(("error", type(error).__name__))

        def in_fork() -> None:
            for number in os.listdir("/proc/self/fd"):  # else a browser would wait on what the server has closed
                with suppress(OSError):
                    if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                        os.close(int(number))
            with ThreadPoolExecutor() as thread:
                thread.submit(iterate).result()
            theirs.send(("end", None))

        process = FORK.Process(target=in_fork, daemon=True)
        process.start()
        with open(os.environ["LENT"], "a") as notes:
            print(json.dumps({"pid": process.pid, "seconds": duration(*given)}), file=notes)
        try:
            while True:
                kind, value = ours.recv()
                if kind == "end":
                    return
                if kind == "error":
                    raise RuntimeError(value)
                yield value
                asked.release()
        finally:
            stop.set()
            asked.release()
            while process.is_alive():  # nothing may be left unsent, or the fork would wait for ever
                if ours.poll(0.1):
                    ours.recv()
            process.join()

    return lent
