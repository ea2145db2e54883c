"""tfdistill.report."""
