"""What axe-core says of a page: violations of WCAG 2.2, levels A and AA."""

import pytest

LEVELS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")


def violations(page, within: str | None = None) -> list[str]:
    """Return what is wrong on a page, or in an element of it; skip where axe-core is missing."""
    reason = "axe-core is not installed: pip install -e .[browser]"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    options = {"resultTypes": ["violations"], "runOnly": {"type": "tag", "values": [*LEVELS]}}
    found = axe.Axe().run(page, context=within, options=options).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:120]} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]
