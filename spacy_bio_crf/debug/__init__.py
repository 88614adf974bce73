"""Find out what of a corpus a tagger can not learn from, and what will surprise its owner.

`sources` reads files to parts ("train", "dev"), `settings` reads tokenizer, window and scheme from
a config or a pipeline, a module per kind of check looks at the parts, and `run.diagnose` puts all
of it together to a `findings.Report`. `checks.CHECKS` lists every check. Nothing here prints.
"""

from .checks import CHECKS, EXIT_CODES, SEVERITIES, Check
from .diagnose import diagnose
from .findings import Finding, Report, Spot
from .parts import Part, read_part
from .settings import ModelSettings, SettingsError, read_settings

__all__ = [
    "CHECKS",
    "EXIT_CODES",
    "SEVERITIES",
    "Check",
    "Finding",
    "ModelSettings",
    "Part",
    "Report",
    "SettingsError",
    "Spot",
    "diagnose",
    "read_part",
    "read_settings",
]
