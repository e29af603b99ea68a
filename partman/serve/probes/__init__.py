"""What programs ask of the service: health and metrics."""
