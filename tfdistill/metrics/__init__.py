"""tfdistill.metrics."""
