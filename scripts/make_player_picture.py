"""Make `site/player.png`, the picture of the README: the player of the site's start page.

Usage: python -m scripts.make_player_picture [--save FILE]

Needs the extra `browser` and a Chromium of the system. Run it after `make site LIVE=sentence`.
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
COLOURS = 128  # of the picture: a third of the bytes, and no difference to be seen


def picture(page: Path) -> bytes:
    """Return the player of a page as a PNG: its second track, the playhead after one second."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        window = {"width": 900, "height": 900}
        tab = browser.new_page(viewport=window, device_scale_factor=1.5, color_scheme="light")
        tab.goto(page.as_uri())
        player = tab.locator(".vq-player")
        player.focus()
        for key in ("2", "Shift+ArrowRight"):
            tab.keyboard.press(key)
        tab.wait_for_timeout(1000)
        drawn = player.screenshot()
        browser.close()
    small = Image.open(io.BytesIO(drawn)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    return file.getvalue()


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--save", type=Path, default=ROOT / "site/player.png", metavar="FILE")
    options = parser.parse_args()
    options.save.write_bytes(picture(ROOT / "docs/index.html"))
    print(f"{options.save}: {options.save.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
