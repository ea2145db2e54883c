"""tfdistill.layers."""
