"""Checks of a corpus before training: annotation, characters, sub-words, windows, leaks.

`diagnosis.diagnose` puts the checks together to a `findings.Report`. `reading` makes parts
("train", "dev") of files, `settings` reads tokenizer, window and scheme from a config or pipeline.
Each other module holds one kind of check; `checks.CHECKS` lists all of them. Nothing here prints.
"""

from ..errors import SettingsError
from .checks import CHECKS, EXIT_CODES, SEVERITIES, Check
from .diagnosis import diagnose
from .findings import Finding, Occurrence, Report
from .reading import CorpusPart, read_part
from .settings import ModelSettings, read_settings

__all__ = [
    "CHECKS",
    "EXIT_CODES",
    "SEVERITIES",
    "Check",
    "CorpusPart",
    "Finding",
    "ModelSettings",
    "Occurrence",
    "Report",
    "SettingsError",
    "diagnose",
    "read_part",
    "read_settings",
]
