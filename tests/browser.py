"""A headless Chromium, driven by its DevTools protocol, with what MLflow brings anyway (aiohttp)."""

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

PATIENCE_S = 120.0
"""Seconds that a test waits for a page on a machine that does much else."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Request:
    """What a page asked of its server: how long the answer took and how much it was."""

    method: str
    url: str
    body: str
    began: float
    seconds: float = 0.0
    bytes: float = 0.0


@dataclass
class Page:
    """One tab. `requests`: all that it asked for, by their ids."""

    socket: aiohttp.ClientWebSocketResponse
    requests: dict[str, Request] = field(default_factory=dict)
    _number: int = 0

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come meanwhile are noted."""
        self._number += 1
        await self.socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            told = await asyncio.wait_for(self.socket.receive_json(), PATIENCE_S)
            if told.get("id") == self._number:
                assert "error" not in told, told
                answer: dict[str, Any] = told["result"]
                return answer
            self._note(told)

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        told = await self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def open(self, url: str) -> None:
        await self.command("Page.navigate", url=url)

    async def until(self, script: str) -> float:
        """Wait until an expression is true; returns the seconds that it took."""
        began = time.perf_counter()
        while not await self.run(f"(() => {{ try {{ return !!({script}) }} catch {{ return false }} }})()"):
            if time.perf_counter() - began > PATIENCE_S:
                text = await self.run("document.body.innerText.slice(0, 1500)")
                raise AssertionError(f"never true: {script}; the page says: {text}")
            await asyncio.sleep(0.05)
        return time.perf_counter() - began

    async def click(self, script: str) -> None:
        """Click into the middle of the element that an expression finds, as a person's mouse does."""
        await self.until(f"!!({script})")
        middle = await self.run(
            f"(() => {{ const found = {script}; found.scrollIntoView({{block: 'nearest'}});"
            " const box = found.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            held = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            await self.command("Input.dispatchMouseEvent", type=kind, x=middle[0], y=middle[1], **held)

    async def shot(self, path: Path) -> None:
        """A picture of what is to be seen."""
        told = await self.command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(told["data"]))

    def _note(self, told: dict[str, Any]) -> None:
        params = told.get("params", {})
        number = params.get("requestId", "")
        match told.get("method"):
            case "Network.requestWillBeSent":
                asked = params["request"]
                body = asked.get("postData", "")
                self.requests[number] = Request(asked["method"], asked["url"], body, params["timestamp"])
            case "Network.loadingFinished" if number in self.requests:
                self.requests[number].seconds = params["timestamp"] - self.requests[number].began
                self.requests[number].bytes = params["encodedDataLength"]


@asynccontextmanager
async def browser(width: int = 1400, height: int = 860) -> AsyncIterator[Page]:
    """A tab of a fresh Chromium, which remembers nothing afterwards."""
    assert CHROMIUM, "no Chromium"
    folder = Path(tempfile.mkdtemp())
    profile = folder / "profile"
    command = [
        *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--no-proxy-server"),
        *("--remote-debugging-port=0", f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"),
    ]
    with (folder / "chromium.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        address = await _tab(profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
            page = Page(socket)
            for part in ("Page", "Runtime", "Network"):
                await page.command(f"{part}.enable")
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            await page.command("Emulation.setDeviceMetricsOverride", **size)
            yield page
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _tab(port_file: Path, process: "subprocess.Popen[bytes]") -> str:
    """The address of the first tab, once Chromium has written its port down."""
    until = time.monotonic() + PATIENCE_S
    while not (port_file.exists() and "\n" in port_file.read_text()):
        assert process.poll() is None, "Chromium has ended"
        assert time.monotonic() < until, "Chromium does not start"
        await asyncio.sleep(0.1)
    port = port_file.read_text().splitlines()[0]
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        tabs = json.loads(await answer.text())
    return str(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))
