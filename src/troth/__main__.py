"""``python -m troth``: the same as the ``troth`` command."""

import sys

from troth.cli.main import main

sys.exit(main())
