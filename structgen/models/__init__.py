"""Models: loading them, and the ones that come with the package.

Importing this package imports neither torch nor transformers; loading does.
"""

from .loading import LoadedModel, as_loaded, load

__all__ = ["LoadedModel", "as_loaded", "load"]
