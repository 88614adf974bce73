"""Pages of the tutorials in the order of the menu, and their blocks of code."""

import re

from tests.support.paths import ROOT

BLOCK = re.compile(
    r"^```(?P<language>python|bash)\n(?P<code>.*?)^```$"
    r"(?:\n\n<!-- output -->\n```\n(?P<output>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)
MENU = re.findall(r"tutorials/[\w-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
