"""The pipeline that a component belongs to."""

import weakref
from functools import wraps
from typing import Any

from spacy.language import Language


class Origin:
    """The pipeline of a component, without keeping it alive.

    The component in a copy of the pipeline belongs to the copy. One that another pipeline takes
    from it belongs to that one, as long as that one is in use. One that is copied by itself, or
    pickled, belongs to none, until `nlp.resume_training`.

    nlp (Language | None): The pipeline.
    """

    def __init__(self, nlp: Language | None = None):
        # Here and not in the component, for a pickled one is made without a call of its class.
        let_spacy_tell()
        # The last one has taken the component last.
        self._references: list[weakref.ref[Language]] = []
        if nlp is not None:
            self.claim(nlp)

    @property
    def nlp(self) -> Language | None:
        """The last pipeline that has taken the component and is still in use."""
        found = (reference() for reference in reversed(self._references))
        return next((nlp for nlp in found if nlp is not None), None)

    def claim(self, nlp: Language) -> None:
        """Let the component belong to a pipeline."""
        others = [r for r in self._references if r() is not None and r() is not nlp]
        self._references = [*others, weakref.ref(nlp)]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Origin":
        owners = (reference() for reference in reversed(self._references))
        copies = (memo.get(id(nlp)) for nlp in owners if nlp is not None)
        return Origin(next((copy for copy in copies if copy is not None), None))

    def __reduce__(self) -> tuple:
        return Origin, ()


def let_spacy_tell() -> None:
    """Let components know the pipeline that takes them from another one, or resumes training.

    spaCy moves a component of `nlp.add_pipe(name, source=other)` as it is, gives `rehearse` no
    optimizer but that of the pipeline, and tells of resumed training only components that can
    rehearse.
    """
    take, resume = Language.create_pipe_from_source, Language.resume_training
    if hasattr(resume, "tells_components"):
        return

    @wraps(take)
    def create_pipe_from_source(self: Language, *args: Any, **kwargs: Any) -> Any:
        pipe, factory = take(self, *args, **kwargs)
        _claim(self, pipe)
        return pipe, factory

    @wraps(resume)
    def resume_training(self: Language, *args: Any, **kwargs: Any) -> Any:
        optimizer = resume(self, *args, **kwargs)
        for _, pipe in self.pipeline:
            _claim(self, pipe)
            if hasattr(pipe, "is_resumed"):
                pipe.is_resumed = True
        return optimizer

    resume_training.tells_components = True  # type: ignore[attr-defined]
    Language.create_pipe_from_source = create_pipe_from_source  # type: ignore[method-assign]
    Language.resume_training = resume_training  # type: ignore[method-assign]


def _claim(nlp: Language, pipe: Any) -> None:
    if isinstance(getattr(pipe, "origin", None), Origin):
        pipe.origin.claim(nlp)
