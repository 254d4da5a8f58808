"""`python -m vqwn_kit` is `vqwn`."""

import sys

from vqwn_kit.cli.main import main

sys.exit(main())
