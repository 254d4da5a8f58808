"""sampling."""

import vqwn_kit.models  # noqa: F401
