"""Output of a trained model: images, films, contact sheets, and tables of metrics."""
