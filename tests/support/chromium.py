"""A headless Chromium, spoken to through its DevTools pipe: no driver, no port, no network."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
KEYS = {"Tab": 9, "Enter": 13, "ArrowDown": 40, "Home": 36, "End": 35}


def find_chromium() -> str | None:
    """The browser, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A page of the browser: `open` it, look at it by `run`, and press keys."""

    def __init__(self, to_browser: int, from_browser: int):
        self._to, self._from = to_browser, from_browser
        self._rest = b""
        self._count = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and wait for the answer."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _receive(self, timeout: float = 60) -> dict[str, Any]:
        end = time.monotonic() + timeout
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(end - time.monotonic(), 0))
            data = os.read(self._from, 1 << 16) if ready else b""
            if not data:
                raise TimeoutError(f"no answer from the browser after {timeout} seconds")
            self._rest += data
        first, _, self._rest = self._rest.partition(b"\0")
        return json.loads(first)

    def open(self, path: Path, fragment: str = "") -> None:
        """Load a file and wait until it is there."""
        self.events.clear()
        url = path.absolute().as_uri() + fragment
        # A page that differs in the fragment alone would not be loaded anew.
        for address in ("about:blank", url):
            self.send("Page.navigate", url=address)
            end = time.monotonic() + 60
            while not self._loaded(address):
                if time.monotonic() > end:
                    raise TimeoutError(f"{address} was not loaded in a minute")
                time.sleep(0.02)

    def _loaded(self, address: str) -> bool:
        # The script may have changed the fragment.
        same = f"location.href.split('#')[0] === {json.dumps(address.split('#')[0])}"
        try:
            return bool(self.run(f"{same} && document.readyState === 'complete'"))
        except RuntimeError:
            return False  # between two pages

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def until(self, script: str, value: Any, *, seconds: float = 10.0) -> None:
        """Wait until a JavaScript expression has a value; fails when it never does."""
        end = time.monotonic() + seconds
        while (found := self.run(script)) != value:
            if time.monotonic() > end:
                raise AssertionError(f"{script}: expected {value!r}, got {found!r}")
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Press and release a key: one of KEYS, or a character."""
        plain = len(key) == 1
        details: dict[str, Any] = {"key": key}
        if plain:
            details["text"] = key
        else:
            details |= {"code": key, "windowsVirtualKeyCode": KEYS[key]}
            if key == "Enter":
                details["text"] = "\r"
        self.send("Input.dispatchKeyEvent", type="keyDown", **details)
        self.send("Input.dispatchKeyEvent", type="keyUp", **details)
        # What a key sets off (a change of focus, a jump within the page) comes after its events.
        self.run("new Promise((done) => setTimeout(() => requestAnimationFrame(done), 200))")

    def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Set the size of the screen, a phone's below 500, and the colour scheme."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Take a screenshot, of the whole page or of what the screen shows."""
        data = self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """Errors that the page logged since it was opened, and what it asked the network for."""
        self.run("0")  # so that what is on its way has arrived
        found = []
        for event in self.events:
            name, params = event.get("method"), event.get("params", {})
            if name == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif name == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(params["entry"]["text"])
            elif name == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "about:")):
                    found.append(f"asks for {url}")
        return found


def _high(descriptor: int) -> int:
    """The same file under a number that the redirections below do not use."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return high


@contextmanager
def browse(program: str, profile: Path) -> Iterator[Page]:
    """Start a browser with a page, and end it.

    program (str): The browser.
    profile (Path): A folder for it, which must not exist.
    YIELDS (Page): The page.
    """
    browser_in, to_browser = map(_high, os.pipe())
    from_browser, browser_out = map(_high, os.pipe())
    # The protocol's pipes are the browser's file descriptors 3 and 4.
    command = f'exec "$0" "$@" 3<&{browser_in} 4>&{browser_out}'
    process = subprocess.Popen(
        ["bash", "-c", command, program, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(browser_in, browser_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(browser_in)
    os.close(browser_out)
    try:
        yield Page(to_browser, from_browser)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(to_browser)
        os.close(from_browser)
