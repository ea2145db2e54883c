"""tfdistill.export."""
