"""The modules that the tests of this folder share."""

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parent / "web"):
    sys.path.insert(0, str(folder))
