"""What is said on standard error, and signals from the keyboard or the system."""

import contextlib
import os
import signal
import sys


def say(text: str) -> None:
    print(text, file=StandardError(), flush=True)


class StandardError:
    """Standard error, for as long as somebody can read it: a closed terminal must not stop a film."""

    def __getattr__(self, name):
        return getattr(sys.stderr, name)

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


class Interrupts:
    """Ctrl-C, SIGTERM and a closed terminal. The first ends a film in good order, which takes a moment; the third ends
    the program at once."""

    def __init__(self):
        self.count = 0
        with contextlib.suppress(ValueError):  # outside the main thread there are no signals
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP; nohup wants it ignored
                if hasattr(signal, name) and signal.getsignal(number := getattr(signal, name)) != signal.SIG_IGN:
                    signal.signal(number, self)

    def __call__(self, number, frame) -> None:
        self.count += 1
        if self.count == 1:
            raise KeyboardInterrupt
        if self.count > 2:
            os._exit(130)
        say("\nstill finishing the file; interrupt once more to stop at once")
