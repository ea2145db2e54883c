"""tfdistill.data."""
