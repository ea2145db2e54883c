"""tfdistill.models."""
