"""`python -m vqwn_kit` is `vqwn`."""

import sys

from vqwn_kit.cli import main

sys.exit(main())
