"""Models: loading them, and the ones that come with the package.

Importing this package imports neither torch nor transformers; loading does.
"""

from .loading import LoadedModel, as_loaded, embedded_folder, fills_slots, is_masked_model, load
from .outline import schema_outline

__all__ = ["LoadedModel", "as_loaded", "embedded_folder", "fills_slots", "is_masked_model", "load", "schema_outline"]
