"""A tiny model and its vocabulary, made once."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
# tiny matrices: threads only wait for each other
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The tiny random model; `sg.load`'s object."""
    import structgen.models as models

    return models.load("tiny", device="cpu")


@pytest.fixture(scope="session")
def vocabulary(tiny):
    from structgen.tokens.vocabulary import Vocabulary

    return Vocabulary.load(tiny.tokenizer)
