"""What every Python that tests start reads first.

transformers imports scikit-learn wherever it is installed, for two seconds of each process. Only
tests in the process of pytest need it, for figures to compare with.
"""

import sys

# To the import system, a package that is not installed.
sys.modules["sklearn"] = None  # type: ignore[assignment]
