"""The spaCy components, the only part of the package that writes to Docs."""

from ..installed import warn_of_clash

warn_of_clash()
