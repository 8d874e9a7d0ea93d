"""One thread for a library that stands only one.

PKCS#11 libraries are initialised without locking here (python-pkcs11 0.10 passes NULL to C_Initialize), so every call
into one library is made on one thread; two libraries have two. The thread is a daemon: a token that hangs in a call
keeps neither the signer from answering nor the process from ending.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from troth.pki.keys.errors import CUSTODIAN_TIMEOUT, CustodianDown

_T = TypeVar("_T")


class Lane:
    """Calls made one after the other on a thread of their own."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def call(self, act: Callable[[], _T], timeout: float) -> _T:
        """The result of ``act``, or what it raises. Raises CustodianDown after ``timeout`` seconds.

        A call whose turn did not come in time is never made; one that had begun goes on, and its result is dropped.
        """
        future: Future[_T] = Future()
        self._work.put((future, act))
        try:
            return future.result(timeout)
        except TimeoutError:
            if future.done():
                raise  # the act's own
            future.cancel()
            raise CustodianDown(CUSTODIAN_TIMEOUT, f"the token did not answer within {timeout:g} s") from None

    def _run(self) -> None:
        while True:
            future, act = self._work.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(act())
            except BaseException as error:  # noqa: BLE001 - it is the caller's: call() raises it there
                future.set_exception(error)
