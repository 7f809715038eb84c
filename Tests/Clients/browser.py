"""A headless Chromium for one test, driven by its DevTools protocol over a pair of pipes."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

from server import cannot_test

NAMES = ["chromium-headless-shell", "chromium", "chromium-browser"]
KEYS = {"Tab": 9, "Enter": 13, "ArrowDown": 40}


class Browser:
    """One page. It collects errors of the script, refused resources, and the addresses that the page requested."""

    def __init__(self, directory):
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            cannot_test("there is no Chromium (Debian's chromium-headless-shell has it)")
        # The browser reads commands from descriptor 3 and writes answers to descriptor 4.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for pair in (os.pipe(), os.pipe()) for end in pair]
        its_input, self._output, self._input, its_output = ends

        def place_pipes():
            os.dup2(its_input, 3)
            os.dup2(its_output, 4)

        # Its sandbox needs rights that a container or root does not have. The only page is the server's own.
        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={directory}",
             "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "about:blank"],
            pass_fds=(3, 4), preexec_fn=place_pipes, stderr=subprocess.DEVNULL)
        os.close(its_input)
        os.close(its_output)
        self._received = b""
        self._number = 0
        self._session = None
        self.errors = []
        self.requests = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Carries out a command and returns its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._output, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def _receive(self, seconds=30):
        deadline = time.monotonic() + seconds
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._input], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(self._input, 1 << 20) if ready else b""
            assert piece, "the browser does not answer"
            self._received += piece
        message, self._received = self._received.split(b"\0", 1)
        message = json.loads(message)
        self._note(message.get("method"), message.get("params"))
        return message

    def _note(self, event, parameters):
        if event == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"]))
        elif event == "Log.entryAdded":
            self.errors.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        elif event == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    def open(self, address):
        self.call("Page.navigate", url=address)

    def evaluate(self, expression):
        """The value of an expression of JavaScript."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, selector):
        """The text of an element; empty if there is none."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def resize(self, width, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme):
        """Dark or light."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def press(self, key):
        for kind in ["keyDown", "keyUp"]:
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key], **text)

    def write(self, text):
        """Types as a keyboard does, into the element that has the focus."""
        self.call("Input.insertText", text=text)

    def screenshot(self, path):
        height = self.evaluate("document.documentElement.scrollHeight")
        width = self.evaluate("innerWidth")
        image = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                          clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(image["data"]))

    def close(self):
        os.close(self._output)
        os.close(self._input)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
