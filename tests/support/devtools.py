"""A browser driven by the DevTools protocol alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from .browser import FLAGS
from .waiting import until


class Hidden:
    """A browser whose tabs are really hidden when they are not in front.

    Playwright makes every page believe that it is visible, and switches the throttling of
    hidden ones off; so this speaks the DevTools protocol itself.
    """

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._calls = 0

    @classmethod
    @contextmanager
    def run(cls, program: str, profile: Path) -> Iterator[Hidden]:
        """Run one for as long as the context lasts."""
        process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                # One second, instead of five minutes, until timers wake up once a minute only.
                "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1",
                *FLAGS,
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            told = profile / "DevToolsActivePort"
            until(lambda: told.exists() and told.read_text().count("\n"), "the browser listens")
            port, path = told.read_text().split()
            with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as devtools:
                yield cls(devtools)
        finally:
            process.terminate()
            process.wait(10)

    def call(self, method: str, session: str | None = None, **params: object) -> dict[str, Any]:
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": params}
        self._devtools.send(json.dumps(call | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(self._devtools.recv(10))
            if answer.get("id") == self._calls:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, url: str, script: str = "") -> HiddenTab:
        """Open a tab, in front of the others."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable", session)
        self.call("Page.addScriptToEvaluateOnNewDocument", session, source=script)
        self.call("Page.navigate", session, url=url)
        return HiddenTab(self, target, session)


class HiddenTab:
    def __init__(self, browser: Hidden, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    def evaluate(self, expression: str) -> Any:
        answer = self._browser.call(
            "Runtime.evaluate", self._session, expression=expression, returnByValue=True
        )
        return answer["result"].get("value")

    def press(self, action: str) -> None:
        button = f"document.querySelector('[data-action={action}][aria-disabled=false]')"
        until(lambda: self.evaluate(f"!!{button}"), f"{action} is enabled")
        self.evaluate(f"{button}.click()")

    def reaches(self, state: str) -> None:
        until(lambda: self.evaluate("document.body.dataset.state") == state, f"it is {state}")

    def count(self, selector: str) -> int:
        return int(self.evaluate(f"document.querySelectorAll('{selector}').length"))

    @property
    def id(self) -> str:
        return str(self.evaluate("document.getElementById('id').textContent"))

    @property
    def hidden(self) -> bool:
        return bool(self.evaluate("document.hidden"))

    def freeze(self) -> None:
        self._browser.call("Page.setWebLifecycleState", self._session, state="frozen")

    def show(self) -> None:
        self._browser.call("Target.activateTarget", targetId=self._target)
