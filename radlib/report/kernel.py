"""The process in which a page's cells run: of this very Python, and ended when the command is interrupted."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import psutil
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def own_specs() -> KernelSpecManager:
    """Of all kernelspecs only the one of this interpreter's ipykernel, whatever lies on JUPYTER_PATH."""
    return KernelSpecManager(kernel_dirs=[])


@contextlib.contextmanager
def interruptible() -> Iterator[type[AsyncKernelManager]]:
    """The class of kernels for the block, in which Ctrl-C and SIGTERM end the kernel; they act when the block is left.

    A KeyboardInterrupt raised inside the client's event loop would leave tasks behind whose tracebacks are printed
    later; a kernel that died is something that the client reports in order, within a second.
    """
    asked: list[tuple[int, FrameType | None]] = []
    started: list[AsyncKernelManager] = []

    class Kernel(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options, kernel_spec_manager=own_specs())

        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]  # it is typed as of its base
            await super()._async_start_kernel(**options)
            started.append(self)
            if asked:
                _end(started)

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append((number, frame))
        logging.disable()  # or the client would log that its kernel died
        _end(started)

    before: dict[int, Callable[[int, FrameType | None], Any]] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    level = logging.root.manager.disable
    for number in before:
        signal.signal(number, stop)
    try:
        yield Kernel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asked:
            logging.disable(level)
            number, frame = asked[0]
            before[number](number, frame)


def _end(kernels: list[AsyncKernelManager]) -> None:
    """Kill the processes of `kernels` and all below them; in sessions of their own, a terminal's Ctrl-C spares them."""
    for kernel in kernels:
        pid = getattr(kernel.provisioner, "pid", None)
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended
            for each in (*psutil.Process(pid).children(recursive=True), psutil.Process(pid)) if pid else ():
                each.kill()
