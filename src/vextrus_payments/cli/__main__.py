"""`python -m vextrus_payments.cli`, for where no script is on the PATH."""

import sys

from vextrus_payments.cli import main

sys.exit(main())
