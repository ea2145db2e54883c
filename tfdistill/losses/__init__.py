"""tfdistill.losses."""
