"""The modules that the tests of this folder share, and the machine that they run on."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
