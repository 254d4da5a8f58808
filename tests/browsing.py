"""Servers of notebooks and a headless Chromium for tests, and what they measure on a page."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required "
    "--mute-audio --use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
).split()
# An analyser in front of the loudspeaker.
TAP = """(() => { const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...more) {
    if (to instanceof AudioDestinationNode) {
      if (!this.context.tap) { this.context.tap = this.context.createAnalyser(); this.context.tap.fftSize = 32768; window.taps = [...(window.taps || []), this.context.tap]; }
      connect.call(this, this.context.tap);
    }
    return connect.call(this, to, ...more);
  }; })()"""  # noqa: E501
LAST = "const last = (seconds) => { const tap = window.taps[0], b = new Float32Array(tap.fftSize); tap.getFloatTimeDomainData(b); return b.slice(-Math.round(16000 * seconds)); };"  # noqa: E501
IDLE = "() => jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"


@contextlib.contextmanager
def chromium(*more: str, without: str = "") -> Iterator:
    """Start headless Chromium; skip the test where there is none, or no playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    flags = [flag for flag in (*FLAGS, *more) if flag != without]
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=flags)
        yield started
        started.close()


def new_page(browser, **settings):
    """Open a page that measures its sound and keeps its errors."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, **settings)
    page.set_default_timeout(120_000)
    page.add_init_script(TAP)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(error.stack or str(error)))
    return page


def level(page) -> float:
    """Return the greatest sample of the last 0.1 s."""
    return page.evaluate(f"() => {{ {LAST} return Math.max(...last(0.1).map(Math.abs)); }}")


def loudest(page, milliseconds: int) -> float:
    """Return the greatest sample of the next milliseconds."""
    return page.evaluate(
        f"""async () => {{ {LAST} let most = 0;
        for (const end = performance.now() + {milliseconds}; performance.now() < end;) {{
          await new Promise((next) => setTimeout(next, 50));
          most = Math.max(most, ...last(0.05).map(Math.abs));
        }} return most; }}"""
    )


def seconds(root) -> float:
    return float(root.locator(".vq-time").get_attribute("data-seconds"))


def jupyterlab(folder: Path, **environment: str) -> contextlib.AbstractContextManager[str]:
    """Serve a folder by a JupyterLab with separate settings; yield its address."""
    quiet = folder / ".settings/@jupyterlab/apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    flags = "--LabApp.expose_app_in_browser=True --LabApp.extension_manager=readonly"
    return _jupyter("jupyterlab", folder, flags, environment)


def jupyter_notebook(folder: Path) -> contextlib.AbstractContextManager[str]:
    """Serve a folder by a Notebook 7 with separate settings; yield its address."""
    return _jupyter("notebook", folder, "--JupyterNotebookApp.expose_app_in_browser=True", {})


def _jupyter(module: str, folder: Path, flags: str, environment: dict[str, str]):
    names = ("CONFIG", "DATA", "RUNTIME")
    settings = {f"JUPYTER_{name}_DIR": str(folder / f".{name.lower()}") for name in names}
    settings["JUPYTERLAB_SETTINGS_DIR"] = str(folder / ".settings")
    settings["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / ".workspaces")
    flags += (
        " --no-browser --allow-root --port={port} --ip=127.0.0.1 --ServerApp.port_retries=0 "
        f"--IdentityProvider.token= --ServerApp.root_dir={folder}"
    )
    return _serve(module, flags, folder, "api/status", settings | environment)


def marimo_run(file: Path) -> contextlib.AbstractContextManager[str]:
    """Serve a marimo notebook as an app; yield its address."""
    flags = f"-y run {file} --headless --no-token --host=127.0.0.1 --port={{port}}"
    return _serve("marimo", flags, file.parent, "health", {"XDG_CONFIG_HOME": str(file.parent)})


@contextlib.contextmanager
def _serve(module: str, flags: str, folder: Path, path: str, settings: dict[str, str]):
    """Run a server, a Python module, until its path answers; yield its address."""
    pytest.importorskip(module, reason=f"{module} is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", module, *flags.format(port=port).split()]
    settings = os.environ | {"PYTHONPATH": str(ROOT)} | settings
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=settings, cwd=folder, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/{path}", server, folder)
            yield address
        finally:
            server.terminate()
            server.wait(30)


def open_notebook(browser, address: str, name: str):
    """Open a notebook of a JupyterLab in a new page, and wait for its kernel."""
    page = new_page(browser)
    page.goto(f"{address}/lab/tree/{name}?reset")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_function(IDLE)
    return page


def reload(page) -> None:
    """Save the notebook, and reload its page."""
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    page.wait_for_function("() => window.jupyterapp?.restored")


def none_failed(page) -> None:
    """Check that no cell shows an error."""
    failed = page.locator("[data-mime-type='application/vnd.jupyter.error']")
    assert failed.count() == 0, failed.first.inner_text()


def _wait_for(address: str, server, folder: Path) -> None:
    until = time.time() + 120
    while time.time() < until and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"no answer from {address}: {(folder / 'server.log').read_text()[-2000:]}")
