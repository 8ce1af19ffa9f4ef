"""`python -m libsession STORE …`: what an administrator asks a store of `file:`, whatever language its servers are in."""

import sys

from ._command import main

if __name__ == "__main__":
    sys.exit(main())
