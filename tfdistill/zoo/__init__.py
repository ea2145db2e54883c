"""tfdistill.zoo."""
