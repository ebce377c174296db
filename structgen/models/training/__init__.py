"""Training and judging the embedded models; `python -m structgen.models.training` has the commands."""
