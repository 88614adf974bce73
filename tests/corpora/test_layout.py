"""Rows and comments of column files."""

import pytest


@pytest.mark.parametrize("n_rows", [1, 9])
def test_comments_with_tabs_among_rows_with_spaces(folder, n_rows):
    comment = "# id f5458a3a-0b1c-4f5e\tdomain=en"
    rows = "".join(f"w{i} _ _ B-X\n" for i in range(n_rows))
    docs, summary = folder.tokens(folder.write(f"{comment}\n{rows}\n{comment}\n{rows}"))
    words = [f"w{i}" for i in range(n_rows)]
    assert docs == [(words, [(i, i + 1, "X") for i in range(n_rows)])] * 2
    assert list(summary.notes) == ["BIO, spaces, token in column 1, tag in 4"]


def test_comments_of_multiconer(folder):
    comment, rows = "# id 5f-{} domain=train", "ana _ _ B-PER\n# _ _ O\nran _ _ O\n"
    text = f"{comment.format(1)}\n{rows}\n{comment.format(2)}\n{rows}"
    for content in text, text.replace(" domain", "\tdomain"), text.replace(" _ _ ", "\t_\t_\t"):
        docs, _ = folder.tokens(folder.write(content))
        assert docs == [(["ana", "#", "ran"], [(0, 1, "PER")])] * 2
    content = "# id 5\tdomain=en\nana\tB-PER\n# id 6\tdomain=en\nran\tO\n"
    assert folder.tokens(folder.write(content))[0] == [(["ana", "ran"], [(0, 1, "PER")])]
