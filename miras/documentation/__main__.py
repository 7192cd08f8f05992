"""Write the pages of reference into the folders that are named."""

import sys
from pathlib import Path

from miras.documentation import write

for name in sys.argv[1:]:
    write(Path(name))
