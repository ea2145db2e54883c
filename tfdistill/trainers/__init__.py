"""tfdistill.trainers."""
